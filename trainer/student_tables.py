"""The table of students: each sensor alone, with D-CAT, distilled, and all sensors together.

One JSON file a run, as ``reproduce`` writes it; what is there is not run again. A line's figure is
the mean over the folds, its spread that over seeds.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from trainer import fit, reproduce, tables
from trainer.helped import helped
from trainer.home_recipes import DCAT, DISTILLED, FOLDS, PRETRAINED, RALT_SESSIONS
from trainer.recipe_parts import Recipe, plain_off_default
from trainer.recipes import recipe as recipe_of

SHIPPED = "LiteRT int8"
"""The row of a result that a board would run."""
METHODS = {"alone": "", "D-CAT": DCAT, "distilled": DISTILLED, "pretrained": PRETRAINED}
SENSORS = ("imu", "camera", "iot")
TEACHER = "sigformer imu-camera-iot"
"""The line of ``ablate sphere-sensors`` that sees all sensors."""


@dataclass(frozen=True)
class Line:
    """A sensor and a method; its folds are averaged."""

    sensor: str
    method: str
    recipes: tuple[str, ...]


def lines(table: str) -> tuple[Line, ...]:
    """Return the lines of ``sphere`` or ``ralt``.

    Raises:
        KeyError: there is no such table.
    """
    return {"sphere": _sphere, "ralt": _ralt}[table]()


def _sphere() -> tuple[Line, ...]:
    single = [
        Line(sensor, method, tuple(f"sphere-{sensor}-{fold}{ending}" for fold in FOLDS))
        for sensor in SENSORS
        for method, ending in METHODS.items()
        if method != "pretrained" or sensor == "imu"
    ]
    whole = "-".join(SENSORS)
    return (*single, Line(whole, "alone", tuple(f"sphere-{whole}-{fold}" for fold in FOLDS)))


def _ralt() -> tuple[Line, ...]:
    each = tuple(f"ralt-session{n}" for n in range(1, RALT_SESSIONS + 1))
    return (Line("iot", "alone", each),)


def result(recipe: Recipe, seed: int, results: Path) -> dict[str, Any] | None:
    """Return a run's result; None where there is none, or one of other settings."""
    try:
        found: dict[str, Any] = json.loads((results / f"{recipe.name}-seed{seed}.json").read_text())
    except FileNotFoundError:
        return None
    return found if found.get("settings") == plain_off_default(recipe) else None


def fill(
    table: Sequence[Line], seeds: Sequence[int], data: Path, results: Path, work: Path, jobs: int,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Run what is missing, ``jobs`` at a time; teachers and sources first, each once."""
    results.mkdir(parents=True, exist_ok=True)
    missing = [
        (name, seed)
        for seed in seeds
        for line in table
        for name in line.recipes
        if result(recipe_of(name), seed, results) is None
    ]
    say(f"{len(missing)} runs to go")
    heard: dict[tuple[str, str, str], str] = {}
    for name, _ in missing:
        one = recipe_of(name)
        if one.teacher or one.source or one.pretrain_updates:
            own = name if one.pretrain_updates else ""
            heard.setdefault((one.teacher, one.source, own), name)
    with ProcessPoolExecutor(jobs, get_context("spawn"), tables.begin) as pool:
        for done in as_completed(pool.submit(_ask, name, data) for name in heard.values()):
            say(done.result())
        runs = [pool.submit(_one, name, seed, data, results, work) for name, seed in missing]
        for number, done in enumerate(as_completed(runs), 1):
            say(f"{number}/{len(runs)} {done.result()}")


def _ask(name: str, data: Path) -> str:
    """Have a recipe's teachers and source say what they have to, and its start learnt."""
    torch.set_num_threads(1)
    recipe = recipe_of(name)
    helped(recipe, fit.prepare(recipe, data), data, "cpu")
    return f"{recipe.teacher or recipe.source or f'the start of {name}'} is there"


def _one(name: str, seed: int, data: Path, results: Path, work: Path) -> str:
    torch.set_num_threads(1)
    recipe = recipe_of(name)
    said = reproduce.run(recipe, fit.prepare(recipe, data), data, seed, work, lambda _: None)
    path = results / f"{name}-seed{seed}.json"
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(said, indent=1) + "\n")
    os.replace(new, path)
    return f"{path.stem}: macro-F1 {_row(said)['macro_f1']:.3f} in {said['fit_s']:.0f} s"


def _row(said: dict[str, Any], model: str = SHIPPED) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in said["rows"] if row["model"] == model)
    return found


def summary(
    table: Sequence[Line], seeds: Sequence[int], results: Path, teachers: Path
) -> Iterator[dict[str, str]]:
    """Give a line a sensor and method; the gap is that between alone and the fused teacher."""
    has_teacher = any(line.method == "distilled" for line in table)
    teacher = _teacher(seeds, teachers) if has_teacher else {}
    alone: dict[str, dict[int, float]] = {}
    for line in table:
        own = _figures(line, seeds, results, SHIPPED, "macro_f1")
        if not own:
            continue
        if line.method == "alone":
            alone[line.sensor] = own
        base = alone.get(line.sensor, {})
        both = [own[seed] - base[seed] for seed in own if seed in base and base is not own]
        gap = [teacher[seed] - base[seed] for seed in own if seed in base and seed in teacher]
        whole = _figures(line, seeds, results, "LiteRT float32", "macro_f1")
        yield {
            "sensor": line.sensor,
            "method": line.method,
            "seeds": str(len(own)),
            "validation": f"{mean(_validation(line, own, results)):.3f}",
            "macro_f1": _spread(list(own.values())),
            "f1_50": _spread(list(_figures(line, seeds, results, SHIPPED, "f1_50").values())),
            "int8_loss": f"{mean(whole[seed] - own[seed] for seed in own):+.4f}",
            "against_alone": _spread(both, "+") if both else "",
            "of_gap": f"{mean(both) / mean(gap):+.0%}" if both and len(gap) == len(both) else "",
        }
    if teacher:
        yield {
            "sensor": "imu-camera-iot", "method": "teacher", "seeds": str(len(teacher)),
            "validation": "", "macro_f1": _spread(list(teacher.values())), "f1_50": "",
            "int8_loss": "", "against_alone": "", "of_gap": "",
        }  # fmt: skip


def _figures(
    line: Line, seeds: Sequence[int], results: Path, model: str, figure: str
) -> dict[int, float]:
    """Return the mean over folds by seed, of seeds that have them all."""
    found = {}
    for seed in seeds:
        runs = [result(recipe_of(name), seed, results) for name in line.recipes]
        if all(runs):
            found[seed] = mean(_row(run, model)[figure] for run in runs if run)
    return found


def _validation(line: Line, seeds: Iterable[int], results: Path) -> list[float]:
    """Return what each run reached on its validation recordings, its first level decoded."""
    runs = [result(recipe_of(name), seed, results) for name in line.recipes for seed in seeds]
    level = recipe_of(line.recipes[0]).levels[0]
    return [run["validation_macro_f1"][f"{level}_macro_f1"] for run in runs if run]


def _teacher(seeds: Sequence[int], teachers: Path) -> dict[int, float]:
    """Return the fused teacher's macro-F1 by seed, of seeds that have all folds."""
    (line,) = (one for one in tables.lines("sphere-sensors") if one.name == TEACHER)
    found = {}
    for seed in seeds:
        runs = [tables.result(r, tables.result_file(r, seed, teachers)) for r in line.recipes]
        if all(runs):
            found[seed] = mean(run["rows"][0]["macro_f1"] for run in runs if run)
    return found


def _spread(values: Sequence[float], sign: str = "") -> str:
    if len(values) < 2:
        return "".join(f"{value:{sign}.3f}" for value in values)
    return f"{mean(values):{sign}.3f} ± {stdev(values):.3f}"
