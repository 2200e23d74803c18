"""Warn once, then once a minute with a count: a broken device must not flood the journal."""

import logging

from sensor_adapters.samples import US_PER_S

log = logging.getLogger("edge")
EVERY_US = 60 * US_PER_S
MOST_KEYS = 1000


class Complaints:
    """Counts faults by key; holds at most ``MOST_KEYS`` of them."""

    def __init__(self) -> None:
        self.total = 0
        self._said: dict[str, tuple[int, int]] = {}  # key: when last said, how many since

    def add(self, key: str, text: str, now_us: int) -> None:
        """Count a fault; log it if its key is new or was last said a minute ago."""
        self.total += 1
        said_us, since = self._said.get(key, (None, 0))
        if said_us is not None and 0 <= now_us - said_us < EVERY_US:  # clocks are set back, too
            self._said[key] = (said_us, since + 1)
            return
        log.warning("%s%s", text, f" ({since} more since)" if since else "")
        if len(self._said) >= MOST_KEYS:
            self._said.pop(next(iter(self._said)))
        self._said[key] = (now_us, 0)
