"""What a device's numbers teach: two levels part, one level is said to be one."""

import random

import pytest
from hypothesis import given, strategies as st

from sensor_adapters.gateway.in_use import Hysteresis, OneLevel, learnt


@st.composite
def two_levels(draw):
    """Return numbers of an idle and a busy device, shuffled, and what parts them."""
    spread = draw(st.floats(0.001, 1e3))
    gap = spread * draw(st.floats(4, 1e4))
    idle = gap * draw(st.floats(-3, 3))
    low = draw(st.lists(st.floats(0, 1), min_size=5, max_size=60))
    high = draw(st.lists(st.floats(0, 1), min_size=5, max_size=60))
    low, high = [idle + spread * x for x in low], [idle + gap + spread * x for x in high]
    return draw(st.permutations(low + high)), max(low), min(high)


@given(two_levels())
def test_thresholds_lie_between_idle_and_busy_in_whatever_order_they_came(given_):
    values, low, high = given_
    found = learnt(values)
    assert found.idle <= low < found.in_use.off < found.in_use.on < high <= found.busy
    assert found.idle_count + found.busy_count == len(values)
    turned = learnt(values, is_low_busy=True)
    assert (turned.in_use.on, turned.in_use.off) == (found.in_use.off, found.in_use.on)
    assert (turned.idle, turned.busy) == (found.busy, found.idle)


@given(two_levels())
def test_what_was_learnt_tells_the_two_apart(given_):
    values, low, _ = given_
    for is_low_busy in (False, True):
        hysteresis, t_us = Hysteresis(learnt(values, is_low_busy=is_low_busy).in_use), 0
        for value in values:
            for _ in range(2):  # it stays there long enough
                hysteresis.hear(value, t_us)
                t_us += 10_000_000
                hysteresis.due(t_us)
            assert hysteresis.on is ((value <= low) is is_low_busy)


@given(st.lists(st.floats(-1e15, 1e15), max_size=80), st.booleans())
def test_any_numbers_teach_something_that_makes_sense_or_are_said_to_be_one_level(values, is_low):
    try:
        found = learnt(values, is_low_busy=is_low)
    except OneLevel:
        return
    low, high = sorted((found.in_use.on, found.in_use.off))
    assert min(found.idle, found.busy) < low < high < max(found.idle, found.busy)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "draw",
    [
        lambda one: one.gauss(40, 3),
        lambda one: one.uniform(0, 100),
        lambda one: one.expovariate(0.1),
        lambda one: round(one.gauss(3.0, 0.05), 1),
        lambda one: one.choice([3.0, 3.1]),
        lambda _: 0.0,
    ],
    ids=["noise", "even", "rare peaks", "last digit", "two last digits", "still"],
)
def test_one_level_is_not_taken_for_two(draw, seed):
    one = random.Random(seed)
    with pytest.raises(OneLevel, match="expected those of idle and of busy"):
        learnt([draw(one) for _ in range(200)])


def test_a_single_spike_is_no_use():
    with pytest.raises(OneLevel):
        learnt([3.0] * 200 + [900.0])


def test_few_numbers_teach_nothing():
    with pytest.raises(OneLevel, match="found 9 numbers, expected 10 or more"):
        learnt([1.0] * 4 + [50.0] * 5)


def test_a_label_printer_that_is_seldom_used_is_learnt():
    one = random.Random(1)
    idle = [round(one.gauss(2.9, 0.1), 1) for _ in range(300)]
    found = learnt([*idle, 9.5, *(one.uniform(18, 60) for _ in range(12)), 7.0])
    assert 4 < found.in_use.off < found.in_use.on < 30
    assert found.busy_count >= 12


def test_a_scale_with_a_box_on_it_is_learnt_though_the_box_is_heavy():
    one = random.Random(2)
    values = [5.0 + one.gauss(0, 0.004) for _ in range(50)]
    values += [5.3 + one.gauss(0, 0.004) for _ in range(50)]
    assert 5.05 < learnt(values).in_use.off < learnt(values).in_use.on < 5.25
