"""The board's clock: UTC that leaps only where the loop looks, and whether anything vouches for it.

What passes is measured by the time since the machine started, which nobody sets; UTC is that and
a base. A base that moves a little is followed (NTP slews); one that leaps was set, by NTP after a
start in 1970, or by hand, and that is news.
"""

import ctypes
import time
from pathlib import Path

LEAP_US = 500_000
"""Less is slewed by NTP, and by how long it takes to read two clocks."""
TIMESYNCD = Path("/run/systemd/timesync/synchronized")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_BYTES = 512  # of ``struct timex``, with room
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def machine_us() -> int:
    """Return microseconds since the machine started, those asleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class BoardClock:
    """This board's time. Only ``look`` moves the base."""

    def __init__(self) -> None:
        self.base_us = self._read_us()
        """UTC less ``machine_us``."""
        self.leaps = 0
        self.boot_id = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
        """Of this start of the machine: bases of two starts have nothing to do with each other."""
        self._adjtime = getattr(ctypes.CDLL(None, use_errno=True), "ntp_adjtime", None)

    def _read_us(self) -> int:
        return time.time_ns() // 1000 - machine_us()

    def now_us(self) -> int:
        """Return Unix microseconds."""
        return machine_us() + self.base_us

    def look(self) -> int:
        """Follow the system's clock; return by how much it was set since the last look, or 0."""
        moved_us = self._read_us() - self.base_us
        self.base_us += moved_us
        if abs(moved_us) < LEAP_US:
            return 0
        self.leaps += 1
        return moved_us

    def is_synced(self) -> bool:
        """Does the kernel, or systemd-timesyncd, say that the clock was set by a right one?"""
        if TIMESYNCD.exists():
            return True
        if self._adjtime is None:
            return False
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # no modes: nothing is changed
        said: int = self._adjtime(timex)
        return said not in (-1, _TIME_ERROR)
