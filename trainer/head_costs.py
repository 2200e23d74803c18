"""What a step costs with each head, on one core in LiteRT, its weights in 8 bits.

MALT is there twice: as boards run it, and computed anew at every step. Weights are random, which
time does not show. All are timed in one process, in turns, so that a busy machine slows all alike.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from edge.bundle import Arrays, Input, Level, Manifest
from edge.engine import LiteRtEngine
from trainer import datasets, export, malt_recomputed
from trainer.fit import student_config
from trainer.heads import LearntMalt
from trainer.malt_recomputed import MaltRecomputed
from trainer.malt_stream import MaltStep
from trainer.online_recipes import with_head
from trainer.quantize import quiet, tflite_dynamic
from trainer.recipe_parts import Recipe
from trainer.student import Student, StudentConfig, StudentStep

STATIONS = (1, 10, 100, 500)
ROUNDS = 7
LEAST_S = 0.05
"""A turn lasts at least this long."""
BETWEEN, RECOMPUTED = "malt, nothing enters", "malt, all anew"
LABELS = 20


@dataclass(frozen=True)
class _Recomputing(StudentConfig):
    """A student whose MALT keeps features alone."""

    @property
    def recurrent_size(self) -> int:
        assert self.malt is not None
        return malt_recomputed.state_size(self.malt)


class _RecomputingStep(StudentStep):
    """One step of it."""

    def __init__(self, student: Student) -> None:
        super().__init__(student)
        assert isinstance(student.past, LearntMalt)
        self.past: Any = MaltRecomputed(student.past.head)
        self.train(False)


def steps_of(recipe: Recipe, heads: Sequence[str]) -> Iterator[tuple[str, StudentStep, Manifest]]:
    """Give the step of a student of random weights with each head, and what it reads."""
    manifest = _manifest(recipe)
    for head in heads:
        config = student_config(with_head(recipe, head), manifest)
        torch.manual_seed(0)
        step = StudentStep(Student(config))
        yield head, step, msgspec.structs.replace(manifest, state_size=config.state_size)
        if isinstance(step.past, MaltStep):
            between = StudentStep(step.student)
            between.past = MaltStep(step.past.head, between=True)
            yield BETWEEN, between, msgspec.structs.replace(manifest, state_size=config.state_size)
            wide = _Recomputing(**{name: getattr(config, name) for name in vars(config)})
            torch.manual_seed(0)
            again = _RecomputingStep(Student(wide))
            yield RECOMPUTED, again, msgspec.structs.replace(manifest, state_size=wide.state_size)


def _manifest(recipe: Recipe) -> Manifest:
    """Return what a recipe's models read and name, in any units."""
    levels = tuple(
        Level(name=name, labels=tuple(f"{name} {k}" for k in range(LABELS)))
        for name in recipe.levels
    )
    bare = datasets.unscaled(replace(recipe, inputs=()), levels, [])
    inputs = tuple(
        Input(
            name=b.name, rate_hz=b.rate_hz, channels=b.channels, units=("1",) * len(b.channels),
            mean=(0.0,) * len(b.channels), std=(1.0,) * len(b.channels), max_gap_us=b.max_gap_us,
        )
        for b in recipe.inputs
    )  # fmt: skip
    names = [n for b in inputs for n in (b.name, f"{b.name}_observed")]
    names += ["in_use", "in_use_observed"] if recipe.devices else []
    return msgspec.structs.replace(bare, inputs=inputs, tensor_inputs=(*names, "state"))


def rows(
    recipe: Recipe, heads: Sequence[str], stations: Sequence[int], say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return a row a head: weights, kB, state, us a station and step, at once and one by one."""
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    turns: list[Callable[[], float]] = []
    places: list[tuple[dict[str, Any], str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, step, manifest in steps_of(recipe, heads):
            say(f"{name}: exporting ...")
            path = Path(folder) / f"{len(found)}.tflite"
            with quiet(f"{name}: LiteRT conversion"):
                path.write_bytes(tflite_dynamic(export.float_tflite(step)))
            engine = LiteRtEngine(path, manifest)
            row = {
                "head": name,
                "parameters": step.student.parameter_count,
                "kB": round(path.stat().st_size / 1024),
                "state_kB": round(manifest.state_size * 4 / 1024, 1),
            }
            found.append(row)
            for count in stations:
                given = _given(step.config, count)
                turns.append(_turn(engine.infer, given, count))
                places.append((row, f"us_{count}"))
            one = _given(step.config, 1)
            turns.append(_turn(engine.infer, one, 1))
            places.append((row, "us_one_by_one"))
        spent: list[list[float]] = [[] for _ in turns]
        for number in range(ROUNDS + 1):
            for turn, mine in zip(turns, spent, strict=True):
                us = turn()
                if number:  # the first warms
                    mine.append(us)
    for (row, name), mine in zip(places, spent, strict=True):
        row[name] = round(statistics.median(mine), 1)
    return found


def _given(config: StudentConfig, count: int) -> Arrays:
    rng = np.random.default_rng(0)
    return {
        name: (
            np.ones((count, *shape), np.float32)
            if name.endswith("_observed")
            else np.zeros((count, *shape), np.float32)
            if name == "state"
            else rng.standard_normal((count, *shape), np.float32)
        )
        for name, shape in config.input_shapes.items()
    }


def _turn(infer: Callable[[Arrays], Arrays], given: Arrays, count: int) -> Callable[[], float]:
    """Return what runs steps for a while and returns us of CPU a station and step."""

    def turn() -> float:
        state, calls = given["state"], 0
        start_s = time.process_time()
        while not calls or time.process_time() - start_s < LEAST_S:
            state = infer({**given, "state": state})["state"]
            calls += 1
        return (time.process_time() - start_s) / calls / count * 1e6

    return turn
