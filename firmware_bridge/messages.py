"""What frames carry, beside samples: who a device is, what its streams hold, what time it is.

All of it little-endian; texts are UTF-8 behind their length in a byte.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_bridge.frames import PROTOCOL
from sensor_adapters.payloads import brief
from sensor_adapters.samples import Floats

_HELLO = struct.Struct("<BI")
_SCHEMA = struct.Struct("<BBI")
_CHANNEL = struct.Struct("<Bf")
_SYNC = struct.Struct("<Q")
_SYNC_ANSWER = struct.Struct("<QI")
_COMMAND = struct.Struct("<H")
_ACK = struct.Struct("<HB")
NUMBERS = ("<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<f4")
"""Kinds of number that a record may hold, as numpy names them, in the wire's order."""


class MessageError(ValueError):
    """A frame's payload is not what its type says; the text names found and expected."""


class Kind(IntEnum):
    """How a stream's silence is read; see ``sensor_adapters.samples.Stream``."""

    SAMPLED = 0
    LEVEL = 1
    EVENT = 2


@dataclass(frozen=True)
class Hello:
    """Who a device is."""

    device: str
    boot: int
    """Another number after every start."""
    firmware: str
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Channel:
    """One number of a record."""

    name: str
    unit: str
    """After ``scale``."""
    number: str
    """One of ``NUMBERS``."""
    scale: float
    """Unit of one step."""


@dataclass(frozen=True)
class Schema:
    """What a stream's records hold."""

    name: str
    kind: Kind
    dt_us: int
    """From one record to the next; 0 where they come unasked."""
    channels: tuple[Channel, ...]

    @cached_property
    def record(self) -> np.dtype[np.void]:
        """A record as it lies in the payload."""
        return np.dtype([(f"f{i}", one.number) for i, one in enumerate(self.channels)])

    @cached_property
    def seed(self) -> int:
        """Where the CRC of the stream's SAMPLES begins."""
        return zlib.crc32(pack_schema(self))

    def values(self, payload: bytes) -> Floats:
        """Return (N, C) readings in the channels' units.

        Raises:
            MessageError: there is no whole number of records.
        """
        if not self.record.itemsize or len(payload) % self.record.itemsize:
            raise MessageError(
                f"{self.name}: found {len(payload)} bytes, expected records of"
                f" {self.record.itemsize}"
            )
        raw: npt.NDArray[Any]
        if len({one.number for one in self.channels}) == 1:
            raw = np.frombuffer(payload, self.channels[0].number).reshape(-1, len(self.channels))
        else:
            rows = np.frombuffer(payload, self.record)
            raw = np.stack([rows[name].astype(np.float64) for name in self.record.names or ()], 1)
        values: Floats = (raw * self._scale).astype(np.float32)
        return values

    @cached_property
    def _scale(self) -> npt.NDArray[np.float64]:
        return np.array([one.scale for one in self.channels], np.float64)


def pack_hello(hello: Hello) -> bytes:
    """Return a HELLO's payload."""
    head = _HELLO.pack(hello.protocol, hello.boot)
    return head + _text(hello.device) + _text(hello.firmware)


def read_hello(payload: bytes) -> Hello:
    """Return who a device says it is.

    Raises:
        MessageError: it is cut off, no UTF-8, or of another protocol.
    """
    reader = _Reader("HELLO", payload)
    protocol, boot = reader.numbers(_HELLO)
    if protocol != PROTOCOL:
        raise MessageError(f"HELLO: found protocol {protocol}, expected {PROTOCOL}")
    return Hello(reader.text(), boot, reader.text(), protocol)


def pack_schema(schema: Schema) -> bytes:
    """Return a SCHEMA's payload."""
    parts = [_SCHEMA.pack(schema.kind, len(schema.channels), schema.dt_us), _text(schema.name)]
    for one in schema.channels:
        parts += [_CHANNEL.pack(NUMBERS.index(one.number), one.scale), _text(one.name)]
        parts.append(_text(one.unit))
    return b"".join(parts)


def read_schema(payload: bytes) -> Schema:
    """Return what a stream's records hold.

    Raises:
        MessageError: it is cut off, no UTF-8, or names a kind or number that we do not know.
    """
    reader = _Reader("SCHEMA", payload)
    kind, count, dt_us = reader.numbers(_SCHEMA)
    if kind not in tuple(Kind):
        raise MessageError(f"SCHEMA: found kind {kind}, expected 0 to {max(Kind)}")
    name = reader.text()
    channels = []
    for _ in range(count):
        number, scale = reader.numbers(_CHANNEL)
        if number >= len(NUMBERS):
            raise MessageError(f"SCHEMA: found number {number}, expected 0 to {len(NUMBERS) - 1}")
        if not np.isfinite(scale):
            raise MessageError(f"SCHEMA: found scale {scale}, expected a finite one")
        channels.append(Channel(reader.text(), reader.text(), NUMBERS[number], scale))
    if len({one.name for one in channels}) < count:
        raise MessageError(f"SCHEMA: {brief(name)} names a channel twice, expected each once")
    return Schema(name, Kind(kind), dt_us, tuple(channels))


def pack_sync(sent_us: int) -> bytes:
    """Return a SYNC's payload: the host's own clock when it asks."""
    return _SYNC.pack(sent_us)


def read_sync_answer(payload: bytes) -> tuple[int, int]:
    """Return the host's clock when it asked, and the device's when it heard it.

    Raises:
        MessageError: it is of another length.
    """
    sent_us, heard_us = _Reader("SYNC", payload).numbers(_SYNC_ANSWER)
    return sent_us, heard_us


def pack_command(number: int, text: str) -> bytes:
    """Return a COMMAND's payload."""
    return _COMMAND.pack(number) + text.encode()


def read_ack(payload: bytes) -> tuple[int, int]:
    """Return the command's number, and how it went: 0 is well.

    Raises:
        MessageError: it is of another length.
    """
    number, status = _Reader("ACK", payload).numbers(_ACK)
    return number, status


def _text(text: str) -> bytes:
    raw = text.encode()
    return bytes([len(raw)]) + raw


class _Reader:
    """Reads a payload from its front."""

    def __init__(self, what: str, payload: bytes) -> None:
        self._what, self._rest = what, payload

    def _next(self, count: int) -> bytes:
        if len(self._rest) < count:
            raise MessageError(
                f"{self._what}: found {len(self._rest)} bytes more, expected {count}"
            )
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def numbers(self, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack(self._next(form.size))

    def text(self) -> str:
        (count,) = self._next(1)
        try:
            return self._next(count).decode()
        except UnicodeDecodeError as error:
            raise MessageError(f"{self._what}: {error}, expected UTF-8") from error
