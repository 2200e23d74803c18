"""The gate to mcap, reading: a file's messages, or what is left of it.

The framing of records is read here, so that the place where a file is cut short is known; what is
in them, and in chunks, the library reads.
"""

import os
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message as McapMessage, Metadata
from mcap.stream_reader import breakup_chunk
from mcap.writer import MCAP0_MAGIC

from sensor_adapters.recorder.mcap_recording import ABOUT
from sensor_adapters.recording import RecordingError
from sensor_adapters.topics import Message

MOST_CHUNK_BYTES = 1 << 30  # unpacked; ours are of a megabyte
NS_PER_US = 1000


class McapReader:
    """A file's messages, in the order in which they were received, as far as it goes."""

    def __init__(self, path: Path) -> None:
        """Look at what is there.

        Raises:
            RecordingError: no file, or none of this format.
        """
        self.path = path
        self.damage = ""
        """What is wrong with the file; known once all messages were read."""
        self.lost = 0
        """Messages that its recorder received and could not keep; known then."""
        self.metadata: dict[str, dict[str, str]] = {}
        """By record; known then."""
        try:
            with path.open("rb") as file:
                found = file.read(len(MCAP0_MAGIC))
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}, expected an MCAP file") from error
        if found != MCAP0_MAGIC:
            raise RecordingError(f"{path}: begins with {found!r}, expected an MCAP file")

    def __iter__(self) -> Iterator[Message]:
        self.damage, self.lost, self.metadata = "", 0, {}
        channels: dict[int, Channel] = {}
        expected: int | None = None
        for at, record in self._records():
            if isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Metadata):
                self.metadata[record.name] = record.metadata
            elif isinstance(record, McapMessage):
                channel = channels.get(record.channel_id)
                if channel is None:
                    self.damage = f"damaged at byte {at}: a message of no channel"
                    return
                if ABOUT in self.metadata:
                    hole = 0 if expected is None else (record.sequence - expected) & 0xFFFFFFFF
                    self.lost += hole if hole < 1 << 31 else 0
                    expected = record.sequence + 1
                yield _message(channel, record)

    def _records(self) -> Iterator[tuple[int, Any]]:
        """Yield (byte, record), those in chunks as well; end where the file is no longer whole."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                at = len(MCAP0_MAGIC)
                while True:
                    file.seek(at)
                    head = file.read(9)
                    opcode, length = struct.unpack("<BQ", head) if len(head) == 9 else (0, size)
                    if at + 9 + length > size:
                        self.damage = f"cut short at byte {size}"
                        return
                    if opcode == Opcode.FOOTER:
                        file.seek(at + 9 + length)
                        if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
                            self.damage = f"cut short at byte {size}"
                        return
                    if opcode in _PARSERS:
                        try:
                            found = _PARSERS[opcode](file.read(length), length)
                        except Exception as error:  # a stranger's bytes in a stranger's library
                            self.damage = (
                                f"damaged at byte {at}: {str(error) or type(error).__name__}"
                            )
                            return
                        for record in found:
                            yield at, record
                    at += 9 + length
        except OSError as error:
            self.damage = f"can not be read: {error.strerror}"


def _chunk(body: bytes, _: int) -> list[Any]:
    chunk = Chunk.read(_stream(body))
    if chunk.uncompressed_size > MOST_CHUNK_BYTES:
        raise ValueError(f"a chunk of {chunk.uncompressed_size} bytes")
    return list(breakup_chunk(chunk, validate_crc=True))


def _stream(body: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(body))


_PARSERS: dict[int, Callable[[bytes, int], list[Any]]] = {
    Opcode.CHANNEL: lambda body, _: [Channel.read(_stream(body))],
    Opcode.METADATA: lambda body, _: [Metadata.read(_stream(body))],
    Opcode.MESSAGE: lambda body, length: [McapMessage.read(_stream(body), length)],
    Opcode.CHUNK: _chunk,
}


def _message(channel: Channel, record: McapMessage) -> Message:
    qos = channel.metadata.get("qos", "")
    return Message(
        channel.topic,
        record.data,
        record.log_time // NS_PER_US,
        channel.metadata.get("retained") == "true",
        int(qos) if qos in ("0", "1", "2") else 1,
    )
