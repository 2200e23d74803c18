"""Tables of teachers: lines of recipes, run over seeds, one small result file each, resumable.

A result that is there is not run again, so a long table can be broken off and taken up.
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensor_adapters.recording import RecordingError
from trainer import teacher_scores
from trainer.home_recipes import FOLDS
from trainer.named_teachers import (
    LEFT_OUT,
    SENSORS,
    U0209_SENSORS,
    VARIANTS,
    ablated,
    any_sensor,
    openpack_teacher,
    sized,
    sphere_teacher,
    varied,
)
from trainer.processes import Processes
from trainer.teacher_recipes import TeacherRecipe, unchanged
from trainer.teacher_scores import FIGURES

PERCENT = {"edit": 1}  # digits of figures that are no shares


@dataclass(frozen=True)
class Line:
    """One line of a table: recipes whose figures are averaged (folds), then spread over seeds."""

    name: str
    recipes: tuple[TeacherRecipe, ...]
    seeded: bool = True
    """Whether the seed changes anything."""


def lines(table: str) -> tuple[Line, ...]:
    """Return the lines of a table.

    Raises:
        KeyError: there is no such table.
    """
    return TABLES[table]()


def _sphere_sensors() -> tuple[Line, ...]:
    found = []
    for model in ("sigformer", "tcn", "trees"):
        for sensors in SENSORS:
            folds = tuple(sphere_teacher(model, sensors, fold) for fold in FOLDS)
            found.append(Line(f"{model} {sensors}", folds, seeded=model != "trees"))
        if model == "sigformer":
            folds = tuple(any_sensor(fold) for fold in FOLDS)
            found.append(Line("sigformer, one for all", folds))
    majority = tuple(sphere_teacher("majority", "iot", fold) for fold in FOLDS)
    return (*found, Line("majority class", majority, seeded=False))


def _parts(data: str) -> tuple[Line, ...]:
    whole = ablated(data)
    return tuple(Line(variant, tuple(varied(r, variant) for r in whole)) for variant in VARIANTS)


def _sphere_left_out() -> tuple[Line, ...]:
    found = []
    for model in ("sigformer", "tcn"):
        for sensors in SENSORS:
            each = tuple(sphere_teacher(model, sensors, fold) for fold in LEFT_OUT)
            found.append(Line(f"{model} {sensors}", each))
    whole = (sphere_teacher("sigformer", "imu-camera-iot", fold) for fold in LEFT_OUT)
    return (*found, Line("base imu-camera-iot", tuple(sized(one, "base") for one in whole)))


def _openpack_sensors() -> tuple[Line, ...]:
    return tuple(
        Line(f"{model} {sensors}", (openpack_teacher(model, sensors),), seeded=model != "trees")
        for model in ("sigformer", "tcn", "trees")
        for sensors in U0209_SENSORS
    )


TABLES: dict[str, Callable[[], tuple[Line, ...]]] = {
    "sphere-sensors": _sphere_sensors,
    "sphere-parts": lambda: _parts("sphere"),
    "sphere-left-out": _sphere_left_out,
    "openpack-sensors": _openpack_sensors,
    "openpack-parts": lambda: _parts("openpack"),
}


def result_file(recipe: TeacherRecipe, seed: int, results: Path) -> Path:
    """Return where one run's result lies."""
    return results / f"{recipe.name}-seed{seed}.json"


def result(recipe: TeacherRecipe, path: Path) -> dict[str, Any] | None:
    """Return a result; None where there is none, or one of other settings than the recipe's.

    A setting that came into being after it was at its default.

    Raises:
        RecordingError: the file holds no result.
    """
    try:
        found: Any = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecordingError(f"{path}: {error}, expected a result of `ablate`") from error
    if not isinstance(found, dict) or not {"rows", "seed"} <= found.keys():
        raise RecordingError(f"{path}: holds no rows and seed, expected a result of `ablate`")
    made_of = found.get("settings")
    return found if made_of and unchanged(made_of, recipe) else None


def stale(table: Sequence[Line], results: Path) -> list[Path]:
    """Return the results of a table's recipes that were made with other settings."""
    return [
        path
        for line in table
        for recipe in line.recipes
        for path in sorted(results.glob(f"{recipe.name}-seed*.json"))
        if result(recipe, path) is None
    ]


def todo(
    table: Sequence[Line], seeds: Sequence[int], results: Path
) -> list[tuple[TeacherRecipe, int]]:
    """Return the runs of a table that have no result yet, seed by seed; baselines have seed 0."""
    return [
        (recipe, seed)
        for seed in seeds
        for line in table
        for recipe in line.recipes
        if (line.seeded or seed == 0) and not result(recipe, result_file(recipe, seed, results))
    ]


def _one(recipe: TeacherRecipe, seed: int, data: Path, results: Path) -> tuple[str, float]:
    """Run one and leave its file; in a process of its own, on one core."""
    torch.set_num_threads(1)
    done = teacher_scores.run(recipe, data, seed, Processes(0, 1, device()))
    path = result_file(recipe, seed, results)
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(done) + "\n")
    os.replace(new, path)
    return path.stem, done["rows"][0]["macro_f1"]


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def fill(
    table: Sequence[Line], seeds: Sequence[int], data: Path, results: Path, jobs: int,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Run what is missing, ``jobs`` at a time."""
    missing = todo(table, seeds, results)
    say(f"{len(missing)} runs to go")
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(f"{results}: {error}, expected a folder to write in") from error
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), begin)
    try:
        runs = [pool.submit(_one, recipe, seed, data, results) for recipe, seed in missing]
        for number, done in enumerate(as_completed(runs), 1):
            name, f1 = done.result()
            say(f"{number}/{len(runs)} {name}: macro-F1 {f1:.3f}")
    except BaseException:
        for process in list((pool._processes or {}).values()):  # what they have begun is not kept
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def begin() -> None:
    """Leave Ctrl-C to the process that began this one, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def summary(table: Sequence[Line], results: Path) -> Iterator[dict[str, Any]]:
    """Give mean and spread over seeds of each line, its folds averaged; what is there, only."""
    for line in table:
        by_sensors: dict[str, dict[int, list[dict[str, Any]]]] = {}
        for recipe in line.recipes:
            for path in sorted(results.glob(f"{recipe.name}-seed*.json")):
                run = result(recipe, path)
                if run is None:
                    continue
                for row in run["rows"]:
                    seeds = by_sensors.setdefault(row["sensors"], {})
                    seeds.setdefault(run["seed"], []).append(row)
        for sensors, seeds in by_sensors.items():
            whole = [rows for rows in seeds.values() if len(rows) == len(line.recipes)]
            if not whole:
                continue
            name = line.name if len(by_sensors) == 1 else f"{line.name}: {sensors}"
            out: dict[str, Any] = {"line": name, "seeds": len(whole)}
            for figure in FIGURES:
                means = np.array([np.mean([row[figure] for row in rows]) for rows in whole])
                out[figure] = _told(means, PERCENT.get(figure, 3))
            yield out


def _told(values: np.ndarray, digits: int) -> str:
    """Return mean and standard deviation; the mean alone of a single value."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"
