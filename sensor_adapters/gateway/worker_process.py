"""A worker's process from outside: what it is at, whether it hangs, and its successor.

One batch of messages is with it at a time, so that it always reads what we send. Whichever message
it is at when it hangs or dies is left out; those behind it are done by the next process.
"""

import contextlib
import multiprocessing
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from sensor_adapters.gateway.device_worker import (
    Answer,
    Failed,
    Open,
    Opened,
    Read,
    Task,
    answers,
    encode,
    serve,
)

BATCH = 64
HANG_S = 2.0
"""For a message."""
START_S = 30.0
"""For a process to begin, and import what it must."""
MOST_WAITING = 10_000
_context = multiprocessing.get_context("spawn")


class WorkerProcess:
    """A process for adapters."""

    def __init__(self, name: str) -> None:
        """Take the adapter's name; the process begins with the first task."""
        self._name = name
        self._waiting: deque[Task] = deque()
        self._with_it: deque[Task] = deque()
        self._opened: dict[str, Open] = {}
        self._made: set[str] = set()
        self._is_new = True
        self.dropped = 0
        """Messages for which there was no room."""
        self.restarts = 0
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._since_s = 0.0
        """When it began what it is at."""

    def put(self, task: Task) -> None:
        """Let a task wait; the oldest message is dropped where there is no room."""
        if isinstance(task, Open):
            self._opened[task.device] = task
        if len(self._waiting) >= MOST_WAITING:
            oldest = next((t for t in self._waiting if not isinstance(t, Open)), None)
            if oldest is not None:
                self._waiting.remove(oldest)
                self.dropped += 1
        self._waiting.append(task)

    def forget(self, device: str) -> int:
        """Leave out the messages of a device that wait; return how many."""
        left = [t for t in self._waiting if not (isinstance(t, Read) and t.device == device)]
        gone = len(self._waiting) - len(left)
        self._waiting = deque(left)
        return gone

    @property
    def is_idle(self) -> bool:
        """Is nothing left to do?"""
        return not self._waiting and not self._with_it

    def poll(self) -> Iterator[tuple[Task, Answer]]:
        """Yield what has been done since; what it hangs at is answered by ``Failed``."""
        while self._with_it and self._connection is not None:
            try:
                if not self._connection.poll():
                    break
                answer = answers.decode(self._connection.recv_bytes())
            except (EOFError, ConnectionError):
                yield from self._blamed("its process ended")
                break
            self._since_s, self._is_new = time.monotonic(), False
            task = self._with_it.popleft()
            if isinstance(answer, Opened) and isinstance(task, Open):
                self._made.add(task.device)
            yield task, answer
        patience_s = START_S if self._is_new else HANG_S
        if self._with_it and time.monotonic() - self._since_s > patience_s:
            yield from self._blamed(f"no answer for {patience_s:g} s")
        if self._waiting and not self._with_it:
            self._send()

    def _send(self) -> None:
        if self._process is not None and not self._process.is_alive():
            self.stop()  # it died while it had nothing to do: nobody is to blame
            self.restarts += 1
            self._open_again()
        if self._process is None:
            ours, theirs = _context.Pipe()
            self._process = _context.Process(
                target=serve, args=(theirs,), daemon=True, name=f"adapter-{self._name}"
            )
            self._process.start()
            theirs.close()
            self._connection, self._is_new = ours, True
        count = min(BATCH, len(self._waiting))
        self._with_it.extend(self._waiting.popleft() for _ in range(count))
        self._since_s = time.monotonic()
        assert self._connection is not None
        with contextlib.suppress(ConnectionError, OSError):  # the next ``poll`` finds it dead
            self._connection.send_bytes(encode(list(self._with_it)))

    def _blamed(self, why: str) -> Iterator[tuple[Task, Answer]]:
        """End the process, and let another do what it has not: all but the one it was at."""
        self.stop()
        self.restarts += 1
        guilty = self._with_it.popleft()
        if isinstance(guilty, Open) and guilty.device not in self._made:
            del self._opened[guilty.device]
        left = [task for task in self._with_it if not isinstance(task, Open)]
        self._with_it.clear()
        self._waiting.extendleft(reversed(left))
        self._open_again()
        yield guilty, Failed(why)

    def _open_again(self) -> None:
        """Put the making of all devices before what waits."""
        waiting = {task.device for task in self._waiting if isinstance(task, Open)}
        again = [one for name, one in self._opened.items() if name not in waiting]
        self._waiting.extendleft(reversed(again))

    def stop(self) -> None:
        """End the process."""
        if self._process is not None and self._connection is not None:
            self._process.kill()
            self._process.join(5)
            self._connection.close()
        self._process = self._connection = None
