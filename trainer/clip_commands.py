"""``solosense-trainer transfer``: does one sensor learn from another? Methods side by side."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sensor_adapters.recording import RecordingError
from trainer.terminal import Json, fail, say, seed_range, show


def transfer(
    clips: Annotated[str, typer.Argument(metavar="CLIPS", help="utd_mhad or phone_watch.")],
    sensor: Annotated[
        str, typer.Argument(help="That is there at inference: imu, skeleton; phone, watch.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the clips; none prints what there is.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="First and last, as 0-2.")] = "0-2",
    methods: Annotated[str, typer.Option(help="Joined by commas; all if absent.")] = "",
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time, a core each; 0: all cores.")
    ] = 0,
    rounded: Annotated[
        bool, typer.Option("--rounded", help="Export each in 8 bits as well, and judge the files.")
    ] = False,
    results: Annotated[Path, typer.Option(help="One JSON file a run.")] = Path(
        "trainer/results/clips"
    ),
    as_json: Json = False,
) -> None:
    """Teach networks of clips by every method and print how they do on people they never saw.

    `against_alone` is the difference from it, run by run: mean, standard error, how often it is
    above. The last columns say what 8 bits cost of macro-F1, where it was measured.
    """
    from trainer import clip_tables
    from trainer.clip_recipes import PAIRS, methods_of

    if clips not in PAIRS:
        fail(f"clips are {clips!r}, expected one of {', '.join(PAIRS)}", 2)
    if sensor not in PAIRS[clips]:
        fail(f"sensor is {sensor!r}, expected one of {', '.join(PAIRS[clips])}", 2)
    there = methods_of(sensor)
    names = [one for one in methods.split(",") if one] or there
    if odd := [name for name in names if name not in there]:
        fail(f"--methods has {', '.join(odd)}, expected of {', '.join(there)}", 2)
    lines = [(sensor, name) for name in names]
    wanted = seed_range(seeds)
    if data is not None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that it starts
        try:
            clip_tables.fill(
                clips, data, lines, wanted, results, jobs or os.cpu_count() or 1, say,
                rounded=rounded,
            )  # fmt: skip
        except RecordingError as error:
            fail(str(error), 2)
    rows = list(clip_tables.summary(clips, lines, wanted, results))
    if not rows:
        fail(f"{results}: found no results of {clips} {sensor}, expected --data to make some", 2)
    show(rows, list(rows[0]), as_json)
