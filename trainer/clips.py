"""Clips: short recordings of one action each, cut beforehand, of one person and several sensors.

What D-CAT and its rivals are compared on. A clip's sensors run by clocks of their own; a pair is
aligned by stretching both to the same length of time.

Legend: N clips, T rows, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensor_adapters.samples import Floats

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clip:
    """One action, once."""

    name: str
    label: int
    subject: str
    place: str
    """Where the wearable sensor sat."""
    streams: dict[str, Floats]
    """(T, C) by sensor, in SI units; T differs from sensor to sensor."""


@dataclass(frozen=True)
class Clips:
    """A data set of clips."""

    labels: tuple[str, ...]
    channels: dict[str, tuple[str, ...]]
    """By sensor."""
    clips: tuple[Clip, ...]
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    def of(self, subjects: Sequence[str]) -> "Clips":
        """Return the clips of some people."""
        kept = tuple(clip for clip in self.clips if clip.subject in subjects)
        return Clips(self.labels, self.channels, kept, self.notes)

    def at(self, places: Sequence[str]) -> "Clips":
        """Return the clips whose wearable sensor sat at some places."""
        kept = tuple(clip for clip in self.clips if clip.place in places)
        return Clips(self.labels, self.channels, kept, self.notes)

    @property
    def places(self) -> tuple[str, ...]:
        """Where wearable sensors sat, by name."""
        return tuple(sorted({clip.place for clip in self.clips}))

    @property
    def label(self) -> Ints:
        """(N,) numbers of labels."""
        return np.array([clip.label for clip in self.clips], np.int64)

    def stretched(self, sensor: str, rows: int) -> Floats:
        """Return (N, rows, C) of one sensor, each clip read at ``rows`` moments from end to end."""
        return np.stack([stretched(clip.streams[sensor], rows) for clip in self.clips])


def stretched(values: Floats, rows: int) -> Floats:
    """Return (rows, C) read in a line between (T, C) values, first and last ones kept.

    >>> stretched(np.array([[0.0], [2.0]], np.float32), 5)[:, 0].tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    place = np.linspace(0, len(values) - 1, rows)
    at = np.arange(len(values))
    columns = [np.interp(place, at, column) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)
