"""One message of ``frigate/events``: what is known of a tracked object after a change.

Source: docs.frigate.video/integrations/mqtt, "frigate/events".
"""

from dataclasses import dataclass
from typing import Any

from sensor_adapters.json_fields import kind_of, object_of, shown, utc_us
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

MOST_TRACKED = 200
"""Objects of one device; more are no people but a fault."""
TYPES = ("new", "update", "end")


@dataclass(frozen=True)
class Tracked:
    """An object, after the change."""

    id: str
    camera: str
    label: str
    zones: frozenset[str]
    """In which it is now."""
    is_tracked: bool
    """False: it has ended, or was none."""
    is_stationary: bool
    at_us: int | None


def tracked(message: Message) -> Tracked:
    """Return the object of an event.

    Raises:
        DecodeError: no event, or one that does not say what, where and of which id.
    """
    body, where = object_of(message), message.topic
    kind, after = body.get("type"), body.get("after")
    if not isinstance(kind, str) or kind not in TYPES:
        raise DecodeError(f"{where}: type is {shown(kind)}, expected one of {', '.join(TYPES)}")
    if not isinstance(after, dict):
        raise DecodeError(f"{where}: after is {kind_of(after)}, expected an object")
    zones = after.get("current_zones")
    if zones is None:
        zones = []
    if not isinstance(zones, list) or not all(isinstance(zone, str) for zone in zones):
        raise DecodeError(f"{where}: current_zones is {shown(zones)}, expected a list of texts")
    ended = kind == "end" or after.get("end_time") is not None
    return Tracked(
        _text(where, after, "id"),
        _text(where, after, "camera"),
        _text(where, after, "label"),
        frozenset(zones),
        is_tracked=not ended and after.get("false_positive") is not True,
        is_stationary=after.get("stationary") is True,
        at_us=(utc_us(after.get("end_time")) if ended else None) or utc_us(after.get("frame_time")),
    )


def _text(where: str, after: dict[str, Any], key: str) -> str:
    value = after.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise DecodeError(f"{where}: after.{key} is {shown(value)}, expected a text")
    return value
