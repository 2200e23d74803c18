"""A file that keeps room on the disk, given up when the disk is full: then the log goes on."""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge.storage.beside import beside, free_bytes, size_bytes
from edge.storage.errors import LogWaits

log = logging.getLogger(__name__)
T = TypeVar("T")
ROOM = 3
"""So many times its size must be free before it is made anew."""


class Reserve:
    """``<log>.reserve``; of no bytes, it is none."""

    def __init__(self, path: Path, wanted_bytes: int) -> None:
        """``path`` is the log's."""
        self._path, self._bytes = beside(path, ".reserve"), wanted_bytes

    @property
    def is_wanted(self) -> bool:
        """Is there to be one?"""
        return self._bytes > 0

    @property
    def is_there(self) -> bool:
        """Is there room kept?"""
        return size_bytes(self._path) >= self._bytes > 0

    def make(self) -> bool:
        """Take room, if there is plenty; return whether it is kept."""
        if not self.is_wanted:
            self._path.unlink(missing_ok=True)
            return False
        if self.is_there:
            return True
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            if free_bytes(self._path.parent) < ROOM * self._bytes:
                return False
            number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(number, 0, self._bytes)
                return True
            except OSError:
                self._path.unlink()
            finally:
                os.close(number)
        return False

    def release(self) -> bool:
        """Give the room back; return whether there was any."""
        was_there = self._path.exists()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            if was_there:
                log.warning("the disk is full: %s is given up for the log to go on", self._path)
            return was_there
        return False

    def lend(self, work: Callable[[], T]) -> T:
        """Do something that writes; where the disk is full, once more without the reserve.

        Raises:
            LogWaits: there was no room all the same.
        """
        try:
            return work()
        except LogWaits as error:
            if not error.is_full or not self.release():
                raise
        return work()
