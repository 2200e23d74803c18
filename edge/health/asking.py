"""A gate to paho: asks a running board how it is, and notes at which link the answer ends."""

import ssl
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from sensor_adapters.broker_access import CREDENTIALS, let_in, trouble
from sensor_adapters.settings import Broker

ASK_EVERY_S = 2.0
Body = dict[str, Any]


@dataclass
class Heard:
    """What was heard of a board."""

    unreachable: str = ""
    """Why there is no broker."""
    refused: str = ""
    """Why the broker turned us away, or lets us not listen: a setting is wrong."""
    status: Body | None = None
    """What the broker keeps of the board's status."""
    kept: Body | None = None
    """What the broker keeps of its health."""
    answer: Body | None = None
    """What the board itself has just said."""


class Asking:
    """One question at one broker."""

    def __init__(self, broker: Broker, base: str) -> None:
        """``base``: ``act/v1/<site>/<node>``.

        Raises:
            ConfigError: the password, a certificate or a key can not be read.
        """
        self._broker, self._base = broker, base
        self._heard = Heard()
        self._transaction = f"health-{uuid.uuid4().hex[:12]}"
        self._moved = threading.Condition()
        self._is_listening = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"solosense-{self._transaction}",
            reconnect_on_failure=False,
        )  # fmt: skip
        self._ear = let_in(self._client, broker)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def ask(self, most_s: float) -> Heard:
        """Return what was heard within ``most_s``; sooner, if the board answers."""
        end_s = time.monotonic() + most_s
        where = f"{self._broker.host}:{self._broker.port}"
        try:
            self._client.connect(self._broker.host, self._broker.port, self._broker.keepalive_s)
        except (OSError, ValueError) as error:  # a name that can not be one is a ValueError
            self._not_reached(error, f"nothing listens at {where} ({error})")
            return self._heard
        self._client.loop_start()
        try:
            with self._moved:
                self._moved.wait_for(self._is_settled, end_s - time.monotonic())
                if not self._is_settled() and isinstance(self._ear.error, ssl.SSLError):
                    self._not_reached(self._ear.error, "")
                elif not self._is_settled():
                    self._heard.unreachable = f"{where} takes connections and says nothing"
            while self._is_listening and time.monotonic() < end_s and not self._heard.answer:
                self._client.publish(
                    f"{self._base}/request/ping",
                    msgspec.json.encode({"v": 1, "transaction": self._transaction}),
                    qos=1,
                )
                with self._moved:
                    patience_s = min(ASK_EVERY_S, end_s - time.monotonic())
                    self._moved.wait_for(lambda: self._heard.answer is not None, patience_s)
        finally:
            self._client.disconnect()
            self._client.loop_stop()
        return self._heard

    def _not_reached(self, error: Exception, text: str) -> None:
        """Note why there is no broker, or which setting is wrong; ``text`` where it is no TLS."""
        found = trouble(self._broker, error)
        if found.is_setting:
            self._heard.refused = found.text
        else:
            self._heard.unreachable = found.text if isinstance(error, ssl.SSLError) else text

    def _is_settled(self) -> bool:
        return self._is_listening or bool(self._heard.refused)

    # --- paho's thread; nothing here may raise ---

    def _on_connect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            with self._moved:
                self._heard.refused = f"the broker turned us away: {reason}; {CREDENTIALS}"
                self._moved.notify_all()
            return
        ends = ("status", "health", "response/ping")
        client.subscribe([(f"{self._base}/{end}", 1) for end in ends])

    def _on_subscribe(
        self, client: mqtt.Client, userdata: Any, mid: int, reasons: Any, properties: Any
    ) -> None:
        with self._moved:
            if any(reason.is_failure for reason in reasons):
                self._heard.refused = f"the broker does not let us listen to {self._base}"
            self._is_listening = not self._heard.refused
            self._moved.notify_all()

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            end = message.topic.removeprefix(f"{self._base}/")
            body = msgspec.json.decode(message.payload, type=Body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        with self._moved:
            if end == "status":
                self._heard.status = body
            elif end == "health":
                self._heard.kept = body
            elif body.get("transaction") == self._transaction:
                self._heard.answer = body.get("data")
            self._moved.notify_all()
