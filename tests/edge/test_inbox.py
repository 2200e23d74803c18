"""The gate to MQTT: one thread alone writes to the broker; what waits for it is bounded."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
import pytest

from edge.config import BoardBroker
from edge.inbox import MOST_UNSENT, Inbox
from sensor_adapters.topics import Message

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14


def packet(connection: socket.socket) -> tuple[int, bytes]:
    """Return the type and body of the next packet, shorter than 128 bytes."""
    kind, length = connection.recv(2, socket.MSG_WAITALL)
    return kind >> 4, connection.recv(length, socket.MSG_WAITALL) if length else b""


@contextmanager
def broker() -> Iterator[tuple[int, list[int]]]:
    """Run a broker for one client; yield its port and the types of the packets that came."""
    came: list[int] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while DISCONNECT not in came:
                kind, body = packet(connection)
                came.append(kind)
                if kind == CONNECT:
                    connection.sendall(b"\x20\x02\x00\x00")
                if kind == SUBSCRIBE:
                    connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
                    for number in range(1, 101):  # QoS 1: each is to be acknowledged
                        connection.sendall(b"\x32\x06\x00\x01a\x00" + bytes([number]) + b"x")
                if kind == PUBLISH:
                    topic = 2 + body[1]
                    connection.sendall(b"\x40\x02" + body[topic : topic + 2])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        thread.join(10)
        assert not thread.is_alive()


def inbox(port: int) -> Inbox:
    return Inbox(BoardBroker(port=port), "board", ["a"], Message("s", b"offline", 0))


def test_who_publishes_never_writes_to_the_socket(monkeypatch: pytest.MonkeyPatch):
    writers = set()
    write = mqtt.Client.loop_write

    def noted(client: mqtt.Client):
        writers.add(threading.current_thread())
        return write(client)

    monkeypatch.setattr(mqtt.Client, "loop_write", noted)
    with broker() as (port, came):
        one = inbox(port)
        one.start()
        assert one.wait_subscribed()
        taken = 0
        while taken < 100:
            taken += sum(1 for _ in one.take(5, 10))
            one.publish("b", b"y")
        at_work = set(writers)  # at the end paho's thread is gone, and nobody is in its way
        one.stop(Message("s", b"stopped", 0))
    assert at_work, "the spy saw nothing"
    assert threading.current_thread() not in at_work
    assert came[-2:] == [PUBLISH, DISCONNECT], "the farewell, and an orderly end"


def test_what_waits_for_a_broker_that_is_away_is_bounded():
    one = inbox(port=1)
    for _ in range(MOST_UNSENT + 100):
        one.publish("b", b"y")
    one.publish("b", b"y", qos=0)
    assert len(one._client._out_messages) == MOST_UNSENT
