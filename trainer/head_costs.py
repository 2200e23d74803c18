"""What a step costs with each head, on one core in LiteRT, its weights in 8 bits.

MALT is there twice: as boards run it, and computed anew at every step. Weights are random, which
time does not show. All are timed in one process, in turns, so that a busy machine slows all alike.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from edge.bundle import Arrays, Manifest
from edge.engine import LiteRtEngine
from trainer import datasets, export, malt_recomputed
from trainer.fit import student_config
from trainer.malt_recomputed import MaltRecomputed
from trainer.malt_stream import MaltStep
from trainer.online_recipes import with_head
from trainer.quantize import quiet, tflite_dynamic
from trainer.recipe_parts import Recipe
from trainer.student import Student, StudentConfig, StudentStep

STATIONS = (1, 10, 100, 500)
ROUNDS = 15
LEAST_S = 0.05
"""A turn lasts at least this long."""
BETWEEN, RECOMPUTED = "malt, nothing enters", "malt, all anew"
LABELS = 20


@dataclass(frozen=True)
class _Carrying(StudentConfig):
    """A student that carries another state than its head does."""

    carried: int = 0

    @property
    def recurrent_size(self) -> int:
        return self.carried


def steps_of(recipe: Recipe, heads: Sequence[str]) -> Iterator[tuple[str, StudentStep, Manifest]]:
    """Give the step of a student of random weights with each head, and what it reads."""
    manifest = datasets.unseen(recipe, LABELS)
    for head in heads:
        torch.manual_seed(0)
        step = StudentStep(Student(student_config(with_head(recipe, head), manifest)))
        ways = {head: step}
        if isinstance(step.past, MaltStep):
            malt, config = step.past.head, step.past.config
            between = MaltStep(malt, between=True)
            ways[BETWEEN] = _with(step, between, config.moving_size)
            ways[RECOMPUTED] = _with(step, MaltRecomputed(malt), malt_recomputed.state_size(config))
        for name, one in ways.items():
            yield name, one, msgspec.structs.replace(manifest, state_size=one.config.state_size)


def _with(step: StudentStep, past: Any, carried: int) -> StudentStep:
    """Return the same student with another form of its head."""
    other = StudentStep(step.student)
    other.past, other.config = past.eval(), _Carrying(**vars(step.config), carried=carried)
    return other


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
