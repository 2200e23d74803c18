"""When the board can not keep up, and when it can again: a pure clockwork.

Too slow is a board that hardly ever waits for a message, spends its time on models and messages
(and not on a slow disk), and is further and further behind devices that speak in real time. A
replay of the past is held back by its sender, however long it takes: its readings never were of
about now, and it is left alone. So is what waited for a board that was away: it is caught up with.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sensor_adapters.samples import US_PER_S

WINDOW_S = 5.0
LIVE_S = 60.0
"""A station whose newest reading ever was as near to the wall clock speaks in real time."""
BUSY, WORKING = 0.9, 0.5
"""Shares of the time: not waiting for messages; at work on messages and models."""
BEHIND_S = 5.0
WINDOWS = 3
"""So many in a row show that the board is too slow."""
LEAST_GROWTH_S = 0.5
MOST_GROWTH = 1.2
"""Of the time that passed: falling behind faster than time passes is a clock that was set."""
IDLE = 0.6
CALM_S = 60.0
"""After so long below ``IDLE`` and ``BEHIND_S`` more is done again."""
MOST_CALM_S = 3600.0
"""It doubles each time that was too soon, up to this."""


MOST_MESSAGES, LEAST_MESSAGES = 256, 8
LONG_ROUND_S = 1.0


def most_messages(before: int, worked_s: float) -> int:
    """Return how many messages the next round may take: fewer after a long one, for pings' sake.

    >>> most_messages(256, 3.0), most_messages(128, 0.1), most_messages(8, 9.0)
    (128, 256, 8)
    """
    if worked_s > LONG_ROUND_S:
        return max(before // 2, LEAST_MESSAGES)
    return min(before * 2, MOST_MESSAGES)


class Heard(NamedTuple):
    """How far a station's time has come."""

    station: str
    session: int
    newest_us: int
    """Event time of its newest reading."""


@dataclass
class Load:
    """Decides how much is left out; told of every round of the loop."""

    levels: Sequence[int]
    """That this board has beside 0, the least first."""
    level: int = 0
    times: int = 0
    """How often more was left out, since the start."""
    behind_s: float | None = None
    """How far the newest readings were behind the clock at the last look; None: none is live."""
    _waited_s: float = 0.0
    _worked_s: float = 0.0
    _begun_s: float | None = None
    _live: dict[str, int] = field(default_factory=dict)  # session by station, if it was ever so
    _newest_us: dict[str, int] = field(default_factory=dict)  # by station, at the last look
    _slow: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WINDOWS + 1))
    # when, and how far behind, at the looks since it is busy
    _calm_s: float = 0.0
    _needed_s: float = CALM_S
    _back_s: float | None = None  # when more was last done again

    def round(self, waited_s: float, worked_s: float) -> None:
        """Take how long the loop waited for messages, and worked on them and their steps."""
        self._waited_s += waited_s
        self._worked_s += worked_s

    def judge(self, now_s: float, now_us: int, heard: Iterable[Heard]) -> bool:
        """Look, if ``WINDOW_S`` have passed, and return whether ``level`` changed.

        Args:
            now_s: monotonic.
            now_us: of the wall clock.
            heard: all stations that said anything.
        """
        if self._begun_s is None:
            self._begun_s = now_s
        span_s = now_s - self._begun_s
        if span_s < WINDOW_S:
            return False
        waited, worked = self._waited_s / span_s, self._worked_s / span_s
        self._begun_s, self._waited_s, self._worked_s = now_s, 0.0, 0.0
        self.behind_s = self._behind_s(now_us, heard)
        is_busy = waited < 1 - BUSY and worked > WORKING
        if is_busy and self.behind_s is not None:
            return self._busy(now_s, self.behind_s)
        self._slow.clear()
        if self.level and 1 - waited < IDLE and (self.behind_s or 0.0) < BEHIND_S:
            return self._calm(now_s, span_s)
        self._calm_s = 0.0
        return False

    def _behind_s(self, now_us: int, heard: Iterable[Heard]) -> float | None:
        """Return how far the stations that speak in real time, and spoke since, are behind."""
        found = []
        for one in heard:
            behind_s = (now_us - one.newest_us) / US_PER_S
            if abs(behind_s) <= LIVE_S:
                self._live[one.station] = one.session
            is_live = self._live.get(one.station) == one.session
            if is_live and self._newest_us.get(one.station) != one.newest_us:
                found.append(behind_s)
            self._newest_us[one.station] = one.newest_us
        return max(found, default=None)

    def _busy(self, now_s: float, behind_s: float) -> bool:
        """Leave out more if the board fell further behind over the last windows."""
        self._calm_s = 0.0
        self._slow.append((now_s, behind_s))
        deeper = [level for level in self.levels if level > self.level]
        if len(self._slow) <= WINDOWS or behind_s < BEHIND_S or not deeper:
            return False
        since_s, was_behind_s = self._slow[0]
        growth_s = behind_s - was_behind_s
        if not LEAST_GROWTH_S < growth_s <= MOST_GROWTH * (now_s - since_s):
            return False
        if self._back_s is not None:
            was_too_soon = now_s - self._back_s < 2 * self._needed_s
            self._needed_s = min(2 * self._needed_s, MOST_CALM_S) if was_too_soon else CALM_S
        self.level = deeper[0]
        self.times += 1
        self._slow.clear()
        return True

    def _calm(self, now_s: float, span_s: float) -> bool:
        """Do more again after a while of calm."""
        self._calm_s += span_s
        if self._calm_s < self._needed_s:
            return False
        self.level = max((one for one in self.levels if one < self.level), default=0)
        self._calm_s, self._back_s = 0.0, now_s
        return True
