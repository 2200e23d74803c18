"""Checkpoints are rare where they may be, and soon where a broker waits for them."""

from edge.pace import Pace


def held(window: int, rate_hz: float, seconds: float = 120.0) -> tuple[Pace, int, list[float]]:
    """Return a pace, its checkpoints, and how long each message was held back by a broker."""
    pace, waiting, count, delays, here = Pace(5.0), 0, 0, [], 0
    for tick in range(int(seconds * 50)):
        now_s, came = tick / 50, 0
        while here < now_s * rate_hz and waiting < window:
            delays.append(now_s - here / rate_hz)
            here, waiting, came = here + 1, waiting + 1, came + 1
        if pace.due(now_s, waiting, came):
            waiting, count = 0, count + 1
            pace.done(now_s)
    return pace, count, delays


def test_with_a_broker_that_allows_enough_it_writes_each_five_seconds():
    pace, count, delays = held(window=2000, rate_hz=140)
    assert pace.window is None
    assert 20 <= count <= 26
    assert max(delays) < 0.1


def test_a_broker_that_was_told_enough_never_waits_however_much_comes():
    pace, count, delays = held(window=10_000, rate_hz=6000, seconds=20)
    assert pace.window is None
    assert 20 <= count <= 30
    assert max(delays) < 0.1


def test_what_a_narrow_broker_allows_is_learnt():
    pace, count, delays = held(window=20, rate_hz=28)
    assert pace.window == 20
    assert sorted(delays)[len(delays) // 2] < 0.1
    assert sorted(delays)[int(len(delays) * 0.95)] < 1.5
    assert count < 200


def test_what_seemed_a_narrow_broker_and_is_none_is_forgotten():
    pace = Pace(5.0)
    for start in (0.0, 3.0):  # twice twelve, and a pause
        assert not pace.due(start, 12, 12)
        if pace.due(start + 1.5, 12, 0):
            pace.done(start + 1.5)
    assert pace.window == 12
    assert pace.due(10.0, 12, 12)
    pace.done(10.0)
    now_s, waiting = 66.0, 0
    for _ in range(20):
        now_s, waiting = now_s + 0.1, waiting + 10
        if pace.due(now_s, waiting, 10):
            pace.done(now_s)
            waiting = 0
    assert pace.window is None


def test_what_wants_no_acknowledgement_is_written_as_well():
    pace = Pace(5.0)
    pace.done(0.0)
    assert not pace.due(1.0, 0, 3)
    assert pace.due(5.1, 0, 0)
    pace.done(5.1)
    assert not pace.due(20.0, 0, 0)
