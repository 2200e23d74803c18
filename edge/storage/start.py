"""Before a log is opened for writing: set aside what is damaged, copy what will be migrated."""

import logging
import os
import shutil
from pathlib import Path

from edge.records import LogEventRecord
from edge.storage.beside import aside, beside, set_aside, size_bytes
from edge.storage.copies import copy
from edge.storage.errors import LogDamaged, LogError
from edge.storage.look import look, newest_version, roll_back
from edge.storage.wal import Survey, survey

log = logging.getLogger(__name__)
AT_ONCE_BYTES = 128 << 20
"""A log up to this is read for damage before work begins: in half a second, cold in two."""
SUSPECT = ".suspect"
"""Ends the name of a note that damage was met, so that the next start reads the whole log."""


def refuse_folder(path: Path) -> None:
    """Refuse a path in whose folder nothing can be written.

    Raises:
        LogError: it is so.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise LogError(f"{path}: found no folder {path.parent} to write in, expected one")
    if path.is_dir():
        raise LogError(f"{path}: found a folder, expected a log, or no file")


def prepare(path: Path, now_us: int) -> list[LogEventRecord]:
    """Make sure that a log can be opened at ``path``; return what had to be done to it.

    Raises:
        LogError: a newer program's log, somebody else's database, or no room for a copy of an
            older one before it is changed. The file is as it was then.
    """
    events = []
    if not survey(beside(path, "-wal")).is_header_sound:
        gone = beside(set_aside(path, now_us, ("-wal",)), "-wal")
        events.append(
            _said(now_us, "set_aside", f"{gone.name}: what was not in the file yet is in no log")
        )
    if not size_bytes(path) and size_bytes(beside(path, "-wal")):
        gone = set_aside(path, now_us)
        events.append(_said(now_us, "set_aside", f"{gone.name}-wal: without its file"))
    try:
        roll_back(path)
        version = look(path, whole=is_read_at_once(path))
    except LogDamaged as error:
        gone = set_aside(path, now_us)
        beside(path, SUSPECT).unlink(missing_ok=True)
        found = str(error).removeprefix(f"{path}: ")
        events.append(_said(now_us, "set_aside", f"{gone.name}: {found}; a new log begins"))
        return events
    beside(path, SUSPECT).unlink(missing_ok=True)
    if 0 < version < newest_version():
        kept = beside(path, f".before-{newest_version()}")
        log.warning("%s is of schema %d: it is copied, then changed", path, version)
        copy(path, kept)
        events.append(_said(now_us, "migrated", f"from schema {version}; as it was: {kept.name}"))
    return events


def is_read_at_once(path: Path) -> bool:
    """Is a log small, or suspected, so that it is read whole before work begins?"""
    return size_bytes(path) <= AT_ONCE_BYTES or beside(path, SUSPECT).exists()


def suspect(path: Path, why: str) -> None:
    """Note that damage was met."""
    try:
        beside(path, SUSPECT).write_text(why + "\n", encoding="utf-8")
    except OSError as error:
        log.warning("%s: %s", path, error)


def broken_off(path: Path, now_us: int, before: Survey, frames: int) -> list[LogEventRecord]:
    """Keep a copy of a write-ahead log of which SQLite left out whole transactions; say so.

    Args:
        path: of the log.
        now_us: the time.
        before: what the write-ahead log held.
        frames: how many of these SQLite took.
    """
    # The last page may be of a batch that a kill cut off: nobody was told that it is written.
    gone = sum(frames < end < before.frames for end in before.commits)
    if not gone:
        return []
    kept = beside(aside(path, now_us), "-wal")
    shutil.copyfile(beside(path, "-wal"), kept)
    text = (
        f"{kept.name}: broken after {frames} of {before.frames} pages; at least {gone} batches"
        " behind that are not in the log, as after a power cut"
    )
    return [_said(now_us, "broken_off", text)]


def _said(at_us: int, event: str, detail: str) -> LogEventRecord:
    log.warning("log: %s: %s", event.replace("_", " "), detail)
    return LogEventRecord(event, at_us, None, detail)
