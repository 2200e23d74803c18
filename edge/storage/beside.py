"""The files beside a log: their names, and setting a damaged log aside with all of them."""

import os
from datetime import datetime, timezone
from pathlib import Path

TAILS = ("", "-wal", "-shm")
"""Of a database in three files."""


def beside(path: Path, tail: str) -> Path:
    """Return the file beside ``path`` that has this at the end of its name.

    >>> beside(Path("a/log.db"), "-wal").name
    'log.db-wal'
    """
    return path.with_name(path.name + tail)


def size_bytes(path: Path) -> int:
    """Return a file's size; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def free_bytes(folder: Path) -> int:
    """Return how much a program without privileges may still write there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def sync_folder(folder: Path) -> None:
    """Make names in a folder last."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def aside(path: Path, now_us: int) -> Path:
    """Return a name that is free, for what was found damaged at this time."""
    at = datetime.fromtimestamp(now_us / 1e6, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    name, more = f"{path.name}.damaged-{at}", 1
    while any(path.with_name(name + tail).exists() for tail in TAILS):
        more += 1
        name = f"{path.name}.damaged-{at}-{more}"
    return path.with_name(name)


def set_aside(path: Path, now_us: int, tails: tuple[str, ...] = TAILS) -> Path:
    """Rename a damaged log and what belongs to it; return its new name.

    Nothing is deleted that held anything: the file ``-shm`` is made anew from the others.
    """
    target = aside(path, now_us)
    for tail in tails:
        if size_bytes(beside(path, tail)) and tail != "-shm":
            beside(path, tail).rename(beside(target, tail))
        else:
            beside(path, tail).unlink(missing_ok=True)
    sync_folder(path.parent)
    return target
