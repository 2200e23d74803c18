"""What a lane's model says, and who makes segments of it.

A model that speaks for itself has a ``Solo``; where several share one, ``relay.Turn`` is the voice
of each.
"""

from dataclasses import dataclass
from typing import Protocol

from edge.bundle import Arrays, Manifest
from edge.segments import Segment, SegmentDecoder


@dataclass(frozen=True)
class Step:
    """What the model sees of one step."""

    index: int
    tensors: Arrays
    """By tensor name: (R, C) or (E,), no state."""
    observed: float
    """Share of the inputs that was measured, 0..1."""
    alive: frozenset[str]
    """Of which of the model's ``kinds`` something was measured."""


@dataclass(frozen=True)
class Gap:
    """A stretch in which all of a model's inputs were silent."""

    start_us: int
    end_us: int | None
    """None while it lasts."""


@dataclass(frozen=True)
class Now:
    """A provisional label, open to revision."""

    level: str
    label: str
    confidence: float
    step_end_us: int


Change = Segment | Gap


class Voice(Protocol):
    """Hears a lane's model."""

    holds: bool
    """Do silent steps wait until something is observed?"""

    @property
    def now(self) -> list[Now]:
        """The newest step's labels, one a level."""

    @property
    def open(self) -> list[Segment]:
        """The segments that go on, as far as committed."""

    def answer(self, step: Step, outputs: Arrays) -> list[Change]:
        """Take what the model says of a step: (K,) a level."""

    def gap(self, gap: Gap) -> list[Change]:
        """Take a silence that was too long for the model."""

    def end(self) -> list[Change]:
        """End what is open where observation ended."""


class Solo:
    """The voice of one model: a decoder a level."""

    holds = True

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._decoders = [
            SegmentDecoder(level, spec, manifest.step_us)
            for level, spec in zip(manifest.levels, manifest.decoders, strict=True)
        ]
        self._now: list[Now] = []

    @property
    def now(self) -> list[Now]:
        """The newest step's labels, one a level."""
        return self._now

    @property
    def open(self) -> list[Segment]:
        """The segments that go on, as far as committed, one a level at most."""
        return [d.open for d in self._decoders if d.open is not None]

    def answer(self, step: Step, outputs: Arrays) -> list[Change]:
        """Decode a step."""
        end_us = (step.index + 1) * self._manifest.step_us
        changes: list[Change] = []
        self._now = []
        for level, decoder in zip(self._manifest.levels, self._decoders, strict=True):
            p, begins = outputs[f"p_{level.name}"], float(outputs["boundary"][0])
            changes += decoder.update(step.index, p, step.observed, boundary=begins)
            self._now.append(Now(level.name, *decoder.provisional, end_us))
        return changes

    def gap(self, gap: Gap) -> list[Change]:
        """Pass it on."""
        return [gap]

    def end(self) -> list[Change]:
        """End what is open; the decoders start anew."""
        self._now = []
        return [change for decoder in self._decoders for change in decoder.finish()]
