"""One device's readings to payloads for the board: levels, heartbeats, silence, numbers. Pure.

Time is an argument; the gateway asks every round what is due.
"""

import hashlib
import re
from dataclasses import dataclass, field

import numpy as np

from sensor_adapters import event, imu, payloads, radio, state
from sensor_adapters.device import (
    OF_KIND,
    Alive,
    DeviceSettings,
    Happened,
    Kind,
    Motion,
    Number,
    Reading,
    Rssi,
    State,
    in_words,
)
from sensor_adapters.gateway.in_use import Hysteresis
from sensor_adapters.payloads import MAX_SPAN_US
from sensor_adapters.samples import US_PER_S, DecodeError, Floats, Samples, Stream

BEAT_US = 5 * US_PER_S
CLOCK_US = 5 * US_PER_S
"""A device's own time further off than this from when its message came is not believed."""
MOST_ROWS = 100_000
STREAMS: dict[Kind, Stream] = {
    "state": state.stream, "event": event.stream, "imu": imu.stream, "radio": radio.stream,
}  # fmt: skip


@dataclass(frozen=True)
class Outgoing:
    """A payload, and the kind its topic says."""

    kind: str
    payload: bytes


@dataclass
class Heard:
    """Counts of one device, since the gateway's start."""

    readings: int = 0
    stale: int = 0
    """Retained, and no level, or of a device that is gone: of a time that nobody knows."""
    clock_off: int = 0
    """Times of its own that were not believed."""
    repeated: int = 0
    """Events that were the one before, bounced."""
    last: str = ""
    """The last reading, in words."""
    last_us: int = 0


@dataclass
class MappedDevice:
    """A device of a station."""

    device: str
    kind: Kind
    settings: DeviceSettings
    boot: str
    badge_key: bytes = b""
    """Keys the hash of people's codes."""
    heard: Heard = field(default_factory=Heard)
    is_alive: bool | None = None
    """None: nothing was heard yet."""
    _seq: int = 0
    _on: bool | None = None
    _beat_us: int = 0
    _last_event: tuple[str | None, int] = ("", 0)

    def __post_init__(self) -> None:
        wanted = self.settings.in_use
        self._hysteresis = Hysteresis(wanted) if wanted else None
        self._badge = re.compile(self.settings.badges) if self.settings.badges else None

    def take(self, reading: Reading, received_us: int, *, retained: bool) -> list[Outgoing]:
        """Return what a reading makes of itself.

        Raises:
            DecodeError: it is none that a device of this kind may say.
        """
        if not isinstance(reading, OF_KIND[self.kind]):
            raise DecodeError(
                f"{self.device}: found {self._shown(reading)!r}, expected what {self.kind} says"
            )
        self.heard.last = self._shown(reading)
        if isinstance(reading, Alive):
            return self._live(reading.is_alive, received_us)
        if retained and (self.is_alive is False or not isinstance(reading, State)):
            self.heard.stale += 1
            return []
        self.heard.readings += 1
        self.heard.last_us = received_us
        at_us = self._time_us(reading.at_us, received_us)
        alive = self._live(True, received_us)
        match reading:
            case State(on):
                # what is retained holds now, whenever it began
                return alive + self._level(on, received_us if retained else at_us, received_us)
            case Number(value):
                if self._hysteresis is None:
                    raise DecodeError(
                        f"{self.device}: found the number {value:g}, expected in_use to say from"
                        " which on it is in use"
                    )
                self._hysteresis.hear(value, at_us)
                return alive + self.due(received_us)
            case Happened(data):
                return alive + self._event(data, at_us, received_us)
            case Motion():
                return alive + self._motion(reading, received_us)
            case Rssi(dbm):
                values = np.array([[dbm]], np.float32)
                return [*alive, self._said(np.array([at_us]), values, received_us)]

    def due(self, now_us: int) -> list[Outgoing]:
        """Return what time alone brings: a number that stayed, a heartbeat, an end by silence."""
        found: list[Outgoing] = []
        silent_s = self.settings.silent_s
        if self.is_alive and silent_s and now_us - self.heard.last_us > silent_s * US_PER_S:
            found += self._live(False, now_us)
        if not self.is_alive:
            return found
        if self._hysteresis is not None:
            changed = self._hysteresis.due(now_us)
            if changed is None and self._on is None:
                changed = self._hysteresis.on
            if changed is not None:
                found += self._level(changed, now_us, now_us)
        if now_us - self._beat_us >= BEAT_US:
            if self.kind == "event":
                found.append(self._said(np.array([now_us]), np.zeros((1, 1), "f4"), now_us))
            elif self.kind == "state" and self._on is not None:
                found += self._level(self._on, now_us, now_us)
        return found

    def gone(self, now_us: int) -> list[Outgoing]:
        """Return what is said when we can no longer hear it."""
        return self._live(False, now_us) if self.is_alive else []

    def _time_us(self, own_us: int | None, received_us: int) -> int:
        if own_us is None:
            return received_us
        if abs(own_us - received_us) <= CLOCK_US:
            return own_us
        self.heard.clock_off += 1
        return received_us

    def _live(self, is_alive: bool, now_us: int) -> list[Outgoing]:
        if is_alive == self.is_alive:
            return []
        was, self.is_alive = self.is_alive, is_alive
        if is_alive:
            self.heard.last_us = now_us
            if was is None:
                return []  # what it says next tells that it is there
        else:
            self._on = None  # what it does meanwhile, nobody knows
            self._hysteresis = Hysteresis(self._hysteresis.wanted) if self._hysteresis else None
        word: payloads.State = "online" if is_alive else "offline"
        said = payloads.status(self.device, self.boot, self._seq, now_us, word)
        self._seq += is_alive  # an end that others tell has no number of its own
        return [Outgoing("status", said)]

    def _level(self, on: bool, at_us: int, received_us: int) -> list[Outgoing]:
        began, self._on = on and self._on is False, on
        if self.kind == "event":
            return self._event(None, at_us, received_us) if began else []
        return [self._said(np.array([at_us]), np.array([[on]], np.float32), received_us)]

    def _event(self, data: str | None, at_us: int, received_us: int) -> list[Outgoing]:
        before, before_us = self._last_event
        self._last_event = (data, at_us)
        if data == before and at_us - before_us < self.settings.debounce_s * US_PER_S:
            self.heard.repeated += 1
            return []
        values = np.ones((1, 1), np.float32)
        return [self._said(np.array([at_us]), values, received_us, [self._person(data)])]

    def _motion(self, reading: Motion, received_us: int) -> list[Outgoing]:
        count = len(reading.acc)
        gyr = reading.gyr if reading.gyr is not None else [(np.nan,) * 3] * count
        is_spaced = count == 1 or 0 < reading.dt_us * count <= MAX_SPAN_US
        if not 0 < count <= MOST_ROWS or len(gyr) != count or not is_spaced:
            raise DecodeError(
                f"{self.device}: found {count} rows of acceleration, {len(gyr)} of rates, dt"
                f" {reading.dt_us} us, expected as many of both, and a dt"
            )
        span_us = reading.dt_us * (count - 1)
        own_us = None if reading.at_us is None else reading.at_us + span_us
        first_us = self._time_us(own_us, received_us) - span_us
        time_us = first_us + reading.dt_us * np.arange(count, dtype=np.int64)
        values = np.hstack([np.array(reading.acc), np.array(gyr)]).astype(np.float32)
        return [self._said(time_us, values, received_us)]

    def _said(
        self,
        time_us: np.ndarray,
        values: Floats,
        received_us: int,
        data: list[str | None] | None = None,
    ) -> Outgoing:
        samples = Samples(
            self.device, STREAMS[self.kind], time_us.astype(np.int64), values,
            received_us=received_us,
        )  # fmt: skip
        seq, self._seq, self._beat_us = self._seq, self._seq + 1, received_us
        encoders = {"state": state.encode, "imu": imu.encode, "radio": radio.encode}
        if self.kind == "event":
            return Outgoing("event", event.encode(samples, self.boot, seq, data or ()))
        return Outgoing(self.kind, encoders[self.kind](samples, self.boot, seq))

    def _person(self, data: str | None) -> str | None:
        """Return a code; one that is a person's as a hash that only this site can make."""
        if data is None or self._badge is None or not self._badge.fullmatch(data.strip()):
            return data
        digest = hashlib.blake2b(
            data.strip().encode(), key=self.badge_key, digest_size=6
        ).hexdigest()
        return f"person-{digest}"

    def _shown(self, reading: Reading) -> str:
        if isinstance(reading, Happened):
            return in_words(Happened(self._person(reading.data)))
        return in_words(reading)
