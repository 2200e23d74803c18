"""The gateway as it runs: the broker's messages in, payloads out, until told to stop."""

import threading
from typing import Any

from sensor_adapters.carrier import Carrier, wall_us
from sensor_adapters.gateway.config import GatewayConfig
from sensor_adapters.gateway.gateway import Gateway
from sensor_adapters.gateway.scanners import Scanners

NAME = "adapters"


class GatewayService:
    """One running gateway."""

    def __init__(self, config: GatewayConfig, file: str) -> None:
        """Make the devices and open the outbox; ``file`` is named in what is wrong.

        Raises:
            ConfigError: a setting is wrong.
            OutboxError: the outbox can not be opened.
        """
        self.gateway = Gateway(config, file, self._put)
        self.scanners = Scanners(config.scanners, config.badge_key(), self._put)
        self._carrier = Carrier(
            NAME, config.site, config.node, config.broker, config.outbox, self._health,
            self.gateway.topics, self.gateway.hear,
        )  # fmt: skip

    def _put(self, station: str, kind: str, device: str, payload: bytes) -> None:
        self._carrier.put(station, kind, device, payload)

    def _health(self) -> dict[str, Any]:
        found = self.gateway.health(wall_us())
        return {**found, "devices": {**found["devices"], **self.scanners.health()}}

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; what waits then is written down."""
        self.scanners.start()
        self._carrier.run(stop, self._work, self._end)

    def _work(self) -> None:
        now_us = wall_us()
        self.gateway.work(now_us)
        self.scanners.work(now_us)

    def _end(self) -> None:
        self.scanners.stop(wall_us())
        self.gateway.stop()
