"""What may go from the log, oldest first and a few rows at a time: by age, and by size.

Only rows that have ended go. Models stay, since rows refer to them; stations, checkpoints and the
outbox do not grow. Pages that become free are used again: the file does not shrink, and does not
grow either. Rows of a clock that was never set (before 2020) have no age; they go by size alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

TABLES = ("segments", "gaps", "switches", "device_states", "log_events")
ROWS = 100
"""In one step: some milliseconds on a board."""
PASS_S = 600.0
"""From one look for what may go to the next."""
DAY_US = 24 * 3600 * 1_000_000
SET_US = 1_577_836_800_000_000  # 2020-01-01

# Each ends with a span of time and a number of rows.
OTHERS = {
    "gaps": """
DELETE FROM gaps WHERE (station, bundle, session, start_us) IN (
    SELECT station, bundle, session, start_us FROM gaps
    WHERE end_us >= ? AND end_us < ? LIMIT ?)""",
    # What was heard when the oldest segment that stays began, stays.
    "switches": """
DELETE FROM switches WHERE (station, bundle, session, at_us) IN (
    SELECT station, bundle, session, at_us FROM (
        SELECT station, bundle, session, at_us, lead(at_us) OVER (
            PARTITION BY station, bundle, session ORDER BY at_us) AS end_us FROM switches)
    WHERE end_us >= ? AND end_us < ? LIMIT ?)""",
    # A station's newest session stays, for the next one's number.
    "device_states": """
DELETE FROM device_states WHERE (station, device, session) IN (
    SELECT station, device, session FROM device_states AS one
    WHERE last_us >= ? AND last_us < ? AND session < (
        SELECT max(session) FROM device_states WHERE station = one.station) LIMIT ?)""",
    "log_events": """
DELETE FROM log_events WHERE rowid IN (
    SELECT rowid FROM log_events WHERE at_us >= ? AND at_us < ? LIMIT ?)""",
}
Execute = Callable[..., Any]
"""A connection's."""


class Retention:
    """Knows where it is from step to step."""

    def __init__(self, keep_days: Mapping[str, float], most_bytes: int) -> None:
        """``keep_days`` by table, 0: for ever; ``most_bytes`` of rows, 0: without end."""
        self._keep_us = {table: round(days * DAY_US) for table, days in keep_days.items() if days}
        self._most_bytes = most_bytes
        self._next_s = 0.0
        self._steps: Iterator[int] | None = None
        self.deleted = 0
        """Rows, since the start."""
        self.is_stuck = False
        """Is the log larger than it may be, with nothing left that may go?"""

    def is_due(self, now_s: float) -> bool:
        """Is there something to do, or to look for, at this monotonic time?"""
        return bool(self._keep_us or self._most_bytes) and now_s >= self._next_s

    def step(self, execute: Execute, now_us: int, now_s: float, *, by_age: bool) -> int:
        """Delete some rows; return how many. To be called in a transaction.

        Args:
            execute: of the connection that writes.
            now_us: the time.
            now_s: monotonic.
            by_age: may the clock be believed?
        """
        if self._steps is None:
            self._steps = self._pass(execute, now_us, by_age)
        for deleted in self._steps:
            return deleted
        self._steps, self._next_s = None, now_s + PASS_S
        return 0

    def written(self, deleted: int) -> None:
        """Note what a step has deleted for good."""
        self.deleted += deleted

    def not_written(self) -> None:
        """Begin anew: what the step before deleted is still there."""
        self._steps = None

    def _pass(self, execute: Execute, now_us: int, by_age: bool) -> Iterator[int]:
        """Yield how many rows each step deletes, until nothing is left to go."""
        if by_age and "segments" in self._keep_us:
            for deleted, _ in _oldest(execute, now_us - self._keep_us["segments"]):
                yield deleted
        for table in OTHERS:
            if by_age and table in self._keep_us:
                yield from _others(execute, table, now_us - self._keep_us[table])
        self.is_stuck = False
        while self._most_bytes and _used_bytes(execute) > self._most_bytes:
            for deleted, newest_us in _oldest(execute, None):
                yield deleted
                for table in OTHERS:
                    yield from _others(execute, table, newest_us)
                break
            else:
                self.is_stuck = True
                return


def _oldest(execute: Execute, before_us: int | None) -> Iterator[tuple[int, int]]:
    """Delete segments in the order in which they were written, until one is too young.

    Yields how many went in a step, and when the last of these ended.
    """
    after = 0
    query = "SELECT rowid, end_us, state FROM segments WHERE rowid > ? ORDER BY rowid LIMIT ?"
    while rows := execute(query, (after, ROWS)).fetchall():
        after = rows[-1][0]
        ended = [(rowid, end_us) for rowid, end_us, state in rows if state != "open"]
        gone = [
            (rowid, end_us)
            for rowid, end_us in ended
            if before_us is None or SET_US <= end_us < before_us
        ]
        for rowid, _ in gone:
            execute("DELETE FROM segments WHERE rowid = ?", (rowid,))
        if gone:
            yield len(gone), max(end_us for _, end_us in gone)
        elif before_us is not None and any(end_us >= before_us for _, end_us in ended):
            return


def _others(execute: Execute, table: str, before_us: int) -> Iterator[int]:
    while deleted := execute(OTHERS[table], (SET_US, before_us, ROWS)).rowcount:
        yield deleted


def _used_bytes(execute: Execute) -> int:
    """Return the bytes of pages that hold something."""
    pages, free, page_bytes = (
        execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page_bytes)
