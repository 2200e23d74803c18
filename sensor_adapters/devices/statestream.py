"""Home Assistant's MQTT Statestream: any entity, a retained topic for its state.

Home Assistant publishes a state whenever it or an attribute changes, so a state is a level; where
it is a time (buttons, events, tags, scenes), another time is an event. ``last_updated`` and the
attributes follow on topics of their own; that they do, ``timestamps`` and ``data`` say.
Source: home-assistant.io/integrations/mqtt_statestream.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

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
from sensor_adapters.json_fields import json_of, number, shown, text_of, utc_us
from sensor_adapters.samples import US_PER_S, DecodeError
from sensor_adapters.topics import Message

EVENTS = ("event", "button", "input_button", "tag", "scene")
"""Domains whose state is the time when it last happened."""
NUMBERS = ("sensor", "number", "input_number", "counter")
LEVELS = ("binary_sensor", "switch", "input_boolean", "light", "fan", "lock", "cover")
IN_USE = {
    "on": True, "open": True, "opening": True, "closing": True, "unlocked": True, "home": True,
    "playing": True, "off": False, "closed": False, "locked": False, "not_home": False,
    "idle": False, "paused": False, "standby": False,
}  # fmt: skip
GONE = ("unavailable", "unknown", "")
FRESH_US = 60 * US_PER_S
"""The first time that we hear of is an event if it is no older: else it is of before us."""


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """An entity."""

    entity: str
    """``binary_sensor.tape_lid``."""
    base: str = "homeassistant"
    """``base_topic`` of the statestream."""
    on: tuple[str, ...] = ()
    """States that mean "in use", all others do not: ``["cleaning"]``."""
    timestamps: bool = False
    """Is ``publish_timestamps`` on? Readings then have Home Assistant's time."""
    data: str = ""
    """The attribute that says what happened, ``event_type``; wants ``publish_attributes``."""
    status: str = "homeassistant/status"
    """Birth and will of Home Assistant itself."""


class Statestream(DeviceAdapter[Settings]):
    """One entity."""

    settings_type = Settings
    discovery = ("homeassistant/+/+/state", "statestream/+/+/state")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        domain, _, name = settings.entity.partition(".")
        if not domain or not name or "/" in settings.entity:
            raise ValueError(f"entity is {settings.entity!r}, expected one as binary_sensor.lid")
        self._is_event = domain in EVENTS
        if settings.data and not self._is_event:
            raise ValueError(f"data is {settings.data!r}, expected it with {', '.join(EVENTS)}")
        self.kind = "event" if self._is_event else "state"
        self.is_number = domain in NUMBERS and not settings.on
        mine = f"{settings.base.rstrip('/')}/{domain}/{name}/"
        self._state = f"{mine}state"
        self._after = mine + settings.data if settings.data else ""
        if settings.timestamps and not self._is_event:
            self._after = f"{mine}last_updated"
        self.topics = [t for t in (self._state, self._after, settings.status) if t]
        self._held: Reading | None = None
        self._last_us: int | None = None

    def read(self, message: Message) -> Iterable[Reading]:
        """Return the entity's state, number or event, or that it is gone."""
        if message.topic == self._state:
            return self._read_state(message)
        if message.topic == self._after:
            return self._read_after(message)
        if text_of(message) == "offline":
            return (*self._release(), Alive(False))
        return ()

    def _read_state(self, message: Message) -> Iterable[Reading]:
        before, text = self._release(), _bare(message)
        if text == "unknown" and self._is_event:
            return before  # it never happened yet
        if text in GONE:
            return (*before, Alive(False))
        if self._is_event:
            reading = self._happened(text, message)
        elif self.is_number:
            reading = Number(number(message.topic, text))
        else:
            reading = State(self._in_use(text, message))
        if self._after and not message.retained and not isinstance(reading, Alive):
            self._held = reading
            return before
        return (*before, reading)

    def _happened(self, text: str, message: Message) -> Reading:
        at_us = iso_us(text)
        if at_us is None:
            expected = "a time as 2026-11-20T10:13:52.123+00:00"
            raise DecodeError(f"{message.topic}: found {shown(text)}, expected {expected}")
        before_us, self._last_us = self._last_us, at_us
        is_old = before_us is None and message.received_us - at_us > FRESH_US
        if at_us == before_us or is_old or message.retained:
            return Alive(True)
        return Happened(None, at_us)

    def _in_use(self, text: str, message: Message) -> bool:
        if self.settings.on:
            return text in self.settings.on
        if text not in IN_USE:
            expected = f"one of {', '.join(IN_USE)}, or `on` with the states that mean in use"
            raise DecodeError(f"{message.topic}: found {shown(text)}, expected {expected}")
        return IN_USE[text]

    def _read_after(self, message: Message) -> Iterable[Reading]:
        """Return the reading that has waited for this."""
        held, self._held = self._held, None
        if held is None or message.retained:
            return ()
        if isinstance(held, Happened):
            value = json_of(message)
            data = value if isinstance(value, str) else shown(value)
            return (msgspec.structs.replace(held, data=data),)
        return (msgspec.structs.replace(held, at_us=iso_us(_bare(message))),)

    def _release(self) -> tuple[Reading, ...]:
        """Return what has waited in vain."""
        held, self._held = self._held, None
        return () if held is None else (held,)

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the entity whose state a message is."""
        parts = message.topic.split("/")
        if len(parts) < 4 or parts[-1] != "state":
            return
        domain, name, text = parts[-3], parts[-2], _bare(message)
        is_number = domain in NUMBERS and _is_number(text)
        if not is_number and domain not in (*LEVELS, *EVENTS):
            return
        if domain in LEVELS and text not in (*IN_USE, *GONE):
            return  # another system's, under the same topics
        base = "/".join(parts[:-3])
        settings: dict[str, Any] = {"entity": f"{domain}.{name}"}
        settings |= {"base": base} if base != "homeassistant" else {}
        yield Found(f"{domain}.{name}", f"state {shown(text)}", settings, is_number)


def iso_us(text: str) -> int | None:
    """Return microseconds UTC of an ISO 8601 time that says its offset; None for what is none.

    >>> iso_us("2026-11-20T10:13:52.500+01:00"), iso_us("2026-11-20T10:13:52")
    (1795166032500000, None)
    """
    try:
        found = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        return None if found.tzinfo is None else utc_us(found.timestamp())
    except (ValueError, OverflowError):
        return None


def _bare(message: Message) -> str:
    """Return a state; quotes of JSON around it, as attributes have them, are left out."""
    text = text_of(message)
    value = json_of(message) if text.startswith('"') else text
    return value if isinstance(value, str) else text


def _is_number(text: str) -> bool:
    try:
        number("", text)
    except DecodeError:
        return False
    return True
