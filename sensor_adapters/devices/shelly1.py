"""Shelly, first generation: plugs, relays, inputs, buttons, Door/Window 2; one text a topic.

Every 30 s it says all again. A button's last push is told apart from a new one by ``event_cnt``;
the first that is heard only says where the count stands. Battery devices sleep, and are then said
to be offline though they are well: their ``online`` is not listened to.
Source: shelly-api-docs.shelly.cloud/gen1, "MQTT support" of each device.
"""

from collections.abc import Iterable

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
from sensor_adapters.json_fields import number, object_of, shown, text_of
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

STATES = {
    "relay": {"on": True, "off": False, "overpower": False},
    "input": {"1": True, "0": False},
    "sensor": {"open": True, "close": False, "1": True, "0": False, "true": True, "false": False},
}
"""What is said, by the first word of the topic."""
SENSED = ("sensor/state", "sensor/vibration", "sensor/motion", "sensor/flood")
PUSHES = ("S", "SS", "SSS", "L", "SL", "LS")
"""Short and long ones."""
SLEEPERS = ("shellydw", "shellybutton")
FIRST_TOPICS = {"SHDW": "sensor/state", "SHBTN": "input_event/0", "SHIX3": "input_event/0",
                "SHEM": "emeter/0/power"}  # fmt: skip
"""By the beginning of the model, what is suggested; ``relay/0/power`` for others."""


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A topic of a device."""

    name: str
    """The device's MQTT id, as ``shellyplug-s-6A6374``; what stands behind ``shellies/``."""
    property: str = "relay/0/power"
    """The rest of the topic: ``relay/0/power`` W, ``emeter/0/power`` W, ``relay/0``, ``input/0``,
    ``input_event/0``, ``sensor/state`` …"""


class Shelly1(DeviceAdapter[Settings]):
    """One topic of one Shelly of the first generation."""

    settings_type = Settings
    discovery = ("shellies/announce",)
    sooner = "a Shelly says its power when it changes and every 30 s: use the machine behind it"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        name, what = settings.name, settings.property
        if not name or not what or set(name + what) & set("+#\0"):
            raise ValueError(f"name is {name!r}, property {what!r}, expected parts of a topic")
        self._said, self._online = f"shellies/{name}/{what}", f"shellies/{name}/online"
        sleeps = what.startswith("sensor/") or name.rpartition("/")[2].startswith(SLEEPERS)
        self.topics = (self._said,) if sleeps else (self._said, self._online)
        first, *rest = what.split("/")
        self._is_event = first == "input_event"
        is_state = (first in ("relay", "input") and len(rest) == 1) or what in SENSED
        self._words = STATES[first] if is_state else None
        self.kind = "event" if self._is_event else "state"
        self.is_number = not self._is_event and not is_state
        self._count: int | None = None

    def read(self, message: Message) -> Iterable[Reading]:
        """Return what the topic says, or whether the device is there."""
        if message.topic == self._online:
            return (Alive(_is_online(message)),)
        if self._is_event:
            return self._push(message)
        text = text_of(message)
        if self._words is None:
            return (Number(number(message.topic, text)),)
        if text not in self._words:
            expected = ", ".join(self._words)
            raise DecodeError(f"{message.topic}: found {shown(text)}, expected one of {expected}")
        return (State(self._words[text]),)

    def _push(self, message: Message) -> Iterable[Reading]:
        body = object_of(message)
        event, count = body.get("event"), body.get("event_cnt")
        if not isinstance(event, str) or not isinstance(count, int) or isinstance(count, bool):
            raise DecodeError(
                f"{message.topic}: found event {shown(event)}, event_cnt {shown(count)}, expected"
                " text and a whole number"
            )
        before, self._count = self._count, count
        if before is None or count == before or event not in PUSHES:
            return ()
        return (Happened(event),)

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the device that announces itself."""
        body = object_of(message)
        name, model = body.get("id"), body.get("model", "")
        if not isinstance(name, str) or not name or set(name) & set("+#\0"):
            return
        if not isinstance(model, str):
            return
        wanted = next((t for m, t in FIRST_TOPICS.items() if model.startswith(m)), "")
        settings = {"name": name, **({"property": wanted} if wanted else {})}
        is_number = not wanted or wanted.endswith("power")
        yield Found(name, f"Shelly {model}".strip(), settings, is_number=is_number)


def _is_online(message: Message) -> bool:
    text = text_of(message)
    if text not in ("true", "false"):
        raise DecodeError(f"{message.topic}: found {shown(text)}, expected true or false")
    return text == "true"
