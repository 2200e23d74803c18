"""The table of students: each sensor alone, with D-CAT, distilled, and all sensors together.

One JSON file a run, as ``reproduce`` writes it; what is there is not run again.
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from trainer import fit, reproduce, tables
from trainer.export import ExportError
from trainer.helped import helped
from trainer.home_recipes import DCAT, DISTILLED, FOLDS, PRETRAINED, RALT_SESSIONS
from trainer.recipe_parts import Recipe, plain_off_default
from trainer.recipes import recipe as recipe_of

SHIPPED = "LiteRT int8"
"""The row of a result that a board would run."""
METHODS = {"alone": "", "D-CAT": DCAT, "distilled": DISTILLED, "pretrained": PRETRAINED}
SENSORS = ("imu", "camera", "iot")


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


def stale(table: Sequence[Line], seeds: Sequence[int], results: Path) -> list[Path]:
    """Return the results of a table that were made with other settings."""
    paths = [
        (recipe_of(name), seed, results / f"{name}-seed{seed}.json")
        for line in table
        for name in line.recipes
        for seed in seeds
    ]
    return [p for recipe, seed, p in paths if p.is_file() and not result(recipe, seed, results)]


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
    try:
        said = reproduce.run(recipe, fit.prepare(recipe, data), data, seed, work, lambda _: None)
    except ExportError as error:  # the others shall not wait for it
        return f"{name}-seed{seed}: was not exported, {error}"
    path = results / f"{name}-seed{seed}.json"
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(said, indent=1) + "\n")
    os.replace(new, path)
    return f"{path.stem}: macro-F1 {row(said)['macro_f1']:.3f} in {said['fit_s']:.0f} s"


def row(said: dict[str, Any], model: str = SHIPPED) -> dict[str, Any]:
    """Return the figures of one of a result's models."""
    found: dict[str, Any] = next(one for one in said["rows"] if one["model"] == model)
    return found
