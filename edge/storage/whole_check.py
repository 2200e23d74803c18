"""Reading a large log for damage beside the work: its start does not wait for that."""

import contextlib
import logging
import sqlite3
import threading
from pathlib import Path

from edge.storage.errors import LogError
from edge.storage.look import reading

log = logging.getLogger(__name__)


class WholeCheck:
    """SQLite's ``quick_check`` on a thread and a connection of its own, once."""

    def __init__(self, path: Path) -> None:
        """Begin."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._stopped = False
        self.damage = ""
        """What was found, if anything was."""
        self._thread = threading.Thread(target=self._run, name="whole check", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with reading(self._path, briefly=False) as connection:
                self._connection = connection
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                self.damage = "" if found == "ok" else found
        except LogError as error:
            if not self._stopped:
                log.warning("the log could not be checked: %s", error)
                self.damage = str(error) if "malformed" in str(error) else ""

    def wait(self) -> None:
        """Wait until it is done."""
        self._thread.join()

    def stop(self) -> None:
        """End it, done or not."""
        self._stopped = True
        while self._thread.is_alive():
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.interrupt()
            self._thread.join(0.05)
