"""Frigate: somebody or something is in a zone, or how many.

An ``end`` can be missing (Frigate drops what it says while it has no broker), so an object of which
nothing was heard for ``forget_s`` is gone, and so are all when the count of the place is 0.
``frigate/stats``, every minute, is the clock for that, and the heartbeat.
Source: docs.frigate.video/integrations/mqtt.
"""

from collections.abc import Iterable

from sensor_adapters.device import (
    Alive,
    DeviceAdapter,
    DeviceSettings,
    Found,
    Number,
    Reading,
    State,
)
from sensor_adapters.devices.frigate_objects import MOST_TRACKED, Tracked, tracked
from sensor_adapters.json_fields import number, shown, text_of
from sensor_adapters.samples import US_PER_S, DecodeError
from sensor_adapters.topics import Message

__all__ = ["MOST_TRACKED", "Frigate", "Settings"]
PROPERTIES = ("present", "count")
GONE = ("offline", "stopped", "disabled")


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """Objects of a kind in a place."""

    camera: str = ""
    zone: str = ""
    """Of the camera, or of any if none is named."""
    label: str = "person"
    property: str = "present"
    """``present``: in use while one is there; ``count``: how many, a number."""
    stationary: bool = True
    """Do those count that have not moved for a while?"""
    forget_s: float = 300.0
    """An object of which nothing was heard for so long is gone."""
    base: str = "frigate"
    """``topic_prefix``."""


class Frigate(DeviceAdapter[Settings]):
    """Objects of one kind in one place."""

    settings_type = Settings
    discovery = ("frigate/events",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        base, place = settings.base, settings.zone or settings.camera
        if not place:
            raise ValueError("camera and zone are empty, expected one of them at least")
        if settings.property not in PROPERTIES:
            expected = " or ".join(PROPERTIES)
            raise ValueError(f"property is {settings.property!r}, expected {expected}")
        if settings.forget_s <= 0:
            raise ValueError(f"forget_s is {settings.forget_s:g}, expected more than 0")
        self.is_number = settings.property == "count"
        active = "" if settings.stationary else "/active"
        self._count = f"{base}/{place}/{settings.label}{active}"
        self._available = f"{base}/available"
        self._camera = f"{base}/{settings.camera}/status/detect" if settings.camera else ""
        self._events, self._stats = f"{base}/events", f"{base}/stats"
        self.topics = [t for t in (self._count, self._available, self._camera) if t]
        if not self.is_number:
            self.topics += [self._events, self._stats]
        self._there: dict[str, int] = {}
        """When each object that is there was last heard of, by its id; oldest first."""
        self._blind: set[str] = set()
        """Topics that say that nothing is seen now."""
        self._is_known = False

    def read(self, message: Message) -> Iterable[Reading]:
        """Return whether one is there, or how many, or that nobody is looking."""
        if message.topic in (self._available, self._camera):
            return self._read_status(message)
        if message.topic == self._count:
            return self._read_count(message)
        if message.topic == self._events:
            return self._read_event(tracked(message), message)
        changed = self._forget(message.received_us)
        return self._said() if self._is_known or changed else ()

    def _read_status(self, message: Message) -> Iterable[Reading]:
        text = text_of(message)
        if text not in ("online", *GONE):
            expected = f"one of online, {', '.join(GONE)}"
            raise DecodeError(f"{message.topic}: found {shown(text)}, expected {expected}")
        self._there.clear()  # whoever begins to look again gives them new ids
        self._is_known = False
        if text == "online":
            self._blind.discard(message.topic)
            return ()
        self._blind.add(message.topic)
        return (Alive(False),)

    def _read_count(self, message: Message) -> Iterable[Reading]:
        count = number(message.topic, text_of(message))
        if self.is_number:
            return (Number(count),)
        if count > 0 or message.retained:
            return ()
        self._there.clear()
        self._is_known = True
        return self._said()

    def _read_event(self, one: Tracked, message: Message) -> Iterable[Reading]:
        wanted, now_us = self.settings, message.received_us
        changed = self._forget(now_us)
        if one.label != wanted.label or (wanted.camera and one.camera != wanted.camera):
            return self._said() if changed else ()
        is_there = one.is_tracked and (not wanted.zone or wanted.zone in one.zones)
        is_there &= wanted.stationary or not one.is_stationary
        known = self._there.pop(one.id, None) is not None
        if is_there:
            self._there[one.id] = now_us
            while len(self._there) > MOST_TRACKED:
                del self._there[next(iter(self._there))]
        if not (is_there or known or changed):
            return ()  # elsewhere
        self._is_known = True
        return self._said(one.at_us)

    def _forget(self, now_us: int) -> bool:
        """Leave out objects of which nothing was heard for long; return whether there were any."""
        first_us = now_us - round(self.settings.forget_s * US_PER_S)
        old = [key for key, heard_us in self._there.items() if heard_us < first_us]
        for key in old:
            del self._there[key]
        return bool(old)

    def _said(self, at_us: int | None = None) -> Iterable[Reading]:
        return () if self._blind else (State(bool(self._there), at_us),)

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the places in which an event's object was seen."""
        one, base = tracked(message), message.topic.removesuffix("/events")
        common = {"label": one.label} | ({"base": base} if base != "frigate" else {})
        yield Found(
            f"{one.camera}/{one.label}", "the whole picture", {"camera": one.camera, **common}
        )
        for zone in sorted(one.zones)[:MOST_TRACKED]:
            settings = {"camera": one.camera, "zone": zone, **common}
            yield Found(f"{one.camera}/{zone}/{one.label}", f"zone {zone}", settings)
