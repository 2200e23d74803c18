"""What a lane's model says, and who makes segments of it.

A model that speaks for itself has a ``Solo``; where several share one, ``relay.Turn`` is the voice
of each.
"""

from dataclasses import dataclass
from typing import Protocol

from edge.bundle import Arrays, Manifest
from edge.levels import Levels
from edge.segments import Segment


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


SILENT = "silent"
LOST = "lost"
DEGRADED = "degraded"
"""The board was too slow: the model looked at nothing."""
HOP = "hop"
"""The board was too slow: the model looked at every second step; segments go on."""


@dataclass(frozen=True)
class Gap:
    """A stretch in which all of a model's inputs were silent, or were not looked at."""

    start_us: int
    end_us: int | None
    """None while it lasts."""
    reason: str = SILENT


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

    @property
    def undecided(self) -> dict[str, int | None]:
        """By level the first step that was answered and whose label is not committed."""

    def answer(self, step: Step, outputs: Arrays) -> list[Change]:
        """Take what the model says of a step: (K,) a level."""

    def leave_out(self, step: Step) -> list[Change]:
        """Take it that nothing will be said of a step."""

    def gap(self, gap: Gap) -> list[Change]:
        """Take a silence that was too long for the model."""

    def end(self) -> list[Change]:
        """End what is open where observation ended."""


class Solo:
    """The voice of one model."""

    LASTING = ("_levels", "_now")

    holds = True

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._levels = Levels(manifest.levels, manifest.decoders, manifest.step_us)
        self._now: list[Now] = []

    @property
    def now(self) -> list[Now]:
        """The newest step's labels, one a level."""
        return self._now

    @property
    def open(self) -> list[Segment]:
        """The segments that go on, as far as committed, one a level at most."""
        return self._levels.open

    @property
    def undecided(self) -> dict[str, int | None]:
        """By level the first step that was answered and whose label is not committed."""
        return self._levels.undecided

    def answer(self, step: Step, outputs: Arrays) -> list[Change]:
        """Decode a step."""
        end_us = (step.index + 1) * self._manifest.step_us
        said = {level.name: outputs[f"p_{level.name}"] for level in self._manifest.levels}
        begins = float(outputs["boundary"][0])
        changes = self._levels.update(step.index, said, step.observed, boundary=begins)
        self._now = [Now(*known, end_us) for known in self._levels.provisional]
        return [*changes]

    def leave_out(self, step: Step) -> list[Change]:
        """Decode a step of which nothing is known."""
        return [*self._levels.update(step.index, None, 0.0)]

    def gap(self, gap: Gap) -> list[Change]:
        """Pass it on."""
        return [gap]

    def end(self) -> list[Change]:
        """End what is open; the decoders start anew."""
        self._now = []
        return [*self._levels.finish()]
