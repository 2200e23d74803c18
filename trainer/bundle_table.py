"""Bundles side by side: parameters, kB, time a step on this machine, macro-F1, float against int8.

Every model file is timed for one station, beside PyTorch running the same network op by op, all in
one process and in turns, so that a busy machine slows all alike. A float bundle of the same recipe
and seed, given with the others, is what the rest is measured against.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from edge import bundle as bundles
from edge.bundle import Arrays, Bundle, Manifest
from edge.engine import Engine, open_engine
from sensor_adapters.recording import Recording
from trainer import offline
from trainer.malt_config import MaltConfig
from trainer.metrics import evaluate_stretches
from trainer.stretches import Stretch
from trainer.student import Student, StudentConfig, StudentStep, reading

ROUNDS, BLOCK = 20, 50
"""Timed: rounds in which every engine has a turn, steps a turn."""
RUNTIMES = {"litert": "LiteRT", "onnx": "ONNX"}
JUDGED = {
    ("litert", "int8-dynamic"): "LiteRT int8",
    ("litert", "float32"): "LiteRT float32",
    ("onnx", "int8-static"): "ONNX int8",
}
"""What `reproduce` calls a runtime and scheme in its results."""
FLOAT = "LiteRT float32"
"""What both runtimes are measured against there: in float they agree to 1e-4 of a probability."""
Row = dict[str, Any]


def rows(
    folders: Sequence[Path], recordings: Sequence[Recording], results: Path, rounds: int = ROUNDS
) -> list[Row]:
    """Return a row for every model file of the bundles, and one of PyTorch for every shape.

    Raises:
        BundleError: one can not be used.
        ScoreError: a recording knows nothing of a bundle's first label level.
    """
    torch.set_num_threads(1)
    found: list[Row] = []
    timed: list[tuple[Callable[[Arrays], object], Arrays]] = []
    shapes = set()
    for folder in folders:
        bundle = bundles.load(folder)
        manifest = bundle.manifest
        config = shape_of(manifest)
        count = None if config is None else Student(config).parameter_count
        for kind, runtime in RUNTIMES.items():
            model = bundle.model_file(kind)
            if model is None:
                continue
            engine = open_engine(bundle, prefer=kind)
            row = _known(bundle, kind, results)
            row |= {"engine": f"{runtime} {row['scheme']}", "parameters": count}
            row["kB"] = round(model.stat().st_size / 1024)
            row["f1"] |= {one.name: judged(manifest, engine, one) for one in recordings}
            found.append(row)
            timed.append((engine.infer, _one_step(bundle)))
        if config is not None and config not in shapes:
            shapes.add(config)
            found.append(_eager(manifest, count))
            timed.append((eager(config), _one_step(bundle)))
    for row, ms in zip(found, _times_ms(timed, rounds), strict=True):
        row["ms_a_step"] = ms
    for row in found:
        _relate(row, found)
    return found


def shape_of(manifest: Manifest) -> StudentConfig | None:
    """Return the student that a bundle was made of, or None where its recipe does not say."""
    recipe = manifest.recipe
    if not {"width", "hidden", "layers"} <= recipe.keys():
        return None
    malt = {n.removeprefix("malt_"): v for n, v in recipe.items() if n.startswith("malt_")}
    return replace(
        reading(manifest),
        width=int(recipe["width"]),
        hidden=int(recipe["hidden"]),
        layers=int(recipe["layers"]),
        tcn_layers=int(recipe.get("tcn_layers", 0)),
        malt=msgspec.convert(malt, MaltConfig) if malt else None,
        guided=bool(recipe.get("guided", False)),
    )


def judged(manifest: Manifest, engine: Engine, recording: Recording) -> float:
    """Return the macro-F1 of the first level, of the segments a board would log."""
    level = manifest.levels[0].name
    said = offline.segments(manifest, engine, recording)
    mine = [Stretch(s.label, s.start_us, s.end_us) for s in said if s.level == level]
    macro = evaluate_stretches(mine, recording, level).as_dict()["macro_f1"]
    assert isinstance(macro, float)
    return round(macro, 4)


def eager(config: StudentConfig) -> Callable[[Arrays], object]:
    """Return PyTorch's step, op by op; its weights are random, which its time does not show."""
    step = StudentStep(Student(config))

    def infer(tensors: Arrays) -> object:
        with torch.inference_mode():
            given = (torch.from_numpy(tensors[name]) for name in config.input_names)
            return [x.numpy() for x in step(*given)]

    return infer


def _one_step(bundle: Bundle) -> Arrays:
    """Return a step of a station that has run for a while, from the middle of the reference."""
    reference = bundle.reference()
    middle = len(reference["in.state"]) // 2
    return {
        name: np.ascontiguousarray(reference[f"in.{name}"][middle : middle + 1])
        for name in bundle.manifest.tensor_inputs
    }


def _times_ms(
    timed: Sequence[tuple[Callable[[Arrays], object], Arrays]], rounds: int
) -> list[float]:
    """Return the median time of a step, warm, of each in turn."""
    spent: list[list[float]] = [[] for _ in timed]
    for turn in range(rounds + 1):
        for (infer, tensors), mine in zip(timed, spent, strict=True):
            for _ in range(BLOCK):
                start_s = time.perf_counter()
                infer(tensors)
                if turn:  # the first warms
                    mine.append(time.perf_counter() - start_s)
    return [round(statistics.median(mine) * 1e3, 4) for mine in spent]


def _known(bundle: Bundle, kind: str, results: Path) -> Row:
    """Return what a bundle says of itself, and what `reproduce` found of this very model."""
    manifest = bundle.manifest
    scheme = manifest.quantization[kind].scheme
    said = manifest.scores.get("validation", {})
    row: Row = {"model": manifest.name, "kind": kind, "scheme": scheme, "group": _group(manifest)}
    row["f1"], row["float_f1"] = {}, {}
    if f"{kind}_argmax_macro_f1" in said:
        row["f1"]["validation"] = said[f"{kind}_argmax_macro_f1"]
        row["float_f1"]["validation"] = said["argmax_macro_f1"]
    if (f1 := _test(bundle, kind, JUDGED.get((kind, scheme)), results)) is not None:
        row["f1"]["test"] = f1
        exact = _test(bundle, kind, FLOAT, results)
        row["float_f1"] |= {} if exact is None else {"test": exact}
    return row


def _group(manifest: Manifest) -> str:
    """Return what bundles of one fit have in common."""
    return f"{manifest.recipe.get('name', manifest.name)} seed {manifest.recipe.get('seed')}"


def _test(bundle: Bundle, kind: str, model: str | None, results: Path) -> float | None:
    """Return the test macro-F1 that `reproduce` left of this bundle's recipe and seed.

    An int8 file of another size than the judged one is another model: None.
    """
    recipe = bundle.manifest.recipe
    path = results / f"{recipe.get('name')}-seed{recipe.get('seed')}.json"
    if model is None or not path.is_file():
        return None
    result = json.loads(path.read_text())
    file = bundle.model_file(kind)
    int8 = bundle.manifest.quantization[kind].scheme.startswith("int8")
    if int8 and file is not None and result["bytes"].get(file.name) != file.stat().st_size:
        return None
    found = [row["macro_f1"] for row in result["rows"] if row["model"] == model]
    return found[0] if found else None


def _eager(manifest: Manifest, parameters: int | None) -> Row:
    """Return the row of PyTorch; what it reached on validation, float, by arg-max."""
    said = manifest.scores.get("validation", {})
    f1 = {"validation": said["argmax_macro_f1"]} if "argmax_macro_f1" in said else {}
    return {
        "model": manifest.name, "kind": "torch", "scheme": "float32", "group": _group(manifest),
        "engine": "PyTorch eager", "parameters": parameters, "f1": f1, "float_f1": {},
    }  # fmt: skip


def _relate(row: Row, found: Sequence[Row]) -> None:
    """Add speed beside PyTorch, and the mean of F1 less that of float on the same data."""
    beside = [r for r in found if r["kind"] == "torch" and r["parameters"] == row["parameters"]]
    row["times_eager"] = round(beside[0]["ms_a_step"] / row["ms_a_step"], 2) if beside else None
    plain = [
        r for r in found
        if (r["group"], r["kind"], r["scheme"]) == (row["group"], row["kind"], "float32")
    ]  # fmt: skip
    exact = row["float_f1"] | (plain[0]["f1"] if plain else {})
    both = [name for name in row["f1"] if name in exact]
    off = [row["f1"][name] - exact[name] for name in both]
    lacks = row["scheme"] == "float32" or not off
    row["against_float"] = None if lacks else round(statistics.mean(off), 4)
