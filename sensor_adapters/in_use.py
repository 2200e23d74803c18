"""From a number to "in use": two thresholds, and how long it must stay beyond them. Pure."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Learnt:
    """What numbers of a device that was idle and in use look like."""

    idle: float
    """Median of the lower ones."""
    busy: float
    """Median of the upper ones."""
    in_use: InUse


class OneLevel(ValueError):
    """The numbers do not fall into two; the text says what was found."""


def learnt(values: list[float]) -> Learnt:
    """Return thresholds that part numbers into idle and busy: a third and two thirds between.

    Parted where the spread within both parts is least (Otsu 1979).

    Raises:
        OneLevel: fewer than ten numbers, or no gap between the parts.
    """
    ordered = sorted(values)
    if len(ordered) < 10:
        raise OneLevel(
            f"found {len(ordered)} numbers, expected 10 or more: use the device and wait"
        )
    total, below, best, cut = sum(ordered), 0.0, -1.0, 0
    for index in range(1, len(ordered)):
        below += ordered[index - 1]
        rest = len(ordered) - index
        between = index * rest * (below / index - (total - below) / rest) ** 2
        if between > best:
            best, cut = between, index
    low, high = ordered[:cut], ordered[cut:]
    idle, busy = low[len(low) // 2], high[len(high) // 2]
    gap = busy - idle
    spread = (low[-1] - low[0] + high[-1] - high[0]) / 2
    if high[0] - low[-1] <= 0 or gap <= spread:
        raise OneLevel(
            f"found numbers from {ordered[0]:g} to {ordered[-1]:g} without a gap, expected idle and"
            " busy: use the device some times meanwhile"
        )
    return Learnt(idle, busy, InUse(on=round(idle + gap * 2 / 3, 3), off=round(idle + gap / 3, 3)))
