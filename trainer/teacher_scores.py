"""One row of a teacher table: teach or fit, judge on the test part; trees and majority beside it.

What is chosen (moment, bend of the probabilities) is chosen on validation. Teachers see what
follows a step, so the trees do here: the same statistics backwards as well.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import Arrays, Level, Manifest
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.samples import Floats
from trainer import baselines, datasets, prepared, teach
from trainer.calibration import Bend, adjusted, calibrated, prior
from trainer.datasets import Examples
from trainer.fit import Data, macro_f1_of
from trainer.metrics import evaluate_recordings
from trainer.probability_scores import calibration, weighted_brier
from trainer.processes import Processes
from trainer.recipe_parts import Recipe
from trainer.stretches import Stretch
from trainer.teacher_recipes import TeacherRecipe, settings
from trainer.truth import best_label
from trainer.whole_recordings import probabilities

FIGURES = (
    "macro_f1", "accuracy", "edit", "f1_10", "f1_25", "f1_50", "boundary_f1", "brier",
    "calibration",
)  # fmt: skip
CLASS_WEIGHTS, CLASSES = "class_weights.json", "annotations.json"
Predict = Callable[[Arrays], Floats]


def run(
    recipe: TeacherRecipe, folder: Path | None, seed: int, processes: Processes,
    work: Path | None = None, say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Return what one seed of a recipe reaches on its test recordings."""
    start_s = time.monotonic()
    parts = prepared.prepare(recipe.source, folder)
    data = Data(*parts.scaled())
    prepare_s = time.monotonic() - start_s
    level = data.manifest.levels[0]
    weights = brier_weights(recipe.source, folder, level)
    result: dict[str, Any] = {"recipe": recipe.name, "seed": seed}
    if recipe.model == "trees":
        predict = _trees(data, level, seed, reverse=recipe.source.reversed_share > 0)
    elif recipe.model == "majority":
        predict = _majority(data, level)
    else:
        taught = teach.teach(recipe, parts, seed, processes, work, say)
        result["parameters"] = sum(w.numel() for w in taught.model.parameters())
        result["best_update"] = taught.best_update

        def predict(tensors: Arrays) -> Floats:
            found = probabilities(taught.model, tensors, recipe, device=processes.device)
            return found[level.name]

    result["prepare_s"] = round(prepare_s, 1)
    result["fit_s"] = round(time.monotonic() - start_s - prepare_s, 1)
    test = datasets.load(recipe.source, folder, recipe.source.split.test)
    examples = [datasets.examples(one, data.manifest) for one in test]
    for shown in recipe.shown or (recipe.source.modality,):
        row = judged(data, level, _showing(predict, shown, recipe), test, examples, weights)
        result.setdefault("rows", []).append({"sensors": "+".join(shown), **row})
    result["settings"] = settings(recipe)
    return result


def _showing(predict: Predict, shown: Sequence[str], recipe: TeacherRecipe) -> Predict:
    """Return the prediction of a model that is shown some modalities only."""
    if tuple(shown) == recipe.source.modality:
        return predict
    kept = {"in_use" if name == "iot" else name for name in shown}

    def hidden(tensors: Arrays) -> Floats:
        return predict(
            {
                name: array if name.removesuffix("_observed") in kept else np.zeros_like(array)
                for name, array in tensors.items()
            }
        )

    return hidden


def judged(
    data: Data, level: Level, predict: Predict, test: list[Recording], examples: list[Examples],
    weights: Floats,
) -> dict[str, Any]:  # fmt: skip
    """Return the figures of one model, its bends chosen on validation."""
    shares = prior([one.target[level.name] for one in data.train])
    known = [predict(one.tensors) for one in data.validation]
    truth = [one.target[level.name] for one in data.validation]
    label = label_bend(data.validation, known, level, shares)
    share = calibrated(
        shares,
        lambda bend: weighted_brier(bend.of(np.concatenate(known)), np.concatenate(truth), weights),
    )
    found = [predict(one.tensors) for one in examples]
    best = [label.of(p).argmax(1) for p in found]
    said = [
        (_stretches(one, labels, level, data), recording)
        for one, labels, recording in zip(examples, best, test, strict=True)
    ]
    scores = evaluate_recordings(said, level.name).as_dict()
    p = np.concatenate([share.of(q) for q in found])
    y = np.concatenate([one.target[level.name] for one in examples])
    figures = {
        **{name: scores[name] for name in FIGURES[:7]},
        "brier": weighted_brier(p, y, weights),
        "calibration": calibration(p, y).error,
        "validation_macro_f1": macro_f1_of(data.validation, [label.of(q) for q in known], level),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def label_bend(
    validation: list[Examples], known: list[Floats], level: Level, shares: tuple[float, ...]
) -> Bend:
    """Return the bend whose arg-max names the labels of validation recordings best.

    Args:
        validation: the recordings, T steps each.
        known: (T, K) for each, what a model says of it.
        level: of the labels.
        shares: (K,) of the labels in training.
    """
    return adjusted(
        shares, lambda bend: macro_f1_of(validation, [bend.of(p) for p in known], level)
    )


def brier_weights(source: Recipe, folder: Path | None, level: Level) -> Floats:
    """Return (K,) what the SPHERE challenge's Brier score weighs labels by; 1 for other data.

    Raises:
        RecordingError: the challenge's two files do not lie beside the recordings' folder.
    """
    if source.data != "sphere" or folder is None:
        return np.ones(len(level.labels), np.float32)
    try:
        names, values = (
            json.loads((folder.parent / name).read_text()) for name in (CLASSES, CLASS_WEIGHTS)
        )
        said = dict(zip(names, values, strict=True))
        return np.array([said[name] for name in level.labels], np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{folder.parent}: found {error}, expected the challenge's {CLASSES} and"
            f" {CLASS_WEIGHTS}, for its score"
        ) from error


def _stretches(one: Examples, labels: np.ndarray, level: Level, data: Data) -> list[Stretch]:
    return baselines.stretches_of(labels, one.first, data.manifest.step_us, level.labels)


def both_ways(tensors: Arrays) -> Floats:
    """Return (T, F): the board baseline's features, and those of time reversed."""
    back = {name: array[::-1] for name, array in tensors.items()}
    return np.concatenate(
        [baselines.features(tensors), baselines.features(back)[::-1]], axis=1, dtype=np.float32
    )


def reversed_units(tensors: Arrays, manifest: Manifest) -> Arrays:
    """Return the tensors as if inertial units were strapped on the other way round."""
    out = dict(tensors)
    for block in manifest.inputs:
        if block.name == "imu":
            mean = (np.array(block.mean) / np.array(block.std)).astype(np.float32)
            sign = np.array([1 if c.endswith("_z") else -1 for c in block.channels], np.float32)
            turned: Floats = (tensors[block.name] + mean) * sign - mean
            out[block.name] = turned * tensors[f"{block.name}_observed"]
    return out


def _trees(data: Data, level: Level, seed: int, *, reverse: bool) -> Predict:
    """Return boosted trees; whether rare labels weigh more is chosen on validation.

    With ``reverse`` they also learn from units worn the other way round, as networks do.
    """
    worn = [one.tensors for one in data.train]
    copies = [worn, [reversed_units(tensors, data.manifest) for tensors in worn]][: 1 + reverse]
    x = np.concatenate([both_ways(tensors) for some in copies for tensors in some])
    labels = np.concatenate([best_label(one.target[level.name]) for one in data.train])
    y = np.tile(labels, len(copies))
    count = len(level.labels)

    def predict(tree: baselines.BoostedTree) -> Predict:
        return lambda tensors: tree.probabilities(both_ways(tensors), count)

    candidates = [predict(baselines.boosted_tree(x, y, seed, balanced=b)) for b in (True, False)]
    return max(
        candidates,
        key=lambda p: macro_f1_of(
            data.validation, [p(one.tensors) for one in data.validation], level
        ),
    )


def _majority(data: Data, level: Level) -> Predict:
    shares = prior([one.target[level.name] for one in data.train])
    row = np.array([shares], np.float32)
    return lambda tensors: np.repeat(row, len(next(iter(tensors.values()))), 0)
