"""A fitted student to a bundle: decoders, both models, reference, scores."""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np

from edge import bundle as bundles
from edge.bundle import Bundle, Manifest, Quantization
from edge.engine import LiteRtEngine, OnnxEngine
from trainer import decoding, export
from trainer.fit import Data, Fitted, probabilities
from trainer.recipes import Recipe

REFERENCE_STEPS = 64
CALIBRATION_STEPS = 400


def git_revision() -> str:
    """Return the checkout's revision, or text that says there is none."""
    here = Path(__file__).parent
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(asked, cwd=here, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "not a git checkout"


def make(
    fitted: Fitted, recipe: Recipe, data: Data, seed: int, folder: Path, name: str,
    *, quantized: bool = True,
) -> Bundle:  # fmt: skip
    """Write the bundle and return it.

    Raises:
        ExportError: an exported model answers other than PyTorch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    manifest, scores = _decoders(fitted, data)
    student = fitted.student
    schemes = {"litert": export.to_tflite(
        student, folder / bundles.MODEL_FILES["litert"], quantized=quantized
    )}  # fmt: skip
    calibration = _steps(data, CALIBRATION_STEPS) if quantized else None
    schemes["onnx"] = export.to_onnx(
        student,
        folder / bundles.MODEL_FILES["onnx"],
        None if calibration is None else {n: x[None] for n, x in calibration.items()},
    )
    reference = export.reference(student, _steps(data, REFERENCE_STEPS))
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
        export.check(ran.infer, reference, export.TOLERANCES[schemes[kind]], f"{name} {kind}")
    return bundles.write(folder, manifest)


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


def _steps(data: Data, count: int) -> Mapping[str, np.ndarray]:
    """Return (count, …) consecutive steps from the middle of a training recording."""
    one = data.train[0]
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
