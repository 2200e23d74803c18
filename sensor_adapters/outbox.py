"""What waits for the broker: in memory while it answers soon, on disk when it does not.

The gate to SQLite. A payload that the broker took within ``SOON_US`` never touches the disk; what
waits longer is written down, so that it outlives us. The oldest are dropped where there is no room,
and counted. Order is kept; what the broker may or may not have taken is sent again, and known by
its device, boot and number.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sensor_adapters.samples import US_PER_S

log = logging.getLogger(__name__)
SOON_US = US_PER_S
MOST_IN_MEMORY = 20_000
OVERHEAD = 100  # bytes of a row beside topic and payload
_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""


class OutboxError(Exception):
    """The outbox can not be opened; the text names the file."""


@dataclass(frozen=True)
class Entry:
    """One payload that waits."""

    id: int
    at_us: int
    """UTC, when it came."""
    topic: str
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.topic) + len(self.payload) + OVERHEAD


class Outbox:
    """Payloads in the order they came, until the broker has them. Safe for several threads."""

    def __init__(self, path: Path, most_bytes: int, most_age_us: int) -> None:
        """Open or begin the file.

        Raises:
            OutboxError: it can not be opened, or is none of ours.
        """
        self._most_bytes, self._most_age_us = most_bytes, most_age_us
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._file.executescript(_SCHEMA)
            (newest,) = self._file.execute("SELECT max(id) FROM waiting").fetchone()
            (self.dropped,) = self._file.execute(
                "SELECT coalesce(sum(value), 0) FROM counts WHERE name = 'dropped'"
            ).fetchone()
            size = "coalesce(sum(length(topic) + length(payload) + ?), 0)"
            self._bytes, self._rows = self._file.execute(
                f"SELECT {size}, count(*) FROM waiting", (OVERHEAD,)
            ).fetchone()
        except sqlite3.Error as error:
            raise OutboxError(f"outbox {path}: {error}, expected a file of ours") from error
        self._on_disk = newest or 0
        """The newest id that was written down; younger ones are in memory."""
        self._next = self._on_disk + 1
        self._memory: dict[int, Entry] = {}
        self._handed = 0
        """The newest id that was handed to the broker."""
        self._gone: list[int] = []
        """Taken by the broker, still on disk."""
        self._failed = False

    def __len__(self) -> int:
        with self._lock:
            waiting: int = self._rows + len(self._memory) - len(self._gone)
            return waiting

    def put(self, topic: str, payload: bytes, now_us: int) -> None:
        """Let a payload wait."""
        with self._lock:
            self._memory[self._next] = Entry(self._next, now_us, topic, payload)
            self._next += 1
            while len(self._memory) > MOST_IN_MEMORY:
                del self._memory[next(iter(self._memory))]
                self.dropped += 1

    def take(self, count: int) -> list[Entry]:
        """Return the next payloads for the broker, oldest first, each once until ``again``."""
        if count <= 0:
            return []
        with self._lock:
            found: list[Entry] = []
            if self._handed < self._on_disk:
                rows = self._file.execute(
                    "SELECT id, at_us, topic, payload FROM waiting WHERE id > ?"
                    " ORDER BY id LIMIT ?",
                    (self._handed, count + len(self._gone)),
                )
                gone = set(self._gone)
                found = [one for one in (Entry(*row) for row in rows) if one.id not in gone][:count]
                self._handed = found[-1].id if len(found) == count else self._on_disk
            for id_, entry in self._memory.items():
                if len(found) >= count:
                    break
                if id_ > self._handed:
                    found.append(entry)
            if found:
                self._handed = max(self._handed, found[-1].id)
            return found

    def done(self, ids: Iterable[int]) -> None:
        """Forget what the broker has taken."""
        with self._lock:
            self._gone += [id_ for id_ in ids if self._memory.pop(id_, None) is None]

    def again(self) -> None:
        """Hand out anew all that the broker has not taken: it was lost."""
        with self._lock:
            self._handed = 0

    def keep(self, now_us: int) -> None:
        """Write down what has waited for too long, and drop what there is no room for."""
        with self._lock:
            old = [one for one in self._memory.values() if now_us - one.at_us >= SOON_US]
            if not old and not self._gone and not self._rows:
                return
            try:
                self._file.execute("BEGIN IMMEDIATE")
                self._kept(old, now_us)
            except sqlite3.Error as error:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                if not self._failed:
                    log.warning("outbox: %s; payloads wait in memory", error)
                self._failed = True
                return
            self._failed = False

    def _kept(self, old: list[Entry], now_us: int) -> None:
        """Do it in one transaction; what we know of the file changes once that is through."""
        rows, size = self._rows, self._bytes
        for id_ in self._gone:
            rows, size = self._less(rows, size, "id = ?", id_)
        self._file.executemany(
            "INSERT INTO waiting VALUES (?, ?, ?, ?)",
            [(e.id, e.at_us, e.topic, e.payload) for e in old],
        )
        rows, size = rows + len(old), size + sum(entry.size for entry in old)
        before = rows
        rows, size = self._less(rows, size, "at_us < ?", now_us - self._most_age_us)
        while size > self._most_bytes:
            oldest = "id IN (SELECT id FROM waiting ORDER BY id LIMIT ?)"
            rows, size = self._less(rows, size, oldest, 20)
        dropped = self.dropped + before - rows
        self._file.execute("INSERT OR REPLACE INTO counts VALUES ('dropped', ?)", (dropped,))
        self._file.execute("COMMIT")
        for entry in old:
            del self._memory[entry.id]
            self._on_disk = entry.id
        self._gone.clear()
        self._rows, self._bytes, self.dropped = rows, size, dropped

    def _less(self, rows: int, size: int, which: str, value: int) -> tuple[int, int]:
        """Delete rows; return how many are left, and their bytes."""
        found = self._file.execute(
            f"DELETE FROM waiting WHERE {which} RETURNING length(topic) + length(payload)", (value,)
        ).fetchall()
        return rows - len(found), size - sum(one + OVERHEAD for (one,) in found)

    def close(self, now_us: int) -> None:
        """Write down all that waits, and close the file."""
        self.keep(now_us + SOON_US)
        with self._lock:
            self._file.close()
