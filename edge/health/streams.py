"""How each device's stream comes in: how often, with what pauses, and what looks odd about it.

Of a message only its newest row is kept. Pauses are in seconds of a clock that is never set.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from edge.devices import DeviceState
from sensor_adapters.samples import US_PER_S, Samples

State = Literal["ok", "late", "stale", "silent", "unknown"]
Key = tuple[str, str]
"""Station and device."""

MARK_S = 5.0
MARKS = 13  # of MARK_S: rates and losses are those of the last minute
STALE_USUAL, STALE_S = 10.0, 5.0
"""Stale is what pauses for longer than so many of its usual pauses, and longer than so long."""
LEARN = 0.1  # weight of the newest pause
MOST_USUAL = 4.0  # an outage teaches no more than so many usual pauses, or a second


class Mark(NamedTuple):
    """What had been counted at a time."""

    at_s: float
    messages: int
    readings: int
    late: int
    rejected: int
    lost: int


@dataclass
class Watch:
    """One device's stream. Bounded: the marks of a minute, one row."""

    messages: int = 0
    readings: int = 0
    last_s: float | None = None
    usual_s: float | None = None
    """The pause between its messages, as learnt."""
    unchanged_us: int = 0
    """How long, in its own time, its readings have been the same to the last bit."""
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=MARKS))
    _run: tuple[float, int] | None = None  # since when it speaks without a long pause
    _row: bytes = b""
    _row_us: int = 0
    _behind_us: dict[int, int] = field(default_factory=dict)  # least by minute; the newest two

    @property
    def stale_s(self) -> float:
        """A longer pause than this is unusual."""
        return max(STALE_S, STALE_USUAL * (self.usual_s or 0.0))

    def heard(self, samples: Samples, received_us: int, now_s: float) -> None:
        """Note one message's readings, in event time."""
        if not len(samples):
            return
        if self.last_s is None or now_s - self.last_s > self.stale_s:
            self._run = now_s, self.readings + len(samples)
        if self.last_s is not None:
            pause_s = now_s - self.last_s
            usual_s = pause_s if self.usual_s is None else self.usual_s
            pause_s = min(pause_s, max(MOST_USUAL * usual_s, 1.0))
            self.usual_s = usual_s + LEARN * (pause_s - usual_s)
        self.last_s = now_s
        self.messages += 1
        self.readings += len(samples)
        if samples.stream.kind == "sampled":
            self._compare(samples)
        if samples.clock == "utc":
            first_us = received_us if samples.received_us is None else samples.received_us
            self._note_clock(first_us - int(samples.time_us[-1]), now_s)

    def _compare(self, samples: Samples) -> None:
        """See whether anything changes. One number alone may well stay the same for long."""
        newest = samples.values[-1]
        row = newest.tobytes()
        is_same = (
            row == self._row
            and samples.values.tobytes() == row * len(samples)
            and np.count_nonzero(np.isfinite(newest)) > 1
        )
        if not is_same:
            self._row, self._row_us = row, int(samples.time_us[-1])
        self.unchanged_us = max(int(samples.time_us[-1]) - self._row_us, 0)

    def _note_clock(self, behind_us: int, now_s: float) -> None:
        minute = int(now_s // 60)
        self._behind_us[minute] = min(behind_us, self._behind_us.get(minute, behind_us))
        while len(self._behind_us) > 2:
            self._behind_us.pop(next(iter(self._behind_us)))

    @property
    def behind_s(self) -> float | None:
        """How far its clock is behind the host's: the least of the last minute; None: unknown.

        The way takes time, so a little is no fault; below 0 its clock is ahead.
        """
        return min(self._behind_us.values()) / US_PER_S if self._behind_us else None

    def mark(self, device: DeviceState, now_s: float) -> None:
        """Remember what is counted now."""
        self.marks.append(
            Mark(now_s, self.messages, self.readings, device.late, device.rejected, device.lost)
        )

    def since_mark(self, device: DeviceState) -> Mark:
        """Return what was counted since the oldest mark; sessions begin their counts anew."""
        if not self.marks:
            return Mark(0, self.messages, self.readings, device.late, device.rejected, device.lost)
        old = self.marks[0]

        def grown(now: int, then: int) -> int:
            return now - then if now >= then else now

        return Mark(
            old.at_s,
            self.messages - old.messages,
            self.readings - old.readings,
            grown(device.late, old.late),
            grown(device.rejected, old.rejected),
            grown(device.lost, old.lost),
        )

    def rate(self, now_s: float) -> tuple[float | None, float]:
        """Return readings a second over the last minute, and over how many seconds that is.

        Counted from where it began to speak, if that is later; None: for less than ``MARK_S``.
        """
        if self._run is None or not self.marks:
            return None, 0.0
        begin = max(self._run, (self.marks[0].at_s, self.marks[0].readings))
        span_s = now_s - begin[0]
        return ((self.readings - begin[1]) / span_s if span_s >= MARK_S else None), span_s

    def state(self, device: DeviceState, silence_s: float, now_s: float) -> State:
        """Return how it comes in."""
        if self.last_s is None:
            return "unknown"
        age_s = now_s - self.last_s
        if device.status in ("stopped", "offline"):
            return "silent"
        if age_s > self.stale_s:
            return "silent" if age_s > max(silence_s, self.stale_s) else "stale"
        return "late" if self.since_mark(device).late else "ok"


class Streams:
    """All devices of the board."""

    def __init__(self) -> None:
        self.now_s = 0.0
        """Monotonic; set by the loop before it hands on messages."""
        self._watches: dict[Key, Watch] = {}

    def of(self, station: str, device: str) -> Watch:
        """Return a device's watch."""
        watch = self._watches.get((station, device))
        if watch is None:
            watch = self._watches[station, device] = Watch()
        return watch

    def heard(self, station: str, samples: Samples, received_us: int) -> None:
        """Note a message's readings."""
        self.of(station, samples.device).heard(samples, received_us, self.now_s)
