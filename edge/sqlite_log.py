"""The gate to SQLite: one writer, numbered migrations, all of a batch or nothing.

Tables and views are in ``edge/schema/``, for people in ``edge/README.md``. What happens before it
is opened, and where it can not be written, is in ``edge/storage/``. Write-ahead log with
synchronous NORMAL: a killed program loses nothing that ``write`` returned from; a power cut may
take the newest batches that were not asked to last, never tear one.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from edge.clock_repair import settle
from edge.log_rows import RETRACTED, SENT, STATEMENTS, Row, UnknownModel, row_of
from edge.records import (
    ClockRecord,
    LogEventRecord,
    ModelRecord,
    OutgoingRecord,
    Record,
    RetractedRecord,
)
from edge.storage.beside import beside, size_bytes
from edge.storage.copies import PAGE_BYTES
from edge.storage.errors import LogDamaged, LogError, LogWaits, explained
from edge.storage.lock import Lock
from edge.storage.look import look, migrations
from edge.storage.retention import Retention
from edge.storage.start import broken_off, is_read_at_once, prepare, refuse_folder, suspect
from edge.storage.wal import survey
from edge.storage.whole_check import WholeCheck

__all__ = ["LogDamaged", "LogError", "LogWaits", "SqliteLog", "refuse_unfit"]

log = logging.getLogger(__name__)

BUSY_S = 5.0  # a reader's or a backup's lock is waited for this long
CACHE_KIB = 4 * 1024  # of pages: full within minutes, then memory stays; more is no faster
JOURNAL_BYTES = 16 << 20  # the write-ahead log is cut to this after a long reader let go
WAL_BYTES = 4 << 20  # of the write-ahead log, after which its pages go to the file
# Debian's SQLite writes zeros over every page that becomes free; FAST where that costs no page.
SETTINGS = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA cache_size = -{CACHE_KIB}",
    f"PRAGMA journal_size_limit = {JOURNAL_BYTES}",
    "PRAGMA secure_delete = FAST",
    "PRAGMA foreign_keys = ON",
)


class SqliteLog:
    """The board's log, open for writing. One such object a file; readers open ``mode=ro``."""

    def __init__(self, path: Path, now_us: int | None = None) -> None:
        """Open the log, or create it; bring an older schema up to date, a copy kept beside it.

        What is damaged is set aside, and a new log begins: ``events`` says so.

        Raises:
            LogError: no such folder, not writable, in use, not a log, of a newer program, or no
                room for the copy. The file is then as it was.
        """
        now_us = time.time_ns() // 1000 if now_us is None else now_us
        self._path = path
        self._is_closed = False
        self._check: WholeCheck | None = None
        refuse_folder(path)
        self._lock = Lock(path)
        try:
            self.events: list[LogEventRecord] = prepare(path, now_us)
            """What befell the log at this start; written with it."""
            held = survey(beside(path, "-wal"))
            self._connection = self._connected()
            try:
                if held.frames:
                    taken = self._execute("PRAGMA wal_checkpoint(PASSIVE)")[0][1]
                    self.events += broken_off(path, now_us, held, int(str(taken)))
                with self._transaction():
                    migrations().apply(Database(self._connection, execute_plugins=False))
                self._models = self._newest_models()
                self._inode = path.stat().st_ino
                self.write(self.events)
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        if not is_read_at_once(path):
            self._check = WholeCheck(path)

    def _connected(self) -> sqlite3.Connection:
        """Return a new connection with all its settings."""
        with explained(self._path):
            connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
            try:
                for setting in SETTINGS:
                    connection.execute(setting)
                page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
                connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // page_bytes}")
            except BaseException:
                connection.close()
                raise
        return connection

    def open_again(self) -> None:
        """Take a new connection: after an input/output error the old one may never recover.

        Raises:
            LogError: the log can not be opened now; the old connection stays.
        """
        connection = self._connected()
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._connection = connection

    def _execute(self, sql: str) -> list[Row]:
        with explained(self._path):
            return self._connection.execute(sql).fetchall()

    def write(
        self,
        records: Iterable[Record],
        sent: Iterable[tuple[str, str]] = (),
        *,
        is_lasting: bool = False,
    ) -> None:
        """Write all records in one transaction. Saying a record again changes nothing.

        Args:
            records: what to write.
            sent: id and type of what the broker has taken of the outbox, to be forgotten.
            is_lasting: return when it is on the disk, where a power cut can not take it.

        Raises:
            LogWaits: the disk is full or read-only, or the file locked for longer than ``BUSY_S``.
            LogError: a value out of range, or a segment of a model that no ``ModelRecord`` named.
                None of the batch is written, in either case.
        """
        batch, gone = list(records), list(sent)
        if not batch and not gone:
            return
        models, retracted = dict(self._models), list[RetractedRecord]()
        rows: dict[str, list[Row]] = {statement: [] for statement in STATEMENTS}
        clocks = [record for record in batch if isinstance(record, ClockRecord)]
        for record in batch:
            if isinstance(record, ModelRecord):
                models[record.name] = record.sha256  # of the segments that follow
            if isinstance(record, RetractedRecord):
                retracted.append(record)
                continue
            if isinstance(record, ClockRecord):
                continue
            try:
                statement, row = row_of(record, models)
            except UnknownModel as error:
                raise LogError(f"{self._path}: {error}") from error
            rows[statement].append(row)
        with self._transaction(is_lasting=is_lasting):
            for r in retracted:
                what = (r.level, r.from_us) if r.level else (r.from_us,)
                for statement in RETRACTED[bool(r.level)]:
                    self._connection.execute(statement, (r.station, r.session, r.bundle, *what))
            for statement, values in rows.items():
                if values:
                    self._connection.executemany(statement, values)
            self._connection.executemany(SENT, gone)
            for one in clocks:  # last: they move rows of their own batch, too
                if moved := settle(self._connection, one):
                    log.warning("%s: %d rows moved, since the clock was set", one.station, moved)
        self._models = models

    def trim(self, retention: Retention, now_us: int, now_s: float, *, by_age: bool) -> int:
        """Delete a few rows that may go; return how many.

        Raises:
            LogWaits: not now.
        """
        try:
            with self._transaction():
                gone = retention.step(self._connection.execute, now_us, now_s, by_age=by_age)
        except BaseException:
            retention.not_written()
            raise
        retention.written(gone)
        return gone

    def newest_us(self) -> int | None:
        """Return when the newest segment was written, by the clock of then."""
        found = self._execute("SELECT emitted_us FROM segments ORDER BY rowid DESC LIMIT 1")
        return int(str(found[0][0])) if found else None

    def inspect(self) -> None:
        """Look whether the file is still the one that was opened, and whole.

        Raises:
            LogDamaged: a check beside the work found damage; the next start sets the log aside.
            LogError: the file was moved or deleted: what is written now would be nobody's.
        """
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            inode = None
        except OSError:  # the disk does not answer; writing will tell
            return
        if inode != self._inode:
            raise LogError(
                f"{self._path}: found it moved or deleted while it was written, expected it to stay"
            )
        if self._check is not None and self._check.damage:
            suspect(self._path, self._check.damage)
            raise LogDamaged(f"{self._path}: found damage ({self._check.damage})")

    @property
    def size_bytes(self) -> tuple[int, int]:
        """Of the file, and of its write-ahead log."""
        return size_bytes(self._path), size_bytes(beside(self._path, "-wal"))

    def empty_wal(self) -> None:
        """Try to begin the write-ahead log anew, if no reader needs it in this moment."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA busy_timeout = 100")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")

    def end_orphans(self, going_on: Collection[str] = ()) -> int:
        """End segments that an earlier run left open as interrupted; return how many.

        They end where they were last said to reach. ``going_on``: ids of those that stay open.
        """
        marks = ", ".join("?" * len(going_on))
        with self._transaction():
            ended = self._connection.execute(
                "UPDATE segments SET state = 'interrupted' WHERE state = 'open'"
                f" AND id NOT IN ({marks})",
                list(going_on),
            )
        return ended.rowcount

    def checkpoint(self, station: str) -> bytes | None:
        """Return what a station can go on with; None if it ended in order."""
        query = "SELECT content FROM checkpoints WHERE station = ?"
        with explained(self._path):
            found = self._connection.execute(query, (station,)).fetchone()
        return found[0] if found else None

    def start_from(self, station: str) -> int:
        """Count a start from a station's checkpoint; return how many there were in a row."""
        with self._transaction():
            counted = "UPDATE checkpoints SET starts = starts + 1 WHERE station = ?"
            self._connection.execute(counted, (station,))
            query = "SELECT starts FROM checkpoints WHERE station = ?"
            found = self._connection.execute(query, (station,)).fetchone()
        return int(found[0]) if found else 0

    def took_up(self, station: str) -> None:
        """Count the start no more: the checkpoint was taken up, and nothing has come since."""
        with self._transaction():
            fewer = "UPDATE checkpoints SET starts = starts - 1 WHERE station = ?"
            self._connection.execute(fewer, (station,))

    def started_well(self, station: str) -> None:
        """Forget how often the program began with a station's checkpoints."""
        with self._transaction():
            forget = "UPDATE checkpoints SET starts = 0 WHERE station = ?"
            self._connection.execute(forget, (station,))

    def has_checkpoints(self) -> list[str]:
        """Return the stations that can go on."""
        with explained(self._path):
            found = self._connection.execute("SELECT station FROM checkpoints ORDER BY station")
            return [row[0] for row in found]

    def manifest(self, model: str, sha256: str) -> str | None:
        """Return the manifest of a model that the board ran once; None: it never did."""
        query = "SELECT manifest FROM models WHERE name = ? AND sha256 = ?"
        with explained(self._path):
            found = self._connection.execute(query, (model, sha256)).fetchone()
        return found[0] if found else None

    def unsent(self, most: int) -> list[OutgoingRecord]:
        """Return what the broker has not taken yet, in the order of time."""
        query = (
            "SELECT o.id, o.type, o.topic, o.payload FROM outbox AS o"
            " LEFT JOIN segments AS s ON s.id = o.id ORDER BY s.start_us, o.type DESC LIMIT ?"
        )
        with explained(self._path):
            return [OutgoingRecord(*row) for row in self._connection.execute(query, (most,))]

    def unsynced_base_us(self, station: str, boot_id: str) -> int | None:
        """Return by which base a station's newest unsynced session of this start was timed."""
        query = (
            "SELECT base_us FROM unsynced_sessions WHERE station = ? AND boot_id = ?"
            " AND NOT settled ORDER BY session DESC LIMIT 1"
        )
        with explained(self._path):
            found = self._connection.execute(query, (station, boot_id)).fetchone()
        return found[0] if found else None

    def count_unsent(self) -> int:
        """Return how much the broker has not taken yet; -1 where nobody can read it now."""
        with contextlib.suppress(LogWaits), explained(self._path):
            return int(self._connection.execute("SELECT count(*) FROM outbox").fetchone()[0])
        return -1

    def next_session(self, station: str) -> int:
        """Return the number of a station's next session: 1, or one more than any in the log."""
        query = """
        SELECT max(session) FROM (
            SELECT max(session) AS session FROM segments WHERE station = :station
            UNION ALL SELECT max(session) FROM gaps WHERE station = :station
            UNION ALL SELECT max(session) FROM switches WHERE station = :station
            UNION ALL SELECT max(session) FROM device_states WHERE station = :station
            UNION ALL SELECT max(session) FROM unsynced_sessions WHERE station = :station
            UNION ALL SELECT max(session) FROM checkpoints WHERE station = :station)
        """
        with explained(self._path):
            newest = self._connection.execute(query, {"station": station}).fetchone()[0]
        return int(newest or 0) + 1

    def close(self) -> None:
        """Move the write-ahead log into the file, so that the file alone holds everything.

        Closing again does nothing.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._check is not None:
            self._check.stop()
        try:
            with explained(self._path):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except LogWaits as error:
            log.warning("%s; what was written stays in the write-ahead log", error)
        finally:
            self._connection.close()
            self._lock.release()

    def _newest_models(self) -> dict[str, str]:
        """Return the SHA-256 of each model name's latest load."""
        query = "SELECT name, sha256 FROM models ORDER BY loaded_us"
        return dict(self._connection.execute(query).fetchall())

    @contextmanager
    def _transaction(self, *, is_lasting: bool = False) -> Iterator[None]:
        """All or nothing. The write lock is taken at once: a later wait could not be granted."""
        try:
            with explained(self._path):
                self._connection.execute(
                    f"PRAGMA synchronous = {'FULL' if is_lasting else 'NORMAL'}"
                )
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:  # a full disk has rolled back by itself
                        self._connection.execute("ROLLBACK")
                    raise
        except LogDamaged as error:
            suspect(self._path, str(error))
            raise


def refuse_unfit(path: Path) -> str:
    """Read a file that is to be the log, and only read it; return what the next start will do.

    Raises:
        LogError: no folder to put it in, or there is something that is no log of ours.
    """
    refuse_folder(path)
    try:
        look(path, whole=is_read_at_once(path))
    except LogDamaged as error:
        return f"{error}; the next start sets it aside and begins a new one"
    return ""
