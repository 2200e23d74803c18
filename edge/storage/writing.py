"""Writing to the log without losing a batch: one that can not be written is kept and tried again.

While one is kept, nothing else is written, taken from the broker or acknowledged; so it stays one,
and what comes meanwhile waits in the inbox and at the broker.
"""

import logging
from collections.abc import Callable
from typing import Any

from edge.records import LogEventRecord, Record
from edge.sqlite_log import SqliteLog
from edge.storage.errors import LogError, LogWaits
from edge.storage.reserve import Reserve
from edge.storage.retention import Retention

log = logging.getLogger(__name__)

FIRST_S, MOST_S = 0.5, 5.0
"""Until a batch is tried again: at first, and at most."""
AGAIN_S = 30.0
"""After so long without success each try begins with a new connection."""
RESERVE_S = 30.0
"""From one try to make the reserve anew to the next."""
WAL_ALARM_BYTES = 64 << 20


class Writing:
    """The way to the log."""

    def __init__(self, to: SqliteLog, reserve: Reserve, retention: Retention) -> None:
        """Write to ``to``; ``reserve`` is given up when the disk is full."""
        self._log, self._reserve, self._retention = to, reserve, retention
        self._again: Callable[[], None] | None = None
        self._why: LogWaits | None = None
        self._since_us, self._since_s = 0, 0.0
        self._wait_s, self._next_s, self._reserve_s = FIRST_S, 0.0, 0.0
        self._wal_is_long = False
        self._events: list[LogEventRecord] = []

    @property
    def is_waiting(self) -> bool:
        """Is a batch kept that could not be written?"""
        return self._why is not None

    @property
    def why(self) -> LogError:
        """Why it could not."""
        assert self._why is not None
        return self._why

    def write(
        self,
        records: list[Record],
        sent: list[tuple[str, str]],
        now_us: int,
        now_s: float,
        *,
        is_lasting: bool,
    ) -> bool:
        """Write a batch, as ``SqliteLog.write``; False: it is kept, ``again`` tries once more.

        Raises:
            LogError: it can not be written, now or later.
        """
        assert not self.is_waiting, "one batch at a time"

        events, self._events = self._events, []

        def work() -> None:
            self._log.write([*events, *records], sent, is_lasting=is_lasting)

        try:
            self._reserve.lend(work)
        except LogWaits as error:
            self._again, self._why = work, error
            self._since_us, self._since_s = now_us, now_s
            self._wait_s, self._next_s = FIRST_S, now_s + FIRST_S
            log.warning("%s; waiting, nothing is acknowledged meanwhile", error)
            return False
        return True

    def again(self, now_s: float, *, at_once: bool = False) -> bool:
        """Try once more, if it is time; return whether the batch is written.

        Raises:
            LogError: it can not be written, now or later.
        """
        assert self._again is not None
        if now_s < self._next_s and not at_once:
            return False
        try:
            if now_s - self._since_s > AGAIN_S:
                self._log.open_again()
            self._reserve.lend(self._again)
        except LogWaits as error:
            if error.why != self.why_in_short:
                log.warning("%s; still waiting", error)
            self._why = error
            self._wait_s = min(self._wait_s * 2, MOST_S)
            self._next_s = now_s + self._wait_s
            return False
        waited_s = now_s - self._since_s
        log.warning("the log is written again after %.0f s (%s)", waited_s, self.why_in_short)
        until_us = self._since_us + round(
            waited_s * 1e6
        )  # not by a clock that may be set meanwhile
        event = LogEventRecord("waited", self._since_us, until_us, self.why_in_short)
        self._events.append(event)  # written with the next batch
        self._again = self._why = None
        return True

    @property
    def why_in_short(self) -> str:
        """Return SQLite's words; empty where nothing waits."""
        return self._why.why if self._why else ""

    def trim(self, now_us: int, now_s: float, *, by_age: Callable[[], bool]) -> None:
        """Delete a few rows that may go, if it is time."""
        if self.is_waiting or not self._retention.is_due(now_s):
            return
        was_stuck = self._retention.is_stuck
        try:
            self._log.trim(self._retention, now_us, now_s, by_age=by_age())
        except LogWaits:
            return  # the next batch will tell
        if self._retention.is_stuck and not was_stuck:
            log.warning("the log is larger than log.max_mb, and nothing in it may be deleted")

    def watch(self, now_s: float) -> None:
        """See to reserve, write-ahead log and file; every few seconds.

        Raises:
            LogError: the file is damaged, moved or deleted.
        """
        self._log.inspect()
        if not self.is_waiting and not self._reserve.is_there and now_s >= self._reserve_s:
            self._reserve_s = now_s + RESERVE_S
            self._reserve.make()
        wal_bytes = self._log.size_bytes[1]
        is_long = wal_bytes > WAL_ALARM_BYTES
        if is_long and not self._wal_is_long:
            log.warning(
                "the write-ahead log has grown to %.0f MB, expected at most %.0f: does somebody"
                " keep a query open? take a copy (solosense-edge db backup) for long work",
                wal_bytes / 1e6, WAL_ALARM_BYTES / 1e6,
            )  # fmt: skip
        if is_long and not self.is_waiting:
            self._log.empty_wal()
        self._wal_is_long = is_long

    def health(self) -> dict[str, Any]:
        """Return how the log is; its size and the room beside it are said of the disk."""
        set_aside = [e.detail for e in self._log.events if e.event in ("set_aside", "broken_off")]
        return {
            "state": "waiting" if self._why else "writing",
            "error": str(self._why or ""),
            "since": self._since_us if self._why else None,
            "wal_is_long": self._wal_is_long,
            "reserve": self._reserve.is_there or not self._reserve.is_wanted,
            "trimmed": self._retention.deleted,
            "set_aside": set_aside,
        }
