"""When to write a checkpoint, and with it let the broker forget what came: a pure clockwork.

Rarely, for the disk's sake; but a broker sends no more once as many messages as it allows are not
acknowledged, so what has come to a standstill is written at once, and how many it allows is learnt.
"""

from dataclasses import dataclass

STANDSTILL_S = 1.0
LEAST_WINDOW = 10
"""Fewer messages than this at a standstill are a quiet hour, not a broker that waits."""


@dataclass
class Pace:
    """Decides; told of every round."""

    every_s: float
    """From one checkpoint to the next, where nothing presses."""
    window: int | None = None
    """How many messages the broker lets wait, as far as is known."""
    _done_s: float = 0.0
    _came_s: float = 0.0
    _stood: int = 0
    """How many waited at the last standstill."""

    def due(self, now_s: float, waiting: int, came: int) -> bool:
        """Is a checkpoint due?

        Args:
            now_s: monotonic.
            waiting: messages taken, not acknowledged.
            came: of them in this round.
        """
        if came:
            self._came_s = now_s
        if not waiting:
            return False
        if now_s - self._done_s >= self.every_s or (self.window and waiting >= self.window):
            return True
        if now_s - self._came_s < STANDSTILL_S:
            return False
        if waiting >= LEAST_WINDOW:
            if waiting == self._stood:
                self.window = waiting
            self._stood = waiting
        return True

    def done(self, now_s: float) -> None:
        """Note that one was written."""
        self._done_s = now_s
