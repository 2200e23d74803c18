"""The gate to SQLite: one writer, numbered migrations, all of a batch or nothing.

Tables and views are in ``edge/schema/``, for people in ``edge/README.md``. Write-ahead log with
synchronous NORMAL: a killed program loses nothing that ``write`` returned from; a power cut may
take the newest batches, never tear one.
"""

import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database, Migrations

from edge.clock_repair import UNSYNCED, settle
from edge.records import (
    CheckpointRecord,
    ClockRecord,
    DeviceRecord,
    GapRecord,
    ModelRecord,
    OutgoingRecord,
    Record,
    RetractedRecord,
    SegmentRecord,
    StationRecord,
    SwitchRecord,
    UnsyncedRecord,
    Written,
)
from edge.timeline import NEVER_US

log = logging.getLogger(__name__)

SCHEMA = Path(__file__).parent / "schema"
MIGRATION_SET = "solosense.edge"
BUSY_S = 5.0  # a reader's or a backup's lock is waited for this long
CACHE_KIB = 16 * 1024  # of pages; a fifth faster than SQLite's default of 2 MiB
JOURNAL_BYTES = 16 << 20  # the write-ahead log is cut to this after a long reader let go

Row = tuple[object, ...]

MODEL = """
INSERT INTO models (name, sha256, modality, engine, manifest, loaded_us)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name, sha256) DO UPDATE SET engine = excluded.engine, loaded_us = excluded.loaded_us
"""
STATION = """
INSERT INTO stations (station, site, node, bundles, started_us)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (station) DO UPDATE SET
    site = excluded.site, node = excluded.node, bundles = excluded.bundles,
    started_us = excluded.started_us
"""
# An end is not undone by its own beginning said again, and what is said again changes nothing.
SEGMENT = """
INSERT INTO segments (id, station, bundle, model_sha256, modality, session, level, label, parent,
                      start_us, end_us, confidence, observed, state, emitted_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (station, session, bundle, level, start_us) DO UPDATE SET
    label = excluded.label, parent = excluded.parent, end_us = excluded.end_us,
    confidence = excluded.confidence, observed = excluded.observed, state = excluded.state,
    modality = excluded.modality, emitted_us = excluded.emitted_us
WHERE (state = 'open' OR excluded.state <> 'open')
    AND (label, parent, end_us, confidence, observed, state, modality) IS NOT
        (excluded.label, excluded.parent, excluded.end_us, excluded.confidence,
         excluded.observed, excluded.state, excluded.modality)
"""
GAP = """
INSERT INTO gaps (station, bundle, session, start_us, end_us, reason)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (station, bundle, session, start_us) DO UPDATE SET
    end_us = coalesce(excluded.end_us, end_us), reason = excluded.reason
"""
SWITCH = """
INSERT INTO switches (station, bundle, session, at_us, before, after)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (station, bundle, session, at_us) DO UPDATE SET
    before = excluded.before, after = excluded.after
"""
DEVICE = """
INSERT INTO device_states (station, device, session, adapter, placement, status, boot, first_us,
                           last_us, messages, samples, rejected, duplicated, lost, late)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (station, device, session) DO UPDATE SET
    adapter = excluded.adapter, placement = excluded.placement, status = excluded.status,
    boot = excluded.boot, first_us = excluded.first_us, last_us = excluded.last_us,
    messages = excluded.messages, samples = excluded.samples, rejected = excluded.rejected,
    duplicated = excluded.duplicated, lost = excluded.lost, late = excluded.late
"""
CHECKPOINT = """
INSERT INTO checkpoints (station, session, saved_us, content) VALUES (?, ?, ?, ?)
ON CONFLICT (station) DO UPDATE SET
    session = excluded.session, saved_us = excluded.saved_us, content = excluded.content
"""
NO_CHECKPOINT = "DELETE FROM checkpoints WHERE station = ?"
OUTGOING = "INSERT OR REPLACE INTO outbox (id, type, topic, payload) VALUES (?, ?, ?, ?)"
SENT = "DELETE FROM outbox WHERE id = ? AND type = ?"
_THERE = "station = ? AND session = ? AND bundle = ?"
RETRACTED = {
    True: (
        f"DELETE FROM outbox WHERE id IN (SELECT id FROM segments WHERE {_THERE} AND level = ?"
        " AND start_us >= ?)",
        f"DELETE FROM segments WHERE {_THERE} AND level = ? AND start_us >= ?",
    ),
    False: (
        f"DELETE FROM gaps WHERE {_THERE} AND start_us >= ?",
        f"DELETE FROM switches WHERE {_THERE} AND at_us >= ?",
    ),
}
"""By whether a level is named; before all else of a batch."""
STATEMENTS = (  # models first: segments refer to them
    MODEL, STATION, SEGMENT, GAP, SWITCH, DEVICE, CHECKPOINT, NO_CHECKPOINT, OUTGOING,
    UNSYNCED,
)  # fmt: skip


class LogError(Exception):
    """The log can not be opened or written; the text names the file, found and expected."""


class SqliteLog:
    """The board's log, open for writing. One such object a file; readers open ``mode=ro``."""

    def __init__(self, path: Path) -> None:
        """Open the log, or create it; bring an older schema up to date.

        Raises:
            LogError: no such folder, not writable, not a log, damaged, or of a newer program.
                The file is then as it was: move it away, or bring back a copy.
        """
        self._path = path
        self._is_closed = False
        refuse_unfit(path)
        with _explained(self._path):
            connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        self._connection = connection
        try:
            with _explained(self._path):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
                connection.execute("PRAGMA foreign_keys = ON")
            with self._transaction():
                _migrations().apply(Database(connection, execute_plugins=False))
            self._models = self._newest_models()
        except BaseException:
            connection.close()
            raise

    def write(self, records: Iterable[Record], sent: Iterable[tuple[str, str]] = ()) -> None:
        """Write all records in one transaction. Saying a record again changes nothing.

        ``sent``: id and type of what the broker has taken of the outbox, to be forgotten.

        Raises:
            LogError: disk full, locked for longer than ``BUSY_S``, a value out of range, or a
                segment of a model that no ``ModelRecord`` named. None of the batch is written.
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
            statement, row = self._row(record, models)
            rows[statement].append(row)
        with self._transaction():
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
        with _explained(self._path):
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
        with _explained(self._path):
            found = self._connection.execute("SELECT station FROM checkpoints ORDER BY station")
            return [row[0] for row in found]

    def manifest(self, model: str, sha256: str) -> str | None:
        """Return the manifest of a model that the board ran once; None: it never did."""
        query = "SELECT manifest FROM models WHERE name = ? AND sha256 = ?"
        with _explained(self._path):
            found = self._connection.execute(query, (model, sha256)).fetchone()
        return found[0] if found else None

    def unsent(self, most: int) -> list[OutgoingRecord]:
        """Return what the broker has not taken yet, in the order of time."""
        query = (
            "SELECT o.id, o.type, o.topic, o.payload FROM outbox AS o"
            " LEFT JOIN segments AS s ON s.id = o.id ORDER BY s.start_us, o.type DESC LIMIT ?"
        )
        with _explained(self._path):
            return [OutgoingRecord(*row) for row in self._connection.execute(query, (most,))]

    def unsynced_base_us(self, station: str, boot_id: str) -> int | None:
        """Return by which base a station's newest unsynced session of this start was timed."""
        query = (
            "SELECT base_us FROM unsynced_sessions WHERE station = ? AND boot_id = ?"
            " AND NOT settled ORDER BY session DESC LIMIT 1"
        )
        with _explained(self._path):
            found = self._connection.execute(query, (station, boot_id)).fetchone()
        return found[0] if found else None

    def count_unsent(self) -> int:
        """Return how much the broker has not taken yet."""
        with _explained(self._path):
            return int(self._connection.execute("SELECT count(*) FROM outbox").fetchone()[0])

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
        with _explained(self._path):
            newest = self._connection.execute(query, {"station": station}).fetchone()[0]
        return int(newest or 0) + 1

    def close(self) -> None:
        """Move the write-ahead log into the file, so that the file alone holds everything.

        Closing again does nothing.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with _explained(self._path):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._connection.close()

    def _row(self, record: Written, models: dict[str, str]) -> tuple[str, Row]:
        """Return the statement that writes a record, and its values."""
        r = record
        if isinstance(r, SegmentRecord):
            if r.bundle not in models:
                raise LogError(
                    f"{self._path}: found a segment of model {r.bundle!r}, expected one that a"
                    f" ModelRecord named: {', '.join(sorted(models)) or 'there was none'}"
                )
            s = r.segment
            return SEGMENT, (
                r.id, r.station, r.bundle, models[r.bundle], r.modality, r.session, s.level,
                s.label, s.parent, s.start_us, s.end_us, s.confidence, s.observed, s.state,
                r.emitted_us,
            )  # fmt: skip
        if isinstance(r, GapRecord):
            return GAP, (r.station, r.bundle, r.session, r.start_us, r.end_us, r.reason)
        if isinstance(r, SwitchRecord):
            return SWITCH, (r.station, r.bundle, r.session, r.at_us, r.before, r.after)
        if isinstance(r, DeviceRecord):
            first_us, last_us = (None if t == NEVER_US else t for t in (r.first_us, r.last_us))
            return DEVICE, (
                r.station, r.device, r.session, r.adapter, r.placement, r.status, r.boot,
                first_us, last_us, r.messages, r.samples, r.rejected, r.duplicated, r.lost, r.late,
            )  # fmt: skip
        if isinstance(r, ModelRecord):
            return MODEL, (r.name, r.sha256, r.modality, r.engine, r.manifest, r.loaded_us)
        if isinstance(r, StationRecord):
            return STATION, (r.station, r.site, r.node, r.bundles, r.started_us)
        if isinstance(r, CheckpointRecord):
            if r.content is None:
                return NO_CHECKPOINT, (r.station,)
            return CHECKPOINT, (r.station, r.session, r.saved_us, r.content)
        if isinstance(r, OutgoingRecord):
            return OUTGOING, (r.id, r.type, r.topic, r.payload)
        if isinstance(r, UnsyncedRecord):
            return UNSYNCED, (r.station, r.session, r.boot_id, r.base_us)
        raise TypeError(f"found {type(r).__name__}, expected a record that is a row")

    def _newest_models(self) -> dict[str, str]:
        """Return the SHA-256 of each model name's latest load."""
        query = "SELECT name, sha256 FROM models ORDER BY loaded_us"
        return dict(self._connection.execute(query).fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing. The write lock is taken at once: a later wait could not be granted."""
        with _explained(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back by itself
                    self._connection.execute("ROLLBACK")
                raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, so that no other room needs to know them."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise LogError(f"{path}: found {error}, expected records within the schema") from error
    except sqlite3.Error as error:
        raise LogError(f"{path}: found {error}, expected an intact log to write to") from error


def _migrations() -> Migrations:
    """Return the files of ``edge/schema`` as migrations, in order of their numbers."""
    migrations = Migrations(MIGRATION_SET)
    for file in sorted(SCHEMA.glob("*.sql")):

        def migrate(db: Database, sql: str = file.read_text(encoding="utf-8")) -> None:
            db.executescript(sql)

        migrations(name=file.stem)(migrate)
    return migrations


def refuse_unfit(path: Path) -> None:
    """Read a file that is to be the log, and only read it.

    Raises:
        LogError: no folder to put it in, or there is something that is not an intact log of ours.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise LogError(f"{path}: found no folder {path.parent} to write in, expected one")
    if path.is_dir():
        raise LogError(f"{path}: found a folder, expected a log, or no file")
    if not path.exists():
        return
    address = f"{path.absolute().as_uri()}?mode=ro"
    with (
        _explained(path),
        closing(sqlite3.connect(address, timeout=BUSY_S, uri=True)) as connection,
    ):
        _refuse_schema(path, connection)
        damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise LogError(f"{path}: found damage ({damage}), expected an intact log to write to")


def _refuse_schema(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a newer program's log and somebody else's database."""
    database = Database(connection, execute_plugins=False)
    applied = [step.name for step in _migrations().applied(database)]
    tables = database.table_names()
    if tables and not applied:
        raise LogError(
            f"{path}: found a database of something else, with tables {', '.join(tables)};"
            " expected a log, or no file"
        )
    newest = max(SCHEMA.glob("*.sql")).stem
    if applied and max(applied) > newest:
        raise LogError(
            f"{path}: found schema version {_version(max(applied))}, expected"
            f" {_version(newest)} or older: a newer program wrote this log; use that program"
        )


def _version(name: str) -> int:
    """Return the number of a migration.

    >>> _version("0002_views")
    2
    """
    return int(name.split("_")[0])
