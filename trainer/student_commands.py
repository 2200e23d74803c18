"""``solosense-trainer students`` and ``pretrain``: what a sensor alone can, and where it starts."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sensor_adapters.recording import RecordingError
from trainer.terminal import (
    DataFolder,
    Json,
    RecipeName,
    Seed,
    fail,
    out,
    ready,
    say,
    seed_range,
    show,
    wanted,
    writable,
)
from trainer.truth import ScoreError


def students(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="sphere or ralt.")],
    data: DataFolder = None,
    seeds: Annotated[str, typer.Option(help="First and last, as 0-2.")] = "0-2",
    only: Annotated[
        str, typer.Option(help="Lines of this sensor or method: imu, alone, distilled.")
    ] = "",
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time, a core each; 0: all cores.")
    ] = 0,
    results: Annotated[Path, typer.Option(help="One JSON file a run.")] = Path(
        "trainer/results/students"
    ),
    teachers: Annotated[Path, typer.Option(help="Results of `ablate`, for the gap.")] = Path(
        "trainer/results/teachers"
    ),
    work: Annotated[Path, typer.Option(help="Where the bundles go.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Run a table of students over seeds and print it; runs done are kept.

    Without --data nothing is run. `against_alone` is over the seeds that both have. `of_gap` is the
    share of the way from alone to the teacher of all sensors; empty where one of them lacks a seed.
    """
    from trainer import student_summary, student_tables
    from trainer.inventory import PARTS
    from trainer.recipes import recipe as recipe_of

    try:
        all_ = student_tables.lines(table)
    except KeyError:
        fail(f"table {table!r} is unknown, expected sphere or ralt", 2)
    lines = [line for line in all_ if only in ("", line.sensor, line.method)]
    if not lines:
        words = sorted({word for line in all_ for word in (line.sensor, line.method)})
        fail(f"--only is {only!r}, expected one of {', '.join(words)}", 2)
    wanted = seed_range(seeds)
    if data is not None:
        for line in lines:
            for name in line.recipes:
                ready(recipe_of(name), data, PARTS)
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that it starts
        jobs = jobs or os.cpu_count() or 1
        try:
            student_tables.fill(lines, wanted, data, results, work, jobs, say)
        except (RecordingError, ScoreError) as error:
            fail(str(error), 2)
    if changed := student_tables.stale(lines, wanted, results):
        say(f"note: {len(changed)} results are of settings that have changed since, left out:")
        for path in changed:
            say(f"  {path}")
    rows = list(student_summary.summary(lines, wanted, results, teachers))
    if not rows:
        fail(f"{results}: found no whole line of {table}, expected --data to make some", 2)
    show(rows, list(rows[0]), as_json)


def pretrain(
    recipe: RecipeName,
    to: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Weights, .safetensors; a .json beside.")
    ],
    recordings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECORDING]...", help="More than the recipe's own; no labels."),
    ] = None,
    data: DataFolder = None,
    seed: Seed = 0,
    updates: Annotated[int, typer.Option(min=1)] = 1500,
    size: Annotated[str, typer.Option(help="nano, small, base or large.")] = "",
    only_named: Annotated[
        bool, typer.Option("--only-named", help="Leave the recipe's own recordings out.")
    ] = False,
) -> None:
    """Learn what inertial units are like, without labels: for `fit --start-from`.

    From the recipe's training recordings, and from any others that have a unit at one of its
    places.
    """
    from trainer import pretrain as pretraining
    from trainer.student_sizes import SIZES, sized

    if to.suffix != ".safetensors":
        fail(f"--out is {to}, expected a file that ends in .safetensors", 2)
    if size and size not in SIZES:
        fail(f"--size is {size!r}, expected one of {', '.join(SIZES)}", 2)
    one = wanted(recipe)
    names = list(recordings or ())
    if not only_named:
        one = ready(one, data, ("train",))
        own = one.split.train
        names = [*(own if data is None else (os.fspath(data / name) for name in own)), *names]
    if not names:
        fail("found no recording, expected some by name, or no --only-named", 2)
    writable(to.parent)
    one = sized(one, size) if size else one
    try:
        read = pretraining.read(one, names)
    except RecordingError as error:
        fail(str(error), 2)
    found = pretraining.pretrain(one, read, seed, updates, say)
    pretraining.write(found, to)
    out.print(
        f"{to}: {len(names)} recordings, {sum(len(part) for part in read.parts)} steps; explains"
        f" {found.said['explained_of_a_step']:.3f} of a step kept back"
    )
