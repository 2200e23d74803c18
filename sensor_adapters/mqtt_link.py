"""The gate to paho for hosts between devices and the board: hears topics, hands on an outbox.

At most ``WINDOW`` payloads are on their way; those paho sends again by itself when the broker comes
back. What has waited goes out at a pace that listeners can follow: a broker takes more than it can
hold for them, and drops the rest in silence (mosquitto holds 1000 messages a listener).
"""

import logging
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from sensor_adapters.broker_access import CREDENTIALS, REFUSED, WANTS_TLS, let_in, trouble
from sensor_adapters.outbox import Outbox
from sensor_adapters.settings import Broker
from sensor_adapters.topics import Message

log = logging.getLogger(__name__)
WINDOW = 200
MOST_AT_ONCE = 40
"""A round of the service; 2,000 a second."""
FAREWELL_S = 2.0


class MqttLink:
    """A connection to the broker that outlives it."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        will: Message,
        outbox: Outbox,
        topics: Sequence[str] = (),
        hear: Callable[[Message], None] | None = None,
    ) -> None:
        """Prepare to connect.

        Args:
            broker: where, and who we are.
            client_id: ours at the broker; nobody else's.
            will: what the broker says, retained, if it loses us.
            outbox: what is handed on by ``pump``.
            topics: subscribed at every connection, QoS 1.
            hear: called in paho's thread with what comes on them; may not raise, may not wait.
        """
        self._broker, self._outbox = broker, outbox
        self._ids: dict[int, int] = {}  # of the outbox, by paho's number; only ``pump`` writes it
        self._taken: deque[int] = deque()
        self._connected = threading.Event()
        self._failed = ""
        self.connections = 0
        """How often the broker let us in."""
        self.refusal = ""
        """Why it never did, where that is a matter of settings."""
        self._topics, self._hear = [(topic, 1) for topic in topics], hear
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._ear = let_in(self._client, broker)
        self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._client.reconnect_delay_set(1, 2)
        self._client.max_inflight_messages_set(WINDOW)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Begin to connect, and to connect again whenever the broker is lost."""
        broker = self._broker
        self._client.connect_async(broker.host, broker.port, broker.keepalive_s)
        self._client.loop_start()

    def stop(self, farewell: Message) -> None:
        """Say farewell, retained, and disconnect once the broker has it.

        A connection closed before its last answer was read looks like a fault to the broker.
        """
        if self.is_connected:
            sent = self._client.publish(farewell.topic, farewell.payload, qos=1, retain=True)
            sent.wait_for_publish(FAREWELL_S)
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def is_connected(self) -> bool:
        """Does the broker listen?"""
        return self._connected.is_set()

    def say(self, message: Message) -> None:
        """Publish something of ours, retained; it is not kept for a broker that is away."""
        if self.is_connected:
            self._client.publish(message.topic, message.payload, qos=1, retain=True)

    def pump(self) -> int:
        """Hand on what waits, as far as there is room; return how much was."""
        taken = [self._taken.popleft() for _ in range(len(self._taken))]
        self._outbox.done(self._ids.pop(mid) for mid in taken if mid in self._ids)
        if not self.is_connected:
            return 0
        entries = self._outbox.take(min(WINDOW - len(self._ids), MOST_AT_ONCE))
        for entry in entries:
            info = self._client.publish(entry.topic, entry.payload, qos=1)
            self._ids[info.mid] = entry.id
        return len(entries)

    # --- paho's thread; nothing here may raise ---

    def _on_connect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            text = f"broker {self._broker.host}:{self._broker.port} refused us: {reason}"
            if str(reason) in REFUSED:
                self._refused(f"{text}; {CREDENTIALS}")
            self._say(text)
            return
        if self._topics:
            client.subscribe(self._topics)
        self.connections += 1
        if self._failed:
            log.warning("connected to %s:%d", self._broker.host, self._broker.port)
        self._failed = ""
        self._connected.set()

    def _on_connect_fail(self, client: mqtt.Client, userdata: Any) -> None:
        self._not_reached(sys.exc_info()[1])  # paho is dealing with it, and says no more of it

    def _not_reached(self, error: BaseException | None) -> None:
        found = trouble(self._broker, error)
        if found.is_setting:
            self._refused(found.text)
        self._say(f"{found.text}; trying again every 2 s")

    def _refused(self, text: str) -> None:
        """Note that a setting is wrong. Who was let in before goes on: it has something to keep."""
        if not self.connections:
            self.refusal = text

    def _on_disconnect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        was_in = self._connected.is_set()
        self._connected.clear()
        error, self._ear.error = self._ear.error, None
        if (
            isinstance(error, ssl.SSLError) and not was_in
        ):  # a broker says only now that it wants no part of us
            self._not_reached(error)
        elif not self.connections and not self._broker.tls:
            self._say(f"broker {self._broker.host}:{self._broker.port}: {WANTS_TLS}")
        elif reason.is_failure:
            self._say(f"lost the broker: {reason}; connecting again")

    def _on_publish(
        self, client: mqtt.Client, userdata: Any, mid: int, reason: Any, properties: Any
    ) -> None:
        self._taken.append(mid)

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        if self._hear is None:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:  # nobody of ours subscribes to such
            return
        self._hear(
            Message(topic, bytes(message.payload), time.time_ns() // 1000, bool(message.retain))
        )

    def _say(self, text: str) -> None:
        if text != self._failed:
            log.warning("%s", text)
        self._failed = text


def matches(filter_: str, topic: str) -> bool:
    """Does a topic match a filter with ``+`` and ``#``?

    >>> matches("shellies/+/relay/0", "shellies/plug-1/relay/0")
    True
    """
    return bool(mqtt.topic_matches_sub(filter_, topic))
