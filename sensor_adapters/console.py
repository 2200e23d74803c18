"""What our commands share: a voice, how they fail, and how they are told to stop."""

import logging
import signal
import threading
from typing import NoReturn

import typer
from rich.console import Console

out, err = Console(), Console(stderr=True)


def fail(text: str, code: int) -> NoReturn:
    """Say what is wrong on stderr and stop: 2 for a setting, 1 for the world."""
    err.print(f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def until_stopped() -> threading.Event:
    """Return what SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stop.set())
    return stop


def log_to_stderr(*, verbose: bool) -> None:
    """Let warnings be seen, and with ``verbose`` what happens besides."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
