"""A Viterbi decoder with a bounded lag: one label a step, committed soon and never revised.

A step's label is committed as soon as all surviving paths agree on it, and at the latest
``lag_steps`` later, when the best path is taken and those that contradict it die (Narasimhan, Viola
and Shilman, ICML 2006). A label that must last some steps is a chain of states that is left at its
end alone. Where the model says that an action begins, a change of label costs less.

Legend: K labels, M states, the ones of a label's chain side by side; P steps that wait.
"""

import numpy as np
import numpy.typing as npt

from edge.bundle import Decoder
from sensor_adapters.samples import Floats

Doubles = npt.NDArray[np.float64]
SMALLEST = 1e-6  # floor of a probability, so that one bad step can not forbid a label


class Viterbi:
    """Commits one label a step, at most ``lag_steps`` late; holds at most that many steps."""

    def __init__(self, spec: Decoder) -> None:
        self._lag = spec.lag_steps
        shortest = np.array(spec.shortest_steps or (1,) * len(spec.log_prior), np.int64)  # (K,)
        self._label_of = np.repeat(np.arange(len(shortest)), shortest)  # (M,)
        self._end = np.cumsum(shortest) - 1  # (K,) the state of each label that may be left
        self._begin = self._end - shortest + 1
        self.listen(spec)
        self._score: Doubles | None = None  # (M,) of the best path that ends in each state
        self._paths = np.zeros((0, len(self._label_of)), np.int64)  # (P, M) labels of that path

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's, of the same labels.

        Lag and chains stay as they are.
        """
        self._prior = spec.prior_weight * np.asarray(spec.log_prior, np.float64)  # (K,)
        self._weight, self._boundary_weight = spec.evidence_weight, spec.boundary_weight
        m = len(self._label_of)
        move = np.asarray(spec.log_transition, np.float64)  # (K, K) from, to
        self._move = np.full((m, m), -np.inf)
        inner = np.setdiff1d(np.arange(m), self._end)
        self._move[inner, inner + 1] = 0.0
        self._move[np.ix_(self._end, self._begin)] = move
        self._move[self._end, self._end] = np.diag(move)
        # a chain is not entered again from its own end
        own = self._begin != self._end
        self._move[self._end[own], self._begin[own]] = -np.inf
        self._changes = self._label_of[:, None] != self._label_of  # (M, M)

    @property
    def provisional(self) -> int:
        """The best label of the newest step, open to revision."""
        if self._score is None:
            raise RuntimeError("no step was decoded yet")
        return int(self._label_of[self._score.argmax()])

    def update(self, probabilities: Floats | None, boundary: float | None = None) -> list[int]:
        """Take the next step; return the labels committed by it, in order.

        Args:
            probabilities: (K,) of its labels; None is a step of which nothing is known: it has the
                label of the step before.
            boundary: the probability that an action begins at it, if that is known.
        """
        if probabilities is None:
            if self._score is None:
                return []
            self._paths = np.vstack([self._paths, self._label_of])
            return self._commit()
        log_p = np.log(np.maximum(probabilities, SMALLEST).astype(np.float64))
        evidence: Doubles = (self._weight * (log_p - self._prior))[self._label_of]
        if self._score is None:
            self._score = np.full(len(evidence), -np.inf)
            self._score[self._end] = evidence[self._end]
            self._paths = self._label_of[None]
            return self._commit()
        reach = self._score[:, None] + self._move  # (from, to)
        if self._boundary_weight and boundary is not None:
            sure = min(max(float(boundary), SMALLEST), 1 - SMALLEST)
            reach += self._boundary_weight * np.log(sure / (1 - sure)) * self._changes
        back = reach.argmax(axis=0)
        self._paths = np.vstack([self._paths[:, back], self._label_of])
        self._score = reach.max(axis=0) + evidence
        self._score -= self._score.max()
        return self._commit()

    def _commit(self) -> list[int]:
        """Return what all survivors agree on, or force the best path once the lag is full."""
        assert self._score is not None
        best = int(self._score.argmax())
        alive = self._score > -np.inf
        agreed = (self._paths[:, alive] == self._paths[:, best, None]).all(axis=1)
        waiting = len(agreed)
        count = waiting if agreed.all() else int(agreed.argmin())
        if not count:
            if waiting <= self._lag:
                return []
            self._score[self._paths[0] != self._paths[0, best]] = -np.inf
            count = 1
        committed: list[int] = self._paths[:count, best].tolist()
        self._paths = self._paths[count:]
        return committed

    def finish(self) -> list[int]:
        """Return the labels of all steps not yet committed, on the best path; start anew."""
        if self._score is None:
            return []
        labels: list[int] = self._paths[:, int(self._score.argmax())].tolist()
        self._score, self._paths = None, self._paths[:0]
        return labels
