"""Reading strangers' JSON: what is missing or of another kind is said, never guessed."""

import math
from typing import Any

import msgspec

from sensor_adapters.payloads import brief
from sensor_adapters.samples import US_PER_S, DecodeError
from sensor_adapters.topics import Message

FIRST_US, LAST_US = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 to 2100


def text_of(message: Message) -> str:
    """Return a payload as text, blanks around it left out.

    Raises:
        DecodeError: it is not UTF-8.
    """
    try:
        return message.payload.decode().strip()
    except UnicodeDecodeError as error:
        raise DecodeError(
            f"{message.topic}: found bytes that are no UTF-8, expected text"
        ) from error


def json_of(message: Message) -> Any:
    """Return a payload's JSON value.

    Raises:
        DecodeError: it is none.
    """
    try:
        return msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = brief(message.payload[:60].decode(errors="replace"))
        raise DecodeError(f"{message.topic}: found {found}, expected JSON: {error}") from error


def object_of(message: Message) -> dict[str, Any]:
    """Return a payload's JSON object.

    Raises:
        DecodeError: it is none.
    """
    found = json_of(message)
    if not isinstance(found, dict):
        raise DecodeError(f"{message.topic}: found {kind_of(found)}, expected a JSON object")
    return found


def at(value: Any, path: str) -> Any:
    """Return what lies at ``a.b.0`` in a JSON value; None if nothing does.

    >>> at({"ENERGY": {"Power": [3, 4]}}, "ENERGY.Power.1")
    4
    """
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def number(where: str, value: Any) -> float:
    """Return a finite number, also where it is spelt as text.

    Raises:
        DecodeError: it is none.
    """
    found = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
    if not math.isfinite(found) or abs(found) > 1e15:
        raise DecodeError(f"{where}: found {shown(value)}, expected a number")
    return found


def utc_us(value: Any, unit_us: int = US_PER_S) -> int | None:
    """Return Unix seconds, or what ``unit_us`` says, as microseconds; None for what is no time.

    >>> utc_us(1736603810.49), utc_us("soon"), utc_us(12.0)
    (1736603810490000, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not FIRST_US <= value * unit_us < LAST_US:  # also where it is not a number
        return None
    return round(value * unit_us)


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words."""
    kinds: dict[type, str] = {
        dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null",
    }  # fmt: skip
    return kinds.get(type(value), "a number")


def shown(value: Any) -> str:
    """Return a stranger's value so that it fits into a message."""
    return brief(value) if isinstance(value, str) else f"{value!r:.40}"
