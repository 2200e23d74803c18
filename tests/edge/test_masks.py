"""In use and observed: SigFormer's mask from device states."""

import numpy as np
from hypothesis import given, strategies as st

from edge.masks import heard, intervals, touched

S = 1_000_000


def array(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def ones(*values: int) -> np.ndarray:
    return np.array(values, np.float32)


def test_an_event_is_widened_by_its_hold():
    found = intervals(array(0, 3 * S, 9 * S), ones(0, 1, 1), "event", 2 * S)
    assert found.tolist() == [[3 * S, 5 * S], [9 * S, 11 * S]]


def test_a_level_lasts_until_it_is_taken_back_and_heartbeats_do_not_cut_it():
    found = intervals(array(0, 1, 2, 3, 4), ones(1, 1, 0, 0, 1), "level", 0)
    assert found.tolist() == [[0, 2], [4, np.iinfo(np.int64).max]]


def test_a_step_is_in_use_if_any_part_of_it_is():
    mask = touched(np.array([[1_500_000, 2_000_000], [3_999_999, 4_000_001]]), 0, 6, S)
    assert mask.tolist() == [False, True, False, True, True, False]


def test_a_silent_device_is_not_observed_and_an_idle_one_is():
    assert heard(array(0, 10 * S), 0, 15, S, 3 * S).tolist() == (
        [True] * 3 + [False] * 7 + [True] * 3 + [False] * 2
    )


def test_a_device_that_never_spoke_is_never_observed():
    assert not heard(array(), 0, 5, S, 3 * S).any()
    assert not touched(intervals(array(), ones(), "level", 0), 0, 5, S).any()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=8))
def test_the_mask_agrees_with_asking_every_microsecond(stretches):
    pairs = np.array([[a, a + n] for a, n in stretches], np.int64).reshape(-1, 2)
    step_us, steps = 5, 12
    every = [any(a <= t < b for a, b in pairs.tolist()) for t in range(steps * step_us)]
    slow = [any(every[i * step_us : (i + 1) * step_us]) for i in range(steps)]
    assert touched(pairs, 0, steps, step_us).tolist() == slow
