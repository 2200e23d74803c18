"""The bridge as a process of its own, a virtual board at a pseudo-terminal, and who hears them."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from firmware_bridge.simulate import Pty, simulate
from firmware_bridge.virtual_board import VirtualBoard

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


@contextlib.contextmanager
def plugged(board: VirtualBoard, link: Path) -> Iterator[VirtualBoard]:
    """Let a board live at a pseudo-terminal."""
    pty, stop = Pty(link), threading.Event()
    thread = threading.Thread(target=simulate, args=(board, pty, stop), daemon=True)
    thread.start()
    try:
        yield board
    finally:
        stop.set()
        thread.join(5)
        pty.close()


class Bridge:
    """A ``solosense-bridge run`` process."""

    def __init__(self, folder: Path, port: int, ports: str) -> None:
        self.file, self._said = folder / "bridge.toml", folder / "bridge.log"
        self.file.write_text(
            f'version = 1\nsite = "test"\nnode = "board-1"\n[broker]\nport = {port}\n{ports}'
        )
        self.process = self._start()

    def _start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "firmware_bridge", "run", str(self.file)]
        with self._said.open("ab") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_said(self, text: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while text not in self.said:
            assert time.monotonic() < end_s, f"{text!r} was not said: {self.said}"
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    def kill(self) -> None:
        """Cut its power."""
        self.process.kill()
        self.process.wait(10)

    def again(self) -> None:
        """Start it again."""
        self.process = self._start()

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def bridge(folder: Path, port: int, ports: str) -> Iterator[Bridge]:
    """Run a bridge for these ports of its configuration."""
    one = Bridge(folder, port, ports)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.kill()


def glove(link: Path) -> str:
    """Return a virtual board's part of the configuration."""
    return (
        f'[ports.glove]\npath = "{link}"\nstation = "pack-1"\n'
        '[ports.glove.streams]\nimu = "imu-rw"\nscanner = "scan"\ndrawer = "drawer"\n'
    )
