"""solosense-trainer: recipes, inventory, fit, export, reproduce; teachers; judging."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.bundle import BundleError
from sensor_adapters.recording import RecordingError
from trainer import (
    bundle_commands,
    clip_commands,
    judging_commands,
    online_commands,
    student_commands,
    teaching_commands,
)
from trainer.recipes import recipe as recipe_of
from trainer.terminal import (
    DataFolder,
    Json,
    RecipeName,
    Seed,
    SkipMissing,
    checked_device,
    err,
    fail,
    filled,
    fitted_recipe,
    out,
    ready,
    say,
    seed_range,
    show,
    wanted,
    writable,
)  # fmt: skip
from trainer.truth import ScoreError

app = typer.Typer(
    help="Train models on recordings, export them for boards, and judge what they log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def recipes(as_json: Json = False) -> None:
    """List the recipes that `fit` knows."""
    from trainer.recipes import names

    rows = []
    for name in names():
        one = recipe_of(name)
        parts = {"train": one.split.train, "validation": one.split.validation}
        rows.append(
            {"recipe": name, "sensors": "+".join(one.modality), "levels": ", ".join(one.levels)}
            | {part: _span(which) for part, which in parts.items()}
            | {"test": _span(one.split.test)}
        )
    show(rows, list(rows[0]), as_json)
    if not as_json:
        say("Teachers: sigformer- or tcn- before any of these, SPHERE's with a fold behind, as")
        say("sigformer-sphere-imu-camera-iot-pairs78; and sigformer-published.")


def _span(names: tuple[str, ...]) -> str:
    """Return recordings in few words.

    >>> _span(("virtual:seed=100", "virtual:seed=101", "virtual:seed=129"))
    'virtual:seed=100 … 129'
    >>> _span(("U0101/S0100", "U0101/S0200", "U0210/S0500"))
    'U0101 … U0210, 3'
    >>> _span(("openhab_events.csv:session=1", "openhab_events.csv:session=7"))
    'session=1 … 7'
    """
    names = tuple(re.sub(r"^[^:]*\.csv:", "", name) for name in names)
    if len(names) < 2:
        return names[0] if names else "of the folder"
    folders = [name.partition("/")[0] for name in names]
    if folders[0] != names[0]:
        return f"{folders[0]} … {folders[-1]}, {len(names)}"
    *_, last = re.split(r"(?<=\D)(?=\d)", names[-1])
    return f"{names[0]} … {last}"


@app.command()
def inventory(recipe: RecipeName, data: DataFolder = None, as_json: Json = False) -> None:
    """List every recording of a recipe: what is there, what is missing, what is known of it.

    Exit code 1 where one can not be used.
    """
    from trainer import inventory as inventories

    teacher = teaching_commands.teacher_named(recipe)
    one = filled(teacher.source if teacher else wanted(recipe), data)
    try:
        found = inventories.check(one, data)
    except RecordingError as error:
        fail(str(error), 2)
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        for line in found.lines():
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.missing:
        raise typer.Exit(1)


@app.command()
def fit(
    recipe: RecipeName,
    to: Annotated[Path, typer.Option("--out", help="Folder for weights and history.")],
    data: DataFolder = None,
    seed: Seed = 0,
    updates: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "",
    size: Annotated[
        str,
        typer.Option(help="A student's: nano, small, base or large. A SigFormer's: see `parts`."),
    ] = "",
    guided: Annotated[
        bool,
        typer.Option("--guided", help="A student, with a memory of what devices were used for."),
    ] = False,
    start_from: Annotated[
        Path | None,
        typer.Option("--start-from", metavar="FILE", help="A student: weights of `pretrain`."),
    ] = None,
    guard: Annotated[
        bool,
        typer.Option("--guard", help="A student: leave what it takes from others out if it loses."),
    ] = False,
    patience: teaching_commands.Patience = None,
    accumulate: teaching_commands.Accumulate = None,
    compiled: teaching_commands.Compiled = False,
    skip_missing: SkipMissing = False,
) -> None:
    """Train a student, or teach a teacher; the best moment on validation is kept.

    A teacher's run that was broken off is taken up; torchrun shares it between processes.
    """
    import dataclasses

    if teacher := teaching_commands.teacher_named(recipe, size):
        if guided or start_from or guard:
            options = "--guided, --start-from and --guard"
            fail(f"{recipe}: is a teacher, expected {options} with a student's", 2)
        said = {"updates": updates, "patience": patience, "accumulate": accumulate}
        given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        teacher = dataclasses.replace(teacher, **given)
        teaching_commands.fit(teacher, data, to, seed, device, skip_missing, compiled)
        return
    if compiled or patience is not None or accumulate is not None:
        options = "--patience, --accumulate and --compile"
        fail(f"{recipe}: is a student's recipe, expected {options} with a teacher's", 2)
    import torch

    from trainer import fit as fitting, starting_weights, stream_guard
    from trainer.helped import helped
    from trainer.saved_teacher import is_teacher
    from trainer.student_sizes import SIZES, sized

    checked_device(device)
    if size and size not in SIZES:
        fail(f"--size is {size!r}, expected one of {', '.join(SIZES)}", 2)
    if is_teacher(to):
        fail(f"{to}: holds a teacher, expected another folder for a student", 2)
    one = ready(wanted(recipe), data, ("train", "validation"), skip_missing)
    if updates is not None:
        one = dataclasses.replace(one, updates=updates)
    one = dataclasses.replace(sized(one, size) if size else one, guided=guided or one.guided)
    if one.guided and not (one.inputs and one.devices):
        say("note: --guided changes nothing without devices and something sampled beside them")
    if guard and not (start_from or stream_guard.takes(one)):
        fail(f"{recipe}: takes nothing from elsewhere, there is nothing for --guard to judge", 2)
    writable(to)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        fitting.refuse_other(to, one, seed)
        start = starting_weights.read(start_from) if start_from else None
        one = dataclasses.replace(one, pretrain_updates=0) if start else one
        prepared = helped(one, fitting.prepare(one, data), data, device, say)
        if start is not None:
            prepared = dataclasses.replace(prepared, start=start)
        if guard:
            verdict = stream_guard.guarded(one, prepared, seed, say, device)
            one, fitted = verdict.recipe, verdict.fitted
            if not verdict.is_kept:
                prepared = dataclasses.replace(prepared, start=None)
        else:
            fitted = fitting.fit(one, prepared, seed, say, device)
    except (RecordingError, starting_weights.StartError, fitting.FitError) as error:
        fail(str(error), 2)
    fitting.save(fitted, one, seed, to, prepared.start)
    out.print(
        f"{to}: {fitted.student.parameter_count} parameters, validation macro-F1"
        f" {fitted.validation_f1:.4f} after update {fitted.best_update}"
    )


@app.command("export")
def export_(
    recipe: RecipeName,
    fitted: Annotated[Path, typer.Option("--from", help="Folder that `fit` wrote.")],
    to: Annotated[Path, typer.Option("--out", help="Folder of the bundle.")],
    data: DataFolder = None,
    name: Annotated[str, typer.Option(help="Bundle name; the recipe's by default.")] = "",
    precision: Annotated[
        str, typer.Option(help="int8, int8-activations (TFLite's too), float16 or float32.")
    ] = "int8",
) -> None:
    """Choose decoders on validation, quantise, and write a bundle that agrees with PyTorch.

    Where int8 costs more than .005 validation F1, the student learns on under rounding first.
    """
    from trainer import bundling, fit as fitting
    from trainer.export import PRECISIONS, ExportError

    if precision not in PRECISIONS:
        fail(f"--precision is {precision!r}, expected one of {', '.join(PRECISIONS)}", 2)
    if name and not re.fullmatch(r"[\w.-]+", name):
        fail(f"--name is {name!r}, expected letters, digits and any of . _ -", 2)
    one, seed = fitted_recipe(recipe, fitted)
    try:
        prepared = fitting.prepare(one, data)
        weights = fitting.load(fitted, one)
        bundle = bundling.make(weights, one, prepared, seed, to, name or one.name, precision, say)
    except (RecordingError, OSError) as error:
        fail(str(error), 2)
    except (ExportError, BundleError) as error:
        fail(str(error), 1)
    size = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1024
    out.print(f"{bundle.folder}: {size:.0f} kB, validation {bundle.manifest.scores['validation']}")


@app.command()
def reproduce(
    recipe: RecipeName,
    data: DataFolder = None,
    seeds: Annotated[str, typer.Option(help="First and last, as 0-2.")] = "0-2",
    to: Annotated[Path, typer.Option("--out", help="One JSON file a seed.")] = Path(
        "trainer/results"
    ),
    work: Annotated[Path, typer.Option(help="Where the bundles go.")] = Path("runs"),
    skip_missing: SkipMissing = False,
) -> None:
    """Fit, export and judge a recipe over seeds, beside baselines; seeds done are kept."""
    from trainer import fit as fitting, reproduce as reproducing
    from trainer.export import ExportError

    one = wanted(recipe)
    to.mkdir(parents=True, exist_ok=True)
    files = {s: to / f"{one.name}-seed{s}.json" for s in seed_range(seeds)}
    left = {seed: path for seed, path in files.items() if not path.exists()}
    if left:
        one = ready(one, data, ("train", "validation", "test"), skip_missing)
    try:
        prepared = fitting.prepare(one, data) if left else None
        for seed, path in left.items():
            assert prepared is not None
            result = reproducing.run(one, prepared, data, seed, work, lambda text: err.print(text))
            path.write_text(json.dumps(result, indent=1) + "\n")
    except (RecordingError, ScoreError) as error:
        fail(str(error), 2)
    except (ExportError, BundleError) as error:
        fail(str(error), 1)
    rows = reproducing.table(files.values())
    show(rows, list(rows[0]), False)


@app.command("table")
def table_(
    results: Annotated[Path, typer.Argument(help="Folder that `reproduce` wrote.")] = Path(
        "trainer/results"
    ),
    as_json: Json = False,
) -> None:
    """Print mean and spread over seeds of everything reproduced so far."""
    from trainer import reproduce as reproducing

    rows = reproducing.table(results.glob("*.json"))
    if not rows:
        fail(f"{results}: found no results, expected JSON files that `reproduce` wrote", 2)
    show(rows, list(rows[0]), as_json)


app.command("compare")(bundle_commands.compare)
app.command("layers")(bundle_commands.layers)
app.command("ablate")(teaching_commands.ablate)
app.command("parts")(teaching_commands.parts)
app.command("bench")(teaching_commands.bench)
app.command("pretrain")(student_commands.pretrain)
app.command("transfer")(clip_commands.transfer)
app.command("students")(student_commands.students)
app.command("online")(online_commands.online)
app.command("costs")(online_commands.costs)
app.command("evaluate")(judging_commands.evaluate)
app.command("score")(judging_commands.score)
app.command("rehearse")(judging_commands.rehearse)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
