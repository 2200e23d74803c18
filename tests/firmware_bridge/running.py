"""The bridge as a process of its own, a virtual board at a pseudo-terminal, and who hears them."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from firmware_bridge.simulate import Pty, simulate
from firmware_bridge.virtual_board import VirtualBoard
from tests import live


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


@contextlib.contextmanager
def bridge(folder: Path, port: int, ports: str) -> Iterator[live.Host]:
    """Run a bridge for these ports of its configuration."""
    text = f'version = 1\nsite = "test"\nnode = "board-1"\n[broker]\nport = {port}\n{ports}'
    with live.host(folder / "bridge.toml", "firmware_bridge", text) as one:
        yield one


def glove(link: Path) -> str:
    """Return a virtual board's part of the configuration."""
    return (
        f'[ports.glove]\npath = "{link}"\nstation = "pack-1"\n'
        '[ports.glove.streams]\nimu = "imu-rw"\nscanner = "scan"\ndrawer = "drawer"\n'
    )
