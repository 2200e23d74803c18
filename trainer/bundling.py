"""A fitted student to a bundle: decoders, both models, reference, scores."""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import numpy as np

from edge import bundle as bundles
from edge.bundle import Bundle, Manifest, Quantization
from edge.engine import LiteRtEngine, OnnxEngine
from trainer import decoding, export
from trainer.datasets import Examples
from trainer.fit import Data, Fitted, probabilities
from trainer.recipe_parts import Recipe

REFERENCE_STEPS = 64  # go with the bundle
CHECK_STEPS = 500  # of a validation recording, the reference's among them
CALIBRATION_STEPS = 400
FILES = (bundles.MANIFEST, bundles.REFERENCE, *bundles.MODEL_FILES.values())


def git_revision() -> str:
    """Return the checkout's revision, or text that says there is none."""
    here = Path(__file__).parent
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(asked, cwd=here, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "not a git checkout"


def make(
    fitted: Fitted, recipe: Recipe, data: Data, seed: int, folder: Path, name: str,
    precision: str = "int8",
) -> Bundle:  # fmt: skip
    """Write the bundle, in one of `export.PRECISIONS`, and return it.

    Raises:
        ExportError: an exported model answers other than PyTorch.
        FileExistsError: the folder holds something else than a bundle.
    """
    _clear(folder)
    manifest, scores = _decoders(fitted, data)
    student, schemes = fitted.student, export.PRECISIONS[precision]
    calibration = {n: x[None] for n, x in _steps(data.train[0], CALIBRATION_STEPS).items()}
    for kind, write in (("litert", export.to_tflite), ("onnx", export.to_onnx)):
        write(student, folder / bundles.MODEL_FILES[kind], schemes[kind], calibration)
    checked = export.reference(student, _steps(data.validation[0], CHECK_STEPS))
    reference = {name: array[:REFERENCE_STEPS] for name, array in checked.items()}
    np.savez_compressed(folder / bundles.REFERENCE, allow_pickle=False, **reference)
    manifest = msgspec.structs.replace(
        manifest,
        name=name,
        quantization={
            engine: Quantization(scheme=scheme, tolerance=export.TOLERANCES[scheme].largest)
            for engine, scheme in schemes.items()
        },
        scores={"validation": scores},
        recipe=_plain(recipe, seed),
        git_revision=git_revision(),
    )
    for kind, engine in (("litert", LiteRtEngine), ("onnx", OnnxEngine)):
        ran = engine(folder / bundles.MODEL_FILES[kind], manifest)
        tolerance = export.TOLERANCES[schemes[kind]]
        export.check(ran.infer, reference, tolerance, f"{name} {kind}, reference")
        if precision != "float32":  # in a long run a label may change one step sooner or later
            tolerance = replace(tolerance, largest=1.0)
        export.check(ran.infer, checked, tolerance, f"{name} {kind}, {CHECK_STEPS} steps")
    return bundles.write(folder, manifest)


def _clear(folder: Path) -> None:
    """Make the folder, or take an older bundle out of it; touch nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.iterdir())
    if strange := [path.name for path in found if path.name not in FILES]:
        raise FileExistsError(f"{folder}: holds {strange[0]}, expected no folder, or a bundle's")
    for path in found:
        path.unlink()


def _decoders(fitted: Fitted, data: Data) -> tuple[Manifest, dict[str, float]]:
    """Return the manifest with a decoder a level, and what each reached on validation."""
    found = [probabilities(fitted.student, one.tensors) for one in data.validation]
    decoders, scores = [], {"argmax_macro_f1": round(fitted.validation_f1, 4)}
    for level in fitted.manifest.levels:
        spec, f1 = decoding.chosen(
            level, data.train, data.validation, [p[level.name] for p in found]
        )
        decoders.append(spec)
        scores[f"{level.name}_macro_f1"] = round(f1, 4)
    return msgspec.structs.replace(fitted.manifest, decoders=tuple(decoders)), scores


def _steps(one: Examples, count: int) -> Mapping[str, np.ndarray]:
    """Return (count, …) consecutive steps from the middle of a recording."""
    start = max(len(one) // 2 - count // 2, 0)
    return {name: array[start : start + count] for name, array in one.tensors.items()}


def _plain(recipe: Recipe, seed: int) -> dict[str, str | int | float | bool]:
    """Return a recipe as flat JSON values; the parts that the manifest has elsewhere left out."""
    flat: dict[str, str | int | float | bool] = {"seed": seed}
    for name, value in asdict(recipe).items():
        if isinstance(value, str | int | float | bool):
            flat[name] = value
    for part in ("train", "validation", "test"):
        flat[part] = " ".join(getattr(recipe.split, part))
    return flat
