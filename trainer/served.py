"""What a runtime answers over prepared recordings, each a station of one call a step."""

from collections.abc import Sequence

import numpy as np

from edge.bundle import Arrays, Manifest
from edge.engine import Engine
from trainer.datasets import Examples
from trainer.fit import macro_f1_of


def answers(engine: Engine, manifest: Manifest, parts: Sequence[Examples]) -> list[Arrays]:
    """Return (T, K) by level for whole recordings, the engine's own state carried."""
    state = np.zeros((len(parts), manifest.state_size), np.float32)
    said: list[list[Arrays]] = [[] for _ in parts]
    for step in range(max(map(len, parts))):
        going = [row for row, one in enumerate(parts) if step < len(one)]
        given = {
            name: np.stack([parts[row].tensors[name][step] for row in going])
            for name in manifest.tensor_inputs[:-1]
        }
        answer = engine.infer({**given, "state": state[going]})
        state[going] = answer["state"]
        for place, row in enumerate(going):
            said[row].append({n: answer[f"p_{n}"][place] for n in _levels(manifest)})
    return [{n: np.stack([one[n] for one in rows]) for n in _levels(manifest)} for rows in said]


def macro_f1(engine: Engine, manifest: Manifest, parts: Sequence[Examples]) -> float:
    """Return the per-second macro-F1 of the first level's arg-max, as `fit.validation_f1` does."""
    level = manifest.levels[0]
    found = [one[level.name] for one in answers(engine, manifest, parts)]
    return macro_f1_of(list(parts), found, level)


def _levels(manifest: Manifest) -> list[str]:
    return [level.name for level in manifest.levels]
