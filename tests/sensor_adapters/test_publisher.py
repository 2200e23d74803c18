"""What a replay says it published is with the broker, whether a board listens or not."""

import socket
import threading

import pytest

from sensor_adapters import publisher
from sensor_adapters.publisher import BrokerError, Publisher
from sensor_adapters.replay import Sent

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
