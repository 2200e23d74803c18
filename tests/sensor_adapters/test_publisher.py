"""What a replay says it published is with the broker, whether a board listens or not."""

import socket
import threading

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensor_adapters import publisher
from sensor_adapters.publisher import BrokerError, Publisher
from sensor_adapters.replay import Sent
from tests import live

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14
MESSAGES = 1999


class OneClientBroker:
    """Acknowledges what one client publishes, up to ``most`` messages; then it hangs up."""

    def __init__(self, most: int = 1_000_000) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._most = most
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.topics: list[bytes] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with self._server, connection:
            while len(self.topics) < self._most:
                kind, length = connection.recv(2, socket.MSG_WAITALL)
                body = connection.recv(length, socket.MSG_WAITALL) if length else b""
                if kind >> 4 == CONNECT:
                    connection.sendall(b"\x20\x02\x00\x00")
                if kind >> 4 == SUBSCRIBE:
                    connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
                if kind >> 4 == PUBLISH:
                    end = 2 + body[1]
                    self.topics.append(body[2:end])
                    connection.sendall(b"\x40\x02" + body[end : end + 2])
                if kind >> 4 == DISCONNECT:
                    return


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_ANSWER_S", 0.1)


def sent() -> list[Sent]:
    return [Sent(number, "out", b"x") for number in range(MESSAGES)]


def test_all_is_with_the_broker_where_no_board_listens():
    broker = OneClientBroker()
    with Publisher(broker.address, "site", "node") as one:
        assert one.publish(sent(), speed=0) == MESSAGES
        assert one.settle() is None
    broker.thread.join(10)
    assert broker.topics.count(b"out") == MESSAGES


def test_a_broker_that_goes_away_where_no_board_listens_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publisher, "ANSWER_S", 0.5)
    broker = OneClientBroker(most=1200)
    with Publisher(broker.address, "site", "node") as one:
        with pytest.raises(BrokerError, match=r"the broker (went away|took nothing)"):
            one.publish(sent(), speed=0)
        broker.thread.join(10)


class Board:
    """Says to have what came, but while it is ``silent``; that it says later."""

    def __init__(self, port: int) -> None:
        self.silent, self.heard_again, self.held = False, threading.Event(), threading.Event()
        self._heard, self._left = set[bytes](), list[bytes]()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [("act/v1/site/node/request/ping", 1), ("out", 1)]
        )
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        if message.topic != "out":
            self._left.append(msgspec.json.decode(message.payload)["transaction"])
            self.held.set()
        elif message.payload in self._heard:
            self.silent = True
            self.heard_again.set()
            self.held.clear()
        self._heard.add(bytes(message.payload))
        self.answer()

    def answer(self) -> None:
        while self._left and not self.silent:
            body = {"transaction": self._left.pop(0), "data": {}}
            self._client.publish("act/v1/site/node/response/ping", msgspec.json.encode(body), qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.broker
def test_the_board_has_to_say_that_it_has_what_was_sent_again(tmp_path, monkeypatch):
    monkeypatch.setattr(publisher, "FIRST_ANSWER_S", 10)
    port = live.free_port()
    broker = live.start_mosquitto(tmp_path, port)
    board = Board(port)
    try:
        with Publisher(f"127.0.0.1:{port}", "site", "node") as one:
            assert one.wait_for_board(10, lambda: True)
            board.silent = True
            board.held.clear()
            one.publish([Sent(n, "out", b"%d" % n) for n in range(10)], speed=0)
            settling = threading.Thread(target=one.settle, daemon=True)
            settling.start()
            assert board.held.wait(10)
            broker.kill()
            broker.wait()
            board.silent = False  # until it hears something again
            broker = live.start_mosquitto(tmp_path, port)
            assert board.heard_again.wait(20)
            assert board.held.wait(10), "it is asked behind what was sent again"
            settling.join(0.5)
            assert settling.is_alive(), "an answer from before is no word on what was sent again"
            board.silent = False
            board.answer()
            settling.join(10)
            assert not settling.is_alive()
    finally:
        board.close()
        broker.kill()
        broker.wait()
