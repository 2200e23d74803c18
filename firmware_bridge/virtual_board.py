"""A board that is not there: an inertial unit at 100 Hz, a scanner and a drawer, and a clock.

Its clock runs at a rate of its own and counts from its own start in 32 bits, as a microcontroller's
does. It is asked what it says up to a time, and told what the host says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from firmware_bridge import messages
from firmware_bridge.frames import Deframer, Frame, Type, encode
from firmware_bridge.messages import Channel, Hello, Kind, Schema

ROWS = 10
DT_US = 10_000
SCAN_EVERY, DRAWER_EVERY = 70, 40
"""Frames of the inertial unit from one scan, and from one move of the drawer, to the next."""
IMU, SCANNER, DRAWER = range(3)
SCHEMAS = (
    Schema(
        "imu", Kind.SAMPLED, DT_US,
        tuple(Channel(f"acc_{axis}", "g", "<i2", 0.000122) for axis in "xyz")
        + tuple(Channel(f"gyr_{axis}", "deg/s", "<i2", 0.035) for axis in "xyz"),
    ),
    Schema("scanner", Kind.EVENT, 0, ()),
    Schema("drawer", Kind.LEVEL, 0, (Channel("open", "1", "<u1", 1.0),)),
)  # fmt: skip
"""Scales: LSM6DSOX data sheet (DS12814), table 2: ±4 g, ±1000 deg/s."""


@dataclass
class VirtualBoard:
    """A board, from its start on."""

    device: str = "virtual-1"
    boot: int = 1
    rate: float = 1.0
    """Microseconds of its clock in one of the host's."""
    started_us: int = 0
    """By the host's clock."""
    ahead_us: int = 0
    """What its clock began with; it may be changed, and jumps."""
    answers: bool = True
    """Does it say what time it is?"""
    dt_us: int = DT_US
    """Between readings of the inertial unit."""
    _deframer: Deframer = field(default_factory=Deframer)
    _seqs: list[int] = field(default_factory=lambda: [0] * len(SCHEMAS))
    _done: int = 0

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """What its streams hold."""
        return (replace(SCHEMAS[IMU], dt_us=self.dt_us), *SCHEMAS[1:])

    def clock_us(self, host_us: int) -> int:
        """Return what its clock says, modulo 2^32."""
        return (round((host_us - self.started_us) * self.rate) + self.ahead_us) % (1 << 32)

    def greeting(self, host_us: int) -> bytes:
        """Return who it is and what its streams hold."""
        now_us = self.clock_us(host_us)
        hello = messages.pack_hello(Hello(self.device, self.boot, "virtual"))
        said = [encode(Frame(Type.HELLO, 0, 0, now_us, hello))]
        for number, schema in enumerate(self.schemas):
            said.append(encode(Frame(Type.SCHEMA, number, 0, now_us, messages.pack_schema(schema))))
        return b"".join(said)

    def told(self, data: bytes, host_us: int) -> bytes:
        """Take what the host says at a time; return the answers."""
        said = b""
        for frame in self._deframer.feed(data):
            now_us = self.clock_us(host_us)
            if frame.type == Type.ASK:
                said += self.greeting(host_us)
            elif frame.type == Type.SYNC and self.answers:
                payload = frame.payload + now_us.to_bytes(4, "little")
                said += encode(Frame(Type.SYNC, 0, frame.seq, now_us, payload))
            elif frame.type == Type.COMMAND:
                payload = frame.payload[:2] + b"\x00"
                said += encode(Frame(Type.ACK, 0, 0, now_us, payload))
        return said

    def says(self, host_us: int) -> Iterator[bytes]:
        """Give what it says of itself up to a time, a frame at a time."""
        while True:
            begins_us = self.started_us + self._done * ROWS * self.dt_us
            if begins_us + ROWS * self.dt_us > host_us:
                return
            yield self._samples(begins_us)
            if self._done % SCAN_EVERY == SCAN_EVERY - 1:
                yield self._frame(Type.EVENT, SCANNER, begins_us, b"4901234567894")
            if self._done % DRAWER_EVERY == DRAWER_EVERY - 1:
                opened = bytes([self._done // DRAWER_EVERY % 2])
                yield self._frame(Type.SAMPLES, DRAWER, begins_us, opened)
            self._done += 1

    def _samples(self, begins_us: int) -> bytes:
        t = begins_us / 1e6 + np.arange(ROWS) * self.dt_us / 1e6
        rows = np.zeros((ROWS, 6))
        rows[:, :3] = np.stack([0.3 * np.sin(6 * t), 0.2 * np.cos(5 * t), np.ones(ROWS)], 1)
        rows[:, 3:] = np.stack([40 * np.sin(4 * t), 30 * np.cos(3 * t), np.zeros(ROWS)], 1)
        steps = rows / np.array([one.scale for one in SCHEMAS[IMU].channels])
        return self._frame(Type.SAMPLES, IMU, begins_us, steps.round().astype("<i2").tobytes())

    def _frame(self, type_: Type, stream: int, at_us: int, payload: bytes) -> bytes:
        seq, self._seqs[stream] = self._seqs[stream], (self._seqs[stream] + 1) % (1 << 16)
        seed = self.schemas[stream].seed if type_ == Type.SAMPLES else 0
        return encode(Frame(type_, stream, seq, self.clock_us(at_us), payload), seed)
