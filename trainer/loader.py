"""Random crops of recordings, made by threads before they are asked for.

Batch ``n`` is a function of (seed, n) alone: a run takes up where it stopped, and processes that
share a batch each make all of it and keep their rows.

Legend: B rows, T steps, R rows a step, C channels, K labels.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from edge.bundle import Arrays, Manifest
from trainer.datasets import Examples
from trainer.prepared import standardise

Batch = tuple[dict[str, Tensor], dict[str, Tensor]]
Made = TypeVar("Made")


class Crops:
    """The batches of one run."""

    def __init__(
        self,
        parts: Sequence[Examples],
        manifest: Manifest,
        *,
        crop_steps: int,
        batch: int,
        seed: int,
    ) -> None:
        """Take recordings in the channels' own units.

        Args:
            parts: of ``prepared.Parts``.
            manifest: whose mean and deviation standardise a crop.
            crop_steps: T; a shorter recording is padded with unobserved, unscored steps.
            batch: B, over all processes.
            seed: of the draw.

        Raises:
            ValueError: there is no recording.
        """
        if not parts:
            raise ValueError("found no recordings to crop, expected at least one")
        self.parts, self.manifest = list(parts), manifest
        self.crop_steps, self.size, self.seed = crop_steps, batch, seed
        length = np.array([len(one) for one in parts], np.float64)
        self._share = length / length.sum()

    def draw(self, number: int) -> list[tuple[int, int]]:
        """Return (recording, first step) of the rows of a batch.

        A recording is drawn in proportion to its length.
        """
        rng = np.random.default_rng([self.seed, number])
        picks = rng.choice(len(self.parts), self.size, p=self._share)
        last = [max(len(self.parts[pick]) - self.crop_steps, 0) for pick in picks]
        return [(int(p), int(rng.integers(0, n + 1))) for p, n in zip(picks, last, strict=True)]

    def batch(self, number: int) -> Batch:
        """Return inputs (B, T, ...), standardised, and targets (B, T, K) of batch ``number``."""
        rows = self.draw(number)
        inputs = self._cut(rows, [one.tensors for one in self.parts])
        standardise(inputs, self.manifest)
        targets = self._cut(rows, [one.target for one in self.parts])
        return (
            {name: torch.from_numpy(array) for name, array in inputs.items()},
            {name: torch.from_numpy(array) for name, array in targets.items()},
        )

    def _cut(self, rows: list[tuple[int, int]], stores: list[Arrays]) -> Arrays:
        out: Arrays = {}
        for name, array in stores[0].items():
            crops = np.empty((len(rows), self.crop_steps, *array.shape[1:]), np.float32)
            for crop, (pick, start) in zip(crops, rows, strict=True):
                part = stores[pick][name][start : start + self.crop_steps]
                crop[: len(part)] = part
                crop[len(part) :] = 0
            out[name] = crops
        return out


def pinned(batch: Batch) -> Batch:
    """Return the batch in memory from which a GPU copies without waiting; as it is without one."""
    if not torch.cuda.is_available():
        return batch
    inputs, targets = batch
    return (
        {name: x.pin_memory() for name, x in inputs.items()},
        {name: x.pin_memory() for name, x in targets.items()},
    )


def ahead(
    make: Callable[[int], Made], first: int, last: int, workers: int = 2, depth: int = 8
) -> Generator[Made, None, None]:
    """Give ``make(n)`` for n in [first, last), in order, at most ``depth`` made before asked for.

    Threads make them: what takes time there lets go of the interpreter's lock (copies, torch). An
    error in ``make`` is raised where its value would have come; who stops early leaves nothing
    running.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers, "ahead") as pool:
        try:
            for number in range(first, last):
                waiting.append(pool.submit(make, number))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
