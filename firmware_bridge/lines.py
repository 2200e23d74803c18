"""Level 0: lines of text, for a sketch that prints its numbers and a scanner that prints codes.

No sum, no number, no clock: a line is when it came, and what is broken is left out and counted.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from firmware_bridge.board import Host
from firmware_bridge.config import Lines
from firmware_bridge.readings import Outgoing, Target
from sensor_adapters import event, imu
from sensor_adapters.samples import US_PER_S, Samples

MOST_LINE = 512
BATCH_US = US_PER_S // 10
BEAT_US = 5 * US_PER_S
SAME_US = 300_000
"""The same code so soon again is the same scan."""
_BETWEEN = re.compile(rb"[,;\t ]+")


@dataclass
class LineReader:
    """What one device prints, since its port was opened."""

    config: Lines
    target: Target
    session: str
    counts: Counter[str] = field(default_factory=Counter)
    """What was left out, by reason."""
    _rest: bytearray = field(default_factory=bytearray)
    _skips: bool = True  # the first line may be half of one
    _rows: list[tuple[int, list[float]]] = field(default_factory=list)
    _seq: int = -1
    _said_us: int = 0
    _code: tuple[str, int] = ("", 0)

    def heard(self, data: bytes, host: Host) -> list[Outgoing]:
        """Take bytes; return what is ready."""
        now_us = host.now_us + host.wall_us
        *ended, rest = (bytes(self._rest) + data).replace(b"\r", b"\n").split(b"\n")
        found: list[Outgoing] = []
        for line in ended:
            if self._skips:
                self._skips = False
                continue
            if line.strip():
                found += self._line(line.strip(), now_us)
        if len(rest) > MOST_LINE:
            self.counts["too long"] += 1
            self._skips, rest = True, b""
        self._rest = bytearray(rest)
        return found + self.due(host)

    def due(self, host: Host) -> list[Outgoing]:
        """Return a batch that is full by now, or a heartbeat."""
        now_us = host.now_us + host.wall_us
        if self._rows and now_us - self._rows[0][0] >= BATCH_US:
            rows, self._rows = self._rows, []
            return [self._batch(rows)]
        if not self.config.columns and self._said_us and now_us - self._said_us >= BEAT_US:
            return [self._event(now_us, None)]
        return []

    def alive(self, host: Host) -> None:
        """Take note that the port is open: a scanner that says nothing has scanned nothing."""
        self._said_us = self._said_us or host.now_us + host.wall_us - BEAT_US
        self._skips &= bool(self.config.columns)

    def _line(self, line: bytes, now_us: int) -> list[Outgoing]:
        if not self.config.columns:
            code = line.decode(errors="replace")
            if self._code[0] == code and now_us - self._code[1] < SAME_US:
                self.counts["repeated"] += 1
                return []
            self._code = code, now_us
            return [self._event(now_us, code)]
        words = [word for word in _BETWEEN.split(line) if word]
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            self.counts["no numbers"] += 1
            return []
        if len(numbers) != len(self.config.columns):
            self.counts["of another length"] += 1
            return []
        if not np.isfinite(np.array(numbers, np.float32)).all():
            self.counts["beyond numbers"] += 1
            return []
        self._rows.append((max(now_us, self._rows[-1][0] if self._rows else 0), numbers))
        return []

    def _event(self, now_us: int, code: str | None) -> Outgoing:
        values = np.array([[code is not None]], np.float32)
        samples = Samples(self.target.device, event.stream, np.array([now_us]), values)
        self._seq, self._said_us = self._seq + 1, now_us
        payload = event.encode(samples, self.session, self._seq, [code])
        return Outgoing("event", self.target, self.session, self._seq, payload)

    def _batch(self, rows: list[tuple[int, list[float]]]) -> Outgoing:
        values = np.full((len(rows), 6), np.nan, np.float32)
        read = np.array([numbers for _, numbers in rows])
        scales = imu.ACC_SCALE[self.config.acc_unit], imu.GYR_SCALE[self.config.gyr_unit]
        names = [one.name for one in imu.stream.channels]
        for column, place in enumerate(map(names.index, self.config.columns)):
            values[:, place] = read[:, column] * scales[place // 3]
        time_us = np.array([at for at, _ in rows], np.int64)
        samples = Samples(self.target.device, imu.stream, time_us, values)
        self._seq, self._said_us = self._seq + 1, int(time_us[-1])
        payload = imu.encode(samples, self.session, self._seq)
        return Outgoing("imu", self.target, self.session, self._seq, payload)
