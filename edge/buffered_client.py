"""paho's client, cheaper for many messages: read in large pieces, acknowledged many at once.

paho reads a message by four calls of the system and acknowledges it by two more, and each of them
hands the interpreter over to the thread that infers. What of paho is not public is used here only.
"""

import struct
from collections.abc import Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MessageType, MQTTErrorCode

PIECE_BYTES = 1 << 18
MOST_PACKETS = 1000
"""Dealt with before the client sees to what goes out."""


class BufferedSocket:
    """A socket that is read in pieces of up to ``PIECE_BYTES``; else the socket itself."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self._piece = memoryview(bytearray(PIECE_BYTES))  # one for all: no memory in shreds
        self._at = self._end = 0

    def recv(self, most_bytes: int) -> bytes:
        """Return what is there of the next ``most_bytes``, nothing at the end; raises as a socket.

        It may be less, as with any socket.
        """
        if self._at == self._end:
            self._end = self._plain.recv_into(self._piece)
            self._at = 0
        begin = self._at
        self._at = min(begin + most_bytes, self._end)
        return self._piece[begin : self._at].tobytes()

    @property
    def held_bytes(self) -> int:
        """What was read and not asked for."""
        return self._end - self._at

    def pending(self) -> int:
        """Return how much can be read that the system no longer tells of; paho asks."""
        of_tls = getattr(self._plain, "pending", None)
        return self.held_bytes + (of_tls() if of_tls else 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


class BufferedClient(mqtt.Client):
    """A client of paho's over a ``BufferedSocket``."""

    def _create_socket(self) -> Any:
        return BufferedSocket(super()._create_socket())

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Deal with what has come, ``MOST_PACKETS`` of it."""
        for _ in range(MOST_PACKETS):
            code = super().loop_read(max_packets)
            connection: Any = self._sock
            if (
                code != MQTTErrorCode.MQTT_ERR_SUCCESS
                or connection is None
                or not connection.held_bytes
            ):
                break
        return code

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """Acknowledge messages of QoS 1; all go out together."""
        kind = MessageType.PUBACK
        packets = b"".join(struct.pack("!BBH", kind, 2, number) for number in numbers)
        if packets:
            self._packet_queue(kind, packets, 0, 1)
