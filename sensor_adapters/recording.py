"""A recording: the samples of one session, and what is known to have happened in it.

Readers (``openpack``, ``sphere``, the virtual station) all return this, and training, replay
and scoring all start from it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sensor_adapters.samples import Floats, Int64s, Samples


class RecordingError(Exception):
    """A recording can not be read; the text names the file, what was found and expected."""


@dataclass(frozen=True)
class Device:
    """Where a device of a recording sits, in the words a site configuration uses."""

    adapter: str
    """Name of the adapter that speaks its payloads: ``imu``, ``pose``, ``state``, ``event``, ..."""
    placement: str
    """``right_wrist``, ``scanner``, ``kitchen``: the model's name for this place."""


@dataclass(frozen=True)
class TrueSegment:
    """One annotated stretch [start_us, end_us) of one label level."""

    level: str
    """``operation`` or ``action``."""
    label: str
    start_us: int
    end_us: int
    box: int | None = None
    """Which work cycle it belongs to, counted from 1; ``None`` where cycles are unknown."""


@dataclass(frozen=True)
class StepLabels:
    """Published per-second labels of one level, where a data set scores on them."""

    level: str
    time_us: Int64s
    """(N,) start of each labelled second."""
    labels: tuple[str, ...]
    """(K,) the columns of ``target``."""
    target: Floats
    """(N, K) share of each label; a row of zeros means unlabelled (not scored)."""


@dataclass(frozen=True)
class Recording:
    """One session of one station."""

    name: str
    """Unique within its data set: ``U0209-S0500``, ``sphere-00007``, ``virtual-seed7``."""
    layout: str
    """``openpack``, ``sphere``, ``openhab``, ``own``, ``mcap`` or ``virtual``."""
    subject: str
    samples: tuple[Samples, ...]
    """One entry a device and stream, whole session, UTC microseconds."""
    devices: dict[str, Device]
    """Every device id that occurs in ``samples``."""
    truth: tuple[TrueSegment, ...] = ()
    step_labels: tuple[StepLabels, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What a user should know: missing streams, known defects, repaired rows."""

    def between(self, start_us: int, end_us: int) -> "Recording":
        """Return the part in [start_us, end_us): samples, labels, clipped truth."""
        samples = []
        for s in self.samples:
            lo, hi = np.searchsorted(s.time_us, [start_us, end_us])
            samples.append(replace(s, time_us=s.time_us[lo:hi], values=s.values[lo:hi]))
        truth = [
            replace(t, start_us=max(t.start_us, start_us), end_us=min(t.end_us, end_us))
            for t in self.truth
            if t.end_us > start_us and t.start_us < end_us
        ]
        labels = []
        for one in self.step_labels:
            keep = (one.time_us >= start_us) & (one.time_us < end_us)
            labels.append(replace(one, time_us=one.time_us[keep], target=one.target[keep]))
        return replace(self, samples=tuple(samples), truth=tuple(truth), step_labels=tuple(labels))

    def span_us(self) -> tuple[int, int]:
        """Return (first, last) sample time.

        Raises:
            RecordingError: the recording holds no sample.
        """
        times = [s.time_us for s in self.samples if len(s)]
        if not times:
            raise RecordingError(f"{self.name}: holds no samples, expected at least one")
        return min(int(t[0]) for t in times), max(int(t[-1]) for t in times)


Reader = Callable[[Path], Recording]
