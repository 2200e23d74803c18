"""Copies of a log: whole or not there, taken while it is written; and what a broken one yields."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from edge.storage.beside import beside, free_bytes, size_bytes, sync_folder
from edge.storage.errors import LogError, explained
from edge.storage.look import look, reading

PAGE_BYTES = 1024
"""Of a log: a batch of few rows writes whole pages (README, "The disk")."""
STEP_PAGES = 4096
PAUSE_S = 0.01
"""Between two steps, so that a board that works is not held up by a copy."""


def copy(
    source: Path, target: Path, told: Callable[[int, int], None] = lambda done, of: None
) -> None:
    """Copy a log as it is at this moment; what is written meanwhile is not in it.

    Args:
        source: of the log, which others may be writing.
        target: of the copy; it takes this name when it is whole, checked and on the disk.
        told: is called with pages done and pages in all.

    Raises:
        LogError: no room, not readable, or the copy is not intact. There is no copy then.
    """
    if not target.parent.is_dir():
        raise LogError(f"{target}: found no folder {target.parent}, expected one")
    needed = size_bytes(source) + size_bytes(beside(source, "-wal"))
    if (free := free_bytes(target.parent)) < needed:
        raise LogError(
            f"{target}: found {free / 1e6:.0f} MB free, expected {needed / 1e6:.0f} MB for a copy"
        )
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with (
            reading(source, briefly=False) as reader,
            explained(part),
            closing(sqlite3.connect(part)) as writer,
        ):
            reader.execute("BEGIN")  # one moment for all steps, whatever is written meanwhile
            reader.execute("SELECT 1 FROM sqlite_master").fetchone()
            reader.backup(
                writer, pages=STEP_PAGES, sleep=PAUSE_S,
                progress=lambda status, left, of: told(of - left, of),
            )  # fmt: skip
            writer.execute("PRAGMA journal_mode = DELETE")  # so that it is one file
        look(part, whole=True)
        _sync(part)
        part.replace(target)
        sync_folder(target.parent)
    finally:
        for tail in ("", "-journal", "-wal", "-shm"):
            beside(part, tail).unlink(missing_ok=True)


def _sync(file: Path) -> None:
    number = os.open(file, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def vacuum(path: Path) -> None:
    """Write a log anew, without free pages; whoever calls holds its lock.

    Raises:
        LogError: no room for as much again, or somebody reads it.
    """
    needed = size_bytes(path)
    if (free := free_bytes(path.parent)) < needed:
        raise LogError(
            f"{path}: found {free / 1e6:.0f} MB free, expected {needed / 1e6:.0f} MB to write it"
        )
    with explained(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # else pages keep their size
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")


def salvage(source: Path, target: Path) -> dict[str, tuple[int, bool]]:
    """Write what can be read of a damaged log into a log that was just begun.

    Returns, by table, how many rows were found, and whether all of the table could be read.

    Raises:
        LogError: not even the names of its tables can be read, or no room.
    """
    found: dict[str, tuple[int, bool]] = {}
    with reading(source) as reader, explained(target), closing(sqlite3.connect(target)) as writer:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite%'"
        there = {name for (name,) in reader.execute(tables)}
        for (name,) in writer.execute(tables).fetchall():
            if name in there:
                found[name] = _rescued(reader, writer, name)
        writer.commit()
    return found


def _rescued(
    reader: sqlite3.Connection, writer: sqlite3.Connection, table: str
) -> tuple[int, bool]:
    """Copy a table's rows from both of its ends towards what can not be read."""
    have = {row[1] for row in reader.execute(f"PRAGMA table_info({table})")}
    info = [row for row in writer.execute(f"PRAGMA table_info({table})") if row[1] in have]
    columns = ", ".join(f'"{row[1]}"' for row in info)
    marks = ", ".join("?" * len(info))
    key = ", ".join(f'"{row[1]}"' for row in sorted(info, key=lambda r: r[5]) if row[5])
    order = "rowid" if _has_rowid(reader, table) else key
    backwards = ", ".join(f"{one} DESC" for one in order.split(", "))
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"
    before = writer.total_changes
    for way in (order, backwards):
        try:
            for row in reader.execute(f"SELECT {columns} FROM {table} ORDER BY {way}"):
                writer.execute(insert, row)
            return writer.total_changes - before, True
        except sqlite3.DatabaseError as error:
            if "malformed" not in str(error):
                raise
    return writer.total_changes - before, False


def _has_rowid(reader: sqlite3.Connection, table: str) -> bool:
    try:
        reader.execute(f"SELECT rowid FROM {table} LIMIT 0")
    except sqlite3.OperationalError:
        return False
    return True
