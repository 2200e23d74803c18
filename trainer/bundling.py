"""A fitted student to a bundle: decoders, both models, reference, scores.

Where 8 bits cost more than `AWARE_BELOW` on validation, or answer too unlike PyTorch, the student
learns on under rounding (`aware`), and the bundle of the better of the two is kept.
"""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np

from edge import bundle as bundles
from edge.bundle import Arrays, Bundle, Decoder, Manifest, Quantization
from edge.engine import Engine, LiteRtEngine, OnnxEngine
from trainer import aware, decoding, export, served
from trainer.datasets import Examples
from trainer.decoding import Quality
from trainer.fit import Data, Fitted, answered, validation_f1
from trainer.recipe_parts import Recipe

REFERENCE_STEPS = 64  # go with the bundle
CHECK_STEPS = 500  # of a validation recording, the reference's among them
CALIBRATION_STEPS = 400  # of each of so many training recordings
CALIBRATION_RECORDINGS = 8
LITERT_ALONE = "int8-litert"
"""Precision in which only LiteRT's file is rounded."""
AWARE_BELOW = 0.005
"""Validation macro-F1 that 8 bits may cost before training under rounding is tried."""
ENGINES: dict[str, Callable[[Path, Manifest], Engine]] = {
    "litert": LiteRtEngine,
    "onnx": OnnxEngine,
}
FILES = (bundles.MANIFEST, bundles.REFERENCE, *bundles.MODEL_FILES.values())


def git_revision() -> str:
    """Return the checkout's revision, or text that says there is none."""
    here = Path(__file__).parent
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(asked, cwd=here, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "not a git checkout"


def make(
    fitted: Fitted, recipe: Recipe, data: Data, seed: int, folder: Path, name: str,
    precision: str = "int8", say: Callable[[str], None] = lambda _: None,
) -> Bundle:  # fmt: skip
    """Write the bundle, in one of `export.PRECISIONS`, and return it.

    Raises:
        ExportError: an exported model answers other than PyTorch.
        FileExistsError: the folder holds something else than a bundle.
    """
    _checked(folder)
    with tempfile.TemporaryDirectory() as work:
        drafts = tuple(Path(work) / draft for draft in ("plain", "learnt", "litert"))
        _place(_best(fitted, recipe, data, seed, drafts, name, precision, say), folder)
    return bundles.load(folder)


def _best(
    fitted: Fitted, recipe: Recipe, data: Data, seed: int, folders: Sequence[Path], name: str,
    precision: str, say: Callable[[str], None],
) -> Bundle:  # fmt: skip
    """Return the student's bundle, or that of one that learnt on under rounding if it is better.

    Where neither is near enough, ONNX, whose activations are rounded as well, stays in float.
    """
    told = _plain(recipe, seed)
    bundle, reached = _tried(fitted, recipe, data, folders[0], name, precision, told)
    rounds = precision.startswith("int8")
    if bundle is not None:
        lost = fitted.validation_f1 - _worst(bundle)
        if not rounds or lost <= AWARE_BELOW:
            return bundle
        reached = f"costs {lost:.4f} of validation F1 {fitted.validation_f1:.4f}"
    elif not rounds:
        raise export.ExportError(reached)
    learnt = aware.taught(fitted, recipe, data, seed, calibration_of(data.train))
    more = {**told, "aware_updates": aware.UPDATES}
    better, after = _tried(learnt, recipe, data, folders[1], name, precision, more)
    kept = better is not None and (bundle is None or _worst(better) > _worst(bundle))
    say(
        f"{name}: int8 {reached}; after {aware.UPDATES} updates under rounding"
        f" {after or 'there'}, {'kept' if kept else 'not kept'}"
    )
    chosen = better if kept else bundle
    if chosen is None and precision == "int8":
        chosen, plain = _tried(fitted, recipe, data, folders[2], name, LITERT_ALONE, told)
        say(f"{name}: ONNX stays in float, {reached}" if chosen else f"{name}: {plain}")
    if chosen is None:
        raise export.ExportError(reached)
    return chosen


def _tried(
    fitted: Fitted, recipe: Recipe, data: Data, folder: Path, name: str, precision: str,
    told: dict[str, str | int | float | bool],
) -> tuple[Bundle | None, str]:  # fmt: skip
    """Write a bundle; return it with what it reaches, or nothing with why it was refused."""
    try:
        bundle = _write(fitted, recipe, data, folder, name, precision, told)
    except export.ExportError as error:
        return None, str(error)
    return bundle, f"{_worst(bundle):.4f}"


def _worst(bundle: Bundle) -> float:
    """Return the least validation macro-F1 that a bundle's engines reached, by arg-max."""
    scores = bundle.manifest.scores["validation"]
    return min(scores[f"{kind}_argmax_macro_f1"] for kind in ENGINES)


def _write(
    fitted: Fitted, recipe: Recipe, data: Data, folder: Path, name: str, precision: str,
    told: dict[str, str | int | float | bool],
) -> Bundle:  # fmt: skip
    """Write a bundle of the student as it is."""
    folder.mkdir()
    manifest, scores = _decoders(fitted, data)
    student, schemes = fitted.student, export.PRECISIONS[precision]
    calibration = calibration_of(data.train)
    for kind, write in (("litert", export.to_tflite), ("onnx", export.to_onnx)):
        write(student, folder / bundles.MODEL_FILES[kind], schemes[kind], calibration)
    checked = export.reference(student, steps_of(data.validation[0], CHECK_STEPS))
    reference = {name: array[:REFERENCE_STEPS] for name, array in checked.items()}
    np.savez_compressed(folder / bundles.REFERENCE, allow_pickle=False, **reference)
    manifest = msgspec.structs.replace(
        manifest,
        name=name,
        quantization={
            engine: Quantization(scheme=scheme, tolerance=export.TOLERANCES[scheme].largest)
            for engine, scheme in schemes.items()
        },
        recipe=told,
        git_revision=git_revision(),
    )
    for kind, engine in ENGINES.items():
        ran = engine(folder / bundles.MODEL_FILES[kind], manifest)
        tolerance = export.TOLERANCES[schemes[kind]]
        export.check(ran.infer, reference, tolerance, f"{name} {kind}, reference")
        export.check_side_by_side(ran.infer, reference, f"{name} {kind}")
        if precision != "float32":  # in a long run a label may change one step sooner or later
            tolerance = replace(tolerance, largest=1.0)
        export.check(ran.infer, checked, tolerance, f"{name} {kind}, {CHECK_STEPS} steps")
        f1 = served.macro_f1(ran, manifest, data.validation)
        scores[f"{kind}_argmax_macro_f1"] = round(f1, 4)
    measured = {"validation": scores, bundles.ALIVE: _by_what_lives(fitted, manifest, data)}
    manifest = msgspec.structs.replace(manifest, scores=measured)
    return bundles.write(folder, manifest)


def _by_what_lives(fitted: Fitted, manifest: Manifest, data: Data) -> dict[str, float]:
    """Return validation macro-F1 of the first level's arg-max for each set of kinds that live."""
    tensors = {block.name: block.name for block in manifest.inputs} | {"iot": "in_use"}
    found = {}
    for count in range(1, len(manifest.kinds) + 1):
        for alive in combinations(manifest.kinds, count):
            dead = [tensors[kind] for kind in manifest.kinds if kind not in alive]
            gone = {name for one in dead for name in (one, f"{one}_observed")}
            parts = [
                replace(one, tensors={
                    name: np.zeros_like(array) if name in gone else array
                    for name, array in one.tensors.items()
                })
                for one in data.validation
            ]  # fmt: skip
            f1 = validation_f1(fitted.student, parts, manifest.levels[0])
            found["+".join(alive)] = round(f1, 4)
    return found


def _checked(folder: Path) -> None:
    """Make the folder; find nothing in it that is not a bundle's."""
    folder.mkdir(parents=True, exist_ok=True)
    if strange := sorted(path.name for path in folder.iterdir() if path.name not in FILES):
        raise FileExistsError(f"{folder}: holds {strange[0]}, expected no folder, or a bundle's")


def _place(bundle: Bundle, folder: Path) -> None:
    """Copy a bundle into its folder in an older one's place, the manifest last.

    Until then there is no manifest, so nobody takes half of it for a bundle.
    """
    (folder / bundles.MANIFEST).unlink(missing_ok=True)
    for name in sorted(FILES, key=lambda name: name == bundles.MANIFEST):
        (folder / name).write_bytes((bundle.folder / name).read_bytes())


def _decoders(fitted: Fitted, data: Data) -> tuple[Manifest, dict[str, float]]:
    """Return the manifest with a decoder a level, and what each reached on validation."""
    found = [answered(fitted.student, one.tensors) for one in data.validation]
    levels, lag = fitted.manifest.levels, decoding.lag_of(fitted.manifest.step_us)
    decoders: list[Decoder] = []
    qualities: list[Quality] = []
    for level in levels:
        said = [one[level.name] for one in found]
        spec, reached = decoding.chosen(level, data.train, data.validation, said, lag)
        decoders.append(spec)
        qualities.append(reached)
    if decoding.complete(levels):
        upper, lower = levels
        pairs = [(one[upper.name], one[lower.name]) for one in found]
        both = decoding.chosen_together((upper, lower), data.train, data.validation, pairs, lag)
        lost = sum(q.mean for q in qualities) - sum(q.mean for q in both[1])
        if lost / 2 <= decoding.AGREEMENT_WORTH:
            decoders, qualities = [*both[0]], [*both[1]]
    scores = {"argmax_macro_f1": round(fitted.validation_f1, 4)}
    for level, reached in zip(levels, qualities, strict=True):
        scores[f"{level.name}_macro_f1"] = round(reached.macro_f1, 4)
        scores[f"{level.name}_edit"] = round(reached.edit, 1)
        scores[f"{level.name}_f1_50"] = round(reached.f1_50, 4)
    return msgspec.structs.replace(fitted.manifest, decoders=tuple(decoders)), scores


def calibration_of(parts: list[Examples]) -> Arrays:
    """Return (B, T, …) steps that set the ranges of 8-bit activations, of several recordings.

    In one alone a device may never be used, and what it does to the features would be cut off.
    """
    longest = sorted(parts, key=len, reverse=True)
    steps = min(CALIBRATION_STEPS, len(longest[0]))
    enough = [one for one in parts if len(one) >= steps]
    chosen = enough[:: -(-len(enough) // CALIBRATION_RECORDINGS)]
    found = [steps_of(one, steps) for one in chosen]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def steps_of(one: Examples, count: int) -> Arrays:
    """Return (count, …) consecutive steps from the middle of a recording."""
    start = max(len(one) // 2 - count // 2, 0)
    return {name: array[start : start + count] for name, array in one.tensors.items()}


def _plain(recipe: Recipe, seed: int) -> dict[str, str | int | float | bool]:
    """Return a recipe as flat JSON values; the parts that the manifest has elsewhere left out."""
    flat: dict[str, str | int | float | bool] = {"seed": seed}
    for name, value in asdict(recipe).items():
        if isinstance(value, str | int | float | bool):
            flat[name] = value
    for name, value in (asdict(recipe.malt) if recipe.malt else {}).items():
        flat[f"malt_{name}"] = value
    for part in ("train", "validation", "test"):
        flat[part] = " ".join(getattr(recipe.split, part))
    return flat
