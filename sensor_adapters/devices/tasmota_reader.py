r"""Tasmota with a reader: RFID cards (RC522, PN532 …) and barcode scanners on its serial pins.

A code is an event with the code as its data. Sources: tasmota.github.io/docs/MFRC522,
docs/Serial-to-TCP-Bridge and docs/Rules ("Control relays via serial interface"): what came in on
the serial pins is text that may still end in ``\r``.
"""

import re
from collections.abc import Iterable

from sensor_adapters.device import DeviceAdapter, Happened, Reading
from sensor_adapters.devices.tasmota_topics import TasmotaSettings, lwt, resolved
from sensor_adapters.json_fields import at, object_of, shown
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

MOST_CHARACTERS = 1000
SERIAL = ("SSerialReceived", "SerialReceived")
"""Of the serial bridge, and of the hardware's own port."""


class Settings(TasmotaSettings, frozen=True, kw_only=True):
    """A reader."""

    property: str = "RC522.UID"
    """The way to the code: ``RC522.UID``, ``RC522.Data``, ``PN532.UID``, ``SSerialReceived``,
    ``SerialReceived``."""


class TasmotaReader(DeviceAdapter[Settings]):
    """One reader."""

    settings_type = Settings
    kind = "event"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if not all(settings.property.split(".")):
            raise ValueError(f"property is {settings.property!r}, expected such as 'RC522.UID'")
        what = "RESULT" if settings.property in SERIAL else "SENSOR"
        self._lwt = resolved(settings, settings.tele, "LWT")
        self.topics = (resolved(settings, settings.tele, what), self._lwt)

    def read(self, message: Message) -> Iterable[Reading]:
        """Return a code, or each of several lines; or whether the reader is there."""
        if message.topic == self._lwt:
            return (lwt(self.settings, message),)
        name = self.settings.property
        value = at(object_of(message), name)
        if isinstance(value, dict) and name in SERIAL:
            value = value.get("Data")
        if value is None:
            return ()
        if not isinstance(value, str):
            raise DecodeError(f"{message.topic}: {name} is {shown(value)}, expected text")
        if len(value) > MOST_CHARACTERS:
            raise DecodeError(
                f"{message.topic}: {name} has {len(value)} characters, expected at most"
                f" {MOST_CHARACTERS}"
            )
        lines = (line.strip(" \0") for line in re.split(r"[\r\n]+", value))
        return tuple(Happened(line) for line in lines if line)
