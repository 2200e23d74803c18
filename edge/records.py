"""What the board has to say: made by the pipeline, written by the log, published by the inbox."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from edge.segments import Segment


@dataclass(frozen=True)
class SegmentRecord:
    """A segment began (``open``), or ended."""

    station: str
    bundle: str
    """Name of the model that saw it."""
    modality: str
    """``imu``, ``camera``, ``iot``, or several joined by ``+``."""
    session: int
    """Counts the stretches between a station's first reading and its orderly end."""
    segment: Segment
    emitted_us: int
    """Unix microseconds when the board knew."""

    @property
    def id(self) -> str:
        """The same for a segment's beginning and its end, and in every replay of the session."""
        key = (self.station, self.bundle, self.session, self.segment.level, self.segment.start_us)
        return hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class GapRecord:
    """A model's inputs were silent from ``start_us`` on; the end follows when they return."""

    station: str
    bundle: str
    session: int
    start_us: int
    end_us: int | None
    reason: str


@dataclass(frozen=True)
class SwitchRecord:
    """Of models that share one voice, others are heard from ``at_us`` on."""

    station: str
    bundle: str
    """Name of the models together."""
    session: int
    at_us: int
    before: str
    """Name of the model heard until then; empty: none was."""
    after: str
    """Name of the model heard from then on; empty: none is, all are silent."""


@dataclass(frozen=True)
class DeviceRecord:
    """What one device has said so far; counters only rise within a session."""

    station: str
    device: str
    adapter: str
    placement: str
    session: int
    status: str
    """``online``, ``stopped``, ``offline`` or ``unknown`` (never said)."""
    boot: str
    first_us: int
    """Event time of its first reading in this session."""
    last_us: int
    """Event time of its newest reading."""
    messages: int
    samples: int
    rejected: int
    """Payloads that its adapter refused."""
    duplicated: int
    """Payloads that had come before, by boot and sequence number."""
    lost: int
    """Sequence numbers that never came."""
    late: int
    """Readings older than the watermark."""


@dataclass(frozen=True)
class ModelRecord:
    """A bundle as the engine accepted it at start."""

    name: str
    sha256: str
    """Of its manifest, which holds the hashes of all its files."""
    modality: str
    engine: str
    manifest: str
    """The whole manifest, JSON."""
    loaded_us: int


@dataclass(frozen=True)
class StationRecord:
    """A station of the site configuration at start."""

    site: str
    node: str
    station: str
    bundles: str
    """Joined by commas."""
    started_us: int


@dataclass(frozen=True)
class CheckpointRecord:
    """What a station needs to go on where it was; it takes the place of the one before."""

    station: str
    session: int
    saved_us: int
    content: bytes | None
    """None: the session has ended in order, there is nothing to go on with."""


@dataclass(frozen=True)
class RetractedRecord:
    """What a model said of a time is not so: it is said again, from what led to it, by others."""

    station: str
    bundle: str
    session: int
    level: str
    """Whose segments; empty: gaps and switches."""
    from_us: int
    """Those that begin then or later."""


@dataclass(frozen=True)
class OutgoingRecord:
    """A message that the broker must hear; it is kept until the broker has it."""

    id: str
    """Of the segment that it tells of."""
    type: str
    """``new`` or ``end``."""
    topic: str
    payload: str


@dataclass(frozen=True)
class UnsyncedRecord:
    """A session's times may be by the board's clock, and nothing vouches for that."""

    station: str
    session: int
    boot_id: str
    """Of the board's start."""
    base_us: int
    """UTC less the time since that start."""


@dataclass(frozen=True)
class ClockRecord:
    """The board's clock was set, or found to be right: what that means for a station's sessions."""

    station: str
    boot_id: str
    base_us: int
    what: Literal["follows", "differs", "synced"]
    """Its times leapt with the clock; they did not; or the clock is right as it stands."""


Written = (
    SegmentRecord
    | GapRecord
    | SwitchRecord
    | DeviceRecord
    | ModelRecord
    | StationRecord
    | CheckpointRecord
    | OutgoingRecord
    | UnsyncedRecord
    | ClockRecord
)
Record = Written | RetractedRecord
