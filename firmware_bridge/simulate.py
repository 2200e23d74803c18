"""A virtual board at the end of a pseudo-terminal, so that the bridge can be tried without one."""

import os
import select
import threading
import tty
from contextlib import suppress
from pathlib import Path

from firmware_bridge.service import host
from firmware_bridge.virtual_board import VirtualBoard

STEP_S = 0.01


class Pty:
    """A pseudo-terminal whose other end has a name that does not change."""

    def __init__(self, link: Path) -> None:
        """Make one and let ``link`` point to it.

        Raises:
            OSError: the link can not be written.
        """
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.link = link
        new = link.with_name(f"{link.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(os.ttyname(self._theirs))
        new.replace(link)

    def read(self, wait_s: float) -> bytes:
        """Return what was written at the other end; wait so long where nothing was."""
        ready, _, _ = select.select([self._ours], [], [], wait_s)
        return os.read(self._ours, 4096) if ready else b""

    def write(self, data: bytes) -> None:
        """Let it be read at the other end; what nobody reads is lost, as on a line."""
        _, ready, _ = select.select([], [self._ours], [], 0)
        if ready:
            os.write(self._ours, data)

    def close(self) -> None:
        """Pull the plug."""
        self.link.unlink(missing_ok=True)
        for end in (self._ours, self._theirs):
            with suppress(OSError):
                os.close(end)


def simulate(board: VirtualBoard, pty: Pty, stop: threading.Event) -> None:
    """Let a board live at a pseudo-terminal until told to stop."""
    board.started_us = host().now_us
    pty.write(board.greeting(board.started_us))
    while not stop.is_set():
        asked = pty.read(STEP_S)
        now_us = host().now_us
        if asked:
            pty.write(board.told(asked, now_us))
        for frame in board.says(now_us):
            pty.write(frame)
