"""The scanners that type, of a gateway: what they read becomes events of their stations."""

import uuid
from collections.abc import Callable
from typing import Any

from sensor_adapters.device import DeviceSettings
from sensor_adapters.gateway.hid_layouts import LAYOUTS
from sensor_adapters.gateway.hid_reader import HidReader
from sensor_adapters.gateway.mapped_device import MappedDevice, Outgoing
from sensor_adapters.gateway.scanner_config import ScannerConfig

Put = Callable[[str, str, str, bytes], None]
"""Takes station, kind, device and payload."""


class Scanners:
    """All scanners of a configuration."""

    def __init__(self, configs: dict[str, ScannerConfig], badge_key: bytes, put: Put) -> None:
        """Prepare; ``start`` begins to look for them."""
        self._put, boot = put, uuid.uuid4().hex[:12]
        self._scanners: dict[str, tuple[HidReader, MappedDevice]] = {}
        for name, one in configs.items():
            settings = DeviceSettings(
                station=one.station, adapter="scanner", badges=one.badges, debounce_s=one.debounce_s
            )
            mapped = MappedDevice(name, "event", settings, boot, badge_key)
            self._scanners[name] = (HidReader(name, one.path, LAYOUTS[one.layout]), mapped)

    def start(self) -> None:
        """Begin to read."""
        for reader, _ in self._scanners.values():
            reader.start()

    def work(self, now_us: int) -> None:
        """Put what was scanned, and what is due."""
        for name, (reader, mapped) in self._scanners.items():
            for reading, received_us in reader.take():
                self._say(name, mapped, mapped.take(reading, received_us, retained=False))
            self._say(name, mapped, mapped.due(now_us))

    def _say(self, name: str, mapped: MappedDevice, said: list[Outgoing]) -> None:
        for one in said:
            self._put(mapped.settings.station, one.kind, name, one.payload)

    def health(self) -> dict[str, Any]:
        """Return what there is to say of each."""
        known = {True: "alive", False: "gone", None: "not heard yet"}
        return {
            name: {
                "state": known[mapped.is_alive], "kind": "event", "last": mapped.heard.last,
                "last_us": mapped.heard.last_us, "readings": mapped.heard.readings,
                "repeated": mapped.heard.repeated, "clock_off": mapped.heard.clock_off,
                "unknown_keys": reader.decoder.unknown, "unended": reader.decoder.unended,
                "dropped": reader.dropped,
            }
            for name, (reader, mapped) in self._scanners.items()
        }  # fmt: skip

    def stop(self, now_us: int) -> None:
        """Give the scanners back, say what they read last, and that they are heard no more."""
        for reader, _ in self._scanners.values():
            reader.stop()
        self.work(now_us)
        for name, (_, mapped) in self._scanners.items():
            self._say(name, mapped, mapped.gone(now_us))
