"""ESPHome: binary sensors, switches, sensors and text sensors, a topic each.

After every connection a node says all its states again, and the broker keeps the last ones: a state
is a level, and a text that comes again right after ``online`` is no new scan.
Source: esphome.io, "MQTT Client Component" and "Text Sensor Component".
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
from sensor_adapters.json_fields import at, number, object_of, shown, text_of
from sensor_adapters.samples import US_PER_S, DecodeError
from sensor_adapters.topics import Message

LEVELS = ("binary_sensor", "switch", "fan")
NUMBERS = ("sensor", "number")
TEXTS = ("text_sensor",)
EVENTS = ("event",)
COMPONENTS = (*LEVELS, *NUMBERS, *TEXTS, *EVENTS)
NO_NUMBER = ("nan", "none", "")
AGAIN_US = 5 * US_PER_S
"""For so long after ``online`` a text that is known is one said again."""
MAKERS = ("espressif", "raspberry pi", "beken", "realtek", "nordic semiconductor")
"""What ESPHome puts as manufacturer where the node names no project."""


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A component of a node."""

    prefix: str
    """``topic_prefix`` of the node; its name, unless set."""
    component: str
    """``binary_sensor``, ``switch``, ``fan``, ``sensor``, ``number``, ``text_sensor`` or ``event``.
    """
    object: str = ""
    """The component's name as it stands in topics: ``tape_lid``."""
    topic: str = ""
    """Where ``state_topic`` is set: that topic."""
    on: str = "ON"
    off: str = "OFF"


class EspHome(DeviceAdapter[Settings]):
    """One component of one node."""

    settings_type = Settings
    discovery = ("homeassistant/+/+/+/config",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        component = settings.component
        if component not in COMPONENTS:
            raise ValueError(f"component is {component!r}, expected one of {', '.join(COMPONENTS)}")
        if bool(settings.object) == bool(settings.topic):
            raise ValueError(
                f"object is {settings.object!r} and topic {settings.topic!r}, expected one of them"
            )
        self._state = settings.topic or f"{settings.prefix}/{component}/{settings.object}/state"
        self._status = f"{settings.prefix}/status"
        self.topics = (self._state, self._status)
        self.kind = "event" if component in (*TEXTS, *EVENTS) else "state"
        self.is_number = component in NUMBERS
        self._is_gone = False
        self._online_us: int | None = None
        self._text: str | None = None

    def read(self, message: Message) -> Iterable[Reading]:
        """Return the component's state, number or text, or that the node is gone."""
        if message.topic == self._status:
            return self._read_status(message)
        if message.retained and self._is_gone:
            return ()  # the last one of a node that is not there
        component, text = self.settings.component, text_of(message)
        if component in LEVELS:
            on, off = self.settings.on, self.settings.off
            if text not in (on, off):
                raise DecodeError(f"{message.topic}: found {shown(text)}, expected {on} or {off}")
            return (State(text == on),)
        if component in NUMBERS:
            return () if text.lower() in NO_NUMBER else (Number(number(message.topic, text)),)
        if component in EVENTS:
            text = _event_type(message)
        return self._read_text(text, message)

    def _read_status(self, message: Message) -> Iterable[Reading]:
        text = text_of(message)
        if text not in ("online", "offline"):
            raise DecodeError(f"{message.topic}: found {shown(text)}, expected online or offline")
        self._is_gone = text == "offline"
        if self._is_gone:
            return (Alive(False),)
        if not message.retained:
            self._online_us = message.received_us
        return ()  # its states follow

    def _read_text(self, text: str, message: Message) -> Iterable[Reading]:
        before, self._text = self._text, text
        since = self._online_us
        is_early = since is not None and 0 <= message.received_us - since < AGAIN_US
        is_again = self.settings.component in TEXTS and is_early and text == before
        return () if is_again or not text else (Happened(text),)

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the component that a node's Home Assistant discovery message describes."""
        if not message.payload:
            return  # deleted
        body = object_of(message)
        if not _is_esphome(body):
            return
        base = _text(body, "~")
        state = _whole(_text(body, "stat_t", "state_topic"), base)
        status = _whole(_text(body, "avty_t", "availability_topic"), base)
        component = message.topic.split("/")[1] if "/" in message.topic else ""
        if not state or component not in COMPONENTS:
            return
        prefix, _, rest = state.partition(f"/{component}/")
        name = rest.removesuffix("/state")
        if rest.endswith("/state") and "/" not in name and name:
            settings = {"prefix": prefix, "component": component, "object": name}
        else:
            prefix = status.removesuffix("/status")
            settings = {"prefix": prefix, "component": component, "topic": state}
        for key, keys in (("on", ("pl_on", "payload_on")), ("off", ("pl_off", "payload_off"))):
            said = _text(body, *keys)
            settings |= {key: said} if said and component in LEVELS else {}
        about = f"{_text(body, 'name')}, {_of_device(body, 'mdl', 'model')}"
        yield Found(f"{prefix}/{name or component}", about, settings, component in NUMBERS)


def _event_type(message: Message) -> str:
    """Return what an event entity says: ``{"event_type":"double_click"}``."""
    found = object_of(message).get("event_type")
    if not isinstance(found, str):
        raise DecodeError(f"{message.topic}: event_type is {shown(found)}, expected text")
    return found


def _is_esphome(body: dict[str, Any]) -> bool:
    """Return whether a node of ESPHome wrote a discovery message; others use the same topics."""
    version = _of_device(body, "sw", "sw_version").lower()
    maker = _of_device(body, "mf", "manufacturer").lower()
    return "esphome" in version or "config hash" in version or maker in MAKERS


def _of_device(body: dict[str, Any], *names: str) -> str:
    device = at(body, "dev") or at(body, "device")
    return _text(device, *names) if isinstance(device, dict) else ""


def _text(body: dict[str, Any], *names: str) -> str:
    """Return the first of the keys that holds a text: they have short and long names."""
    return next((body[n] for n in names if isinstance(body.get(n), str)), "")


def _whole(topic: str, base: str) -> str:
    """Return a topic, ``~`` at its beginning or end replaced by the message's base."""
    if topic.startswith("~"):
        return base + topic[1:]
    return topic[:-1] + base if topic.endswith("~") else topic
