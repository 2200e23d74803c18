"""One program a log: a lock that the kernel takes back when its holder dies."""

import fcntl
import os
import time
from pathlib import Path

from edge.storage.beside import beside
from edge.storage.errors import LogError

PATIENCE_S = 5.0
"""For a program that is just ending."""


class Lock:
    """Held from making until ``release``, on a file beside the log; its content is our id."""

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        """Take the lock.

        Raises:
            LogError: another program holds it for longer than ``patience_s``.
        """
        self._log, self._path = path, beside(path, ".lock")
        end_s = time.monotonic() + patience_s
        while (number := self._taken()) is None:
            if time.monotonic() > end_s:
                holder = self._path.read_text(encoding="utf-8").strip() or "unknown"
                raise LogError(
                    f"{path}: found it in use by process {holder}, expected a log that no other"
                    " program writes"
                )
            time.sleep(0.05)
        self._number: int | None = number

    def _taken(self) -> int | None:
        try:
            number = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogError(f"{self._log}: found {error.strerror} for its lock file") from error
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(number).st_ino != self._path.stat().st_ino:  # released in this moment
                raise FileNotFoundError
            os.ftruncate(number, 0)
            os.write(number, str(os.getpid()).encode())
        except (BlockingIOError, FileNotFoundError):
            os.close(number)
            return None
        except OSError:  # no room for the number: the lock itself needs none
            pass
        return number

    def release(self) -> None:
        """Let others in. Releasing again does nothing."""
        if self._number is None:
            return
        self._path.unlink(missing_ok=True)  # while it is held: who waits for it looks again
        os.close(self._number)
        self._number = None
