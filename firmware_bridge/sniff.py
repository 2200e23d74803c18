"""What a board says, shown as it comes."""

import threading
import time
from collections import Counter
from typing import Any

from rich.console import Console

from firmware_bridge.board import Board, Host, Placed
from firmware_bridge.frames import Type
from firmware_bridge.messages import MessageError
from firmware_bridge.serial_port import SerialPort
from firmware_bridge.service import host
from sensor_adapters.samples import US_PER_S

TEXT_BYTES = 64


class Sniffer:
    """One port, listened to and answered, so that clocks are compared as the bridge does."""

    def __init__(self, port: str, baud: int) -> None:
        """Open the port.

        Raises:
            PortGone: it can not be opened.
        """
        self._port = SerialPort(port, baud, resets=False)
        self._board = Board()
        self._readings: Counter[str] = Counter()
        self._frames: Counter[str] = Counter()
        self._first_us = host().now_us
        self._said_us = self._first_us
        self._text = b""
        """The newest bytes, for one that prints lines."""

    def run(self, stop: threading.Event, seconds: float, show: Console | None) -> None:
        """Listen until told to stop, or so long.

        Raises:
            PortGone: it went away.
        """
        end_s = time.monotonic() + seconds if seconds else float("inf")
        while not stop.is_set() and time.monotonic() < end_s:
            data = self._port.read()
            now = host()
            self._text = (self._text + data)[-TEXT_BYTES:]
            for placed in self._board.heard(data, now):
                self._take(placed, show)
            if due := self._board.due(now):
                self._port.write(due)
            if show is not None and now.now_us - self._said_us >= US_PER_S:
                self._said_us = now.now_us
                show.print(self._line(now), highlight=False, markup=False)
        self._port.close()

    def _take(self, placed: Placed, show: Console | None) -> None:
        name = placed.schema.name
        self._frames[name] += 1
        if placed.frame.type == Type.EVENT:
            self._readings[name] += 1
            if show is not None:
                text = placed.frame.payload.decode(errors="replace")
                show.print(f"{name}: {text}", highlight=False, markup=False)
            return
        try:
            self._readings[name] += len(placed.schema.values(placed.frame.payload))
        except MessageError as error:
            self._board.logs.append(str(error))

    def _line(self, now: Host) -> str:
        board, counts = self._board, self._board.deframer.counts
        if not counts.frames:
            if self._text.isascii() and b"\n" in self._text:
                return f"lines of text: {self._text.splitlines()[0].decode()!r}"
            return f"{counts.bytes} bytes, no frame yet"
        seconds = (now.now_us - self._first_us) / US_PER_S
        rates = ", ".join(f"{n} {c / seconds:.1f}/s" for n, c in sorted(self._readings.items()))
        lost = sum(one.lost for one in board.streams.values())
        who = board.hello.device if board.hello else "no name yet"
        clock = board.clock_health() if board.time.is_known else {}
        known = "".join(f", {name} {value}" for name, value in clock.items())
        wrong = counts.wrong + counts.torn + counts.too_long
        return f"{who}: {rates}; {counts.frames} frames, {lost} lost, {wrong} broken{known}"

    def summary(self) -> dict[str, Any]:
        """Return all of it, for machines."""
        board, counts = self._board, self._board.deframer.counts
        return {
            "device": board.hello.device if board.hello else None,
            "bytes": counts.bytes,
            "frames": counts.frames,
            "broken": counts.wrong + counts.torn + counts.too_long,
            "streams": {
                one.schema.name: {
                    "frames": self._frames[one.schema.name],
                    "readings": self._readings[one.schema.name],
                    "lost": one.lost,
                }
                for one in board.streams.values()
                if one.schema
            },
            "clock": board.clock_health() if board.time.is_known else None,
        }
