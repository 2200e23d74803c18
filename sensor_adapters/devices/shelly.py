"""Shelly, second generation and later (Plus, Pro, Gen3, Gen4): plugs, relays, inputs, buttons.

A notification tells only what changed, so that a value is known from its next change on. Where
``status_ntf`` is on ("Generic status update over MQTT" in the device's settings) the whole status
comes at least once a minute as well. We publish nothing, hence never ask for it.
Sources: shelly-api-docs.shelly.cloud/gen2, "Notifications", "MQTT", "Switch", "Input".
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
from sensor_adapters.json_fields import at, kind_of, number, object_of, shown, text_of, utc_us
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

EVENT = "event"
PUSHES = ("single_push", "double_push", "triple_push", "long_push")
SWITCHED = ("output", "state", "value")
"""Properties that are true or false; the ``value`` of a BTHome sensor may be a number as well."""
METERS = ("switch", "pm1", "light", "cover")
STATUS = ("NotifyStatus", "NotifyFullStatus")


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A property of a component."""

    name: str
    """The device's "MQTT prefix": its id, as ``shellyplusplugs-…``, unless its owner changed it."""
    component: str = "switch:0"
    """``switch:0``, ``pm1:0``, ``input:1``, ``bthomesensor:200`` …"""
    property: str = "apower"
    """``apower`` W, ``output``, ``state``, ``value``, ``temperature.tC`` …; ``event``: pushes of a
    button."""
    events: tuple[str, ...] = PUSHES
    """Which of a button's events count."""


class Shelly(DeviceAdapter[Settings]):
    """One property of one component of a Shelly."""

    settings_type = Settings
    discovery = ("+/online", "+/events/rpc")
    sooner = "a Shelly says its power when it changes: switch the machine behind it on and off"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        name = settings.name
        if not name or set(name + settings.component) & set("+#\0"):
            raise ValueError(
                f"name is {name!r}, component {settings.component!r}, expected the device's MQTT"
                " prefix and such as 'switch:0'"
            )
        self._rpc, self._online = f"{name}/events/rpc", f"{name}/online"
        self._status = f"{name}/status/{settings.component}"
        is_event = settings.property == EVENT
        status = () if is_event else (self._status,)
        self.topics = (self._rpc, *status, self._online)
        self.kind = "event" if is_event else "state"
        self.is_number = not is_event and settings.property not in SWITCHED

    def read(self, message: Message) -> Iterable[Reading]:
        """Return the property, pushes, or whether the device is there."""
        if message.topic == self._online:
            return (Alive(_is_online(message)),)
        body = object_of(message)
        if message.topic == self._status:
            return self._property(message, body, None)
        method, params = body.get("method"), body.get("params")
        if not isinstance(method, str) or not isinstance(params, dict):
            raise DecodeError(f"{message.topic}: found no method with params, expected both")
        if method == "NotifyEvent" and self.settings.property == EVENT:
            return self._pushes(message, params)
        if method in STATUS and self.settings.property != EVENT:
            component = params.get(self.settings.component)
            if component is not None:
                return self._property(message, component, utc_us(params.get("ts")))
        return ()

    def _property(self, message: Message, component: Any, at_us: int | None) -> Iterable[Reading]:
        where = f"{message.topic}: {self.settings.component}"
        if not isinstance(component, dict):
            raise DecodeError(f"{where} is {kind_of(component)}, expected an object")
        name = self.settings.property
        value = at(component, name)
        if value is None:  # it did not change, or there is none now
            return ()
        if isinstance(value, bool):
            return (State(value, at_us),)
        if name in SWITCHED[:2]:
            raise DecodeError(f"{where}.{name} is {shown(value)}, expected true or false")
        return (Number(number(f"{where}.{name}", value), at_us),)

    def _pushes(self, message: Message, params: dict[str, Any]) -> Iterable[Reading]:
        events = params.get("events")
        if not isinstance(events, list):
            raise DecodeError(f"{message.topic}: events is {kind_of(events)}, expected a list")
        return [
            Happened(one["event"], utc_us(one.get("ts")))
            for one in events
            if isinstance(one, dict)
            and one.get("component") == self.settings.component
            and isinstance(one.get("event"), str)
            and one["event"] in self.settings.events
        ]

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return a Shelly that greets, or the components of which it tells."""
        name, _, what = message.topic.partition("/")
        if what == "online":  # others have such a topic, too
            if name.startswith("shelly") and text_of(message) in ("true", "false"):
                yield Found(name, "Shelly", {"name": name}, is_number=True)
            return
        body = object_of(message)
        source, params = body.get("src"), body.get("params")
        if not (isinstance(source, str) and source.startswith("shelly")):
            return
        if not isinstance(params, dict):
            return
        about = f"Shelly {source.partition('-')[0].removeprefix('shelly')}"
        if body.get("method") in STATUS:
            for component in params:
                kind, _, _ = component.partition(":")
                if kind in METERS and at(params[component], "apower") is not None:
                    is_usual = component == "switch:0"
                    own = {"name": name} | ({} if is_usual else {"component": component})
                    full = name if is_usual else f"{name}/{component}"
                    yield Found(full, about, own, is_number=True)
                elif kind == "input" and isinstance(at(params[component], "state"), bool):
                    own = {"name": name, "component": component, "property": "state"}
                    yield Found(f"{name}/{component}", about, own)
        events = params.get("events") if body.get("method") == "NotifyEvent" else None
        for one in events if isinstance(events, list) else ():
            component = one.get("component") if isinstance(one, dict) else None
            if isinstance(component, str) and one.get("event") in PUSHES:
                own = {"name": name, "component": component, "property": EVENT}
                yield Found(f"{name}/{component}", about, own)


def _is_online(message: Message) -> bool:
    text = text_of(message)
    if text not in ("true", "false"):
        raise DecodeError(f"{message.topic}: found {shown(text)}, expected true or false")
    return text == "true"
