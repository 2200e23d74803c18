"""Per-step probabilities to labelled stretches, online: a label at once, segments soon after.

A Viterbi decoder with a bounded lag. A step's label is committed as soon as all surviving paths
agree on it, and at the latest ``lag_steps`` later, when the best path is taken and those that
contradict it die (Narasimhan, Viola and Shilman, ICML 2006). Boundaries are dated back to the
step where the committed label changes, however late that was decided.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge.bundle import Decoder, Level
from sensor_adapters.samples import Floats

Doubles = npt.NDArray[np.float64]
SMALLEST = 1e-6  # floor of a probability, so that one bad step can not forbid a label


@dataclass(frozen=True)
class Segment:
    """One stretch [start_us, end_us) of one label."""

    level: str
    label: str
    parent: str
    """Label of the level above that this one belongs to; empty on the first level."""
    start_us: int
    end_us: int
    confidence: float
    """Mean probability of the label over the stretch, 0..1."""
    observed: float
    """Mean share of the model's inputs that was measured, 0..1."""
    state: Literal["open", "closed", "interrupted"]
    """``interrupted``: the input ended before the action did."""
    modality: str = ""
    """What lived while it was made, in order, where models share one voice: ``imu+camera,imu``."""


class Viterbi:
    """Commits one label a step, at most ``lag_steps`` late; holds at most that many steps."""

    def __init__(self, spec: Decoder) -> None:
        self._lag = spec.lag_steps
        self.listen(spec)
        self._score: Doubles | None = None  # (K,) of the best path that ends in each label
        self._back: list[npt.NDArray[np.int64]] = []  # (K,) each: label one step earlier

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's, of the same labels; the lag stays."""
        self._move = np.asarray(spec.log_transition, np.float64)  # (K, K) from, to
        self._prior = spec.prior_weight * np.asarray(spec.log_prior, np.float64)  # (K,)
        self._weight = spec.evidence_weight

    @property
    def provisional(self) -> int:
        """The best label of the newest step, open to revision."""
        if self._score is None:
            raise RuntimeError("no step was decoded yet")
        return int(self._score.argmax())

    def update(self, probabilities: Floats | None) -> list[int]:
        """Take (K,) probabilities of the next step; return the labels committed by it, in order.

        None is a step of which nothing is known: it has the label of the step before.
        """
        if probabilities is None:
            if self._score is None:
                return []
            self._back.append(np.arange(len(self._score)))
            return self._commit()
        log_p = np.log(np.maximum(probabilities, SMALLEST).astype(np.float64))
        evidence: Doubles = self._weight * (log_p - self._prior)
        if self._score is None:
            self._score = evidence
            return []
        reach = self._score[:, None] + self._move  # (from, to)
        self._back.append(reach.argmax(axis=0))
        self._score = reach.max(axis=0) + evidence
        self._score -= self._score.max()
        return self._commit()

    def _commit(self) -> list[int]:
        """Return what all survivors agree on, or force the best path once the lag is full."""
        alive = np.flatnonzero(np.isfinite(self._score))  # type: ignore[arg-type]
        at = alive
        agreed = -1
        for index in range(len(self._back) - 1, -1, -1):
            at = np.unique(self._back[index][at])
            if len(at) == 1:
                agreed = index
                break
        if agreed < 0:
            if len(self._back) < self._lag:
                return []
            return [self._force()]
        labels = self._trace(int(at[0]), agreed)
        del self._back[: agreed + 1]
        return labels

    def _force(self) -> int:
        """Commit the oldest step's label on the best path; paths through others die."""
        origin = np.arange(len(self._score))  # type: ignore[arg-type]
        for back in reversed(self._back):
            origin = back[origin]
        label = int(origin[self.provisional])
        assert self._score is not None
        self._score[origin != label] = -np.inf
        del self._back[0]
        return label

    def _trace(self, label: int, index: int) -> list[int]:
        """Return the labels of the oldest ``index + 1`` steps on the path through ``label``."""
        labels = [label]
        for back in reversed(self._back[:index]):
            labels.append(int(back[labels[-1]]))
        return labels[::-1]

    def finish(self) -> list[int]:
        """Return the labels of all steps not yet committed, on the best path; start anew."""
        if self._score is None:
            return []
        labels = [self.provisional]
        for back in reversed(self._back):
            labels.append(int(back[labels[-1]]))
        self._score = None
        self._back.clear()
        return labels[::-1]


@dataclass
class _Step:
    """What is kept of a step until its label is committed."""

    index: int
    probabilities: Floats | None
    observed: float
    modality: str

    def probability(self, label: int) -> float:
        """Return the probability of a label; 0 where nothing is known."""
        return 0.0 if self.probabilities is None else float(self.probabilities[label])


class SegmentDecoder:
    """One level on one station: probabilities in, segments out."""

    def __init__(self, level: Level, spec: Decoder, step_us: int) -> None:
        self._level = level
        self._step_us = step_us
        self._viterbi = Viterbi(spec)
        self._waiting: list[_Step] = []  # at most the lag, and one
        self._open: Segment | None = None
        self._steps = 0

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's, of the same labels."""
        self._viterbi.listen(spec)

    def update(
        self, step: int, probabilities: Floats | None, observed: float, modality: str = ""
    ) -> list[Segment]:
        """Take step ``step``; return segments that began, grew to an end, or both, in order."""
        self._waiting.append(_Step(step, probabilities, observed, modality))
        return self._extend(self._viterbi.update(probabilities))

    @property
    def provisional(self) -> tuple[str, float]:
        """The newest step's label, open to revision, and its probability."""
        index = self._viterbi.provisional
        return self._level.labels[index], self._waiting[-1].probability(index)

    @property
    def open(self) -> Segment | None:
        """The segment that goes on, as far as committed."""
        return self._open

    def finish(self) -> list[Segment]:
        """Return what remains, ended as interrupted; the decoder starts anew."""
        changes = self._extend(self._viterbi.finish())
        if self._open is not None:
            changes.append(replace(self._open, state="interrupted"))
        self._open = None
        return changes

    def _extend(self, labels: list[int]) -> list[Segment]:
        """Append committed labels to the open segment, or end it and begin another."""
        changes: list[Segment] = []
        for index in labels:
            step = self._waiting.pop(0)
            label = self._level.labels[index]
            start_us = step.index * self._step_us
            p, end_us = step.probability(index), start_us + self._step_us
            if self._open is not None and self._open.label == label:
                self._steps += 1
                share = 1 / self._steps
                self._open = replace(
                    self._open,
                    end_us=end_us,
                    confidence=self._open.confidence + (p - self._open.confidence) * share,
                    observed=self._open.observed + (step.observed - self._open.observed) * share,
                    modality=_with(self._open.modality, step.modality),
                )
                continue
            if self._open is not None:
                changes.append(replace(self._open, state="closed"))
            parent = self._level.parents[index] if self._level.parents else ""
            self._steps = 1
            self._open = Segment(
                self._level.name, label, parent, start_us, end_us, p, step.observed, "open",
                step.modality,
            )  # fmt: skip
            changes.append(self._open)
        return changes


def _with(modalities: str, another: str) -> str:
    """Return the modalities with one more, if it is one more.

    >>> _with("imu", "camera"), _with("imu,camera", "imu"), _with("imu", "")
    ('imu,camera', 'imu,camera', 'imu')
    """
    known = modalities.split(",") if modalities else []
    return modalities if not another or another in known else ",".join([*known, another])
