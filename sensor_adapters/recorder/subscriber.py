"""The gate to paho on the recording side: what comes on some topics, stamped and queued.

The queue is bounded in messages and bytes. What finds it full is left out and counted; its number
is spent, so that whoever looks at the numbers sees the hole. MQTT 5 is spoken where the broker can:
only then does it say of every message whether it was published retained; else, whether it was held.
Properties of MQTT 5 are not kept.
"""

import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from sensor_adapters.broker_access import CREDENTIALS, REFUSED, let_in, trouble
from sensor_adapters.publisher import BrokerError
from sensor_adapters.settings import Broker, ConfigError
from sensor_adapters.topics import Message

MOST_QUEUED = 50_000
MOST_QUEUED_BYTES = 64 << 20
PATIENCE_S = 10.0
V5, V3 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
QOS = 2  # at most: a broker sends with the quality that a message was published with


class Subscriber:
    """A subscription that survives its broker; ``with`` it, and take what comes."""

    def __init__(
        self,
        broker: Broker,
        topics: Sequence[str],
        say: Callable[[str], None],
        most: int = MOST_QUEUED,
        most_bytes: int = MOST_QUEUED_BYTES,
    ) -> None:
        """Prepare to connect.

        Args:
            broker: where, and who we are.
            topics: filters; none may cover another.
            say: is told, in paho's thread, when the broker is lost and found.
            most: messages that may wait to be taken.
            most_bytes: of payload that may.
        """
        self._broker, self._topics, self._say = broker, list(topics), say
        self._most, self._most_bytes = most, most_bytes
        self._queue: deque[tuple[int, Message]] = deque()
        self._queued_bytes = 0
        self._came = threading.Condition()
        self.received = 0
        """Messages that came, those that found the queue full included."""
        self.times_away = 0
        """How often the broker was lost; what was published then is not known."""
        self._answered = threading.Event()
        self._reason = "no answer"
        self._is_subscribed = False
        self._client = self._make(V5)

    def _make(self, version: MQTTProtocolVersion) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"record-{uuid.uuid4().hex[:8]}",
            protocol=version,
        )
        self._ear = let_in(client, self._broker)
        client.reconnect_delay_set(1, 2)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def __enter__(self) -> "Subscriber":
        where = f"{self._broker.host}:{self._broker.port}"
        for version in (V5, V3):
            self._answered.clear()
            self._client = self._make(version)
            try:
                self._client.connect(self._broker.host, self._broker.port)
            except (OSError, ValueError) as error:  # a name that can not be one is a ValueError
                raise self._not_reached(error) from error
            self._client.loop_start()
            self._answered.wait(PATIENCE_S)
            if self._is_subscribed:
                return self
            self._client.disconnect()
            self._client.loop_stop()
        if isinstance(self._ear.error, ssl.SSLError):
            raise self._not_reached(self._ear.error)
        if self._reason in REFUSED:
            raise ConfigError(f"broker {where} turned us away: {self._reason}; {CREDENTIALS}")
        raise BrokerError(f"broker {where} turned us away: {self._reason}")

    def _not_reached(self, error: Exception) -> ConfigError | BrokerError:
        found = trouble(self._broker, error)
        return ConfigError(found.text) if found.is_setting else BrokerError(found.text)

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def take(self, wait_s: float, most: int) -> list[tuple[int, Message]]:
        """Return up to ``most`` messages with their numbers, after ``wait_s`` perhaps none."""
        with self._came:
            self._came.wait_for(lambda: bool(self._queue), wait_s)
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            self._queued_bytes -= sum(len(message.payload) for _, message in taken)
        return taken

    # --- paho's thread; nothing here may raise ---

    def _on_connect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            self._reason = str(reason)
            self._answered.set()
            return
        if client.protocol == V5:
            client.subscribe(
                [(one, SubscribeOptions(qos=QOS, retainAsPublished=True)) for one in self._topics]
            )
        else:
            client.subscribe([(one, QOS) for one in self._topics])

    def _on_subscribe(
        self, client: mqtt.Client, userdata: Any, mid: int, reasons: Any, properties: Any
    ) -> None:
        refused = [
            f"{topic} ({reason})"
            for topic, reason in zip(self._topics, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            self._reason = f"it does not let us hear {', '.join(refused)}"
        else:
            if self._is_subscribed:
                self._say("the broker is back")
            self._is_subscribed = True
        self._answered.set()

    def _on_disconnect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if not self._is_subscribed:
            self._answered.set()  # one that does not know MQTT 5 may just hang up
        elif reason.is_failure:
            self.times_away += 1
            self._say(f"lost the broker: {reason}; connecting again")

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        received_us = time.time_ns() // 1000
        payload = bytes(message.payload)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        with self._came:
            number, self.received = self.received, self.received + 1
            is_full = (
                len(self._queue) >= self._most
                or self._queued_bytes + len(payload) > self._most_bytes
            )
            if is_full or not topic:
                return
            one = Message(topic, payload, received_us, bool(message.retain), message.qos)
            self._queue.append((number, one))
            self._queued_bytes += len(payload)
            self._came.notify()
