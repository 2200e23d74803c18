"""What can be wrong with the log, told apart by what helps; SQLite's errors become ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAITS = {
    "database or disk is full": "room to write",
    "attempt to write a readonly database": "a disk that can be written to",
    "disk I/O error": "a disk that can be read and written",
    "unable to open database file": "a disk that can be read and written",
    "database is locked": "no other program that writes",
    "database table is locked": "no other program that writes",
}
"""What SQLite says of the world around an intact file, and what was expected of it."""
FULL = "database or disk is full"
DAMAGED = ("database disk image is malformed", "file is not a database", "malformed database")


class LogError(Exception):
    """The log can not be opened or written; the text names the file, found and expected."""


class LogWaits(LogError):
    """The disk is full, read-only or gone, or another program writes: it may pass."""

    def __init__(self, path: Path, why: str) -> None:
        """``why`` is SQLite's text."""
        super().__init__(f"{path}: found {why}, expected {WAITS[why]}")
        self.why = why

    @property
    def is_full(self) -> bool:
        """Is there no room?"""
        return self.why == FULL


class LogDamaged(LogError):
    """The file is not what SQLite wrote."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, so that no other room needs to know them.

    Raises:
        LogError: LogWaits or LogDamaged, where it is one of these.
    """
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise LogError(f"{path}: found {error}, expected records within the schema") from error
    except sqlite3.Error as error:
        said = str(error)
        if said in WAITS:
            raise LogWaits(path, said) from error
        kind = LogDamaged if said.startswith(DAMAGED) else LogError
        raise kind(f"{path}: found {said}, expected an intact log") from error
