"""From a number to "in use": two thresholds, and how long it must stay beyond them. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sensor_adapters.device import InUse
from sensor_adapters.samples import US_PER_S


@dataclass
class Hysteresis:
    """Watts of a plug, kilograms on a scale: in use from ``on`` on, no longer from ``off`` down.

    Where ``on`` is the smaller one (millimetres to a hand) it is the other way round.
    """

    wanted: InUse
    on: bool | None = None
    """None: no number was heard yet."""
    _since_us: int | None = None
    """Since when a number has asked for the other state."""

    def hear(self, value: float, at_us: int) -> None:
        """Take a number; what it changes is told by ``due``."""
        way = 1 if self.wanted.on >= self.wanted.off else -1
        if self.on is None:
            self.on = False
        asked = (
            value * way <= self.wanted.off * way if self.on else value * way >= self.wanted.on * way
        )
        if not asked:
            self._since_us = None
        elif self._since_us is None:
            self._since_us = at_us

    def due(self, now_us: int) -> bool | None:
        """Return the new state if it has been asked for long enough; None if nothing changes."""
        if self._since_us is None:
            return None
        wait_s = self.wanted.off_s if self.on else self.wanted.on_s
        if now_us - self._since_us < wait_s * US_PER_S:
            return None
        self.on, self._since_us = not self.on, None
        return self.on


LEAST = 10
"""Numbers from which something can be learnt, and of each part at least ``LEAST_OF_EACH``."""
LEAST_OF_EACH = 3
MOST_BETWEEN = 0.05
"""Of the numbers, between the thresholds: a device is idle or busy, seldom on its way."""
NOISE = 0.2
"""Parts nearer than this share of the larger are noise if two steps of the scale part them."""


@dataclass(frozen=True)
class Learnt:
    """What numbers of a device that was idle and in use look like."""

    idle: float
    """Median of those while it was not in use."""
    busy: float
    """Median of those while it was."""
    idle_count: int
    busy_count: int
    in_use: InUse


class OneLevel(ValueError):
    """The numbers do not fall into two; the text says what was found."""


def learnt(values: Sequence[float], *, is_low_busy: bool = False) -> Learnt:
    """Return thresholds that part numbers into idle and busy: a third and two thirds between.

    Parted where the spread within both parts is least (Otsu 1979).

    Args:
        values: finite numbers, in any order.
        is_low_busy: it is in use when the number is low, as millimetres to a hand.

    Raises:
        OneLevel: too few numbers, or no gap between the parts.
    """
    ordered = sorted(values)
    if len(ordered) < LEAST:
        raise OneLevel(
            f"found {len(ordered)} numbers, expected {LEAST} or more: use the device, and wait"
        )
    cut = _cut(ordered)
    low, high = ordered[:cut], ordered[cut:]
    below, above = ordered[cut // 2], ordered[cut + len(high) // 2]
    gap = above - below
    digits = 2 - math.floor(math.log10(gap)) if gap > 0 else 0
    near, far = round(below + gap / 3, digits), round(below + gap * 2 / 3, digits)
    between = sum(near < value < far for value in ordered)
    if (
        min(len(low), len(high)) < LEAST_OF_EACH
        or not below < near < far < above
        or between > MOST_BETWEEN * len(ordered)
        or _is_noise(ordered, gap)
    ):
        raise OneLevel(
            f"found {len(ordered)} numbers from {ordered[0]:g} to {ordered[-1]:g} without a gap,"
            " expected those of idle and of busy: use the device several times meanwhile"
        )
    if is_low_busy:
        return Learnt(above, below, len(high), len(low), InUse(on=near, off=far))
    return Learnt(below, above, len(low), len(high), InUse(on=far, off=near))


def _cut(ordered: list[float]) -> int:
    """Return how many numbers are of the lower part: where the parts differ most."""
    middle = ordered[len(ordered) // 2]  # sums around it lose no digits
    total, below, best, cut = sum(v - middle for v in ordered), 0.0, -1.0, 0
    for index in range(1, len(ordered)):
        below += ordered[index - 1] - middle
        rest = len(ordered) - index
        apart = index * rest * (below / index - (total - below) / rest) ** 2
        if apart > best and ordered[index - 1] < ordered[index]:
            best, cut = apart, index
    return cut


def _is_noise(ordered: list[float], gap: float) -> bool:
    """Is a gap no more than the last digit of a number that does not stand quite still?"""
    step = min((b - a for a, b in pairwise(ordered) if b > a), default=0.0)
    return gap < 2.5 * step and gap < NOISE * max(abs(ordered[0]), abs(ordered[-1]))
