"""Zigbee2MQTT: contacts, buttons, plugs, motion sensors; whatever a device ``exposes``.

State messages are levels: after a start Zigbee2MQTT says all it remembers again. ``action`` is the
one property that is an event; it is never remembered.
Source: zigbee2mqtt.io, "MQTT topics and messages" and "Exposes".
"""

from collections.abc import Iterable
from typing import Any

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
from sensor_adapters.json_fields import json_of, kind_of, number, object_of, shown, text_of, utc_us
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

ACTION = "action"
IN_USE_WHEN = {"contact": False}
"""Where the value that means "in use" is not ``true`` or ``"ON"``: a closed lid has ``contact``."""
WANTED = ("contact", "occupancy", "presence", "vibration", "power", ACTION, "state")
"""Of what a device exposes, the first of these is suggested."""
IN_USE = {True: True, False: False, "ON": True, "OFF": False, "OPEN": True, "CLOSE": False}


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A property of a device."""

    name: str
    """The device's friendly name; it may hold ``/``."""
    property: str
    """``contact``, ``occupancy``, ``power``, ``action``, ``state`` …: what it exposes."""
    base: str = "zigbee2mqtt"
    """Base topic."""


class Zigbee2Mqtt(DeviceAdapter[Settings]):
    """One property of one Zigbee device."""

    settings_type = Settings
    discovery = ("zigbee2mqtt/bridge/devices",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._state = f"{settings.base}/{settings.name}"
        self._bridge = f"{settings.base}/bridge/state"
        self.topics = (self._state, f"{self._state}/availability", self._bridge)
        self.kind = "event" if settings.property == ACTION else "state"
        self.is_number = settings.property not in (*IN_USE_WHEN, ACTION) and (
            settings.property not in WANTED or settings.property == "power"
        )

    def read(self, message: Message) -> Iterable[Reading]:
        """Return the property's state, number or event, or whether the device is there."""
        if message.topic != self._state:
            is_alive = _is_online(message)
            # that the bridge is there says nothing of a device; that it is gone does
            return () if is_alive and message.topic == self._bridge else (Alive(is_alive),)
        name = self.settings.property
        body = object_of(message)
        value = body.get(name)
        if value is None or value == "":
            return ()
        at_us = utc_us(body.get("last_seen"), 1000)  # milliseconds, with `last_seen: epoch`
        if name == ACTION:
            if not isinstance(value, str):
                raise DecodeError(f"{message.topic}: {name} is {shown(value)}, expected text")
            return (Happened(value, at_us),)
        if self.is_number:
            return (Number(number(f"{message.topic}: {name}", value), at_us),)
        if isinstance(value, (dict, list)) or value not in IN_USE:
            expected = "true, false, ON or OFF"
            raise DecodeError(f"{message.topic}: {name} is {shown(value)}, expected {expected}")
        return (State(IN_USE[value] is IN_USE_WHEN.get(name, True), at_us),)

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the devices of ``bridge/devices`` that expose something for us."""
        devices = json_of(message)
        if not isinstance(devices, list):
            raise DecodeError(f"{message.topic}: found {kind_of(devices)}, expected a list")
        base = message.topic.removesuffix("/bridge/devices")
        for one in devices:
            definition = one.get("definition") if isinstance(one, dict) else None
            if not isinstance(definition, dict) or not isinstance(one.get("friendly_name"), str):
                continue
            exposed = set(_exposed(definition.get("exposes")))
            wanted = next((name for name in WANTED if name in exposed), None)
            if wanted:
                settings = {"name": one["friendly_name"], "property": wanted}
                settings |= {"base": base} if base != "zigbee2mqtt" else {}
                about = f"{definition.get('vendor', '')} {definition.get('model', '')}".strip()
                yield Found(one["friendly_name"], about, settings, is_number=wanted == "power")


def _is_online(message: Message) -> bool:
    """Return what an availability message says: ``{"state":"online"}``, in 1.x plain text."""
    text = text_of(message)
    state = object_of(message).get("state") if text.startswith("{") else text
    if state not in ("online", "offline"):
        raise DecodeError(f"{message.topic}: found {shown(state)}, expected online or offline")
    return bool(state == "online")


def _exposed(exposes: Any) -> Iterable[str]:
    """Yield the properties of an ``exposes`` tree; only two levels of it are ever used."""
    for one in exposes if isinstance(exposes, list) else ():
        if isinstance(one, dict):
            if isinstance(one.get("property"), str):
                yield one["property"]
            for inner in one["features"] if isinstance(one.get("features"), list) else ():
                if isinstance(inner, dict) and isinstance(inner.get("property"), str):
                    yield inner["property"]
