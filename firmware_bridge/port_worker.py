"""One port at work: opened, read, answered, and opened again when it comes back."""

import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any

from firmware_bridge.board import Board, Host
from firmware_bridge.config import PortConfig
from firmware_bridge.lines import LineReader
from firmware_bridge.messages import MessageError
from firmware_bridge.readings import Outgoing, Readings, Target
from firmware_bridge.serial_port import PortGone, SerialPort

log = logging.getLogger(__name__)
FIRST_WAIT_S, MOST_WAIT_S = 0.2, 5.0
UNREAD_BYTES = 2000
"""So many in a row without a frame are no noise: the line runs at another rate."""


class PortWorker(threading.Thread):
    """Reads one port until told to stop; what it holds begins anew with every opening."""

    def __init__(
        self, name: str, config: PortConfig, host: Callable[[], Host],
        put: Callable[[Outgoing], None],
    ) -> None:  # fmt: skip
        super().__init__(name=name, daemon=True)
        self._config, self._host, self._put = config, host, put
        self._stopping = threading.Event()
        self._failed = ""
        self.error: Exception | None = None
        """What ended the thread, if anything did: a fault of ours."""
        self.is_open = False
        self.openings = 0
        self.put = 0
        """Payloads that were handed on."""
        self._begin()

    def _begin(self) -> None:
        session = uuid.uuid4().hex[:8]
        self.board = Board()
        self._readings = Readings(self._config.targets, session)
        lines = self._config.lines
        self._unread = 0  # bytes since the newest frame
        self.lines = (
            LineReader(lines, Target(self._config.station, lines.device), session)
            if lines
            else None
        )

    def run(self) -> None:
        """Work until told to stop; an error of ours ends the whole bridge."""
        try:
            self._work()
        except Exception as error:
            self.error = error
            raise

    def _work(self) -> None:
        """Open, read until it is gone, close, wait, open again."""
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            try:
                port = SerialPort(self._config.path, self._config.baud, resets=self._config.resets)
            except PortGone as error:
                self._say(f"{self.name}: {error}; trying again")
                self._stopping.wait(wait_s)
                wait_s = min(2 * wait_s, MOST_WAIT_S)
                continue
            wait_s = FIRST_WAIT_S
            self._begin()
            self._say("")
            self.is_open, self.openings = True, self.openings + 1
            try:
                self._read(port)
            except PortGone as error:
                self._say(f"{self.name}: gone: {error}; waiting for it to come back")
            finally:
                self.is_open = False
                port.close()  # before the wait, or it comes back under another name
                self._hand_on(*self._readings.rest())

    def _read(self, port: SerialPort) -> None:
        while not self._stopping.is_set():
            data = port.read()
            host = self._host()
            if self._config.streams:
                self._frames(port, data, host)
            if self.lines is not None:
                self.lines.alive(host)
                self._hand_on(*(self.lines.heard(data, host) if data else self.lines.due(host)))

    def _frames(self, port: SerialPort, data: bytes, host: Host) -> None:
        frames = self.board.deframer.counts.frames
        for placed in self.board.heard(data, host):
            if placed.schema.name not in self._config.targets:
                self.board.counts[f"stream {placed.schema.name} goes nowhere"] += 1
                continue
            try:
                self._hand_on(*self._readings.of(placed))
            except MessageError as error:
                self.board.counts["unreadable"] += 1
                self.board.logs.append(str(error))
        self._hand_on(*self._readings.due(host))
        if self.lines is None:
            self._note_unread(len(data), is_read=self.board.deframer.counts.frames > frames)
        if self.board.is_alive(host):
            self._hand_on(*self._readings.beats(host))
        if due := self.board.due(host):
            port.write(due)

    def _note_unread(self, size: int, *, is_read: bool) -> None:
        """Say once that bytes come and no frame."""
        before, self._unread = self._unread, 0 if is_read else self._unread + size
        if before < UNREAD_BYTES <= self._unread:
            log.warning(
                "%s: %d bytes and no frame in them, expected one at least: is baud = %d the"
                " board's rate, and does its firmware speak our wire?",
                self.name, self._unread, self._config.baud,
            )  # fmt: skip

    def _hand_on(self, *outgoing: Outgoing) -> None:
        self.put += len(outgoing)
        for one in outgoing:
            self._put(one)

    def _say(self, text: str) -> None:
        """Say what is wrong once, and once that it is well again."""
        if text and text != self._failed:
            log.warning("%s", text)
        elif self._failed and not text:
            log.warning("%s: open", self.name)
        self._failed = text

    def stop(self) -> None:
        """End after what is being read."""
        self._stopping.set()

    def health(self) -> dict[str, Any]:
        """Return what is known of the port, for machines."""
        board, counts = self.board, self.board.deframer.counts
        body: dict[str, Any] = {"open": self.is_open, "openings": self.openings, "put": self.put}
        if self.lines is not None:
            body["lines"] = dict(self.lines.counts)
        if not self._config.streams:
            return body
        body |= {
            "device": board.hello.device if board.hello else None,
            "firmware": board.hello.firmware if board.hello else None,
            "starts": board.starts,
            "bytes": counts.bytes,
            "frames": counts.frames,
            "wrong": counts.wrong,
            "torn": counts.torn,
            "too_long": counts.too_long,
            "lost": {
                one.schema.name: one.lost for one in list(board.streams.values()) if one.schema
            },
            "left_out": dict(board.counts),
        }
        if board.time.is_known:
            body["clock"] = board.clock_health()
        return body
