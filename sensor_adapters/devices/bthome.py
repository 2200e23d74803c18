"""BTHome buttons, contacts and sensors, heard by OpenMQTTGateway or Theengs Gateway.

A gateway that knows the model gives its properties; one that does not hands on the service data,
which ``bthome_v2`` reads. Every advertisement is sent several times, and several gateways hear it:
the packet id tells what was said before.
Source: bthome.io/format; docs.openmqttgateway.com/use/ble.html; decoder.theengs.io.
"""

import re
from collections import deque
from collections.abc import Iterable
from typing import Any, Literal

from sensor_adapters.device import (
    Alive,
    DeviceAdapter,
    DeviceSettings,
    Found,
    Happened,
    Number,
    Reading,
    State,
)
from sensor_adapters.devices.ble_gateway import DISCOVERY, heard_by, is_there, mac
from sensor_adapters.devices.bthome_v2 import BINARY, NUMBERS, UUID, Advert, parse
from sensor_adapters.json_fields import number, object_of, shown
from sensor_adapters.samples import US_PER_S, DecodeError
from sensor_adapters.topics import Message

EVENTS = ("button", "dimmer", "text", "raw")
LEVELS = (*BINARY.values(), "open", "contact")
NUMBER_NAMES = tuple(name for name, _, _ in NUMBERS.values())
OTHER_NAMES = {
    "opening": "open", "window": "open", "door": "open", "garage_door": "open",
    "battery": "batt", "illuminance": "lux", "rotation": "rot", "temperature": "tempc",
    "humidity": "hum", "voltage": "volt",
}  # fmt: skip
"""What gateways call a property that they decode."""
PRESSES = {
    0: "",
    1: "press",
    2: "double_press",
    3: "triple_press",
    9: "long_press",
    11: "hold_press",
}
"""Buttons as Theengs decodes them."""
IN_USE = {True: True, False: False, "on": True, "off": False, "open": True, "closed": False}
WANTED = ("button", "window", "opening", "door", "open", "contact", "motion", "occupancy",
          "vibration", "moving", "power", "mass", "dimmer")  # fmt: skip
"""Of what a device says, the first of these is suggested."""
MEMORY = 16
REPEAT_US = 30 * US_PER_S
"""For so long a packet id is the one before; a button that loses its count begins with the same."""


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A property of a device."""

    mac: str
    property: str
    """As in bthome.io/format, ``button``, ``window``, ``power`` (W); of the second, ``button_2``;
    binary ones whose name is taken are ``power_on``, ``battery_low``, ``moisture_detected``."""
    gateway: str = "+"
    """Only what this one hears; by default all that do."""
    base: str = "home"
    inverted: bool = False
    """Is it in use when the property says it is not?"""


class BtHome(DeviceAdapter[Settings]):
    """One property of one device."""

    settings_type = Settings
    discovery = (DISCOVERY,)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._mac = mac("mac", settings.mac)
        base, name = f"{settings.base}/{settings.gateway}", settings.property
        self._single = re.sub(r"_?[0-9]$", "", name)
        if name in NUMBER_NAMES:
            self._single = name
        self._will = f"{base}/LWT" if settings.gateway != "+" else ""
        self.topics = [f"{base}/BTtoMQTT/{self._mac}", *filter(None, [self._will])]
        self.kind = "event" if self._single in EVENTS else "state"
        self.is_number = self._single not in (*EVENTS, *LEVELS)
        self._recent: deque[tuple[int, int]] = deque(maxlen=MEMORY)

    def read(self, message: Message) -> Iterable[Reading]:
        """Return the property's state, number or event, or that its only gateway is gone."""
        if message.topic == self._will:
            return () if is_there(message) else (Alive(False),)
        body, name = object_of(message), self.settings.property
        value, packet = body.get(name, body.get(OTHER_NAMES.get(name, name))), body.get("packet")
        advert = None if value is not None else _advert(message.topic, body)
        if advert is not None:
            value, packet = advert.values.get(name), advert.packet
        age = self._age(packet, message.received_us)
        if value is None or age == "old":
            return ()
        where = f"{message.topic}: {name}"
        if self.kind == "event":
            data = _pressed(where, value)
            return () if age == "same" or not data else (Happened(data),)
        if self.is_number:
            return (Number(number(where, value)),)
        if isinstance(value, str):
            value = value.lower()
        if isinstance(value, (dict, list)) or value not in IN_USE:
            raise DecodeError(
                f"{where} is {shown(value)}, expected true, false, on, off, open, closed"
            )
        is_closed = name == "contact"
        return (State(IN_USE[value] is not (is_closed is not self.settings.inverted)),)

    def _age(self, packet: Any, now_us: int) -> Literal["new", "same", "old"]:
        """Return whether a packet id is new, the newest again, or of a gateway that is late."""
        if isinstance(packet, bool) or not isinstance(packet, int):
            return "new"
        while self._recent and not 0 <= now_us - self._recent[0][1] < REPEAT_US:
            self._recent.popleft()
        if any(packet == one for one, _ in self._recent):
            return "same" if packet == self._recent[-1][0] else "old"
        self._recent.append((packet, now_us))
        return "new"

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the BTHome device that a message is of."""
        body = object_of(message)
        base, _, sender = heard_by(message.topic)
        uuid, model = _uuid(body), body.get("model")
        advert = _advert(message.topic, body)
        known = set(advert.values) if advert else set()
        if advert is None and "packet" in body:  # the packet id is BTHome's, whoever decodes it
            known = set(body)
        wanted = next((name for name in WANTED if name in known), None)
        if wanted is None or not sender:
            return
        settings = {"mac": sender, "property": wanted} | ({"base": base} if base != "home" else {})
        about = model if isinstance(model, str) else f"service data {uuid}"
        yield Found(sender, about, settings, is_number=wanted in NUMBER_NAMES)


def _uuid(body: dict[str, Any]) -> str:
    found = body.get("servicedatauuid")
    return found.lower().removeprefix("0x") if isinstance(found, str) else ""


def _advert(where: str, body: dict[str, Any]) -> Advert | None:
    """Return the service data, where a gateway hands it on; None if it is not BTHome's."""
    data = body.get("servicedata")
    if _uuid(body) != UUID or data is None:
        return None
    try:
        raw = bytes.fromhex(data)
    except (ValueError, TypeError) as error:
        raise DecodeError(f"{where}: servicedata is {shown(data)}, expected hex digits") from error
    return parse(where, raw)


def _pressed(where: str, value: Any) -> str:
    """Return what a button or dial did; empty if it rests."""
    if isinstance(value, str):
        return "" if value.lower() == "none" else value
    if isinstance(value, bool) or not isinstance(value, int):
        raise DecodeError(f"{where} is {shown(value)}, expected a text or a whole number")
    return PRESSES.get(value, f"press_{shown(value)}")
