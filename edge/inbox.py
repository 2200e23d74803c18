"""The gate to paho: its thread stamps and queues, nothing more; publishing goes out here too.

The session at the broker lasts beyond a connection and beyond this program, and a message is
acknowledged when we say that what came of it is safe: until then the broker sends it again.

The queue is bounded. When it is full, the network thread waits, so that the broker holds what
comes (its own ``max_queued_messages`` is the next bound); how often that happened is counted.
"""

import contextlib
import logging
import queue
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.board_clock import machine_us
from edge.buffered_client import BufferedClient
from edge.config import BoardBroker
from edge.pace import MOST_WAITING
from sensor_adapters.broker_access import CREDENTIALS, REFUSED, WANTS_TLS, let_in, trouble
from sensor_adapters.topics import Message

log = logging.getLogger(__name__)

MOST_UNDER_WAY = 2 * MOST_WAITING
"""A broker that speaks MQTT 5 is told so: the next ones come while a checkpoint is written."""
FOR_EVER_S = 0xFFFFFFFF
MOST_QUEUED = 20_000
MOST_QUEUED_BYTES = 64 << 20
NAP_S = 0.02
MOST_UNSENT = 10_000  # messages that wait for a broker that is away; the next ones are dropped
OTHER_MQTT = "Unsupported protocol version"
SPEECHLESS_S = 5.0
SHORT_S, MOST_SHORT = 10.0, 3  # connections that end so soon, so often: somebody takes our place


class Stamped(NamedTuple):
    """A message as it came."""

    topic: str
    payload: bytes
    at_us: int
    """By ``machine_us``, not UTC: the clock may be set while it waits."""
    is_retained: bool
    connection: int
    """Over which it came, and its number there: by these it is acknowledged."""
    number: int
    qos: int


class BrokerRefused(Exception):
    """The broker knows us and says no: a setting is wrong."""


class Inbox:
    """A subscription that survives its broker, and a way to publish."""

    def __init__(
        self, broker: BoardBroker, client_id: str, topics: list[str], will: Message
    ) -> None:
        self._broker, self._topics = broker, topics
        self._queue: queue.SimpleQueue[Stamped] = queue.SimpleQueue()
        self._taken: list[tuple[int, int]] = []  # connection and number
        self._published: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._came_bytes = 0  # of payload; only paho's thread writes it
        self._taken_bytes = 0  # only who takes writes it
        self.waited = 0
        """Messages that found the queue full and held the network back."""
        self.connections = 0
        """How often the broker let us in."""
        self.refusal: str | None = None
        """Why the broker turned us away, where that is a matter of settings."""
        self.moved_s = time.monotonic()
        """When the network thread last did anything for us: a message, an answer, a try."""
        self._failed: str | None = None
        self._heard = False  # anything of a broker, if only that it hung up
        self._short = 0  # connections in a row that were lost soon
        self._connected_s = 0.0
        self._client_id = client_id
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._gone = threading.Event()
        self._gone.set()
        is_5 = broker.mqtt == "5"
        self._session = _lasting_session() if is_5 else {}
        self._client = BufferedClient(
            CallbackAPIVersion.VERSION2, client_id=client_id, manual_ack=True,
            clean_session=None if is_5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
        )  # fmt: skip
        self._ear = let_in(self._client, broker)
        self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._client.reconnect_delay_set(1, 2)
        self._client.max_queued_messages_set(MOST_UNSENT)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect, and to connect again whenever the broker is lost."""
        self._thread.start()

    def _run(self) -> None:
        """Find the broker; then see that paho's thread runs, which finds it again by itself.

        The loop has to be paho's own thread. Beside a ``loop_forever`` of ours, whoever publishes
        writes to the socket as well, and two at once mix the bytes of their packets.
        """
        broker = self._broker
        while not self._stopping.is_set():
            try:
                self._client.connect(broker.host, broker.port, broker.keepalive_s, **self._session)
                break
            except (OSError, ValueError) as error:  # a name that can not be one is a ValueError
                self._not_reached(error)
            self.moved_s = time.monotonic()
            self._stopping.wait(2)
        reached_s = time.monotonic()
        while not self._stopping.is_set():
            self._client.loop_start()  # does nothing while it runs
            self._stopping.wait(2)
            if not self._heard and time.monotonic() - reached_s > SPEECHLESS_S:
                self._say(
                    f"broker {broker.host}:{broker.port} takes the connection and says nothing:"
                    f" is it one, and does it speak MQTT {broker.mqtt} (broker.mqtt)?"
                )

    def _not_reached(self, error: BaseException | None) -> None:
        """Say why the broker is not reached; a board that was never let in ends at a setting."""
        found = trouble(self._broker, error)
        if found.is_setting and not self.connections:
            self.refusal = found.text
            return
        self._say(f"{found.text}; trying again every 2 s")

    def _on_connect_fail(self, client: mqtt.Client, userdata: Any) -> None:
        self.moved_s = time.monotonic()
        self._not_reached(sys.exc_info()[1])  # paho is dealing with it, and says no more of it

    def _say(self, text: str) -> None:
        if text != self._failed:
            log.warning("%s", text)
        self._failed = text

    def _on_connect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self.moved_s, self._heard = time.monotonic(), True
        if reason.is_failure:
            text = f"broker {self._broker.host}:{self._broker.port} refused us: {reason}"
            if str(reason) in REFUSED:
                self.refusal = f"{text}; {CREDENTIALS}"
            elif str(reason) == OTHER_MQTT:
                self.refusal = f'{text}; broker.mqtt is "{self._broker.mqtt}", expected another'
            self._say(text)
            return
        self._gone.clear()
        if not self._short:
            self._failed = None
        self._connected_s = time.monotonic()
        self.connections += 1
        said = log.warning if self.connections > 1 else log.info  # that it is back is news
        said("connected to %s:%d", self._broker.host, self._broker.port)
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(
        self, client: mqtt.Client, userdata: Any, mid: int, reasons: Any, properties: Any
    ) -> None:
        self.moved_s = time.monotonic()
        self._subscribed.set()

    @property
    def is_subscribed(self) -> bool:
        """Has the broker confirmed the subscriptions once?"""
        return self._subscribed.is_set()

    @property
    def is_alive(self) -> bool:
        """Does the thread run that sees to paho's?"""
        return self._thread.is_alive()

    def wait_subscribed(self, most_s: float = 10) -> bool:
        """Wait until the broker has confirmed the subscriptions once."""
        return self._subscribed.wait(most_s)

    def _on_disconnect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self.moved_s, self._heard = time.monotonic(), True
        was_in = not self._gone.is_set()
        self._gone.set()
        if self._stopping.is_set() or not reason.is_failure:
            return
        error, self._ear.error = self._ear.error, None
        if (
            isinstance(error, ssl.SSLError) and not was_in
        ):  # only now is said what it has against us
            self._not_reached(error)
            return
        if not self.connections and not self._broker.tls:
            self._say(f"broker {self._broker.host}:{self._broker.port}: {WANTS_TLS}")
            return
        self._short = self._short + 1 if time.monotonic() - self._connected_s < SHORT_S else 0
        if self._short < MOST_SHORT:
            self._say(f"lost the broker: {reason}; connecting again")
            return
        self._say(
            f"lost the broker again and again within {SHORT_S:g} s of connecting: is there"
            f" another board as {self._client_id}? site and node must be a board's own"
        )

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        """Stamp and queue. Nothing here may raise: that would end paho's thread."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        self.moved_s = time.monotonic()
        stamped = Stamped(
            topic, bytes(message.payload), machine_us(), bool(message.retain),
            self.connections, message.mid, message.qos,
        )  # fmt: skip
        if self._is_full():
            self.waited += 1
            while self._is_full() and not self._stopping.wait(NAP_S):
                self.moved_s = time.monotonic()
        self._came_bytes += len(stamped.payload)
        self._queue.put(stamped)

    def _is_full(self) -> bool:
        queued_bytes = self._came_bytes - self._taken_bytes
        return queued_bytes > MOST_QUEUED_BYTES or self._queue.qsize() >= MOST_QUEUED

    @property
    def queued(self) -> int:
        """Messages that wait to be taken."""
        return self._queue.qsize()

    def take(self, wait_s: float, most: int) -> Iterator[Stamped]:
        """Yield up to ``most`` messages, waiting at most ``wait_s`` for the first.

        Raises:
            BrokerRefused: the broker turned us away for good.
        """
        if self.refusal:
            raise BrokerRefused(self.refusal)
        try:
            for index in range(most):
                message = self._queue.get(block=not index, timeout=wait_s)
                if message.qos:
                    self._taken.append((message.connection, message.number))
                self._taken_bytes += len(message.payload)
                yield message
        except queue.Empty:
            return

    @property
    def waiting(self) -> int:
        """Messages that were taken and not acknowledged."""
        return len(self._taken)

    def acknowledge(self) -> None:
        """Let the broker forget all that was taken: what came of it is safe.

        What came over a connection that is no more is sent again anyhow.
        """
        self._client.acknowledge(
            number for connection, number in self._taken if connection == self.connections
        )
        self._taken.clear()

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> int | None:
        """Send a message; while the broker is away, ``MOST_UNSENT`` of them are kept.

        Returns its number, which ``published`` gives back once the broker has it; None: it was
        dropped.
        """
        said = self._client.publish(topic, payload, qos=qos, retain=retain)
        return None if said.rc == mqtt.MQTT_ERR_QUEUE_SIZE else said.mid

    @property
    def is_connected(self) -> bool:
        """Does the broker listen?"""
        return self._client.is_connected()

    def published(self) -> list[int]:
        """Return the numbers of the messages that the broker has taken since last asked."""
        return [self._published.get() for _ in range(self._published.qsize())]

    def _on_publish(
        self, client: mqtt.Client, userdata: Any, mid: int, reason: Any, properties: Any
    ) -> None:
        self.moved_s = time.monotonic()
        self._published.put(mid)

    def stop(self, farewell: Message) -> None:
        """Say farewell, wait until it is out, and disconnect."""
        is_connected = self._client.is_connected()
        if is_connected:
            with contextlib.suppress(ValueError, RuntimeError):
                sent = self._client.publish(farewell.topic, farewell.payload, qos=1, retain=True)
                sent.wait_for_publish(timeout=2)
        self._stopping.set()
        self._client.disconnect()
        if is_connected:
            self._gone.wait(3)  # until then the broker would take our end for a fault
        if self._thread.is_alive():
            self._thread.join(timeout=3)


def _lasting_session() -> dict[str, Any]:
    """Return how to connect by MQTT 5 (section 3.1.2.11) so that the session outlives us."""
    wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    wanted.SessionExpiryInterval, wanted.ReceiveMaximum = FOR_EVER_S, MOST_UNDER_WAY
    return {"clean_start": False, "properties": wanted}
