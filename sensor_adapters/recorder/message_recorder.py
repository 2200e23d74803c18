"""What comes from a broker into a file, a second at a time. Clock and both ends are arguments."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sensor_adapters.topics import Message

FLUSH_S = 1.0
WAIT_S = 0.2
MOST_AT_ONCE = 1000


class Source(Protocol):
    """Where messages come from."""

    def take(self, wait_s: float, most: int) -> list[tuple[int, Message]]:
        """Return up to ``most`` messages with their numbers, after ``wait_s`` perhaps none."""


class Sink(Protocol):
    """Where they go."""

    def add(self, message: Message, sequence: int) -> bool:
        """Take a message in; return False where it is not kept."""

    def flush(self) -> None:
        """Make safe what was added."""


@dataclass
class Tally:
    """What was recorded."""

    messages: Counter[str] = field(default_factory=Counter)
    """By topic."""
    payload_bytes: Counter[str] = field(default_factory=Counter)
    """By topic."""

    def note(self, message: Message) -> None:
        """Count a message that was kept."""
        self.messages[message.topic] += 1
        self.payload_bytes[message.topic] += len(message.payload)


def record(
    source: Source,
    sink: Sink,
    tally: Tally,
    is_over: Callable[[], bool],
    now_s: Callable[[], float],
    seconds: float | None = None,
) -> None:
    """Record until it is over, or for so many seconds.

    Raises:
        NoRoom: the sink takes no more; ``tally`` says what it took.
    """
    start_s = flushed_s = now_s()
    while not is_over() and (seconds is None or now_s() - start_s < seconds):
        _move(source, sink, tally, WAIT_S)
        if now_s() - flushed_s >= FLUSH_S:
            sink.flush()
            flushed_s = now_s()


def drain(source: Source, sink: Sink, tally: Tally) -> None:
    """Record what waits at a source to which nothing more comes.

    Raises:
        NoRoom: the sink takes no more.
    """
    while _move(source, sink, tally, 0):
        pass


def _move(source: Source, sink: Sink, tally: Tally, wait_s: float) -> int:
    taken = source.take(wait_s, MOST_AT_ONCE)
    for number, message in taken:
        if sink.add(message, number):
            tally.note(message)
    return len(taken)
