"""Committed labels to labelled stretches.

Boundaries are dated back to the step where the committed label changes, however late that was
decided.
"""

from dataclasses import dataclass, replace
from typing import Literal

from edge.bundle import Level
from sensor_adapters.samples import Floats


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


@dataclass(frozen=True)
class StepSeen:
    """What is kept of a step until its label is committed."""

    index: int
    """On the UTC grid."""
    probabilities: Floats | None
    """(K,); None: nothing is known of it."""
    observed: float
    """Share of the model's inputs that was measured, 0..1."""
    modality: str
    """What lives, where models share one voice."""

    def probability(self, label: int) -> float:
        """Return the probability of a label; 0 where nothing is known."""
        return 0.0 if self.probabilities is None else float(self.probabilities[label])


class Stretches:
    """One level on one station: steps and, later, their labels in; segments out."""

    LASTING = ("_waiting", "_open", "_steps")

    def __init__(self, level: Level, step_us: int) -> None:
        self._level = level
        self._step_us = step_us
        self._waiting: list[StepSeen] = []  # at most the decoder's lag, and one
        self._open: Segment | None = None
        self._steps = 0

    @property
    def open(self) -> Segment | None:
        """The segment that goes on, as far as committed."""
        return self._open

    @property
    def undecided(self) -> int | None:
        """The first step whose label is not committed; None: there is none."""
        return self._waiting[0].index if self._waiting else None

    def take(self, step: StepSeen, labels: list[int]) -> list[Segment]:
        """Take a step, and the labels committed by it of the oldest that wait.

        Returns:
            Segments that began, grew to an end, or both, in order.
        """
        self._waiting.append(step)
        return self._extend(labels)

    def finish(self, labels: list[int]) -> list[Segment]:
        """Take the labels of all that wait; return what remains, ended as interrupted."""
        changes = self._extend(labels)
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
