"""Per-step probabilities to labelled stretches, online: a label at once, segments soon after.

A decoder (``edge.viterbi``, ``edge.filters``) commits a label for each step, some steps later.
Boundaries are dated back to the step where the committed label changes, however late that was
decided.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from edge.bundle import Decoder, Level
from edge.filters import Hysteresis, Mode
from edge.viterbi import Viterbi
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


class Decoding(Protocol):
    """Commits one label a step, in order, some steps later."""

    @property
    def provisional(self) -> int:
        """The best label of the newest step, open to revision."""

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's, of the same labels."""

    def update(self, probabilities: Floats | None, boundary: float | None = None) -> list[int]:
        """Take the next step; return the labels committed by it, in order."""

    def finish(self) -> list[int]:
        """Return the labels of all steps not yet committed; start anew."""


def decoding_of(spec: Decoder) -> Decoding:
    """Return the decoder that a bundle asks for."""
    kinds: dict[str, Callable[[Decoder], Decoding]] = {
        "viterbi": Viterbi, "mode": Mode, "hysteresis": Hysteresis,
    }  # fmt: skip
    return kinds[spec.kind](spec)


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
        self._decoding = decoding_of(spec)
        self._waiting: list[_Step] = []  # at most the lag, and one
        self._newest: _Step | None = None
        self._open: Segment | None = None
        self._steps = 0

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's, of the same labels."""
        self._decoding.listen(spec)

    def update(
        self, step: int, probabilities: Floats | None, observed: float, modality: str = "",
        boundary: float | None = None,
    ) -> list[Segment]:  # fmt: skip
        """Take step ``step``; return segments that began, grew to an end, or both, in order.

        Args:
            step: on the UTC grid.
            probabilities: (K,) of the labels; None: nothing is known of the step.
            observed: share of the model's inputs that was measured.
            modality: what lives, where models share one voice.
            boundary: probability that an action begins at the step, if that is known.
        """
        self._newest = _Step(step, probabilities, observed, modality)
        self._waiting.append(self._newest)
        return self._extend(self._decoding.update(probabilities, boundary))

    @property
    def provisional(self) -> tuple[str, float]:
        """The newest step's label, open to revision, and its probability."""
        index = self._decoding.provisional
        assert self._newest is not None
        return self._level.labels[index], self._newest.probability(index)

    @property
    def open(self) -> Segment | None:
        """The segment that goes on, as far as committed."""
        return self._open

    def finish(self) -> list[Segment]:
        """Return what remains, ended as interrupted; the decoder starts anew."""
        changes = self._extend(self._decoding.finish())
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
