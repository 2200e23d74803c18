"""Whether the clock may be believed so far that rows are deleted by it."""

WEEK_US = 7 * 24 * 3600 * 1_000_000


class ClockTrust:
    """Believes a clock that did not leap; one that did, where it is synchronised."""

    def __init__(self, newest_us: int, now_s: float) -> None:
        """``newest_us``: when the log was last written to; ``now_s``: monotonic."""
        self._newest_us, self._since_s = newest_us, now_s

    def is_trusted(self, now_us: int, now_s: float, *, is_synchronised: bool) -> bool:
        """Is it at most a week later than could be by the log and by the time that passed since?"""
        passed_us = (now_s - self._since_s) * 1e6
        return is_synchronised or now_us - self._newest_us - passed_us <= WEEK_US
