"""What every host between devices and the board does: keep payloads until the broker has them.

The host's ``status`` and ``health`` lie beside them, under its name.
"""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from sensor_adapters.mqtt_link import MqttLink
from sensor_adapters.outbox import Outbox
from sensor_adapters.settings import Broker, ConfigError, OutboxConfig
from sensor_adapters.topics import Message, base

ROUND_S, KEEP_S, HEALTH_S, FAREWELL_S = 0.02, 0.1, 30.0, 2.0


def wall_us() -> int:
    """Return Unix microseconds."""
    return time.time_ns() // 1000


class Carrier:
    """An outbox, a link to the broker, and what is said of both."""

    def __init__(
        self,
        name: str,
        site: str,
        node: str,
        broker: Broker,
        outbox: OutboxConfig,
        health: Callable[[], dict[str, Any]],
        topics: Sequence[str] = (),
        hear: Callable[[Message], None] | None = None,
    ) -> None:
        """Open the outbox; the broker is looked for by ``run``.

        Args:
            name: the host's, as in ``act/v1/<site>/<node>/<name>/health``.
            site: in the topics.
            node: in the topics.
            broker: where to.
            outbox: what may wait.
            health: what the host says of itself.
            topics: what it hears.
            hear: called with what comes on them, in another thread.

        Raises:
            OutboxError: the outbox can not be opened.
            ConfigError: the broker's password can not be read.
        """
        self._name, self._base, self._host_health = name, base(site, node), health
        self.boot = uuid.uuid4().hex[:12]
        """Names this start of the host."""
        self.outbox = Outbox(Path(outbox.path), outbox.most_bytes, outbox.most_age_us)
        client_id = f"solosense-{name}-{site}-{node}"
        will = self._status("offline")
        self._link = MqttLink(broker, client_id, will, self.outbox, topics, hear)

    def put(self, station: str, kind: str, device: str, payload: bytes) -> None:
        """Let a device's payload wait for the broker."""
        self.outbox.put(f"{self._base}/{station}/in/{kind}/{device}", payload, wall_us())

    def run(
        self,
        stop: threading.Event,
        do: Callable[[], object],
        end: Callable[[], object],
        round_s: float = ROUND_S,
    ) -> None:
        """Hand on what waits until ``stop`` is set; what waits then is written down.

        Args:
            stop: ends it.
            do: the host's own work of a round.
            end: its last work; may still ``put``.
            round_s: how long a round rests.

        Raises:
            ConfigError: the broker turned us away from the start; what waits is written down.
        """
        self._link.start()
        connections, kept_s, said_s = 0, time.monotonic(), time.monotonic()
        while not stop.is_set() and not self._link.refusal:
            do()
            self._link.pump()
            now_s = time.monotonic()
            if now_s - kept_s >= KEEP_S:
                self.outbox.keep(wall_us())
                kept_s = now_s
            if self._link.connections > connections or now_s - said_s >= HEALTH_S:
                connections, said_s = self._link.connections, now_s
                self._link.say(self._status("online"))
                self._link.say(self._health())
            stop.wait(round_s)
        end()
        end_s = time.monotonic() + FAREWELL_S
        while self._link.is_connected and len(self.outbox) and time.monotonic() < end_s:
            self._link.pump()
            time.sleep(ROUND_S)
        self._link.say(self._health())
        self._link.stop(self._status("stopped"))
        self.outbox.close(wall_us())
        if self._link.refusal:
            raise ConfigError(self._link.refusal)

    def _status(self, state: str) -> Message:
        body = {"state": state, "boot": self.boot, "ts": wall_us(), "ver": version("solosense")}
        return self._message("status", body)

    def _health(self) -> Message:
        outbox = {"waiting": len(self.outbox), "dropped": self.outbox.dropped}
        return self._message("health", {"ts": wall_us(), **self._host_health(), "outbox": outbox})

    def _message(self, what: str, body: dict[str, Any]) -> Message:
        payload = msgspec.json.encode({"v": 1, **body})
        return Message(f"{self._base}/{self._name}/{what}", payload, 0)
