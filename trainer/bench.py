"""What teaching costs: updates a second and memory, beside the plain way, all in one run.

The plain way computes op by op and cuts every crop anew from its recordings. Each way runs in a
process of its own, so that one's memory is not the other's. On a GPU also the share of its peak
that the model's products use.
"""

import resource
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edge.windows import cut
from sensor_adapters.recording import Recording
from trainer import datasets, teach
from trainer.datasets import Examples
from trainer.loader import Batch
from trainer.prepared import Parts, prepare
from trainer.processes import Processes
from trainer.teacher_recipes import TeacherRecipe

WARM = 3
WAYS = ("plain", "prepared", "prepared, compiled")
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""bf16 products a second, dense, from the makers' data sheets."""
OPENPACK_STEPS = round(53.8 * 3600)
"""All of OpenPack, in steps of a second."""


def bench(
    recipe: TeacherRecipe, data: Path | None, threads: int, updates: int, *, compiled: bool
) -> list[dict[str, Any]]:
    """Return a row for each way; without data, random recordings and the ways that need none."""
    rows = []
    for way in WAYS[0 if data else 1 : 3 if compiled else 2]:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            rows.append(pool.submit(measure, recipe, data, way, threads, updates).result())
    for row in rows:
        row["ratio"] = round(row["updates_per_s"] / rows[0]["updates_per_s"], 2)
    return rows


def measure(
    recipe: TeacherRecipe, data: Path | None, way: str, threads: int, updates: int
) -> dict[str, Any]:
    """Return what updates cost in one way; run it in a fresh process."""
    torch.set_num_threads(threads)
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", 0) if gpu else torch.device("cpu")
    parts = prepare(recipe.source, data) if data else random_parts(recipe)
    run = teach.Run(recipe, parts, 0, Processes(0, 1, device), compiled="compiled" in way)
    batches = run.batches()
    if way == "plain":
        batches = _cut_each(recipe, data, run)
    start_s = time.monotonic()
    for _ in range(WARM):
        run.step(batches)
    ready_s = time.monotonic() - start_s
    times = []
    for _ in range(updates):
        start_s = time.monotonic()
        run.step(batches)  # ends with the loss on the host, so a GPU is done
        times.append(time.monotonic() - start_s)
    median_s = statistics.median(times)
    steps = recipe.batch * recipe.window * recipe.accumulate
    row = {
        "way": way,
        "parameters": sum(w.numel() for w in run.model.parameters()),
        "updates_per_s": round(1 / median_s, 3),
        "steps_per_s": round(steps / median_s),
        "ready_s": round(ready_s, 1),
        "memory_MB": round(_peak_bytes(gpu) / 1e6),
        "openpack_pass_s": round(OPENPACK_STEPS / steps * median_s, 1),
    }
    if gpu:
        name = torch.cuda.get_device_name()
        peak = next((flops for known, flops in PEAK_FLOPS.items() if known in name), None)
        row["gpu"] = name
        if peak:
            row["utilisation"] = round(_flops(run) / median_s / peak, 4)
    return row


def _peak_bytes(gpu: bool) -> float:
    if gpu:
        return float(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024)


def _flops(run: teach.Run) -> int:
    """Return the products of one update: forward and backward, of the model alone."""
    inputs, _ = run.batch(0)
    recurrent: list[int] = []
    hooks = [
        part.register_forward_hook(lambda lstm, x, _: recurrent.append(lstm_flops(lstm, x[0])))
        for part in run.model.modules()
        if isinstance(part, nn.LSTM)
    ]
    with FlopCounterMode(display=False) as counter:
        answers = run.model({n: x.to(run.processes.device) for n, x in inputs.items()})
        sum(x.float().sum() for x in (*answers.logits.values(), answers.boundary)).backward()
    for hook in hooks:
        hook.remove()
    return (counter.get_total_flops() + 3 * sum(recurrent)) * run.recipe.accumulate


def lstm_flops(lstm: nn.LSTM, x: Tensor) -> int:
    """Return the forward products of an LSTM, which the counter does not see; x is (B, T, D).

    >>> lstm_flops(nn.LSTM(3, 5), torch.zeros(2, 7, 3))  # 2 * B * T * 4 H * (D + H)
    4480
    """
    ways, hidden, width, total = 1 + lstm.bidirectional, lstm.hidden_size, lstm.input_size, 0
    for _ in range(lstm.num_layers):
        total += 2 * x[..., 0].numel() * ways * 4 * hidden * (width + hidden)
        width = ways * hidden
    return total


def _cut_each(recipe: TeacherRecipe, data: Path | None, run: teach.Run) -> Iterator[Batch]:
    """Give the run's batches, each crop cut anew from its recording's readings, then augmented."""
    manifest = run.manifest
    recordings = datasets.load(recipe.source, data, recipe.source.split.train)
    timelines = [datasets.timeline_of(r, manifest.step_us, 0) for r in recordings]
    firsts = [r.span_us()[0] // manifest.step_us for r in recordings]
    for number in count():
        inputs: dict[str, list[np.ndarray]] = {}
        targets: dict[str, list[np.ndarray]] = {}
        for pick, start in run.crops.draw(number):
            first = firsts[pick] + start
            tensors = cut(timelines[pick], manifest, first, recipe.window).tensors
            for name, array in tensors.items():
                inputs.setdefault(name, []).append(array)
            for level in manifest.levels:
                target = datasets.targets(
                    recordings[pick], level, first, recipe.window, manifest.step_us
                )
                targets.setdefault(level.name, []).append(target)
        yield run.augmented(
            number,
            (
                {name: torch.from_numpy(np.stack(rows)) for name, rows in inputs.items()},
                {name: torch.from_numpy(np.stack(rows)) for name, rows in targets.items()},
            ),
        )


def random_parts(recipe: TeacherRecipe, steps: int = 2000, labels: int = 10) -> Parts:
    """Return two recordings of noise in the shapes of a recipe."""
    rng = np.random.default_rng(0)
    source = recipe.source
    manifest = datasets.unseen(source, labels)

    def one() -> Examples:
        tensors: dict[str, np.ndarray] = {}
        for b in source.inputs:
            shape = (steps, b.rate_hz * source.step_us // 1_000_000, len(b.channels))
            tensors[b.name] = rng.standard_normal(shape, np.float32)
            tensors[f"{b.name}_observed"] = np.ones(shape, np.float32)
        if source.devices:
            pair = (steps, len(source.devices))
            tensors["in_use"] = (rng.random(pair) < 0.05).astype(np.float32)
            tensors["in_use_observed"] = np.ones(pair, np.float32)
        target = {
            level.name: np.eye(labels, dtype=np.float32)[rng.integers(0, labels, steps)]
            for level in manifest.levels
        }
        return Examples(Recording("noise", "noise", "noise", (), {}), 0, tensors, target)

    return Parts(manifest, [one()], [one()])
