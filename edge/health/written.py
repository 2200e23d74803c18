"""How much is written a day: what an SD card or an eMMC is worn by. Pure."""

from collections import deque

US_PER_DAY = 86_400_000_000
HOUR_S = 3600.0
LEAST_S = 600.0
"""Shorter than this, what was written says little of a day."""


class Written:
    """Told now and then how much was written since the start; the marks of a day are kept."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque(maxlen=25)
        self._newest: tuple[float, int] | None = None
        self._day: tuple[int, int] | None = None  # and what had been written when it began
        self.today_bytes = 0
        """Since midnight, UTC, or since the start."""

    def note(self, now_s: float, now_us: int, written_bytes: int) -> None:
        """Take the count at a time, monotonic and of the wall clock."""
        if not self._marks or now_s - self._marks[-1][0] >= HOUR_S:
            self._marks.append((now_s, written_bytes))
        self._newest = now_s, written_bytes
        day = now_us // US_PER_DAY
        if self._day is None or self._day[0] != day:
            self._day = day, (0 if self._day is None else written_bytes)
        self.today_bytes = written_bytes - self._day[1]

    @property
    def bytes_per_day(self) -> float | None:
        """Return what a day comes to by the last 24 hours, or as many as there were."""
        if self._newest is None or self._newest[0] - self._marks[0][0] < LEAST_S:
            return None
        span_s = self._newest[0] - self._marks[0][0]
        return (self._newest[1] - self._marks[0][1]) / span_s * 86_400
