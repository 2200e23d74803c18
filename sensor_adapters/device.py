"""Devices that speak in their own way: what an adapter for one is, and what it may say.

An adapter is a class, registered under the entry point group ``solosense.devices``; one object of
it is made for each device. It is given the messages of its topics and says what they mean. It keeps
no clock, opens nothing and publishes nothing: the gateway does, and runs it in a process apart.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import msgspec

from sensor_adapters.topics import Message

GROUP = "solosense.devices"
Kind = Literal["state", "event", "imu", "radio"]
"""Which of our payloads a device's readings become."""


class _Said(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What all readings share."""


class State(_Said, frozen=True):
    """It is in use, or not: a lid open, a motor running, a hand at the drawer."""

    on: bool
    at_us: int | None = None
    """Microseconds UTC by the device's own clock; None: when the message came."""


class Number(_Said, frozen=True):
    """A measured value that the device's ``in_use`` setting judges: watts, kilograms."""

    value: float
    at_us: int | None = None


class Happened(_Said, frozen=True):
    """Something happened: a press, a scan."""

    data: str | None = None
    """What was scanned or pressed."""
    at_us: int | None = None


class Motion(_Said, frozen=True):
    """Rows of an inertial unit."""

    acc: list[tuple[float, float, float]]
    """m/s^2."""
    gyr: list[tuple[float, float, float]] | None = None
    """rad/s, a row for each of ``acc``."""
    dt_us: int = 0
    """From one row to the next; 0 for a single row."""
    at_us: int | None = None
    """Of the first row; None: the last one is of when the message came."""


class Rssi(_Said, frozen=True):
    """How strongly a worn sender is heard."""

    dbm: float
    at_us: int | None = None


class Alive(_Said, frozen=True):
    """Somebody who knows says that the device is there, or gone."""

    is_alive: bool


Reading: TypeAlias = State | Number | Happened | Motion | Rssi | Alive
OF_KIND: dict[Kind, tuple[type[Reading], ...]] = {
    "state": (State, Number, Alive),
    "event": (Happened, State, Number, Alive),
    "imu": (Motion, Alive),
    "radio": (Rssi, Alive),
}
"""What a device of a kind may say; a state that begins is an event where events are wanted."""


class InUse(msgspec.Struct, frozen=True, kw_only=True):
    """From which number on a device is in use, and from which it is not: a hysteresis."""

    on: float
    off: float
    on_s: float = 0.3
    """It must stay there for so long."""
    off_s: float = 3.0


class DeviceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every device's block of the configuration may say; adapters add their own."""

    station: str
    adapter: str
    in_use: InUse | None = None
    """For devices that give numbers."""
    pulse: bool = False
    """Each time that it comes into use is an event."""
    silent_s: float | None = None
    """Without a message for so long it is not observed; None: only when it is said to be gone."""
    debounce_s: float = 0.3
    """The same event within so long is one."""
    badges: str = ""
    """Codes that match this pattern are people's: a keyed hash of them goes out."""


SettingsT = TypeVar("SettingsT", bound=DeviceSettings)


@dataclass(frozen=True)
class Found:
    """A device that was discovered, and how it would be mapped."""

    name: str
    """As its own system calls it."""
    about: str
    """Model, vendor: for people."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The adapter's own settings for it."""
    is_number: bool = False
    """Does it give numbers, which want an ``in_use``?"""


class DeviceAdapter(ABC, Generic[SettingsT]):
    """One device of a kind."""

    settings_type: ClassVar[type[DeviceSettings]]
    """What its block of the configuration says."""
    discovery: ClassVar[Sequence[str]] = ()
    """Topics on which devices of this kind make themselves known."""
    sooner: ClassVar[str] = ""
    """Where numbers come seldom: what makes such a device say them more often."""
    kind: Kind = "state"
    topics: Sequence[str] = ()
    """What it listens to; filters with ``+`` and ``#`` are welcome."""
    is_number: bool = False
    """Does it say ``Number``?"""

    def __init__(self, settings: SettingsT) -> None:
        """Take one device's settings.

        Raises:
            ValueError: they make no sense; the text names key, found and expected.
        """
        self.settings = settings

    @abstractmethod
    def read(self, message: Message) -> Iterable[Reading]:
        """Return what a message says; nothing if it is of no interest.

        Raises:
            DecodeError: it is not what this kind of device sends.
        """

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the devices that a discovery message makes known."""
        return ()


def in_words(reading: Reading) -> str:
    """Return a reading as a person would say it.

    >>> in_words(State(on=True)), in_words(Happened("4901234567894")), in_words(Number(43.1))
    ('on', 'happened 4901234567894', '43.1')
    """
    match reading:
        case State(on):
            return "on" if on else "off"
        case Number(value):
            return f"{value:g}"
        case Happened(data):
            return "happened" if data is None else f"happened {data}"
        case Motion(acc):
            rows = ", ".join(f"{axis:.2f}" for axis in acc[0]) if acc else "none"
            return f"{len(acc)} x motion, first {rows} m/s^2"
        case Rssi(dbm):
            return f"{dbm:g} dBm"
        case Alive(is_alive):
            return "alive" if is_alive else "gone"
