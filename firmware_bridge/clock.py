"""A device's clock and the host's: where the one stands by the other, and how sure that is.

Two-way exchanges as NTP's (Mills, RFC 5905, section 8): asked at h0, heard at d1, answered at d2,
back at h3. The host's clock less the device's lies within half of the way there and back,
(h3 - h0) - (d2 - d1), of ((h0 - d1) + (h3 - d2)) / 2, whatever the ways are. So each two exchanges
bound how fast the one runs by the other, and all together where it is; the middle is taken. An
exchange that no crystal explains is a jump of the device's clock: what was known is forgotten.

The host's times are monotonic, so that its wall clock may be set meanwhile.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

CRYSTAL = 500e-6
"""A clock may run this much fast or slow: beyond any crystal or resonator in its data sheet."""
WANDER = 20e-6
"""And by so much otherwise than it did a while ago: warmth."""
ROUNDED_US = 2.0
"""Both clocks tell whole microseconds, and tick when they like."""
MOST_EXCHANGES = 32


@dataclass(frozen=True)
class Exchange:
    """What one question and its answer tell; times in us."""

    device_us: int
    """The device's clock in the midst of it."""
    offset_us: float
    """The host's clock less the device's."""
    error_us: float
    """At most that much off."""


class DeviceTime:
    """One device's clock since it started; holds ``MOST_EXCHANGES``."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=MOST_EXCHANGES)
        self._base_us = 0
        self._offset_us = self._error_us = 0.0
        self.drift = 0.0
        """How much faster the host's clock runs, as a share; 0 until it is known."""
        self._wander = CRYSTAL
        self.jumps = 0

    @property
    def is_known(self) -> bool:
        """Was the clock ever compared?"""
        return bool(self._exchanges)

    def compared(self, sent_us: int, heard_us: int, answered_us: int, back_us: int) -> None:
        """Take an exchange: the host's clock, the device's twice, the host's again.

        One that ran backwards says nothing.
        """
        way_us = (back_us - sent_us) - (answered_us - heard_us)
        if way_us < 0 or answered_us < heard_us:
            return
        new = Exchange(
            (heard_us + answered_us) // 2,
            ((sent_us - heard_us) + (back_us - answered_us)) / 2,
            way_us / 2 + ROUNDED_US,
        )
        if self._exchanges:
            away_us = abs(new.offset_us - self._offset_at(new.device_us))
            if away_us > new.error_us + self.error_us(new.device_us):
                self.jumps += 1
                self._exchanges.clear()
        self._exchanges.append(new)
        self._draw()

    def _draw(self) -> None:
        """Take what agrees with every exchange: how fast, then where, the clock is by now."""
        at = np.array([one.device_us for one in self._exchanges], np.float64)
        at -= (base := self._exchanges[-1].device_us)
        offset = np.array([one.offset_us for one in self._exchanges])
        error = np.array([one.error_us for one in self._exchanges])
        first, second = np.nonzero(np.subtract.outer(at, at) < 0)  # the earlier, the later
        span, rise = at[second] - at[first], offset[second] - offset[first]
        slack = error[first] + error[second]
        least = float(np.max((rise - slack) / span, initial=-CRYSTAL))
        most = float(np.min((rise + slack) / span, initial=CRYSTAL))
        self.drift, self._wander = (least + most) / 2, abs(most - least) / 2 + WANDER
        here = offset - self.drift * at
        error = error + self._wander * np.abs(at)
        low, high = float(np.max(here - error)), float(np.min(here + error))
        self._base_us, self._offset_us = base, (low + high) / 2
        self._error_us = abs(high - low) / 2

    def _offset_at(self, device_us: int) -> float:
        return self._offset_us + self.drift * (device_us - self._base_us)

    def host_us(self, device_us: int) -> int:
        """Return the host's clock at a time of the device's.

        Raises:
            RuntimeError: the clocks were never compared.
        """
        if not self._exchanges:
            raise RuntimeError("the device's clock was not compared yet")
        return device_us + round(self._offset_at(device_us))

    def error_us(self, device_us: int) -> float:
        """Return by how much ``host_us`` may be off, in us."""
        return self._error_us + self._wander * abs(device_us - self._base_us)


def unwrapped(value: int, expected: int, bits: int) -> int:
    """Return the number near ``expected`` of which only the last ``bits`` are known.

    >>> unwrapped(3, 65530, 16), unwrapped(65535, 65540, 16)
    (65539, 65535)
    """
    whole = 1 << bits
    return value + round((expected - value) / whole) * whole
