"""Decoders without transitions: the mode of some steps, and thresholds."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from edge.bundle import Level
from edge.decoders import decoding_of
from edge.levels import Levels
from tests.edge.models import S, decoder, sure

MODE = msgspec.structs.replace(decoder("operation", 3), kind="mode", window_steps=5)
HYSTERESIS = msgspec.structs.replace(
    decoder("operation", 3, lag=4), kind="hysteresis", smoothing=0.6, begin=0.6, keep=0.4
)
KINDS = {"mode": MODE, "hysteresis": HYSTERESIS}


def decoded(spec, probabilities):
    decoding = decoding_of(spec)
    return [x for p in probabilities for x in decoding.update(p)] + decoding.finish()


@pytest.mark.parametrize("kind", KINDS)
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.floats(0.34, 0.99)), max_size=30))
@settings(max_examples=100, deadline=None)
def test_every_step_gets_one_label_in_time(kind, steps):
    decoding = decoding_of(KINDS[kind])
    latest = {"mode": 2, "hysteresis": 4}[kind]
    committed = 0
    for number, (label, p) in enumerate(steps, start=1):
        committed += len(decoding.update(sure(label, p)))
        assert number - committed <= latest
    assert committed + len(decoding.finish()) == len(steps)


def test_the_mode_is_that_of_the_steps_around():
    labels = [0, 0, 1, 0, 0, 1, 1, 1, 2, 1]
    found = decoded(MODE, [sure(label) for label in labels])
    for at, label in enumerate(found):
        around = labels[max(at - 2, 0) : at + 3]
        assert around.count(label) == max(map(around.count, labels))


@given(steps=st.lists(st.integers(0, 2), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_the_mode_at_the_end_is_that_of_the_steps_that_there_are(steps):
    spec = msgspec.structs.replace(MODE, window_steps=9)
    for at, label in enumerate(decoded(spec, [sure(one) for one in steps])):
        around = steps[max(at - 4, 0) : at + 5]
        assert around.count(label) == max(map(around.count, around))


def test_a_window_of_one_step_is_the_most_likely_label():
    labels = [0, 2, 1, 1, 0]
    spec = msgspec.structs.replace(MODE, window_steps=1)
    decoding = decoding_of(spec)
    assert [decoding.update(sure(label)) for label in labels] == [[label] for label in labels]


def test_a_short_doubt_changes_nothing_and_a_change_is_dated_back():
    labels = [0] * 6 + [1] + [0] * 5 + [1] * 8
    assert decoded(HYSTERESIS, [sure(label) for label in labels]) == [0] * 12 + [1] * 8


def test_between_the_thresholds_the_label_stays():
    doubt = np.array([0.45, 0.5, 0.05], np.float32)
    assert decoded(HYSTERESIS, [sure(0)] * 3 + [doubt] * 20) == [0] * 23


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_which_nothing_is_known_has_the_label_before(kind):
    assert decoded(KINDS[kind], [None, sure(1), None, None]) == [1, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_it_makes_segments_and_says_what_is_now(kind):
    one = Levels((Level(name="operation", labels=("a", "b", "c")),), (KINDS[kind],), S)
    found = []
    for step, label in enumerate([0] * 8 + [1] * 8):
        found += one.update(step, {"operation": sure(label)}, 1.0)
    assert one.provisional[0][1] == "b"
    found += one.finish()
    ended = [(s.label, s.start_us // S, s.end_us // S) for s in found if s.state != "open"]
    assert ended == [("a", 0, 8), ("b", 8, 16)]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_provisional_before_the_first_step(kind):
    with pytest.raises(RuntimeError, match="no step was decoded yet"):
        _ = decoding_of(KINDS[kind]).provisional
