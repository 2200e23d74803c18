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
from sensor_adapters.samples import Floats, Int64s

Doubles = npt.NDArray[np.float64]
SMALLEST = 1e-6  # floor of a probability, so that one bad step can not forbid a label


class Viterbi:
    """Commits one label a step, at most ``lag_steps`` late; holds at most that many steps."""

    LASTING = ("_score", "_paths")

    def __init__(self, spec: Decoder) -> None:
        self._lag = spec.lag_steps
        shortest = np.array(spec.shortest_steps or (1,) * len(spec.log_prior), np.int64)  # (K,)
        self._label_of = np.repeat(np.arange(len(shortest)), shortest)  # (M,)
        self._end = np.cumsum(shortest) - 1  # (K,) the state of each label that may be left
        self._begin = self._end - shortest + 1
        self._long = np.flatnonzero(shortest > 1)  # labels whose chain is one
        self._before = np.maximum(np.arange(len(self._label_of)) - 1, 0)  # (M,)
        self.listen(spec)
        self._score: Doubles | None = None  # (M,) of the best path that ends in each state
        self._paths = np.zeros((0, len(self._label_of)), np.int64)  # (P, M) labels of that path

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's, of the same labels.

        Lag and chains stay as they are.
        """
        self._prior = spec.prior_weight * np.asarray(spec.log_prior, np.float64)  # (K,)
        self._weight, self._boundary_weight = spec.evidence_weight, spec.boundary_weight
        self._move = np.asarray(spec.log_transition, np.float64)  # (K, K) from, to
        self._changes = ~np.eye(len(self._prior), dtype=bool)

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
        back, reached = self._reach(boundary)
        self._paths = np.vstack([self._paths[:, back], self._label_of])
        self._score = reached + evidence
        self._score -= self._score.max()
        return self._commit()

    def _reach(self, boundary: float | None) -> tuple[Int64s, Doubles]:
        """Return (M,) from where each state is best reached, and the score there.

        Inside a chain a state is reached from the one before it alone; its end from itself, too;
        its beginning from the ends of all others.
        """
        assert self._score is not None
        leave = self._score[self._end][:, None] + self._move  # (K, K)
        if self._boundary_weight and boundary is not None:
            sure = min(max(float(boundary), SMALLEST), 1 - SMALLEST)
            leave += self._boundary_weight * np.log(sure / (1 - sure)) * self._changes
        stay = leave.diagonal()[self._long].copy()
        leave[self._long, self._long] = -np.inf
        source = leave.argmax(axis=0)
        back = self._before.copy()
        reached = self._score[back]
        back[self._begin] = self._end[source]
        reached[self._begin] = leave[source, np.arange(len(source))]
        ends = self._end[self._long]
        stays = stay > self._score[ends - 1]
        back[ends] = np.where(stays, ends, ends - 1)
        reached[ends] = np.where(stays, stay, self._score[ends - 1])
        return back, reached

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
