"""The gate to mcap, writing: MQTT messages into a file that is whole after every flush.

A channel is a topic, with what MQTT says beside the payload in its metadata: ``qos``, and
``retained`` where it is. A topic whose messages differ in those has a channel for each.
``log_time`` is when we received a message, ``publish_time`` its first reading's where our payload
says it in UTC, ``sequence`` counts what we received: a hole is a loss. Format: mcap.dev/spec.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from mcap.writer import CompressionType, Writer

from sensor_adapters.recorder.mcap_recording import ABOUT, DEVICES
from sensor_adapters.recorder.whole_file import WholeFile
from sensor_adapters.topics import ROOT, Message

JSON, RAW = "json", "x-raw"
LEAST_FREE_BYTES = 64 << 20
"""On the disk: below it a recording ends, so that there is room to end in order."""
MOST_CHANNELS = 60_000  # of the 65,535 that fit into a channel's number
NS_PER_US = 1000


class NoRoom(Exception):
    """The file takes no more; the text says why."""


class _Head(msgspec.Struct):
    """What a payload of ours says of its time."""

    t0: int
    clk: str = "utc"


_head = msgspec.json.Decoder(_Head)


class McapWriter:
    """A new file of messages; whole after every ``flush``, whatever happens to us then."""

    def __init__(
        self,
        path: Path,
        about: Mapping[str, str],
        placements: Mapping[str, str],
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Begin the file.

        Args:
            path: of a file that is not there yet.
            about: what is said of the recording, in its first record.
            placements: by ``station/device``, in its second, where any are known.
            free_bytes: how much a folder's disk has left.

        Raises:
            OSError: it is there, or can not be made.
        """
        self._path, self._free_bytes = path, free_bytes
        self._file = WholeFile(path)
        self.is_cut = False
        """Whether the end of what was added had to be given up."""
        self._channels: dict[tuple[str, str, int, bool], int] = {}
        self._writer = Writer(self._file, compression=CompressionType.ZSTD)  # type: ignore[arg-type]
        self._writer.start()
        self._writer.add_metadata(ABOUT, {"version": "1", **about})
        if placements:
            self._writer.add_metadata(DEVICES, dict(placements))
        self._file.mark()

    def add(self, message: Message, sequence: int) -> bool:
        """Take a message in; return False where there are too many topics for it.

        Raises:
            NoRoom: the disk is full; the file holds what it held when it last was whole.
        """
        encoding, publish_us = _encoding(message)
        key = (message.topic, encoding, message.qos, message.retained)
        if key not in self._channels and len(self._channels) >= MOST_CHANNELS:
            return False
        log_ns, publish_ns = message.received_us * NS_PER_US, publish_us * NS_PER_US
        try:
            if key not in self._channels:
                metadata = {"qos": str(message.qos)}
                if message.retained:
                    metadata["retained"] = "true"
                self._channels[key] = self._writer.register_channel(
                    message.topic, encoding, 0, metadata
                )
            self._writer.add_message(
                self._channels[key], log_ns, message.payload, publish_ns, sequence & 0xFFFFFFFF
            )
        except OSError as error:
            raise self._no_room(error) from error
        self._file.mark()
        return True

    def flush(self) -> None:
        """Bring all that was added to the disk.

        Raises:
            NoRoom: the disk is full, or nearly: then the file can still be ended in order.
        """
        try:
            self._writer.flush()  # type: ignore[no-untyped-call]
        except OSError as error:
            raise self._no_room(error) from error
        self._file.mark()
        if (free := self._free_bytes(self._path.parent)) < LEAST_FREE_BYTES:
            raise NoRoom(
                f"the disk of {self._path} has {free >> 20} MiB left, expected"
                f" {LEAST_FREE_BYTES >> 20} at least"
            )

    def _no_room(self, error: OSError) -> NoRoom:
        """Cut back what was written in part; the library's own counts are wrong from here on."""
        self.is_cut = True
        self._file.cut_back()
        return NoRoom(f"{self._path}: {error.strerror}; it ends without its index")

    def close(self, lost: int) -> None:
        """End the file with its summary, and how much was lost.

        Raises:
            NoRoom: there is none for the summary; the messages are there.
        """
        try:
            if not self.is_cut:
                self._writer.flush()  # type: ignore[no-untyped-call]
                self._writer.add_metadata(f"{ABOUT}.end", {"lost": str(lost)})
                self._file.mark()
                self._writer.finish()  # type: ignore[no-untyped-call]
                self._file.flush()
        except OSError as error:
            raise self._no_room(error) from error
        finally:
            self._file.close()


def _encoding(message: Message) -> tuple[str, int]:
    """Return a payload's encoding, and its device's time where it is ours and says it, us UTC."""
    try:
        if message.topic.startswith(f"{ROOT}/") and message.topic.split("/")[5:6] == ["in"]:
            head = _head.decode(message.payload)
            is_utc = head.clk == "utc" and 0 <= head.t0 < 1 << 54
            return JSON, head.t0 if is_utc else message.received_us
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return RAW, message.received_us
    return JSON, message.received_us
