"""When a board is too slow, and when it has room again."""

from edge.health.load import CALM_S, WINDOW_S, Heard, Load

S = 1_000_000
NOW_US = 1_790_000_000 * S


class Day:
    """A board that is told how it went, window by window."""

    def __init__(self) -> None:
        self.load, self.now_s = Load((1, 2)), 0.0
        self._judge(0.0)

    def _judge(self, behind_s: float, session: int = 1) -> None:
        now_us = NOW_US + round(self.now_s * S)
        heard = [Heard("pack-1", session, now_us - round(behind_s * S))]
        self.load.judge(self.now_s, now_us, heard)

    def go(
        self, windows: int, *, busy: float, behind_s: float, growth: float = 0.0, work: float = 1.0
    ) -> int:
        """Go on for so many windows, ``growth`` s/s further behind; return the level."""
        for number in range(windows):
            self.load.round(WINDOW_S * (1 - busy), WINDOW_S * busy * work)
            self.now_s += WINDOW_S
            self._judge(behind_s + growth * WINDOW_S * (number + 1))
        return self.load.level


def test_a_board_that_falls_behind_and_has_no_pause_leaves_out_more_step_by_step():
    day = Day()
    assert day.go(3, busy=1.0, behind_s=4, growth=0.3) == 0, "three looks are too few"
    assert day.go(1, busy=1.0, behind_s=10) == 1
    assert day.go(3, busy=1.0, behind_s=11, growth=0.3) == 1, "it is given time to catch up"
    assert day.go(1, busy=1.0, behind_s=20) == 2
    assert day.go(20, busy=1.0, behind_s=20, growth=0.3) == 2, "there is no more to leave out"
    assert day.load.times == 2


def test_none_of_these_is_a_board_that_is_too_slow():
    assert Day().go(40, busy=0.85, behind_s=5, growth=0.5) == 0, "it waits for messages"
    assert Day().go(40, busy=1.0, behind_s=5, growth=0.5, work=0.3) == 0, "the disk is slow"
    assert Day().go(40, busy=1.0, behind_s=30, growth=-0.3) == 0, "it catches up"
    assert Day().go(40, busy=1.0, behind_s=4) == 0, "a little behind, and no more each time"
    clock_set = Day()
    clock_set.go(2, busy=1.0, behind_s=1)
    assert clock_set.go(4, busy=1.0, behind_s=3600) == 0, "faster than time passes"


def test_what_never_was_of_about_now_is_a_replay():
    day = Day()
    day.load._live.clear()
    assert day.go(40, busy=1.0, behind_s=86_400, growth=0.5) == 0


def test_it_comes_back_after_a_calm_minute_and_later_if_that_was_too_soon():
    day = Day()
    day.go(4, busy=1.0, behind_s=4, growth=0.5)
    calm = round(CALM_S / WINDOW_S)
    assert day.go(calm - 1, busy=0.3, behind_s=1) == 1
    assert day.go(1, busy=0.8, behind_s=1) == 1, "not calm: it begins to count anew"
    assert day.go(calm, busy=0.3, behind_s=1) == 0
    assert day.go(4, busy=1.0, behind_s=4, growth=0.5) == 1, "too soon"
    assert day.go(2 * calm - 1, busy=0.3, behind_s=1) == 1
    assert day.go(1, busy=0.3, behind_s=1) == 0
