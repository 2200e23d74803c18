"""The loop of the bridge: ports to outbox to broker, until told to stop."""

import logging
import threading
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from firmware_bridge.board import Host
from firmware_bridge.config import BridgeConfig
from firmware_bridge.outbox import Outbox
from firmware_bridge.port_worker import PortWorker
from firmware_bridge.readings import Outgoing
from firmware_bridge.sender import Sender
from sensor_adapters.topics import Message, base

log = logging.getLogger(__name__)
ROUND_S, KEEP_S, HEALTH_S = 0.02, 0.1, 30.0
FAREWELL_S = 2.0


def host() -> Host:
    """Return the host's clocks: the one place where the bridge reads them."""
    now_us = time.monotonic_ns() // 1000
    return Host(now_us, time.time_ns() // 1000 - now_us)


def wall_us() -> int:
    """Return Unix microseconds."""
    one = host()
    return one.now_us + one.wall_us


class Service:
    """One running bridge."""

    def __init__(self, config: BridgeConfig) -> None:
        """Open the outbox; ports and broker are opened by ``run``.

        Raises:
            OutboxError: the outbox can not be opened.
            ConfigError: the broker's password can not be read.
        """
        self._base = base(config.site, config.node)
        self._boot = uuid.uuid4().hex[:12]
        self.outbox = Outbox(
            Path(config.outbox.path), config.outbox.most_bytes, config.outbox.most_age_us
        )
        client_id = f"solosense-bridge-{config.site}-{config.node}"
        self._sender = Sender(config.broker, client_id, self._status("offline"), self.outbox)
        self.ports = [
            PortWorker(name, port, host, self._put) for name, port in config.ports.items()
        ]

    def _put(self, outgoing: Outgoing) -> None:
        target = outgoing.target
        topic = f"{self._base}/{target.station}/in/{outgoing.kind}/{target.device}"
        self.outbox.put(topic, outgoing.payload, wall_us())

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; what waits then is written down.

        Raises:
            RuntimeError: a port's thread ended by a fault of ours; better to be started anew.
        """
        self._sender.start()
        for port in self.ports:
            port.start()
        connections, kept_s, said_s = 0, time.monotonic(), time.monotonic()
        while not stop.is_set() and not any(port.error for port in self.ports):
            self._sender.pump()
            now_s = time.monotonic()
            if now_s - kept_s >= KEEP_S:
                self.outbox.keep(wall_us())
                kept_s = now_s
            if self._sender.connections > connections or now_s - said_s >= HEALTH_S:
                connections, said_s = self._sender.connections, now_s
                self._sender.say(self._status("online"))
                self._sender.say(self._health())
            stop.wait(ROUND_S)
        self._end()
        for port in self.ports:
            if port.error is not None:
                raise RuntimeError(f"port {port.name} failed; see above") from port.error

    def _end(self) -> None:
        for port in self.ports:
            port.stop()
        for port in self.ports:
            port.join(FAREWELL_S)
        end_s = time.monotonic() + FAREWELL_S
        while self._sender.is_connected and len(self.outbox) and time.monotonic() < end_s:
            self._sender.pump()
            time.sleep(ROUND_S)
        self._sender.say(self._health())
        self._sender.say(self._status("stopped"))
        self._sender.stop()
        self.outbox.close(wall_us())

    def _status(self, state: str) -> Message:
        body = {"state": state, "boot": self._boot, "ts": wall_us(), "ver": version("solosense")}
        return self._message("status", body)

    def _health(self) -> Message:
        ports = {port.name: port.health() for port in self.ports}
        outbox = {"waiting": len(self.outbox), "dropped": self.outbox.dropped}
        return self._message("health", {"ts": wall_us(), "ports": ports, "outbox": outbox})

    def _message(self, what: str, body: dict[str, Any]) -> Message:
        payload = msgspec.json.encode({"v": 1, **body})
        return Message(f"{self._base}/bridge/{what}", payload, 0)
