"""When to write a checkpoint, and with it let the broker forget what came: a pure clockwork.

Rarely, for the disk's sake; but a broker sends no more once as many messages as it allows are not
acknowledged, so what has come to a standstill is written at once, and how many it allows is learnt.
"""

from dataclasses import dataclass

STANDSTILL_S = 1.0
PROBE_S = 60.0
"""After this the broker may send beyond the window once, if it does."""
MOST_WAITING = 5000
"""Half of what a broker should be told to allow, so that it sends on meanwhile."""
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
    _learnt_s: float = 0.0
    """When the window was learnt, or last found to be as small still."""
    _is_fresh: bool = False
    """Has anything come since the last checkpoint?"""

    def due(self, now_s: float, waiting: int, came: int) -> bool:
        """Is a checkpoint due?

        Args:
            now_s: monotonic.
            waiting: messages taken, not acknowledged.
            came: messages in this round, those that want no acknowledgement included.
        """
        if came:
            self._came_s, self._is_fresh = now_s, True
        if not waiting and not self._is_fresh:
            return False
        if now_s - self._done_s >= self.every_s or waiting >= MOST_WAITING:
            return True
        if self.window and waiting > self.window:
            self.window = None  # it allows more than it seemed
        is_probing = now_s - self._learnt_s >= PROBE_S
        if self.window and waiting >= self.window and not is_probing:
            return True
        if not waiting or now_s - self._came_s < STANDSTILL_S:
            return False
        if waiting >= LEAST_WINDOW:
            if waiting == self._stood:
                self.window, self._learnt_s = waiting, now_s
            self._stood = waiting
        return True

    def done(self, now_s: float) -> None:
        """Note that one was written."""
        self._done_s, self._is_fresh = now_s, False
