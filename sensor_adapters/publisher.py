"""The gate to paho on the sending side: publish in time, and not faster than the board takes it.

QoS 1 alone is no promise: a broker whose subscriber is slow drops what exceeds its queue and
acknowledges it all the same. So every ``ask_every`` messages the publisher asks the board
whether it has come that far, and stays at most two questions ahead. Where the broker was gone
meanwhile, what the board has not said to have is sent again.
"""

import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from sensor_adapters.broker_access import CREDENTIALS, REFUSED, WANTS_TLS, let_in, trouble
from sensor_adapters.replay import Sent, address, paced
from sensor_adapters.settings import Broker, ConfigError
from sensor_adapters.topics import base

ASK_EVERY = 250
AHEAD = 2
FIRST_ANSWER_S, ANSWER_S = 5.0, 120.0


class BrokerError(Exception):
    """The broker can not be reached or turns us away; the text says which."""


class Publisher:
    """One connection to a broker; ``with`` it, publish, and it says what the board answered."""

    def __init__(
        self, broker: str | Broker, site: str, node: str, *, ask_every: int = ASK_EVERY
    ) -> None:
        """Prepare to connect.

        Args:
            broker: where, and who we are; or HOST:PORT.
            site: the board's.
            node: the board.
            ask_every: so many messages; each answer makes the board write what it has. No more
                than half of what the broker holds for it.

        Raises:
            ValueError: ``broker`` is a text and not HOST:PORT.
            ConfigError: the password, a certificate or a key can not be read.
        """
        if isinstance(broker, str):
            host, port = address(broker)
            broker = Broker(host=host, port=port)
        self._broker, self._ask_every = broker, ask_every
        self._base = base(site, node)
        self.boot = uuid.uuid4().hex[:8]
        """What the devices call this start of theirs; new for every publisher."""
        self._answers: dict[str, dict[str, Any]] = {}
        self._came = threading.Condition()
        self._connected = threading.Event()
        self._reason: str | None = None
        self._asked = 0
        self._answered = 0
        self._kept: deque[tuple[int, Sent]] = deque()
        """What the board has not said to have, and the question whose answer says so."""
        self._is_lost = threading.Event()
        self._ending = False
        self._client = self._make()
        self.board_answers = True
        """Whether a board listens at all; if none does, nothing is waited for."""

    def _make(self) -> mqtt.Client:
        """Return a client that does not connect again by itself: what it repeats, it repeats late.

        Messages that the broker took and lost must come before those that it never took.
        """
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"replay-{self.boot}",
            reconnect_on_failure=False,
        )  # fmt: skip
        self._ear = let_in(client, self._broker)
        client.max_inflight_messages_set(200)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def __enter__(self) -> "Publisher":
        self._connect()
        return self

    def _connect(self) -> None:
        where = f"{self._broker.host}:{self._broker.port}"
        self._connected.clear()
        try:
            self._client.connect(self._broker.host, self._broker.port)
        except (OSError, ValueError) as error:  # a name that can not be one is a ValueError
            raise self._not_reached(error) from error
        self._client.loop_start()
        if not self._connected.wait(10) or self._reason is not None:
            self._client.loop_stop()
            if isinstance(self._ear.error, ssl.SSLError):
                raise self._not_reached(self._ear.error)
            if self._reason in REFUSED:
                raise ConfigError(f"broker {where} turned us away: {self._reason}; {CREDENTIALS}")
            raise BrokerError(f"broker {where} turned us away: {self._reason or 'no answer'}")

    def _not_reached(self, error: Exception) -> ConfigError | BrokerError:
        found = trouble(self._broker, error)
        return ConfigError(found.text) if found.is_setting else BrokerError(found.text)

    def __exit__(self, *exc: object) -> None:
        self._ending = True
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self._reason = str(reason) if reason.is_failure else None
        if self._reason is None:
            client.subscribe(f"{self._base}/response/ping", 1)
        self._connected.set()

    def _on_disconnect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if not self._ending and client is self._client:
            self._is_lost.set()
            if not self._connected.is_set():  # it hung up before it said anything
                self._reason = str(reason) if self._broker.tls else WANTS_TLS
                self._connected.set()

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            body = msgspec.json.decode(message.payload)
            who, _, number = str(body["transaction"]).partition("-")
            data = body["data"]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
            return
        if who == self.boot and number.isdecimal():
            with self._came:
                self._answered = max(self._answered, int(number))
                self._answers[number] = data
                self._came.notify_all()

    def _ask(self) -> None:
        self._asked += 1
        self._ask_again()

    def _ask_again(self) -> None:
        body = msgspec.json.encode({"v": 1, "transaction": f"{self.boot}-{self._asked}"})
        self._client.publish(f"{self._base}/request/ping", body, qos=1)

    def _wait(self, number: int) -> None:
        """Wait until the board has answered question ``number``, if a board listens.

        Where the broker was lost meanwhile, until it has answered the one behind what was sent
        again.
        """
        patience_s = ANSWER_S if self._answered else FIRST_ANSWER_S
        end_s = time.monotonic() + patience_s
        while time.monotonic() < end_s:
            with self._came:
                if self._came.wait_for(partial(self._has_answered, number), 0.5):
                    return
            if self._is_lost.is_set():
                self._repeat_if_lost()
                number = self._asked
                end_s = time.monotonic() + patience_s
        if self._answered:
            raise BrokerError(f"the board stopped answering for {ANSWER_S:g} s")
        self.board_answers = False

    def _has_answered(self, number: int) -> bool:
        return self._answered >= number

    def _keep(self, message: Sent) -> None:
        """Remember a message until the board has said to have it."""
        self._kept.append((self._asked + 1, message))
        while self._kept[0][0] <= self._answered or not self.board_answers:
            self._kept.popleft()
            if not self._kept:
                return

    def _repeat_if_lost(self) -> None:
        """Find a broker that was lost, and send again what it may not have, in order.

        Not before the board listens: a broker that has forgotten it takes messages for nobody. The
        board knows by their numbers those that it has.

        Raises:
            BrokerError: it did not come back.
        """
        if not self._is_lost.is_set() or not self.board_answers:
            return
        end_s = time.monotonic() + ANSWER_S
        while True:
            self._client.loop_stop()
            self._client = self._make()
            self._is_lost.clear()
            try:
                self._connect()
                break
            except BrokerError:
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.2)
        self._kept = deque((self._asked + 2, message) for _, message in self._kept)
        if not self.wait_for_board(ANSWER_S, lambda: not self._is_lost.is_set()):
            return  # lost again; or _wait says that the board does not answer
        for _, message in self._kept:
            self._client.publish(
                message.topic, message.payload, qos=message.qos, retain=message.retained
            )
        self._ask()

    def wait_for_board(self, most_s: float, is_starting: Callable[[], bool]) -> bool:
        """Ask until a board answers; give up after ``most_s`` or when it is not starting."""
        end_s = time.monotonic() + most_s
        self._asked += 1
        while time.monotonic() < end_s and is_starting():
            self._ask_again()
            with self._came:
                if self._came.wait_for(lambda: self._answered >= self._asked, 0.2):
                    return True
        return False

    def publish(
        self,
        sent: Iterable[Sent],
        speed: float,
        done: Callable[[Sent], None] | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> int:
        """Publish messages in time, ``speed`` times as fast as they were; 0: as fast as it goes.

        Returns how many were published; where ``is_over``, no more are.

        Raises:
            BrokerError: a board that had answered stopped to; where none listens, the broker
                went away or takes no more.
        """
        number, info = 0, None
        due = paced(sent, speed, time.monotonic, time.sleep, is_over)
        for number, message in enumerate(due, start=1):
            self._repeat_if_lost()
            self._keep(message)
            info = self._client.publish(
                message.topic, message.payload, qos=message.qos, retain=message.retained
            )
            if number % self._ask_every == 0:
                if self.board_answers:
                    self._ask()
                    self._wait(self._asked - AHEAD)
                else:
                    self._wait_for_broker(info)
            if done:
                done(message)
        if info is not None and not self.board_answers:
            self._wait_for_broker(info)
        return number

    def _wait_for_broker(self, info: mqtt.MQTTMessageInfo) -> None:
        """Wait until the broker has taken a message, and with it all before.

        Raises:
            BrokerError: it went away, or takes no more.
        """
        try:
            info.wait_for_publish(ANSWER_S)
            is_taken = info.is_published()
        except RuntimeError as error:
            raise BrokerError(f"the broker went away: {error}") from error
        if not is_taken:
            raise BrokerError(f"the broker took nothing for {ANSWER_S:g} s")

    def settle(self) -> dict[str, Any] | None:
        """Wait until the board has dealt with all that was published; return its health, or None.

        Raises:
            BrokerError: a board that had answered stopped to.
        """
        if self.board_answers:
            self._ask()
            self._wait(self._asked)
        with self._came:
            return self._answers.get(str(self._answered))
