"""Plainer decoders, to compare with and for those who want them: thresholds, and the mode.

Both know no transitions and no durations. As ``edge.viterbi``: one label a step, committed some
steps later and never revised, boundaries dated back.

Legend: K labels.
"""

from collections import deque

import numpy as np

from edge.bundle import Decoder
from sensor_adapters.samples import Floats


class Mode:
    """The label that the most of ``window_steps`` steps around a step have, as each looks alone."""

    LASTING = ("_seen", "_waiting")

    def __init__(self, spec: Decoder) -> None:
        self._count = len(spec.log_prior)
        self._later = spec.window_steps // 2
        self._seen: deque[int] = deque(maxlen=spec.window_steps)
        self._waiting = 0

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's: nothing changes."""

    @property
    def provisional(self) -> int:
        """The mode of the newest ``window_steps`` steps."""
        if not self._seen:
            raise RuntimeError("no step was decoded yet")
        return self._mode(list(self._seen))

    def _mode(self, seen: list[int]) -> int:
        """Return the most frequent label; of equals the newest."""
        votes = np.bincount(seen, minlength=self._count)
        return next(label for label in reversed(seen) if votes[label] == votes.max())

    def update(self, probabilities: Floats | None, boundary: float | None = None) -> list[int]:
        """Take (K,) probabilities of the next step; return the labels committed by it.

        None is a step of which nothing is known: it has the label of the step before.
        """
        del boundary
        if probabilities is None and not self._seen:
            return []
        self._seen.append(self._seen[-1] if probabilities is None else int(probabilities.argmax()))
        self._waiting += 1
        if self._waiting <= self._later:
            return []
        self._waiting -= 1
        return [self._mode(list(self._seen))]

    def finish(self) -> list[int]:
        """Return the labels of the steps not yet committed; start anew."""
        seen = list(self._seen)
        labels = [self._mode(seen[-(left + self._later) :]) for left in range(self._waiting, 0, -1)]
        self._seen.clear()
        self._waiting = 0
        return labels


class Hysteresis:
    """A label stays until another one, smoothed, is above ``begin`` and it itself below ``keep``.

    The change is dated back, at most ``lag_steps``, to where the new label began to lead the old.
    """

    LASTING = ("_smooth", "_label", "_waiting")

    def __init__(self, spec: Decoder) -> None:
        self._lag = spec.lag_steps
        self.listen(spec)
        self._smooth: Floats | None = None  # (K,)
        self._label: int | None = None
        self._waiting: list[tuple[Floats | None, int]] = []  # as it looks alone, its label so far

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's; the lag stays."""
        self._keeps, self._begin, self._keep = spec.smoothing, spec.begin, spec.keep

    @property
    def provisional(self) -> int:
        """The label of the newest step, as it stands."""
        if self._label is None:
            raise RuntimeError("no step was decoded yet")
        return self._label

    def update(self, probabilities: Floats | None, boundary: float | None = None) -> list[int]:
        """Take (K,) probabilities of the next step; return the labels committed by it.

        None is a step of which nothing is known: it has the label of the step before.
        """
        del boundary
        if probabilities is None and self._label is None:
            return []
        if probabilities is not None:
            before = probabilities if self._smooth is None else self._smooth
            self._smooth = self._keeps * before + (1 - self._keeps) * probabilities
        self._decide()
        assert self._label is not None
        self._waiting.append((probabilities, self._label))
        if len(self._waiting) <= self._lag:
            return []
        return [self._waiting.pop(0)[1]]

    def _decide(self) -> None:
        """Change the label if it is time to, and the steps that wait back to where it began."""
        assert self._smooth is not None
        best = int(self._smooth.argmax())
        if self._label is None:
            self._label = best
        old = self._label
        if best == old or self._smooth[best] < self._begin or self._smooth[old] >= self._keep:
            return
        self._label = best
        for index in range(len(self._waiting) - 1, -1, -1):
            p, label = self._waiting[index]
            if label != old or p is None or p[best] <= p[old]:
                break
            self._waiting[index] = (p, best)

    def finish(self) -> list[int]:
        """Return the labels of the steps not yet committed; start anew."""
        labels = [label for _, label in self._waiting]
        self._waiting.clear()
        self._smooth = self._label = None
        return labels
