"""paho's client read in larger pieces: the same messages, fewer calls."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.buffered_client import PIECE_BYTES, BufferedClient, BufferedSocket
from tests import live


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, BufferedSocket]]:
    far, near = socket.socketpair()
    near.setblocking(False)
    with far, near:
        yield far, BufferedSocket(near)


def test_what_came_at_once_is_read_at_once_and_given_in_pieces():
    with pair() as (far, near):
        far.sendall(b"abcdef")
        assert [near.recv(1), near.recv(2)] == [b"a", b"bc"]
        assert near.pending() == near.held_bytes == 3
        far.sendall(b"g")
        assert near.recv(100) == b"def"
        assert near.recv(100) == b"g"


def test_a_socket_with_nothing_to_read_says_so_and_one_at_its_end_gives_nothing():
    with pair() as (far, near):
        with pytest.raises(BlockingIOError):
            near.recv(1)
        assert near.pending() == 0
        far.close()
        assert near.recv(1) == b""


def heard(port: int, messages: list[bytes], window: int) -> list[bytes]:
    """Return what a client hears that acknowledges ``window`` messages at a time."""
    came, numbers, ready, over = list[bytes](), list[int](), threading.Event(), threading.Event()
    client = BufferedClient(CallbackAPIVersion.VERSION2, client_id="ear", manual_ack=True)

    def on_message(_: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        came.append(bytes(message.payload))
        numbers.append(message.mid)
        if len(numbers) == window or len(came) == len(messages):
            client.acknowledge(numbers)
            numbers.clear()
        if len(came) == len(messages):
            over.set()

    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("a", 1)
    assert ready.wait(10)
    sender = mqtt.Client(CallbackAPIVersion.VERSION2)
    sender.connect("127.0.0.1", port)
    sender.loop_start()
    for payload in messages:
        said = sender.publish("a", payload, qos=1)
    said.wait_for_publish(10)
    assert over.wait(30), f"{len(came)} of {len(messages)} came"
    for one in (sender, client):
        one.disconnect()
        one.loop_stop()
    return came


def test_many_messages_come_whole_and_the_broker_sends_on_once_they_are_acknowledged(tmp_path):
    said = [f"{n}".encode() * (n % 50) for n in range(2000)]
    more = "max_inflight_messages 500\nmax_queued_messages 5000\n"
    with live.mosquitto(tmp_path, None, more) as port:
        assert heard(port, said, 500) == said


def test_a_message_longer_than_a_piece_comes_whole(tmp_path):
    said = [bytes([n]) * (PIECE_BYTES * 2 + n) for n in range(3)]
    with live.mosquitto(tmp_path) as port:
        assert heard(port, said, 1) == said
