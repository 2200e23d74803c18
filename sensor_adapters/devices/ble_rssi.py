"""How strongly an OpenMQTTGateway or Theengs Gateway hears a worn Bluetooth tag.

One device is one gateway and one tag: which gateway hears it best tells where the tag is.
Source: docs.openmqttgateway.com/use/ble.html, gateway.theengs.io/use/use.html.
"""

from collections.abc import Iterable
from typing import Any

from sensor_adapters.device import Alive, DeviceAdapter, DeviceSettings, Found, Reading, Rssi
from sensor_adapters.devices.ble_gateway import DISCOVERY, heard_by, is_there
from sensor_adapters.json_fields import number, object_of
from sensor_adapters.radio import HIGHEST, LOWEST
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A gateway and a tag."""

    tag: str
    """Its address, or its iBeacon UUID where the gateway publishes by that."""
    gateway: str
    base: str = "home"


class BleRssi(DeviceAdapter[Settings]):
    """One tag, as one gateway hears it."""

    settings_type = Settings
    discovery = (DISCOVERY,)
    kind = "radio"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        for key, value in (("tag", settings.tag), ("gateway", settings.gateway)):
            if not value or any(sign in value for sign in "+#/"):
                raise ValueError(f"{key} is {value!r}, expected one, as it stands in the topic")
        base = f"{settings.base}/{settings.gateway}"
        tag = settings.tag.replace(":", "")
        self._will = f"{base}/LWT"
        self.topics = (f"{base}/BTtoMQTT/{tag.upper() if len(tag) == 12 else tag}", self._will)

    def read(self, message: Message) -> Iterable[Reading]:
        """Return how strongly the tag is heard, or that the gateway is gone."""
        if message.topic == self._will:
            return () if is_there(message) else (Alive(False),)
        return tuple(_rssi(message.topic, object_of(message)))

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the sender of a message, if it says what it is: phones that pass do not."""
        body = object_of(message)
        base, gateway, sender = heard_by(message.topic)
        said = [body[key] for key in ("name", "model") if isinstance(body.get(key), str)]
        if sender and said and any(_rssi(message.topic, body)):
            settings = {"tag": sender, "gateway": gateway}
            settings |= {"base": base} if base != "home" else {}
            yield Found(f"{sender} at {gateway}", said[0], settings)


def _rssi(where: str, body: dict[str, Any]) -> Iterable[Rssi]:
    if body.get("rssi") is None:
        return  # as Theengs says that a tracker is absent
    dbm = number(f"{where}: rssi", body["rssi"])
    if not LOWEST <= dbm <= HIGHEST:
        expected = f"{LOWEST:g} to {HIGHEST:g} dBm"
        raise DecodeError(f"{where}: rssi is {dbm:g}, expected {expected}")
    yield Rssi(dbm)
