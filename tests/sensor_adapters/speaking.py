"""Devices in tests: made from their settings, told a message at a time."""

from sensor_adapters.device import in_words
from sensor_adapters.gateway.device_worker import adapter_class
from sensor_adapters.samples import US_PER_S
from sensor_adapters.settings import converted
from sensor_adapters.topics import Message

NOW_US = 1_767_254_400_000_000  # 2026-01-01 08:00 UTC


class Spoken:
    """A device, and what it makes of what it hears."""

    def __init__(self, adapter, **settings):
        kind = adapter_class(adapter)
        block = {"station": "pack-1", "adapter": adapter, **settings}
        self.device = kind(converted("x.toml", "devices.x", block, kind.settings_type))

    def readings(self, topic, payload, at_s=0.0, *, retained=False):
        body = payload if isinstance(payload, bytes) else payload.encode()
        message = Message(topic, body, NOW_US + round(at_s * US_PER_S), retained)
        return list(self.device.read(message))

    def hears(self, topic, payload, at_s=0.0, *, retained=False):
        """Return the readings, in words."""
        said = self.readings(topic, payload, at_s, retained=retained)
        return [in_words(reading) for reading in said]
