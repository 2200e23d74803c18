"""Recent samples of one station, in event time, sorted: the only thing here that grows.

Work advances under a watermark: the newest event time less the allowed lateness. What comes
earlier than the watermark is late, counted, and kept out.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from sensor_adapters.samples import Floats, Int64s, Samples, Stream

NEVER_US = np.iinfo(np.int64).min // 2


@dataclass
class Track:
    """What one device said; bounded by ``forget`` plus what one lateness can bring."""

    LASTING: ClassVar = ("time_us", "values")

    stream: Stream
    time_us: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    """(N,) sorted."""
    values: Floats = field(init=False)
    """(N, C)."""
    _pending: list[Samples] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = np.empty((0, len(self.stream.channels)), np.float32)

    def push(self, samples: Samples) -> None:
        """Add readings; they are sorted in when next read."""
        self._pending.append(samples)

    def settle(self) -> None:
        """Sort in what was pushed; equal times keep their order of arrival."""
        if not self._pending:
            return
        time_us = np.concatenate([self.time_us, *(s.time_us for s in self._pending)])
        values = np.concatenate([self.values, *(s.values for s in self._pending)])
        self._pending.clear()
        if (np.diff(time_us) < 0).any():
            order = np.argsort(time_us, kind="stable")
            time_us, values = time_us[order], values[order]
        self.time_us, self.values = time_us, values

    def forget(self, before_us: int) -> None:
        """Drop what is older, keeping the last reading before it: a level still holds."""
        self.settle()  # nobody else does for a device that no model reads
        keep = max(int(np.searchsorted(self.time_us, before_us)) - 1, 0)
        if keep:
            self.time_us, self.values = self.time_us[keep:], self.values[keep:]


class Timeline:
    """The tracks of one station by placement, and how far its time has come."""

    LASTING = ("tracks", "newest_us", "watermark_us", "late")

    def __init__(self, lateness_us: int) -> None:
        self.lateness_us = lateness_us
        self.tracks: dict[str, Track] = {}
        self.newest_us = NEVER_US
        self.watermark_us = NEVER_US
        """Everything before this is complete; what comes earlier is late."""
        self.late = 0
        """Readings that came too late and were left out."""

    def push(self, placement: str, samples: Samples) -> int:
        """Add readings in event time; return how many came too late and were left out."""
        late, count = 0, len(samples)
        if not count:
            return 0
        if samples.time_us[0] < self.watermark_us:
            late = int(np.searchsorted(samples.time_us, self.watermark_us))
            self.late += late
            if late == count:
                return late
            samples = replace(samples, time_us=samples.time_us[late:], values=samples.values[late:])
        track = self.tracks.get(placement)
        if track is None:
            track = self.tracks[placement] = Track(samples.stream)
        track.push(samples)
        self.newest_us = max(self.newest_us, int(samples.time_us[-1]))
        self.complete(self.newest_us - self.lateness_us)
        return late

    def complete(self, before_us: int) -> None:
        """Take everything before ``before_us`` as complete; time never runs back."""
        self.watermark_us = max(self.watermark_us, before_us)

    def forget(self, before_us: int) -> None:
        """Drop what no step will read again."""
        for track in self.tracks.values():
            track.forget(before_us)
