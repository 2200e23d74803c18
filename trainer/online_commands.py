"""``solosense-trainer online`` and ``costs``: detectors, how right, how soon, at what cost."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sensor_adapters.recording import RecordingError
from trainer.terminal import (
    DataFolder,
    Json,
    RecipeName,
    fail,
    out,
    ready,
    say,
    seed_range,
    show,
    wanted,
)
from trainer.truth import ScoreError


def online(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="sphere, openpack or salads.")],
    data: DataFolder = None,
    seeds: Annotated[str, typer.Option(help="First and last, as 0-2.")] = "0-2",
    only: Annotated[str, typer.Option(help="One model: gru, tcn, malt, sigformer, …")] = "",
    decoders: Annotated[
        str, typer.Option("--decoders", metavar="MODEL", help="All ways to decode what it says.")
    ] = "",
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time, a core each; 0: all cores.")
    ] = 0,
    results: Annotated[Path, typer.Option(help="One JSON file a run.")] = Path(
        "trainer/results/online"
    ),
    work: Annotated[Path, typer.Option(help="What models said, to judge again.")] = Path("runs"),
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Quality against delay, .png or .svg."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a table of online detectors over seeds and print it; runs done are kept.

    Without --data nothing is run. Each is shown with the decoder that validation chose for it;
    --decoders shows all of one.
    """
    from trainer import online_tables
    from trainer.inventory import PARTS
    from trainer.recipes import recipe as recipe_of

    try:
        all_ = {line.name: line for line in online_tables.lines(table)}
    except KeyError:
        fail(f"table {table!r} is unknown, expected sphere, openpack or salads", 2)
    for name in (only, decoders):
        if name and name not in all_:
            fail(f"model {name!r} is unknown, expected one of {', '.join(all_)}", 2)
    lines = [line for line in all_.values() if only in ("", line.name)]
    over = seed_range(seeds)
    if data is not None:
        for base in online_tables.BASES.get(table, ()):
            ready(recipe_of(base), data, PARTS)
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that it starts
        jobs = jobs or os.cpu_count() or 1
        try:
            online_tables.fill(lines, over, data, results, work, jobs, say)
        except (RecordingError, ScoreError) as error:
            fail(str(error), 2)
    if decoders:
        rows = list(online_tables.decoder_summary(all_[decoders], over, results))
    else:
        rows = list(online_tables.summary(lines, over, results))
    if not rows:
        fail(f"{results}: found no whole line of {table}, expected --data to make some", 2)
    if picture is not None:
        from trainer.pictures import draw_delay

        chosen = [all_[decoders]] if decoders else lines
        curves = online_tables.curves(chosen, over, results)
        if not curves:
            fail("--picture: what sees the future has no delay, expected a model that does not", 2)
        out.print(f"{draw_delay(picture, curves, f'{table}: segments against delay')}")
    show(rows, list(rows[0]), as_json)


def costs(
    recipe: RecipeName,
    stations: Annotated[str, typer.Option(help="How many at once.")] = "1,10,100,500",
    heads: Annotated[str, typer.Option(help="Of the detectors of `online`.")] = "gru,tcn,malt",
    as_json: Json = False,
) -> None:
    """Measure what a step costs with each head on one core, in LiteRT, weights in 8 bits.

    Microseconds of CPU a station and step, so many stations at once; `us_one_by_one` a call each.
    """
    from trainer import head_costs
    from trainer.online_recipes import HEADS

    one = wanted(recipe)
    names = heads.split(",")
    if odd := [name for name in names if name not in HEADS]:
        fail(f"--heads has {odd[0]!r}, expected some of {', '.join(HEADS)}", 2)
    counts = [int(text) for text in stations.split(",") if text.isdecimal() and int(text)]
    if not counts or len(counts) != stations.count(",") + 1:
        fail(f"--stations is {stations!r}, expected numbers above 0, as 1,10,100", 2)
    rows = head_costs.rows(one, names, counts, say)
    show(rows, list(rows[0]), as_json)
