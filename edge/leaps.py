"""Whether a device lives by the board's clock: its times leap where that is set. Pure.

The times of a device with a clock of its own go on, however the board's is set; those that a bridge
on this board made leap with it. Who leapt before there was a right time was wrong before, too.
"""

from dataclasses import dataclass
from typing import ClassVar

from sensor_adapters.samples import US_PER_S

PATIENCE_US = 60 * US_PER_S
"""Until then a message may have been under way when the clock was set."""


@dataclass
class Lead:
    """How far a device's newest time is ahead of the board's clock when it is heard."""

    LASTING: ClassVar = ("lead_us", "_leap_us", "_until_us")

    lead_us: int | None = None
    """At its newest message; negative by how long it was under way."""
    _leap_us: int = 0
    """By how much the clock was set, while it is not known whether the device's was."""
    _until_us: int = 0

    @property
    def is_open(self) -> bool:
        """Is it not known yet whether the device followed?"""
        return self._leap_us != 0

    def leapt(self, by_us: int, now_us: int) -> None:
        """Take note that the board's clock was set; ``now_us`` by the new one."""
        if self.lead_us is not None:
            self._leap_us += by_us
            self._until_us = now_us + PATIENCE_US

    def heard(self, time_us: int, received_us: int) -> int | None:
        """Take a message's newest time; say whether the device followed the board's clock.

        Returns:
            By how much it leapt with the clock; 0: it went on as before. None: there is nothing to
            decide, or nobody knows yet.
        """
        lead_us = time_us - received_us
        if not self.is_open or self.lead_us is None:
            self.lead_us = lead_us
            return None
        if abs(lead_us - self.lead_us) < abs(self._leap_us) // 2:
            followed_us, self._leap_us, self.lead_us = self._leap_us, 0, lead_us
            return followed_us
        if received_us < self._until_us:
            return None
        self._leap_us, self.lead_us = 0, lead_us
        return 0
