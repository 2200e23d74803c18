"""How long things take: counts by length since the start, and percentiles of late."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

EDGES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RECENT = 10_000


class Counted(NamedTuple):
    """Lengths since the start."""

    counts: tuple[int, ...]
    """How many were at most as long as each edge and longer than the one before; then longer."""
    total_s: float


class Spans:
    """Lengths of one kind of thing, s; the newest ``RECENT`` are kept."""

    def __init__(self) -> None:
        self._counts = [0] * (len(EDGES_S) + 1)
        self._total_s = 0.0
        self._recent = np.zeros(RECENT, np.float32)  # a ring: its memory is there from the start
        self._count = 0

    def add(self, span_s: float) -> None:
        """Note one."""
        self._counts[bisect_left(EDGES_S, span_s)] += 1
        self._total_s += span_s
        self._recent[self._count % RECENT] = span_s
        self._count += 1

    def counted(self) -> Counted:
        """Return all since the start."""
        return Counted(tuple(self._counts), self._total_s)

    def ms(self) -> dict[str, float]:
        """Return median and 99th percentile of the newest, ms; 0 where there were none."""
        known = self._recent[: min(max(self._count, 1), RECENT)]
        p50, p99 = np.percentile(known * 1000, [50, 99])
        return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}
