"""The nouns every room speaks: Channel, Stream, Samples.

Times are integer microseconds everywhere below the command line. Cell and step edges are
then exact, so that live and training windows cut the same recording at the same samples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

US_PER_S = 1_000_000

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

StreamKind = Literal["sampled", "level", "event"]


class DecodeError(ValueError):
    """A payload is not what its adapter expects; the text names device, found and expected."""


@dataclass(frozen=True)
class Channel:
    """One column of a stream."""

    name: str
    """``acc_x``, ``nose_y``, ``on``; unique within its stream."""
    unit: str
    """``m/s^2``, ``rad/s``, ``m``; ``1`` where there is none."""


@dataclass(frozen=True)
class Stream:
    """What one kind of device says: its columns, and how to read its silence.

    ``sampled``: readings at a rate; silence means not observed.
    ``level``: column 0 is 1 while the device is in use, 0 while not; holds until changed.
    ``event``: column 0 is 1 where something happened, 0 for "alive, nothing happened".
    """

    name: str
    channels: tuple[Channel, ...]
    kind: StreamKind
    rate_hz: float | None = None
    """Nominal rate; ``None`` for levels and events."""

    def column(self, channel: str) -> int:
        """Return the index of a channel.

        Raises:
            KeyError: the stream has no such channel; the text lists those it has.
        """
        for index, candidate in enumerate(self.channels):
            if candidate.name == channel:
                return index
        known = ", ".join(c.name for c in self.channels)
        raise KeyError(f"stream {self.name} has no channel {channel}; it has {known}")


@dataclass(frozen=True)
class Samples:
    """Readings of one device on one stream: one payload's worth, or a whole recording."""

    device: str
    """Device id, ``[a-z0-9_-]{1,32}``, unique within its station."""
    stream: Stream
    time_us: Int64s
    """(N,) non-decreasing; the device's own clock, see ``clock``."""
    values: Floats
    """(N, C) in the channels' units; NaN where the device gave no reading."""
    boot: str = ""
    """Changes whenever the device restarts; sequence numbers start again with it."""
    seq: int | None = None
    """Counts a device's payloads within one boot; ``None`` where the device does not count."""
    clock: Literal["utc", "device"] = "utc"
    """``utc``: ``time_us`` is microseconds since 1970 UTC. ``device``: since an unknown origin."""
    received_us: int | None = None
    """When the first host received it, where that is not the one that reads the payload."""

    def __post_init__(self) -> None:
        expected = (len(self.time_us), len(self.stream.channels))
        if self.values.shape != expected:
            raise ValueError(
                f"{self.device}: values have shape {self.values.shape}, expected {expected}"
            )

    def __len__(self) -> int:
        return len(self.time_us)
