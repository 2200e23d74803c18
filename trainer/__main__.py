"""solosense-trainer: fit, export, evaluate, score."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from edge import bundle as bundles
from edge.bundle import BundleError
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.recordings import open_recording
from trainer import score as scoring
from trainer.metrics import ScoreError, Stretch, evaluate_stretches
from trainer.recipes import Recipe, UnknownRecipe, recipe as recipe_of

app = typer.Typer(
    help="Train models on recordings, export them for boards, and judge what they log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# A terminal wraps a long line of a table; rich would cut its names and figures short.
out, err = Console(width=max(160, shutil.get_terminal_size().columns)), Console(stderr=True)

SCORES = (
    "bundle", "level", "macro_f1", "accuracy", "edit", "f1_10", "f1_25", "f1_50", "segments",
)  # fmt: skip

TITLES = {"macro_f1": "macro F1", "f1_10": "F1@10", "f1_25": "@25", "f1_50": "@50"}

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="See `recipes`.")]
RecordingName = Annotated[
    str,
    typer.Argument(
        metavar="RECORDING",
        help="virtual:seed=7,boxes=20, an OpenPack session (…/U0209/S0500), or a SPHERE folder.",
    ),
]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder of the recordings; none for the simulation.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Seed = Annotated[int, typer.Option(help="Seed of weights, crops and augmentation.")]


def fail(text: str, code: int) -> NoReturn:
    """Say what is wrong on stderr and stop: 2 for a setting, 1 for the world."""
    err.print(f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def opened(name: str) -> Recording:
    """Return the recording, or stop with what is wrong with it."""
    try:
        return open_recording(name)
    except RecordingError as error:
        fail(str(error), 2)


def wanted(name: str) -> Recipe:
    """Return the recipe, or stop with the names there are."""
    try:
        return recipe_of(name)
    except UnknownRecipe as error:
        fail(str(error), 2)


def show(rows: list[dict[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print these columns as a table for people, or all that is known as JSON for machines."""
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    columns = [name for name in columns if any(name in row for row in rows)]
    for name in columns:
        table.add_column(TITLES.get(name, name.replace("_", " ")), no_wrap=True)
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in columns))
    out.print(table)
    for note in [note for row in rows for note in row.get("notes", ())]:
        out.print(f"note: {note}", markup=False)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if value > 1 else f"{value:.4f}"
    return "" if value is None else str(value)


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


def _span(names: tuple[str, ...]) -> str:
    """Return recordings in few words.

    >>> _span(("virtual:seed=100", "virtual:seed=101", "virtual:seed=129"))
    'virtual:seed=100 … 129'
    """
    if len(names) == 1:
        return names[0]
    *_, last = re.split(r"(?<=\D)(?=\d)", names[-1])
    return f"{names[0]} … {last}"


@app.command()
def fit(
    recipe: RecipeName,
    to: Annotated[Path, typer.Option("--out", help="Folder for weights and history.")],
    data: DataFolder = None,
    seed: Seed = 0,
    updates: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "",
) -> None:
    """Train a student; the best moment on validation is kept."""
    import dataclasses

    import torch

    from trainer import fit as fitting

    one = wanted(recipe)
    if updates is not None:
        one = dataclasses.replace(one, updates=updates)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        prepared = fitting.prepare(one, data)
    except RecordingError as error:
        fail(str(error), 2)
    fitted = fitting.fit(one, prepared, seed, lambda text: err.print(text), device)
    fitting.save(fitted, one, seed, to)
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
    float32: Annotated[bool, typer.Option("--float32", help="Leave weights in float.")] = False,
) -> None:
    """Choose decoders on validation, quantise, and write a bundle that agrees with PyTorch."""
    from trainer import bundling, fit as fitting
    from trainer.export import ExportError

    one = wanted(recipe)
    history = _history(fitted / fitting.HISTORY, one)
    try:
        prepared = fitting.prepare(one, data)
        weights, seed = fitting.load(fitted, one), history["seed"]
        bundle = bundling.make(
            weights, one, prepared, seed, to, name or one.name, quantized=not float32
        )
    except (RecordingError, OSError) as error:
        fail(str(error), 2)
    except (ExportError, BundleError) as error:
        fail(str(error), 1)
    size = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1024
    out.print(f"{bundle.folder}: {size:.0f} kB, validation {bundle.manifest.scores['validation']}")


def _history(file: Path, recipe: Recipe) -> dict[str, Any]:
    """Return what `fit` wrote of itself, or stop where it was no `fit` of this recipe."""
    try:
        history: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        fail(f"{file.parent}: found no {file.name} in it, expected a folder that `fit` wrote", 2)
    if history["recipe"]["name"] != recipe.name:
        name = history["recipe"]["name"]
        fail(f"{file.parent}: found a fit of {name}, expected one of {recipe.name}", 2)
    return history


@app.command()
def reproduce(
    recipe: RecipeName,
    data: DataFolder = None,
    seeds: Annotated[str, typer.Option(help="First and last, as 0-2.")] = "0-2",
    to: Annotated[Path, typer.Option("--out", help="One JSON file a seed.")] = Path(
        "trainer/results"
    ),
    work: Annotated[Path, typer.Option(help="Where the bundles go.")] = Path("runs"),
) -> None:
    """Fit, export and judge a recipe over seeds, beside baselines; seeds done are kept."""
    from trainer import fit as fitting, reproduce as reproducing
    from trainer.export import ExportError

    one = wanted(recipe)
    first, _, last = seeds.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        fail(f"--seeds is {seeds!r}, expected two numbers, as 0-2", 2)
    to.mkdir(parents=True, exist_ok=True)
    files = {s: to / f"{one.name}-seed{s}.json" for s in range(int(first), int(last or first) + 1)}
    left = {seed: path for seed, path in files.items() if not path.exists()}
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


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    recording: RecordingName,
    engine: Annotated[str, typer.Option(help="litert or onnx.")] = "litert",
    as_json: Json = False,
) -> None:
    """Run a bundle over a recording as a board would, and score its segments."""
    from edge.engine import open_engine
    from trainer.offline import segments

    one = opened(recording)
    try:
        loaded = bundles.load(bundle)
        found = segments(loaded.manifest, open_engine(loaded, prefer=engine), one)
        rows = []
        for level in loaded.manifest.levels:
            mine = [Stretch(s.label, s.start_us, s.end_us) for s in found if s.level == level.name]
            scores = evaluate_stretches(mine, one, level.name).as_dict()
            rows.append({"bundle": loaded.manifest.name, "segments": len(mine), **scores})
    except (BundleError, ScoreError) as error:
        fail(str(error), 2)
    show(rows, SCORES, as_json)


@app.command()
def score(
    recording: RecordingName,
    db: Annotated[Path, typer.Option("--db", help="SQLite log of a board.")],
    station: Annotated[str | None, typer.Option(help="Where the log has several.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Only this model's rows.")] = None,
    session: Annotated[int | None, typer.Option(help="Instead of the newest.")] = None,
    as_json: Json = False,
) -> None:
    """Score what stands in a board's log against a recording's truth."""
    try:
        rows = scoring.score_log(
            db, opened(recording), station=station, bundle=bundle, session=session
        )
    except ScoreError as error:
        fail(str(error), 2)
    show([row.as_dict() for row in rows], SCORES, as_json)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
