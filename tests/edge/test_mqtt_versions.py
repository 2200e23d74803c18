"""What a broker lets wait for the board and keeps for it, by MQTT 3.1.1 and 5."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Literal

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import BoardBroker
from edge.inbox import MOST_UNDER_WAY, Inbox
from sensor_adapters.topics import Message
from tests import live

COUNT = 900  # mosquitto queues 1000 by itself


@contextlib.contextmanager
def inbox(port: int, version: Literal["3.1.1", "5"]) -> Iterator[Inbox]:
    one = Inbox(BoardBroker(port=port, mqtt=version), "board", ["a"], Message("s", b"off", 0))
    one.start()
    try:
        assert one.wait_subscribed()
        yield one
    finally:
        one.stop(Message("s", b"stopped", 0))


@contextlib.contextmanager
def sender(port: int) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def send(port: int, first: int, count: int) -> None:
    with sender(port) as client:
        for number in range(first, first + count):
            said = client.publish("a", str(number).encode(), qos=1)
        said.wait_for_publish(10)


def take(one: Inbox, most: int, most_s: float = 20) -> list[int]:
    """Return the numbers that come, until there are ``most`` or nothing more comes for a second."""
    came, end_s = list[int](), time.monotonic() + most_s
    while len(came) < most and time.monotonic() < end_s:
        some = [int(message.payload) for message in one.take(1, most - len(came))]
        if not some:
            break
        came += some
    return came


@pytest.mark.parametrize(("version", "come"), [("3.1.1", 20), ("5", COUNT)])
def test_by_mqtt_5_the_board_says_how_many_messages_may_wait_for_it(tmp_path, version, come):
    with live.mosquitto(tmp_path) as port, inbox(port, version) as one:
        send(port, 0, COUNT)
        assert take(one, COUNT) == list(range(come)), "mosquitto allows 20 unless it is told more"


def test_a_board_that_speaks_mqtt_5_says_no_more_than_it_can_hold():
    assert MOST_UNDER_WAY <= 65535, "the number has 16 bits"


@pytest.mark.parametrize("versions", [("5", "5"), ("3.1.1", "5"), ("5", "3.1.1")])
def test_what_was_not_acknowledged_comes_again_also_by_the_other_version(tmp_path, versions):
    before, after = versions
    with live.mosquitto(tmp_path, None, "max_inflight_messages 100\n") as port:
        with inbox(port, before) as one:
            send(port, 0, 30)
            assert take(one, 10) == list(range(10))
            one.acknowledge()
            assert take(one, 20) == list(range(10, 30))
        send(port, 30, 5)  # while the board is away
        with inbox(port, after) as one:
            assert take(one, 25) == list(range(10, 35))


def said_of(one: Inbox, caplog: pytest.LogCaptureFixture) -> str:
    """Return what is said of a broker, or why it is given up."""
    one.start()
    end_s = time.monotonic() + 15
    while "broker.mqtt" not in caplog.text and not one.refusal and time.monotonic() < end_s:
        time.sleep(0.05)
    one.stop(Message("s", b"stopped", 0))
    return one.refusal or caplog.text


def test_a_broker_that_does_not_answer_to_mqtt_5_is_told_of(caplog: pytest.LogCaptureFixture):
    port = live.free_port()
    command = [sys.executable, "-m", "edge.embedded_broker", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        live.wait_for_port(port, process)
        one = Inbox(BoardBroker(port=port, mqtt="5"), "board", ["a"], Message("s", b"off", 0))
        said = said_of(one, caplog)
    finally:
        process.terminate()
        process.wait(10)
    assert "says nothing: is it one, and does it speak MQTT 5 (broker.mqtt)?" in said


def test_a_broker_that_refuses_mqtt_5_ends_the_board(caplog: pytest.LogCaptureFixture):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x20\x02\x00\x01")  # as brokers of before MQTT 5 do

        threading.Thread(target=refuse, daemon=True).start()
        port = server.getsockname()[1]
        one = Inbox(BoardBroker(port=port, mqtt="5"), "board", ["a"], Message("s", b"off", 0))
        assert said_of(one, caplog).endswith('broker.mqtt is "5", expected another')
