"""Device time to event time: UTC devices as they say, others by the least delay seen."""

import numpy as np

from sensor_adapters.samples import US_PER_S, Int64s, Samples

MOST_LEAP_US = 600 * US_PER_S
MOST_BACK_US = 60 * US_PER_S
"""A device's clock that runs back further has begun anew; 32 bits of us last 72 minutes."""
DRIFT = 5000  # a device's crystal may lose one in so many: 200 ppm, above any in its data sheet


class DeviceClock:
    """One device's clock. Holds an offset for the current boot only."""

    LASTING = ("_boot", "_newest_us", "offset_us")

    def __init__(self) -> None:
        self._boot: str | None = None
        self._newest_us = 0  # device time up to which drift was allowed for
        self.offset_us = 0
        """Event time less device time; 0 for a device that speaks UTC."""

    def leapt(self, by_us: int) -> None:
        """Take note that the clock by which messages are received was set."""
        self.offset_us += by_us

    def event_time_us(
        self, samples: Samples, received_us: int, *, is_in_order: bool = False
    ) -> Int64s:
        """Return (N,) UTC times of the readings.

        A device of unknown origin is placed by its fastest message so far: the newest reading of
        a message can not be younger than its arrival, so the smallest difference is the best
        estimate, and a late message can not bend it. The estimate gives way by one in ``DRIFT`` of
        the time that passes, or a device whose clock is slow would fall behind for ever. A message
        that would improve it by more than ``MOST_LEAP_US`` is taken for a fault of the device: it
        is placed, and moves nothing.

        Where messages come in the order of their numbers (``is_in_order``), a clock that runs back
        far has begun anew, and is placed anew.
        """
        if samples.clock == "utc" or not len(samples):
            return samples.time_us
        newest_us = int(samples.time_us[-1])
        offset_us = received_us - newest_us
        ran_back = is_in_order and newest_us < self._newest_us - MOST_BACK_US
        if samples.boot != self._boot or ran_back:
            self._boot, self._newest_us, self.offset_us = samples.boot, newest_us, offset_us
        if self.offset_us - offset_us <= MOST_LEAP_US:
            slack_us = max(newest_us - self._newest_us, 0) // DRIFT
            self._newest_us += slack_us * DRIFT
            self.offset_us = min(self.offset_us + slack_us, offset_us)
        return np.asarray(samples.time_us + self.offset_us, np.int64)
