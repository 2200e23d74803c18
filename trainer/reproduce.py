"""One row of the results table: fit, export, judge on the test part, beside the baselines.

Each (recipe, seed) leaves one small JSON file; what is there is not run again, so a long table
can be broken off and taken up. Nothing here looks at the test part before everything is chosen.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge import bundle as bundles
from edge.bundle import Bundle, Level
from edge.engine import open_engine
from sensor_adapters.recording import Recording
from trainer import baselines, bundling, datasets, decoding, fit, offline
from trainer.datasets import Examples
from trainer.decoding import Said
from trainer.fit import Data, Fitted, probabilities
from trainer.frame_scores import macro_f1
from trainer.helped import helped
from trainer.metrics import evaluate_recordings
from trainer.recipe_parts import Recipe, plain_off_default
from trainer.stretches import Stretch
from trainer.truth import best_label

FIGURES = ("macro_f1", "accuracy", "edit", "f1_10", "f1_25", "f1_50")
Row = dict[str, Any]


def run(
    recipe: Recipe, data: Data, folder: Path | None, seed: int, work: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Return what one seed of a recipe reaches on its test recordings, all variants."""
    start_s = time.monotonic()
    data = helped(recipe, data, folder, "cpu", say)
    fitted = fit.fit(recipe, data, seed, say)
    fit_s = time.monotonic() - start_s
    name = f"{recipe.name}-seed{seed}"
    fit.save(fitted, recipe, seed, work / f"{name}-fit", data.start)
    small = bundling.make(fitted, recipe, data, seed, work / name, recipe.name, say=say)
    full = bundling.make(fitted, recipe, data, seed, work / f"{name}-float", recipe.name, "float32")
    test = datasets.load(recipe, folder, recipe.split.test)
    rounded = small.manifest.quantization["onnx"].scheme.partition("-")[0]  # or float
    rows = [
        _judged("LiteRT int8", small, "litert", test),
        _judged("LiteRT float32", full, "litert", test),
        _judged(f"ONNX {rounded}", small, "onnx", test),
        _argmax(fitted, test),
    ]
    if not (recipe.teacher or recipe.source or recipe.pretrain_updates):
        rows += _baselines(data, test, seed)
    return {
        "recipe": recipe.name,
        "seed": seed,
        "parameters": fitted.student.parameter_count,
        "bytes": {p.name: p.stat().st_size for p in small.folder.iterdir()},
        "fit_s": round(fit_s, 1),
        "validation_macro_f1": small.manifest.scores["validation"],
        "test": list(recipe.split.test),
        "rows": rows,
        "settings": plain_off_default(recipe),
    }


def _row(model: str, level: str, judged: Sequence[tuple[list[Stretch], Recording]]) -> Row:
    scores = evaluate_recordings(judged, level).as_dict()
    return {"model": model, "level": level, **{n: _round(scores[n]) for n in FIGURES}}


def _round(value: object) -> float:
    assert isinstance(value, float)
    return round(value, 4)


def _judged(model: str, bundle: Bundle, engine: str, test: list[Recording]) -> Row:
    """Return the scores of a bundle as a board would run it, on the first level."""
    level = bundle.manifest.levels[0].name
    one = open_engine(bundles.load(bundle.folder), prefer=engine)
    judged = []
    for recording in test:
        found = offline.segments(bundle.manifest, one, recording)
        mine = [Stretch(s.label, s.start_us, s.end_us) for s in found if s.level == level]
        judged.append((mine, recording))
    return _row(model, level, judged)


def _stretches(one: Examples, labels: np.ndarray, level: Level, data: Data) -> list[Stretch]:
    """Return per-row labels as stretches of the steps they speak of."""
    manifest = data.manifest
    first = one.first - manifest.delay_steps
    return baselines.stretches_of(labels, first, manifest.step_us, level.labels)


def _argmax(fitted: Fitted, test: list[Recording]) -> Row:
    """Return the scores of the student's most likely label a step, no decoder."""
    level, data = fitted.manifest.levels[0], Data(fitted.manifest, [], [])
    judged = []
    for recording in test:
        one = datasets.examples(recording, fitted.manifest)
        best = probabilities(fitted.student, one.tensors)[level.name].argmax(1)
        judged.append((_stretches(one, best, level, data), recording))
    return _row("PyTorch float32, arg-max", level.name, judged)


def _baselines(data: Data, test: list[Recording], seed: int) -> list[Row]:
    """Return majority class and boosted trees; balance and decoder chosen on validation."""
    level = data.manifest.levels[0]
    labels = np.concatenate([best_label(one.target[level.name]) for one in data.train])
    x = np.concatenate([baselines.features(one.tensors) for one in data.train])
    commonest = baselines.majority(labels)
    count = len(level.labels)
    trees = [baselines.boosted_tree(x, labels, seed, balanced=b) for b in (True, False)]

    def validation(tree: baselines.BoostedTree) -> float:
        true = np.concatenate([best_label(one.target[level.name]) for one in data.validation])
        found = [tree.labels(baselines.features(one.tensors)) for one in data.validation]
        scored = true >= 0
        return macro_f1(true[scored], np.concatenate(found)[scored], level.labels).macro

    tree = max(trees, key=validation)
    said = [
        Said(tree.probabilities(baselines.features(one.tensors), count)) for one in data.validation
    ]
    lag = decoding.lag_of(data.manifest.step_us)
    spec, _ = decoding.chosen(level, data.train, data.validation, said, lag)
    judged: dict[str, list[tuple[list[Stretch], Recording]]] = {}
    for recording in test:
        one = datasets.examples(recording, data.manifest)
        p = tree.probabilities(baselines.features(one.tensors), count)
        for model, found in (
            ("majority class", np.full(len(one), commonest)),
            ("boosted trees", p.argmax(1)),
            ("boosted trees + decoder", decoding.decoded(spec, Said(p))),
        ):
            pair = (_stretches(one, found, level, data), recording)
            judged.setdefault(model, []).append(pair)
    return [_row(model, level.name, pairs) for model, pairs in judged.items()]


def table(results: Iterable[Path]) -> list[Row]:
    """Return mean and spread over seeds, a row a (recipe, model)."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for path in sorted(results):
        result = json.loads(path.read_text())
        for row in result["rows"]:
            groups.setdefault((result["recipe"], row["model"]), []).append(row)
    out = []
    for (recipe, model), rows in groups.items():
        line: Row = {"recipe": recipe, "model": model, "seeds": len(rows)}
        for name in FIGURES:
            values = np.array([row[name] for row in rows])
            digits = 1 if name == "edit" else 3
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            line[name] = f"{values.mean():.{digits}f} ± {spread:.{digits}f}"
        out.append(line)
    return out
