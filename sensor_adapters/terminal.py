"""What commands share at the terminal: where they write, how they fail, how Ctrl-C ends them."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

out, err = Console(), Console(stderr=True)
STOPPED = 130  # as a shell says of what Ctrl-C ended


def fail(text: str, code: int) -> NoReturn:
    """Say what is wrong on stderr and stop: 2 for a setting, 1 for the world."""
    err.print(f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def say(text: str) -> None:
    """Say something on stderr that does not stop anything."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C or SIGTERM as a wish to end in order; the second ends at once."""
    wish = threading.Event()

    def note(number: int, _: object) -> None:
        wish.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield wish.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def progress_bar() -> Progress:
    """Return a progress display on stderr with the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} messages"),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )


def until_stopped() -> threading.Event:
    """Return what SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stop.set())
    return stop


def hang_ups() -> threading.Event:
    """Return what SIGHUP sets, by which a service is told to read its configuration again."""
    told = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: told.set())
    return told


def log_to_stderr(*, verbose: bool) -> None:
    """Let warnings be seen, and with ``verbose`` what happens besides."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
