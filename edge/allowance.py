"""How many messages one device may send: a bucket of them, filled as the device's own time goes on.

Not as the wall clock goes on: what waited while a broker was away comes at once, and what the
broker sends again after a kill must be taken, or refused, as it was the first time. So the bucket
is a matter of the messages alone, and it is part of the checkpoint. A device that lies about its
time fills its own bucket, and harms its own station at most.
"""

from dataclasses import dataclass
from typing import ClassVar

from edge.timeline import NEVER_US

DEFAULT_PER_S, DEFAULT_BURST = 1000.0, 10_000
BACK_US = 60_000_000
"""A time this much earlier is no straggler: the device's clock was set back, or it restarted."""


@dataclass
class Allowance:
    """The messages that one device has left."""

    LASTING: ClassVar = ("left", "boot", "newest_us")

    per_s: float = DEFAULT_PER_S
    """By the times that the device itself gives its readings."""
    burst: int = DEFAULT_BURST
    """That fit into the bucket."""
    left: float = -1.0
    boot: str = ""
    newest_us: int = NEVER_US
    """Time, by the clock of that boot, up to which the bucket was filled."""

    def __post_init__(self) -> None:
        if self.left < 0:
            self.left = float(self.burst)

    def take(self, boot: str = "", time_us: int | None = None) -> bool:
        """Take one message out; return whether there was one.

        Args:
            boot: the device's.
            time_us: of its newest reading, if it has one.
        """
        if time_us is not None:
            if boot != self.boot or time_us < self.newest_us - BACK_US:
                self.boot, self.newest_us = boot, time_us
            if time_us > self.newest_us:
                gained = (time_us - self.newest_us) * 1e-6 * self.per_s
                self.left = min(self.left + gained, float(self.burst))
                self.newest_us = time_us
        if self.left < 1:
            return False
        self.left -= 1
        return True
