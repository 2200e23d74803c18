"""From a board's readings to payloads for MQTT, one a frame, and heartbeats between.

A schema's kind says the adapter: sampled readings with ``acc_x…z``, and ``gyr_x…z`` if there are,
are an inertial unit's; a level's first channel is its state; of events only that they happened
counts, and what they say. While the board lives, levels are repeated and events say that nothing
happened, so that silence means what it should.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from firmware_bridge.board import Host, Placed
from firmware_bridge.frames import Type
from firmware_bridge.messages import Kind, MessageError, Schema
from sensor_adapters import event, imu, state
from sensor_adapters.payloads import brief
from sensor_adapters.samples import US_PER_S, Floats, Int64s, Samples, Stream as Wanted

BEAT_US = 5 * US_PER_S
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

    def of(self, placed: Placed) -> Outgoing | None:
        """Return a frame's payload; None for a stream that goes nowhere.

        Raises:
            MessageError: its records are cut off, or no reading that we know.
        """
        schema, frame = placed.schema, placed.frame
        boot = f"{self._session}.{placed.start}"
        if boot != self._boot:
            self._boot = boot
            self._sources = {name: _Source(on=one.on) for name, one in self._sources.items()}
        target = self._targets.get(schema.name)
        if target is None:
            return None
        if frame.type == Type.EVENT:
            values, data = np.ones((1, 1), np.float32), [frame.payload.decode(errors="replace")]
            kind = Kind.EVENT
        else:
            values, data, kind = _rows(schema, frame.payload), [], schema.kind
        time_us = placed.first_us + schema.dt_us * np.arange(len(values), dtype=np.int64)
        source = self._sources.setdefault(schema.name, _Source())
        source.seq += 1 + placed.skipped
        source.said_us = placed.received_us
        self._kinds[schema.name] = kind
        if kind == Kind.LEVEL:
            source.on = float(values[-1, 0])
        samples = self._samples(kind, target, time_us, values, placed)
        return self._outgoing(kind, target, source, samples, data)

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
