"""Frames of the wire: bytes in, frames out, and back; ``firmware/solosense_wire.h`` says the form.

``type u8 | stream u8 | seq u16 | time u32 | payload | crc u32``, little-endian, COBS encoded, a
zero behind it (Cheshire and Baker, "Consistent Overhead Byte Stuffing", SIGCOMM 1997). The CRC is
``zlib.crc32``; that of SAMPLES begins with that of their schema.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from cobs import cobs

PROTOCOL = 1
MOST_ENCODED = 1024
"""Bytes of a frame on the wire, its zero included."""
MOST_PAYLOAD = 1006
END = b"\x00"
_HEAD = struct.Struct("<BBHI")
_CRC = struct.Struct("<I")


class Type(IntEnum):
    """What a frame says."""

    HELLO = 0x01
    SCHEMA = 0x02
    SAMPLES = 0x03
    EVENT = 0x04
    LOG = 0x05
    SYNC = 0x06
    COMMAND = 0x07
    ACK = 0x08
    ASK = 0x09


@dataclass(frozen=True)
class Frame:
    """One frame."""

    type: int
    """A ``Type``, or one that we do not know."""
    stream: int
    seq: int
    """Counts the frames of a stream, modulo 2^16."""
    time_us: int
    """The device's clock, modulo 2^32."""
    payload: bytes = b""


def encode(frame: Frame, seed: int = 0) -> bytes:
    """Return a frame as it goes over the wire, its zero included.

    Args:
        frame: what to send.
        seed: for SAMPLES ``zlib.crc32`` of the stream's SCHEMA payload, else 0.

    Raises:
        ValueError: the payload is too long.
    """
    if len(frame.payload) > MOST_PAYLOAD:
        raise ValueError(
            f"payload: found {len(frame.payload)} bytes, expected at most {MOST_PAYLOAD}"
        )
    body = _HEAD.pack(frame.type, frame.stream, frame.seq, frame.time_us) + frame.payload
    return bytes(cobs.encode(body + _CRC.pack(zlib.crc32(body, seed)))) + END


@dataclass
class Counts:
    """What became of the bytes of a port."""

    bytes: int = 0
    frames: int = 0
    """Whole, their CRC right."""
    torn: int = 0
    """Between two zeros, and no frame: too short, or no COBS."""
    wrong: int = 0
    """Of a wrong CRC."""
    unknown: int = 0
    """Samples whose schema is not known: nobody can tell whether they are whole."""
    too_long: int = 0


@dataclass
class Deframer:
    """Cuts a port's bytes into frames; holds at most one frame's bytes."""

    seeds: Mapping[int, int] = field(default_factory=dict)
    """By stream: ``zlib.crc32`` of its SCHEMA payload."""
    counts: Counts = field(default_factory=Counts)
    _waiting: bytearray = field(default_factory=bytearray)
    _skips: bool = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the frames that these bytes end; whatever is none is counted and left out.

        A frame's schema may be taken in before the next one is asked for.
        """
        self.counts.bytes += len(data)
        *ended, rest = data.split(END)
        for piece in ended:
            frame = self._ended(piece)
            if frame is not None:
                yield frame
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        if self._skips:
            return
        self._waiting += piece
        if len(self._waiting) >= MOST_ENCODED:
            self._waiting.clear()
            self._skips = True
            self.counts.too_long += 1

    def _ended(self, piece: bytes) -> Frame | None:
        self._keep(piece)
        skipped, self._skips = self._skips, False
        encoded = bytes(self._waiting)
        self._waiting.clear()
        if skipped or not encoded:
            return None
        try:
            body = cobs.decode(encoded)
        except cobs.DecodeError:
            self.counts.torn += 1
            return None
        if len(body) < _HEAD.size + _CRC.size:
            self.counts.torn += 1
            return None
        return self._checked(body)

    def _checked(self, body: bytes) -> Frame | None:
        type_, stream, seq, time_us = _HEAD.unpack_from(body)
        seed = self.seeds.get(stream) if type_ == Type.SAMPLES else 0
        if seed is None:
            self.counts.unknown += 1
            return None
        (said,) = _CRC.unpack_from(body, len(body) - _CRC.size)
        if zlib.crc32(body[: -_CRC.size], seed) != said:
            self.counts.wrong += 1
            return None
        self.counts.frames += 1
        return Frame(type_, stream, seq, time_us, body[_HEAD.size : -_CRC.size])
