"""What the table of students says: by sensor, each method beside alone, baselines and the teacher.

A line's figure is the mean over the folds, its spread that over seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from trainer import tables
from trainer.recipes import recipe as recipe_of
from trainer.student_tables import SHIPPED, Line, result, row

TEACHER = "sigformer imu-camera-iot"
"""The line of ``ablate sphere-sensors`` that sees all sensors."""
BASELINES = ("majority class", "boosted trees", "boosted trees + decoder")
Runs = Mapping[int, Sequence[dict[str, Any]]]
"""Results by seed, one a fold, in order; seeds that have all folds."""


def summary(
    table: Sequence[Line], seeds: Sequence[int], results: Path, teachers: Path
) -> Iterator[dict[str, str]]:
    """Give a line a sensor and method; the gap is that between alone and the fused teacher.

    ``guarded`` is the method that is best on validation, fold by fold and seed by seed.
    """
    whole = _teacher(seeds, teachers) if len({line.method for line in table}) > 1 else {}
    for sensor, lines in groupby(table, lambda line: line.sensor):
        found = {line.method: _runs(line, seeds, results) for line in lines}
        found = {method: runs for method, runs in found.items() if runs}
        base = _figures(found.get("alone", {}), SHIPPED, "macro_f1")
        for model in BASELINES:
            if "alone" in found and _has(found["alone"], model):
                own = _figures(found["alone"], model, "macro_f1")
                fifty = _figures(found["alone"], model, "f1_50")
                yield _line(sensor, model, own, macro_f1=_spread(own), f1_50=_spread(fifty))
        if len(found) > 1:
            found |= {"guarded": runs} if (runs := _guarded(list(found.values()))) else {}
        for method, runs in found.items():
            own = _figures(runs, SHIPPED, "macro_f1")
            ahead = _less(own, base) if method != "alone" else {}
            gap = _less(whole, base)
            whole_gap = bool(ahead) and ahead.keys() == gap.keys()
            lost = _less(_figures(runs, "LiteRT float32", "macro_f1"), own)
            yield _line(
                sensor, method, own,
                validation=f"{mean(_validation(runs)):.3f}",
                macro_f1=_spread(own),
                f1_50=_spread(_figures(runs, SHIPPED, "f1_50")),
                int8_loss=f"{mean(lost.values()):+.4f}",
                against_alone=_spread(ahead, "+") + _of(ahead, own),
                of_gap=f"{mean(ahead.values()) / mean(gap.values()):+.0%}" if whole_gap else "",
            )  # fmt: skip
    if whole:
        yield _line("imu-camera-iot", "teacher", whole, macro_f1=_spread(whole))


def _line(sensor: str, method: str, seeds: Mapping[int, float], **said: str) -> dict[str, str]:
    names = ("validation", "macro_f1", "f1_50", "int8_loss", "against_alone", "of_gap")
    first = {"sensor": sensor, "method": method, "seeds": str(len(seeds))}
    return first | {name: said.get(name, "") for name in names}


def _runs(line: Line, seeds: Sequence[int], results: Path) -> Runs:
    found = {
        seed: [result(recipe_of(name), seed, results) for name in line.recipes] for seed in seeds
    }
    return {seed: [run for run in runs if run] for seed, runs in found.items() if all(runs)}


def _guarded(methods: Sequence[Runs]) -> Runs:
    """Return of each fold and seed the run that is best on validation, as the guard judges.

    Of the methods that were run with that seed, two at least.
    """
    found = {}
    for seed in sorted({seed for runs in methods for seed in runs}):
        there = [runs[seed] for runs in methods if seed in runs]
        if len(there) > 1:
            found[seed] = [
                max(runs, key=lambda run: float(run["validation_macro_f1"]["argmax_macro_f1"]))
                for runs in zip(*there, strict=True)
            ]
    return found


def _figures(runs: Runs, model: str, figure: str) -> dict[int, float]:
    """Return the mean over folds by seed."""
    return {seed: mean(row(one, model)[figure] for one in folds) for seed, folds in runs.items()}


def _has(runs: Runs, model: str) -> bool:
    every = [run for folds in runs.values() for run in folds]
    return all(any(one["model"] == model for one in run["rows"]) for run in every)


def _validation(runs: Runs) -> list[float]:
    """Return what each run reached on its validation recordings, arg-max."""
    return [
        run["validation_macro_f1"]["argmax_macro_f1"] for folds in runs.values() for run in folds
    ]


def _less(these: Mapping[int, float], those: Mapping[int, float]) -> dict[int, float]:
    return {seed: value - those[seed] for seed, value in these.items() if seed in those}


def _of(these: Mapping[int, float], all_: Mapping[int, float]) -> str:
    """Return how many seeds there are, where it is not all."""
    return f" ({len(these)})" if these and len(these) < len(all_) else ""


def _teacher(seeds: Sequence[int], teachers: Path) -> dict[int, float]:
    """Return the fused teacher's macro-F1 by seed, of seeds that have all folds."""
    (line,) = (one for one in tables.lines("sphere-sensors") if one.name == TEACHER)
    found = {}
    for seed in seeds:
        runs = [tables.result(r, tables.result_file(r, seed, teachers)) for r in line.recipes]
        if all(runs):
            found[seed] = mean(run["rows"][0]["macro_f1"] for run in runs if run)
    return found


def _spread(by_seed: Mapping[int, float], sign: str = "") -> str:
    values = list(by_seed.values())
    if len(values) < 2:
        return "".join(f"{value:{sign}.3f}" for value in values)
    return f"{mean(values):{sign}.3f} ± {stdev(values):.3f}"
