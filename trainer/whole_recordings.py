"""A teacher on whole recordings: windows that overlap, their answers averaged.

Legend: T steps, K labels.
"""

import numpy as np
import torch
from torch import nn

from edge.bundle import Arrays, Level
from trainer.datasets import Examples
from trainer.fit import macro_f1_of
from trainer.teacher_recipes import TeacherRecipe

AT_ONCE = 16  # windows


def padded(array: np.ndarray, start: int, steps: int) -> np.ndarray:
    """Return ``steps`` rows from ``start`` on, zeros behind the end."""
    part = array[start : start + steps]
    short = steps - len(part)
    return np.pad(part, [(0, short)] + [(0, 0)] * (part.ndim - 1)) if short else part


def probabilities(
    model: nn.Module, tensors: Arrays, recipe: TeacherRecipe, *, overlap: int = 4,
    device: torch.device | None = None,
) -> Arrays:  # fmt: skip
    """Return (T, K) by level for a recording: the mean of windows ``window / overlap`` apart."""
    model.eval()
    length, window = len(next(iter(tensors.values()))), recipe.window
    last = max(length - window, 0)
    starts = sorted({*range(0, last + 1, window // overlap), last})
    found: Arrays = {}
    count = np.zeros((last + window, 1), np.float32)
    for at in range(0, len(starts), AT_ONCE):
        some = starts[at : at + AT_ONCE]
        given = {
            name: torch.from_numpy(np.stack([padded(array, s, window) for s in some])).to(device)
            for name, array in tensors.items()
        }
        with torch.no_grad():
            answers = model(given)
        for name, logits in answers.logits.items():
            p = logits.float().softmax(-1).cpu().numpy()
            total = found.setdefault(name, np.zeros((last + window, p.shape[-1]), np.float32))
            for s, one in zip(some, p, strict=True):
                total[s : s + window] += one
        for s in some:
            count[s : s + window] += 1
    return {name: (total / count)[:length] for name, total in found.items()}


def causal_probabilities(model: nn.Module, tensors: Arrays, recipe: TeacherRecipe) -> Arrays:
    """Return (T, K) by level, each step by the window that it ends: nothing later is seen.

    Before a whole window has passed, its end is empty.
    """
    model.eval()
    length, window = len(next(iter(tensors.values()))), recipe.window
    found: dict[str, list[np.ndarray]] = {}
    for at in range(0, length, AT_ONCE):
        ends = np.arange(at, min(at + AT_ONCE, length))
        given = {
            name: torch.from_numpy(np.stack([_until(array, end, window) for end in ends.tolist()]))
            for name, array in tensors.items()
        }
        with torch.no_grad():
            answers = model(given)
        last = torch.from_numpy(np.minimum(ends, window - 1))
        for name, logits in answers.logits.items():
            newest = logits[torch.arange(len(ends)), last]
            found.setdefault(name, []).append(newest.float().softmax(-1).numpy())
    return {name: np.concatenate(some) for name, some in found.items()}


def _until(array: np.ndarray, end: int, window: int) -> np.ndarray:
    """Return the rows up to ``end``, at most a window of them, zeros behind them."""
    start = max(end + 1 - window, 0)
    return padded(array[: end + 1], start, window)


def validation_f1(
    model: nn.Module, recipe: TeacherRecipe, parts: list[Examples], level: Level,
    device: torch.device | None = None, overlap: int = 1,
) -> float:  # fmt: skip
    """Return the per-second macro-F1 of one level's arg-max over recordings."""
    found = [
        probabilities(model, one.tensors, recipe, overlap=overlap, device=device)[level.name]
        for one in parts
    ]
    return macro_f1_of(parts, found, level)
