"""Where a Tasmota device speaks: FullTopic puts prefix and topic in an order of its owner's choice.

Source: tasmota.github.io/docs/MQTT, "MQTT Topic Definition"; docs/Commands, FullTopic, Prefix.
"""

import re
from typing import Any

from sensor_adapters.device import Alive, DeviceSettings
from sensor_adapters.json_fields import shown, text_of
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

FULL_TOPIC = "%prefix%/%topic%/"


class TasmotaSettings(DeviceSettings, frozen=True, kw_only=True):
    """How a device was set up; what is left out is as it comes from the factory."""

    topic: str
    """The device's ``Topic``."""
    full_topic: str = FULL_TOPIC
    """Its ``FullTopic``; ``%hostname%`` and ``%id%`` as what they stand for."""
    stat: str = "stat"
    """Its ``Prefix2``."""
    tele: str = "tele"
    """Its ``Prefix3``."""
    online: str = "Online"
    offline: str = "Offline"


def resolved(settings: TasmotaSettings, prefix: str, what: str) -> str:
    """Return a topic of the device.

    >>> resolved(TasmotaSettings(station="s", adapter="tasmota", topic="plug"), "tele", "SENSOR")
    'tele/plug/SENSOR'

    Raises:
        ValueError: a token is left that only the device knows, or a wildcard.
    """
    whole = settings.full_topic.replace("%prefix%", prefix).replace("%topic%", settings.topic)
    found = re.sub("/+", "/", f"{whole}/{what}")
    if token := re.search(r"%\w+%|[+#\0]", found):
        raise ValueError(
            f"full_topic is {settings.full_topic!r}, topic {settings.topic!r}: found"
            f" {token[0]!r}, expected only %prefix% and %topic% to be filled in, and no wildcards"
        )
    return found


def lwt(settings: TasmotaSettings, message: Message) -> Alive:
    """Return what the device's last will or its greeting says.

    Raises:
        DecodeError: it is neither.
    """
    text = text_of(message)
    if text not in (settings.online, settings.offline):
        expected = f"{settings.online} or {settings.offline}"
        raise DecodeError(f"{message.topic}: found {shown(text)}, expected {expected}")
    return Alive(text == settings.online)


def discovered(config: dict[str, Any]) -> dict[str, Any] | None:
    """Return the settings that ``tasmota/discovery/<MAC>/config`` tells; None if it lacks some.

    Fields: ``t`` Topic, ``ft`` FullTopic, ``tp`` Prefix1…3, ``hn`` hostname, ``mac``, ``onln`` and
    ``ofln`` the texts of the last will.
    """
    topic, full, prefixes = config.get("t"), config.get("ft"), config.get("tp")
    if not isinstance(topic, str) or not isinstance(full, str):
        return None
    if not isinstance(prefixes, list) or len(prefixes) != 3:
        return None
    for token, value in (("%hostname%", config.get("hn")), ("%id%", config.get("mac"))):
        if isinstance(value, str):
            full = full.replace(token, value[-6:] if token == "%id%" else value)
    found = {
        "full_topic": full, "stat": prefixes[1], "tele": prefixes[2],
        "online": config.get("onln"), "offline": config.get("ofln"),
    }  # fmt: skip
    usual = {"full_topic": FULL_TOPIC, "stat": "stat", "tele": "tele", "online": "Online",
             "offline": "Offline"}  # fmt: skip
    own: dict[str, Any] = {k: v for k, v in found.items() if isinstance(v, str) and v != usual[k]}
    try:
        resolved(TasmotaSettings(station="", adapter="", topic=topic, **own), "tele", "LWT")
    except ValueError:
        return None
    return {"topic": topic, **own}
