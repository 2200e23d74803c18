"""From a board's readings to payloads for MQTT, and heartbeats between.

A schema's kind says the adapter: sampled readings with ``acc_x…z``, and ``gyr_x…z`` if there are,
are an inertial unit's; a level's first channel is its state; of events only that they happened
counts, and what they say. While the board lives, levels are repeated and events say that nothing
happened, so that silence means what it should.

An event or a level is a payload at once. Frames of sampled readings that follow each other within
``TOGETHER_US`` share one: a board that fills its line sends 700 a second. None is lost in between,
so a payload's number still tells how many frames were lost before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from firmware_bridge.board import Host, Placed
from firmware_bridge.frames import Type
from firmware_bridge.messages import Kind, MessageError, Schema
from sensor_adapters import event, imu, state
from sensor_adapters.payloads import brief
from sensor_adapters.samples import US_PER_S, Floats, Int64s, Samples, Stream as Wanted

BEAT_US = 5 * US_PER_S
TOGETHER_US = US_PER_S // 20
MOST_BYTES = 6000
"""Of frames in one payload: 500 readings of six 16-bit channels."""
ADAPTERS = {Kind.SAMPLED: "imu", Kind.LEVEL: "state", Kind.EVENT: "event"}


@dataclass(frozen=True)
class Target:
    """Where a stream's readings go."""

    station: str
    device: str


@dataclass(frozen=True)
class Outgoing:
    """A payload for MQTT."""

    kind: str
    """The adapter, as the topic has it."""
    target: Target
    boot: str
    seq: int
    payload: bytes


@dataclass
class _Source:
    """What was said of one stream since the board's start, or ours."""

    seq: int = -1
    said_us: int = 0
    on: float = 0.0
    held: list[Placed] = field(default_factory=list)
    """Sampled readings that wait for those that follow soon; of one clock, none lost between."""
    held_bytes: int = 0


class Readings:
    """Numbers a board's payloads; ``seq`` skips what was lost on the wire.

    Their ``boot`` is the board's and ours, so that numbers begin anew with either.
    """

    def __init__(self, targets: Mapping[str, Target], session: str) -> None:
        """Take where streams go, by their schema's name, and what this start of ours is called."""
        self._targets, self._session = targets, session
        self._sources: dict[str, _Source] = {}
        self._kinds: dict[str, Kind] = {}
        self._boot = ""

    def of(self, placed: Placed) -> list[Outgoing]:
        """Return the payloads that a frame completes; its own may be held a moment.

        None come of a stream that goes nowhere.

        Raises:
            MessageError: its records are cut off, or no reading that we know.
        """
        schema, frame = placed.schema, placed.frame
        target = self._targets.get(schema.name)
        if target is None:
            return []
        found = self._begun(f"{self._session}.{placed.start}")
        source = self._sources.setdefault(schema.name, _Source())
        if frame.type == Type.EVENT:
            values, data = np.ones((1, 1), np.float32), [frame.payload.decode(errors="replace")]
            kind = Kind.EVENT
        elif schema.kind == Kind.SAMPLED:
            _check(schema, frame.payload)
            self._kinds[schema.name] = schema.kind
            return found + self._hold(schema.name, source, placed)
        else:
            values, data, kind = _rows(schema, frame.payload), [], schema.kind
        source.seq += 1 + placed.skipped
        source.said_us = placed.received_us
        self._kinds[schema.name] = kind
        if kind == Kind.LEVEL:
            source.on = float(values[-1, 0])
        samples = self._samples(kind, target, _times(placed, len(values)), values, placed)
        return [*found, self._outgoing(kind, target, source, samples, data)]

    def _begun(self, boot: str) -> list[Outgoing]:
        """Number anew from a start on; return what was held until then."""
        if boot == self._boot:
            return []
        found = self.rest()
        self._boot = boot
        self._sources = {name: _Source(on=one.on) for name, one in self._sources.items()}
        return found

    def _hold(self, name: str, source: _Source, placed: Placed) -> list[Outgoing]:
        """Let a frame wait for the next; return those that it does not go with."""
        found = []
        if source.held:
            last = source.held[-1]
            is_same = placed.schema is last.schema or placed.schema == last.schema
            is_next = is_same and not placed.skipped and placed.is_utc == last.is_utc
            # its clock may have been found to stand elsewhere meanwhile, and times must rise
            count = len(last.frame.payload) // last.schema.record.itemsize
            is_next &= placed.first_us > last.first_us + last.schema.dt_us * (count - 1)
            if not is_next or source.held_bytes + len(placed.frame.payload) > MOST_BYTES:
                found.append(self._let_go(name, source))
        source.held.append(placed)
        source.held_bytes += len(placed.frame.payload)
        return found

    def due(self, host: Host) -> list[Outgoing]:
        """Return the payloads whose frames have waited long enough."""
        now_us = host.now_us + host.wall_us
        return [
            self._let_go(name, source)
            for name, source in self._sources.items()
            if source.held and not 0 <= now_us - source.held[0].received_us < TOGETHER_US
        ]

    def rest(self) -> list[Outgoing]:
        """Return all that is held."""
        return [self._let_go(name, one) for name, one in self._sources.items() if one.held]

    def _let_go(self, name: str, source: _Source) -> Outgoing:
        """Make one payload of the frames that are held."""
        first, last = source.held[0], source.held[-1]
        values = _rows(last.schema, b"".join(one.frame.payload for one in source.held))
        each = last.schema.record.itemsize
        time_us = [_times(one, len(one.frame.payload) // each) for one in source.held]
        source.held, source.held_bytes = [], 0
        source.seq += 1 + first.skipped
        source.said_us = last.received_us
        target, kind = self._targets[name], Kind.SAMPLED
        samples = self._samples(kind, target, np.concatenate(time_us), values, last)
        return self._outgoing(kind, target, source, samples, [])

    def beats(self, host: Host) -> list[Outgoing]:
        """Return the heartbeats that are due; only while the board lives."""
        now_us = host.now_us + host.wall_us
        found = []
        for name, kind in self._kinds.items():
            source, target = self._sources[name], self._targets[name]
            if kind == Kind.SAMPLED or now_us - source.said_us < BEAT_US:
                continue
            source.seq, source.said_us = source.seq + 1, now_us
            values = np.array([[source.on]], np.float32)
            stream = state.stream if kind == Kind.LEVEL else event.stream
            samples = Samples(target.device, stream, np.array([now_us]), values)
            found.append(self._outgoing(kind, target, source, samples, []))
        return found

    def _samples(
        self, kind: Kind, target: Target, time_us: Int64s, values: Floats, placed: Placed
    ) -> Samples:
        streams: dict[Kind, Wanted] = {
            Kind.SAMPLED: imu.stream, Kind.LEVEL: state.stream, Kind.EVENT: event.stream,
        }  # fmt: skip
        return Samples(
            target.device, streams[kind], time_us, values,
            clock="utc" if placed.is_utc else "device", received_us=placed.received_us,
        )  # fmt: skip

    def _outgoing(
        self, kind: Kind, target: Target, source: _Source, samples: Samples, data: list[str]
    ) -> Outgoing:
        seq = source.seq
        if kind == Kind.SAMPLED:
            payload = imu.encode(samples, self._boot, seq)
        elif kind == Kind.LEVEL:
            payload = state.encode(samples, self._boot, seq)
        else:
            payload = event.encode(samples, self._boot, seq, data)
        return Outgoing(ADAPTERS[kind], target, self._boot, seq, payload)


def _times(placed: Placed, count: int) -> Int64s:
    """Return (N,) when a frame's readings were."""
    return placed.first_us + placed.schema.dt_us * np.arange(count, dtype=np.int64)


def _check(schema: Schema, payload: bytes) -> None:
    """Refuse what ``_rows`` would.

    Raises:
        MessageError: as there.
    """
    _places(schema)
    if not payload or len(payload) % schema.record.itemsize:
        _rows(schema, payload)


def _rows(schema: Schema, payload: bytes) -> Floats:
    """Return (N, C) readings as the adapter's stream has them.

    Raises:
        MessageError: no whole number of records, or channels that the adapter does not know.
    """
    values = schema.values(payload)
    if not len(values):
        raise MessageError(f"{brief(schema.name)}: found no record, expected one at least")
    if schema.kind != Kind.SAMPLED:
        rows: Floats = (values[:, :1] != 0).astype(np.float32)
        return rows
    from_, to, scale = _places(schema)
    rows = np.full((len(values), 6), np.nan, np.float32)
    rows[:, to] = values[:, from_] * scale
    return rows


@lru_cache(maxsize=256)
def _places(schema: Schema) -> tuple[list[int], list[int], Floats]:
    """Return which channels of a board are which of an inertial unit's, and their SI scales.

    Raises:
        MessageError: acceleration lacks, or a unit is not known.
    """
    known = {one.name: (place, one.unit) for place, one in enumerate(schema.channels)}
    from_: list[int] = []
    to: list[int] = []
    factors: list[float] = []
    for what, wanted in enumerate(imu.stream.channels):
        if wanted.name not in known:
            if wanted.name.startswith("acc"):
                raise MessageError(
                    f"{brief(schema.name)}: found channels {', '.join(map(brief, known))}, expected"
                    " acc_x, acc_y, acc_z"
                )
            continue
        place, unit = known[wanted.name]
        scales = imu.ACC_SCALE if wanted.name.startswith("acc") else imu.GYR_SCALE
        if unit not in scales:
            raise MessageError(
                f"{brief(schema.name)}: {wanted.name} is in {brief(unit)}, expected"
                f" {' or '.join(scales)}"
            )
        from_, to, factors = [*from_, place], [*to, what], [*factors, scales[unit]]
    return from_, to, np.array(factors, np.float32)
