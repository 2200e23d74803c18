"""Sparkplug B: a metric of an edge node, or of a device behind one, as industrial gateways send.

Births list the metrics with their aliases; data then names aliases only. A death is the will of one
session: its ``bdSeq`` tells which, so that a late one does not end the next. We listen only, and
can not ask for a birth: start the gateway before the nodes, or let the primary host ask for one.
Source: Eclipse Sparkplug 3.0.0, chapters 4 to 6.
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
from sensor_adapters.devices.sparkplug_payload import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    SIGNED_BITS,
    UNSIGNED,
    Metric,
    metrics,
)
from sensor_adapters.json_fields import number, shown
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

ROOT = "spBv1.0"
TYPES = ("boolean", "number", "text")
BD_SEQ = "bdSeq"
NO_DEVICES = (BD_SEQ, "Node Control/", "Device Control/", "Properties/")
MOST_READINGS = 1000
"""Of one payload."""


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A metric."""

    group: str
    node: str
    device: str = ""
    """Behind the node; empty: the metric is the node's own."""
    metric: str
    """Its name in the birth, ``Inputs/A``."""
    type: str = "boolean"
    """``boolean``, ``number``, or ``text``, each of which is an event."""


class Sparkplug(DeviceAdapter[Settings]):
    """One metric."""

    settings_type = Settings
    discovery = (f"{ROOT}/+/NBIRTH/+", f"{ROOT}/+/DBIRTH/+/+")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if settings.type not in TYPES:
            raise ValueError(f"type is {settings.type!r}, expected one of {', '.join(TYPES)}")
        metrics("", b"")  # says what is missing
        self.kind = "event" if settings.type == "text" else "state"
        self.is_number = settings.type == "number"
        scopes = "ND" if settings.device else "N"
        verbs = [f"{scope}{verb}" for scope in scopes for verb in ("BIRTH", "DEATH", "DATA")]
        tail = {"N": settings.node, "D": f"{settings.node}/{settings.device}"}
        self._verbs = {f"{ROOT}/{settings.group}/{v}/{tail[v[0]]}": v for v in verbs}
        self._own = scopes[-1]
        if settings.device:
            del self._verbs[f"{ROOT}/{settings.group}/NDATA/{settings.node}"]
        self.topics = list(self._verbs)
        self._alias: int | None = None
        self._datatype: int | None = None
        self._session: int | None = None
        """``bdSeq`` of the node's birth."""
        self._is_born = self._is_told = False

    def read(self, message: Message) -> Iterable[Reading]:
        """Return what a payload says of the metric, or that its node or device is gone."""
        verb = self._verbs.get(message.topic, "")
        found = metrics(message.topic, message.payload)
        if verb == "NDEATH":
            return self._die(message, found)
        if verb == "DDEATH":
            self._is_born = False
            return (Alive(False),)
        if verb == "NBIRTH":
            self._session = _bd_seq(found)
            self._alias, self._datatype = None, None  # a node's aliases are one set
            self._is_born = False
        if verb == f"{self._own}BIRTH":
            self._is_born, self._is_told = True, False
            self._learn(message, found)
        if verb[:1] != self._own:
            return ()
        readings = self._readings(message, found, is_birth=verb.endswith("BIRTH"))
        if len(readings) > MOST_READINGS:
            expected = f"{MOST_READINGS} at most"
            raise DecodeError(
                f"{message.topic}: found {len(readings)} readings, expected {expected}"
            )
        return readings

    def _die(self, message: Message, found: list[Metric]) -> Iterable[Reading]:
        session = _bd_seq(found)
        if session is None:
            raise DecodeError(f"{message.topic}: found no {BD_SEQ}, expected the birth's")
        if self._session is not None and session != self._session:
            return ()  # the will of a session before this one
        self._is_born = False
        return (Alive(False),)

    def _learn(self, message: Message, found: list[Metric]) -> None:
        for one in found:
            if one.name == self.settings.metric:
                self._alias, self._datatype = one.alias, one.datatype
                return
        raise DecodeError(
            f"{message.topic}: found {len(found)} metrics, expected {self.settings.metric!r}"
        )

    def _readings(self, message: Message, found: list[Metric], *, is_birth: bool) -> list[Reading]:
        readings: list[Reading] = []
        for one in found:
            is_mine = one.name == self.settings.metric
            if one.name is None and one.alias is not None:
                is_mine = one.alias == self._alias
            if is_mine and not one.is_historical and one.raw is not None:
                readings += self._reading(message, one, is_birth)
        aliased = any(one.name is None for one in found)
        if aliased and not (self._is_born or self._is_told or readings):
            self._is_told = True
            raise DecodeError(
                f"{message.topic}: found aliases and no birth yet, expected one (a host can ask the"
                " node with Node Control/Rebirth)"
            )
        return readings

    def _reading(self, message: Message, one: Metric, is_birth: bool) -> Iterable[Reading]:
        value, where = one.value(self._datatype), f"{message.topic}: {self.settings.metric}"
        match self.settings.type:
            case "boolean":
                if not isinstance(value, bool):
                    expected = 'true or false (or type = "number" or "text" of the device)'
                    raise DecodeError(f"{where} is {shown(value)}, expected {expected}")
                return (State(value, one.at_us),)
            case "number":
                return (Number(number(where, value), one.at_us),)
        if not isinstance(value, str):
            raise DecodeError(f"{where} is {shown(value)}, expected a text")
        # what stands in a birth was said before it
        return () if is_birth or not value else (Happened(value, one.at_us),)

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the metrics of a birth that are true or false, or numbers."""
        parts = message.topic.split("/")
        if len(parts) not in (4, 5) or parts[0] != ROOT:
            return
        where = {"group": parts[1], "node": parts[3]}
        where |= {"device": parts[4]} if len(parts) == 5 else {}
        numbers = (*SIGNED_BITS, *UNSIGNED, FLOAT, DOUBLE)
        for one in metrics(message.topic, message.payload)[:MOST_READINGS]:
            is_number = one.datatype in numbers
            if not one.name or one.name.startswith(NO_DEVICES):
                continue
            if is_number or one.datatype == BOOLEAN:
                kind = "number" if is_number else "boolean"
                settings = where | {"metric": one.name} | ({"type": kind} if is_number else {})
                yield Found("/".join([*parts[3:], one.name]), kind, settings, is_number)


def _bd_seq(found: list[Metric]) -> int | None:
    """Return the number of the node's session."""
    for one in found:
        if one.name == BD_SEQ and isinstance(one.raw, int):
            return int(one.raw)
    return None
