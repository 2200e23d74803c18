"""Topics and messages: what travels over MQTT, and the contract between all processes.

``act/v1/<site>/<node>/<station>/in/<kind>/<device>`` carries samples; everything a board
says itself lies beside it under ``act/v1/<site>/<node>``.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

ROOT = "act/v1"
ID = re.compile(r"[a-z0-9_-]{1,32}\Z")


class TopicError(ValueError):
    """A topic or an id is not of our form; the text names found and expected."""


def check_id(what: str, value: str) -> str:
    """Return ``value`` if it is a valid id.

    >>> check_id("station", "pack-3")
    'pack-3'

    Raises:
        TopicError: it is not ``[a-z0-9_-]{1,32}``.
    """
    if not ID.match(value):
        raise TopicError(f"{what} {value!r} is not an id, expected 1 to 32 of a-z 0-9 _ -")
    return value


@dataclass(frozen=True)
class InTopic:
    """Where one device's payloads arrive."""

    site: str
    node: str
    station: str
    kind: str
    """Name of the adapter that decodes them, or ``status``."""
    device: str

    def __str__(self) -> str:
        return f"{base(self.site, self.node)}/{self.station}/in/{self.kind}/{self.device}"


def base(site: str, node: str) -> str:
    """Return the prefix of everything one board says and hears."""
    return f"{ROOT}/{site}/{node}"


@lru_cache(maxsize=10_000)  # a board hears the same ones again and again
def parse_in(topic: str) -> InTopic:
    """Return the parts of a sample topic.

    >>> parse_in("act/v1/osaka/jetson-01/pack-3/in/imu/atr01").device
    'atr01'

    Raises:
        TopicError: it has another form.
    """
    parts = topic.split("/")
    if len(parts) != 8 or parts[:2] != ROOT.split("/") or parts[5] != "in":
        raise TopicError(
            f"topic {topic!r} is unknown, expected"
            f" {ROOT}/<site>/<node>/<station>/in/<kind>/<device>"
        )
    _, _, site, node, station, _, kind, device = parts
    for what, value in (("site", site), ("node", node), ("station", station), ("device", device)):
        check_id(what, value)
    return InTopic(site, node, station, kind, device)


def is_filter(text: str) -> bool:
    """Can this be subscribed to?

    >>> is_filter("shellies/+/relay/0"), is_filter("a/b#"), is_filter("")
    (True, False, False)
    """
    levels = text.split("/")
    fine = all(level in ("+", "#") or not set("+#\0") & set(level) for level in levels)
    return fine and "#" not in levels[:-1] and 0 < len(text.encode(errors="replace")) < 65536


@dataclass(frozen=True)
class Message:
    """One MQTT message as the first host of ours saw it."""

    topic: str
    payload: bytes
    received_us: int
    """Unix microseconds, stamped once by the first host."""
    retained: bool = False
    qos: int = 1
