"""``solosense-trainer compare`` and ``layers``: what models cost, and what 8 bits cost them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.bundle import BundleError
from sensor_adapters.recording import RecordingError
from trainer.terminal import DataFolder, Json, RecipeName, fail, fitted_recipe, opened, say, show
from trainer.truth import ScoreError


def compare(
    bundle: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Folders of bundles.")],
    recording: Annotated[
        list[str] | None,
        typer.Option(help="Judge on it, as `evaluate` does; repeat.", metavar="RECORDING"),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="Where `reproduce` left test figures.")
    ] = Path("trainer/results"),
    as_json: Json = False,
) -> None:  # fmt: skip
    """Put bundles side by side: parameters, kB, ms a step, macro-F1, float against int8.

    Beside PyTorch on the same network, for one station on one core of this machine.
    """
    from trainer import bundle_table

    recordings = [opened(name) for name in recording or ()]
    try:
        rows = bundle_table.rows(bundle, recordings, results)
    except (BundleError, ScoreError) as error:
        fail(str(error), 2)
    if as_json:
        print(json.dumps(rows))
        return
    data = list(dict.fromkeys(name for row in rows for name in row["f1"]))
    head = ("model", "engine", "parameters", "kB", "ms_a_step", "times_eager")
    shown = [{**row, **{f"F1 {name}": f1 for name, f1 in row["f1"].items()}} for row in rows]
    show(shown, [*head, *(f"F1 {name}" for name in data), "against_float"], False)
    say("F1 validation: by second, arg-max; elsewhere of the segments a board logs.")


def layers(
    recipe: RecipeName,
    fitted: Annotated[Path, typer.Option("--from", help="Folder that `fit` wrote.")],
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Tell what 8 bits cost in each layer of a fitted student, alone and together.

    Rounding is imitated in PyTorch; `export` measures the runtimes themselves.
    """
    from trainer import bundling, fit as fitting
    from trainer.layer_costs import layer_costs

    one, _ = fitted_recipe(recipe, fitted)
    try:
        prepared = fitting.prepare(one, data)
        student = fitting.load(fitted, one).student
    except (RecordingError, OSError) as error:
        fail(str(error), 2)
    rows: list[dict[str, Any]] = layer_costs(
        student,
        bundling.calibration_of(prepared.train),
        bundling.steps_of(prepared.validation[0], bundling.CHECK_STEPS),
    )
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        row |= {n: "float" if row[n] is None else f"{row[n]:.6f}" for n in ("litert", "onnx")}
    show(rows, list(rows[0]), False)
    say(f"litert, onnx: mean change of a probability, {bundling.CHECK_STEPS} validation steps")
