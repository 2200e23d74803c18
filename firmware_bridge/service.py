"""The loop of the bridge: ports to outbox to broker, until told to stop."""

import threading
import time
from typing import Any

from firmware_bridge.board import Host
from firmware_bridge.config import BridgeConfig
from firmware_bridge.port_worker import PortWorker
from firmware_bridge.readings import Outgoing
from sensor_adapters.carrier import Carrier, wall_us

FAREWELL_S = 2.0


def host() -> Host:
    """Return the host's clocks: the one place where the bridge reads them."""
    now_us = time.monotonic_ns() // 1000
    return Host(now_us, wall_us() - now_us)


class Service:
    """One running bridge."""

    def __init__(self, config: BridgeConfig) -> None:
        """Open the outbox; ports and broker are opened by ``run``.

        Raises:
            OutboxError: the outbox can not be opened.
            ConfigError: the broker's password can not be read.
        """
        self._carrier = Carrier(
            "bridge", config.site, config.node, config.broker, config.outbox, self._health
        )
        self.outbox = self._carrier.outbox
        self.ports = [
            PortWorker(name, port, host, self._put) for name, port in config.ports.items()
        ]

    def _put(self, outgoing: Outgoing) -> None:
        target = outgoing.target
        self._carrier.put(target.station, outgoing.kind, target.device, outgoing.payload)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; what waits then is written down.

        Raises:
            RuntimeError: a port's thread ended by a fault of ours; better to be started anew.
        """
        for port in self.ports:
            port.start()

        def look() -> None:
            if any(port.error for port in self.ports):
                stop.set()

        self._carrier.run(stop, look, self._end)
        for port in self.ports:
            if port.error is not None:
                raise RuntimeError(f"port {port.name} failed; see above") from port.error

    def _end(self) -> None:
        for port in self.ports:
            port.stop()
        for port in self.ports:
            port.join(FAREWELL_S)

    def _health(self) -> dict[str, Any]:
        return {"ports": {port.name: port.health() for port in self.ports}}
