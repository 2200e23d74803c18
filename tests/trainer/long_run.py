"""A model run for long in a process of its own: how much memory it holds on the way, as JSON."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge.engine import LiteRtEngine, OnnxEngine

ENGINES: dict[str, Any] = {"model.tflite": LiteRtEngine, "model.onnx": OnnxEngine}


def walk(steps: int) -> dict[str, np.ndarray]:
    """Return a recording's tensors (T, …): readings that wander, devices that come and go."""
    rng = np.random.default_rng(1)
    drift = np.cumsum(rng.standard_normal((steps, 1, 3)), 0) * 0.05
    use = np.cumsum(rng.random((steps, 2)) < 0.05, 0) % 2
    return {
        "imu": (drift + rng.standard_normal((steps, 10, 3))).astype(np.float32),
        "imu_observed": (rng.random((steps, 10, 3)) < 0.9).astype(np.float32),
        "in_use": use.astype(np.float32),
        "in_use_observed": np.ones((steps, 2), np.float32),
    }


def resident_mb() -> float:
    """Return how much memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run(path: Path, state_size: int, names: dict[str, list[str]], steps: list[int]) -> list[float]:
    """Return the megabytes held after so many steps each."""
    manifest: Any = SimpleNamespace(
        name="long", tensor_inputs=names["inputs"], tensor_outputs=names["outputs"]
    )
    engine = ENGINES[path.name](path, manifest)
    tensors, state = walk(1), np.zeros((1, state_size), np.float32)
    held = []
    for t in range(1, steps[-1] + 1):
        state = engine.infer({**tensors, "state": state})["state"]
        if t in steps:
            held.append(resident_mb())
    assert np.isfinite(state).all()
    return held


if __name__ == "__main__":
    model, size, named, counts = sys.argv[1:]
    print(json.dumps(run(Path(model), int(size), json.loads(named), json.loads(counts))))
