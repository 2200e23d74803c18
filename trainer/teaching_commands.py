"""``solosense-trainer ablate``, ``parts`` and ``bench``, and ``fit`` of a teacher."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensor_adapters.recording import RecordingError
from trainer.terminal import (
    DataFolder,
    Json,
    RecipeName,
    checked_device,
    err,
    fail,
    out,
    ready,
    say,
    seed_range,
    show,
)  # fmt: skip

if TYPE_CHECKING:  # torch takes seconds to import
    from trainer.teacher_recipes import TeacherRecipe

MODELS = ("sigformer-", "tcn-")
Patience = Annotated[
    int | None,
    typer.Option(min=0, help="A teacher's: looks without a better one before it stops; 0: never."),
]
Accumulate = Annotated[
    int | None, typer.Option(min=1, help="A teacher's: batches whose gradients make an update.")
]
Compiled = Annotated[bool, typer.Option("--compile", help="A teacher, with torch.compile.")]
TableName = Annotated[
    str,
    typer.Argument(metavar="TABLE", help="sphere- or openpack-: sensors, parts; sphere-left-out."),
]
Results = Annotated[Path, typer.Option(help="One JSON file a run.")]
Size = Annotated[str, typer.Option(help="Of a SigFormer: small, base or paper.")]


def teacher_named(name: str, size: str = "") -> "TeacherRecipe | None":
    """Return the teacher of that name; None where it is another recipe's."""
    if not name.startswith(MODELS):
        return None
    from trainer.named_teachers import teacher
    from trainer.recipe_parts import UnknownRecipe
    from trainer.teacher_recipes import SIZES

    if size and size not in SIZES:
        fail(f"--size is {size!r}, expected one of {', '.join(SIZES)}", 2)
    try:
        found = teacher(name)
    except UnknownRecipe as error:
        fail(str(error), 2)
    if size and found.model != "sigformer":
        fail(f"{name}: has one size, expected --size with a sigformer-", 2)
    return dataclasses.replace(found, size=size) if size else found


def fit(
    recipe: "TeacherRecipe", data: Path | None, to: Path, seed: int, device: str,
    skip_missing: bool, compiled: bool,
) -> None:  # fmt: skip
    """Teach a teacher, with all processes that torchrun started; tell what came of it."""
    from trainer import saved_teacher, teach
    from trainer.fit import Data
    from trainer.judged_teacher import with_bends
    from trainer.prepared import prepare
    from trainer.processes import joined

    checked_device(device)
    source = ready(recipe.source, data, ("train", "validation"), skip_missing)
    recipe = dataclasses.replace(recipe, source=source)
    with joined(device) as processes:
        lead = processes.rank == 0
        try:
            parts = prepare(recipe.source, data)
            taught = teach.teach(
                recipe, parts, seed, processes, to, say if lead else _nothing, compiled=compiled
            )
        except (RecordingError, saved_teacher.TeachError) as error:
            fail(str(error), 2)
        if not lead:
            return
        taught = with_bends(taught, Data(*parts.scaled()), recipe, processes.device)
        saved_teacher.save(taught, recipe, seed, to)
    count = sum(w.numel() for w in taught.model.parameters())
    out.print(
        f"{to}: {count} parameters, validation macro-F1 {taught.validation_f1:.4f} after update"
        f" {taught.best_update}"
    )


def _nothing(text: str) -> None:
    """Say nothing: another process does."""


def ablate(
    table: TableName,
    data: DataFolder = None,
    seeds: Annotated[str, typer.Option(help="First and last, as 0-2.")] = "0-2",
    only: Annotated[str, typer.Option(help="Lines whose name begins so.")] = "",
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time, a core each; 0: all cores.")
    ] = 0,
    results: Results = Path("trainer/results/teachers"),
    as_json: Json = False,
) -> None:
    """Run a table of teachers over seeds and print mean and spread; runs done are kept.

    Without --data nothing is run, and what there is is printed.
    """
    from trainer import tables
    from trainer.inventory import PARTS

    if table not in tables.TABLES:
        fail(f"table {table!r} is unknown, expected one of {', '.join(tables.TABLES)}", 2)
    lines = [line for line in tables.lines(table) if line.name.startswith(only)]
    if not lines:
        names = ", ".join(line.name for line in tables.lines(table))
        fail(f"--only is {only!r}, expected how a line begins: {names}", 2)
    wanted = seed_range(seeds)
    try:
        missing = tables.todo(lines, wanted, results)
    except RecordingError as error:
        fail(str(error), 2)
    if data is not None:
        for source in {r.source.name: r.source for r, _ in missing}.values():
            ready(source, data, PARTS)
        jobs = jobs or (1 if tables.device().type == "cuda" else os.cpu_count() or 1)
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that it starts
        try:
            tables.fill(lines, wanted, data, results, jobs, say)
        except RecordingError as error:
            fail(str(error), 2)
    rows = list(tables.summary(lines, results))
    if stale := tables.stale(lines, results):
        say(f"note: {len(stale)} results are of settings that have changed since, left out:")
        for path in stale:
            say(f"note: {path}")
    if not rows and data is None:
        fail(f"{results}: found no results of {table}, expected --data to make some", 2)
    if not rows:
        fail(f"{table}: found no whole line over seeds {seeds}; baselines have seed 0 alone", 2)
    show(rows, list(rows[0]), as_json)


def _readied(name: str, size: str, data: Path | None) -> "TeacherRecipe":
    """Return the teacher, its recordings known to be there if a folder is given, or stop."""
    one = teacher_named(name, size)
    if one is None:
        fail(f"{name}: is no teacher, expected a name that begins {' or '.join(MODELS)}", 2)
    if data is None and one.source.data == "own":
        fail(f"{name}: found no --data, expected the folder of your recordings", 2)
    if data is None:
        return one
    return dataclasses.replace(one, source=ready(one.source, data, ("train", "validation")))


def parts(recipe: RecipeName, data: DataFolder = None, size: Size = "") -> None:
    """Print how many parameters each part of a teacher has."""
    from trainer.bench import random_parts
    from trainer.prepared import prepare
    from trainer.teacher_recipes import build

    one = _readied(recipe, size, data)
    manifest = prepare(one.source, data).manifest if data else random_parts(one).manifest
    if not data:
        say("note: without --data ten labels a level are assumed")
    model = build(one, manifest)
    counts = {**dict(model.named_children()), "all": model}
    rows = [
        {"part": name, "parameters": sum(w.numel() for w in part.parameters())}
        for name, part in counts.items()
    ]
    show(rows, ["part", "parameters"], False)


def bench(
    recipe: RecipeName,
    data: DataFolder = None,
    size: Size = "",
    threads: Annotated[int, typer.Option(min=1, help="CPU cores to use.")] = os.cpu_count() or 1,
    updates: Annotated[int, typer.Option(min=1, help="Timed after three that are not.")] = 20,
    compiled: Compiled = False,
    as_json: Json = False,
) -> None:
    """Measure what teaching costs, beside the plain way, in one run.

    Without --data random recordings are used, and the plain way is left out.
    """
    from trainer import bench as benches

    one = _readied(recipe, size, data)
    rows = benches.bench(one, data, threads, updates, compiled=compiled)
    if as_json:
        print(json.dumps(rows))
    else:
        show(rows, list(rows[0]), False)
    err.print(f"{threads} threads, median of {updates} updates", highlight=False)
