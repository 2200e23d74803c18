"""How right, how soon and how steadily: figures whose values can be told beforehand."""

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the trainer's dependencies")

from edge.bundle import Level
from tests.edge.models import decoder
from trainer.online_scores import (
    average_precisions,
    heard,
    promptness,
    start_precision,
)
from trainer.stretches import Stretch

S = 1_000_000
LEVEL = Level(name="operation", labels=("a", "b", "c"))
ARGMAX = msgspec.structs.replace(decoder("operation", 3), kind="mode", lag_steps=0)


def probabilities(labels, sure=0.9):
    p = np.full((len(labels), 3), (1 - sure) / 2, np.float32)
    p[np.arange(len(labels)), labels] = sure
    return p


def played(labels, spec=ARGMAX, delay=1, sure=0.9):
    p = probabilities(labels, sure)
    return heard(LEVEL, spec, p, np.zeros(len(p), np.float32), 0, S, delay)


def truth(*runs):
    """Return stretches of (label, seconds), one after the other."""
    found, at = [], 0
    for label, seconds in runs:
        found.append(Stretch(label, at * S, (at + seconds) * S))
        at += seconds
    return found


def test_average_precision_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 300).astype(np.float32).round(2)  # many equal scores
    label = rng.integers(-1, 3, 300)
    found = average_precisions(p, label)
    for k in range(3):
        known = label >= 0
        expected = metrics.average_precision_score(label[known] == k, p[known, k])
        assert found[k] == pytest.approx(expected, abs=1e-5)
    assert math.isnan(found[3])


def test_calibrated_precision_does_not_fall_because_a_label_is_rare():
    rng = np.random.default_rng(1)
    right, wrong = rng.normal(1, 1, 50), rng.normal(0, 1, 50)

    def both(times):
        score = np.concatenate([right, np.tile(wrong, times)]).astype(np.float32)
        label = np.concatenate([np.zeros(50, int), np.ones(50 * times, int)])
        p = np.stack([score, -score], 1)
        return average_precisions(p, label)[0], average_precisions(p, label, calibrated=True)[0]

    even, rare = both(1), both(20)
    assert even[0] == pytest.approx(even[1])
    assert rare[0] < even[0] - 0.2
    assert rare[1] == pytest.approx(even[1], abs=0.01)


def test_a_label_is_shown_a_step_and_the_models_delay_after_it_began():
    found = promptness([(played([0] * 5 + [1] * 5), truth(("a", 5), ("b", 5)))])
    assert (found.onset_s, found.missed) == (2.0, 0.0)
    late = promptness([(played([0] * 8 + [1] * 2), truth(("a", 5), ("b", 5)))])
    assert late.onset_p95_s > 4


def test_a_label_that_is_never_shown_while_it_lasts_is_missed():
    found = promptness([(played([0] * 10), truth(("a", 5), ("b", 5)))])
    assert found.missed == 0.5


def test_an_end_is_committed_the_decoders_lag_after_it():
    labels = [0] * 8 + [1] * 8 + [2] * 8
    wanted = truth(("a", 8), ("b", 8), ("c", 8))
    at_once = promptness([(played(labels), wanted)])
    mode = msgspec.structs.replace(ARGMAX, window_steps=5)
    later = promptness([(played(labels, mode), wanted)])
    assert at_once.commit_s == 2.0  # the next step, and the model's delay
    assert later.commit_s == 4.0  # half of the window more


def test_a_committed_segment_that_is_on_no_true_one_is_a_false_alarm():
    found = promptness([(played([0] * 30 + [2] * 3 + [0] * 27), truth(("a", 60)))])
    assert found.false_alarms_per_min == pytest.approx(1.0)
    assert promptness([(played([0] * 60), truth(("a", 60)))]).false_alarms_per_min == 0


def test_a_short_segment_inside_a_long_true_one_is_no_false_alarm():
    said = ([0] * 5 + [1]) * 10
    found = promptness([(played(said), truth(("a", 60)))])
    assert found.false_alarms_per_min == pytest.approx(10)  # the ten of b


def test_what_is_said_where_nothing_is_known_is_no_false_alarm():
    found = promptness([(played([0] * 30 + [2] * 30), truth(("a", 30)))])
    assert found.false_alarms_per_min == 0


def test_a_label_that_flickers_before_it_is_committed_is_a_revision():
    labels = [0] * 10 + [1] + [0] * 10
    mode = msgspec.structs.replace(ARGMAX, window_steps=1)
    assert promptness([(played(labels, mode), truth(("a", 21)))]).revisions_per_segment == 0
    wide = msgspec.structs.replace(ARGMAX, window_steps=3, lag_steps=1)
    # of two that are as many the newer is shown: b at the third step, which is a after all
    seen = played([0, 0, 1, 0, 0, 0, 1, 1, 1], wide)
    committed = [0] * 6 + [1] * 3
    other = [a != b for a, b in zip(seen.provisional.tolist(), committed, strict=True)]
    begun = [now and not before for before, now in pairwise([False, *other])]
    found = promptness([(seen, truth(("a", 6), ("b", 3)))])
    assert sum(begun) > 0
    assert found.revisions_per_segment == sum(begun) / 2


def test_starts_that_are_found_in_time_are_precise_and_others_are_not():
    wanted = truth(("a", 20), ("b", 20), ("c", 20))
    exact = played([0] * 20 + [1] * 20 + [2] * 20)
    assert start_precision([(exact, wanted)]) == pytest.approx(1.0)
    # b begins 4 s late: found within 4 to 10 of the 10 tolerances
    late = played([0] * 24 + [1] * 16 + [2] * 20)
    assert start_precision([(late, wanted)]) == pytest.approx((1 + 0.7 + 1) / 3)


def test_a_start_is_found_once():
    wanted = truth(("a", 20), ("b", 20))
    twice = played([0] * 20 + [1] * 3 + [0] + [1] * 16, sure=0.9)
    found = start_precision([(twice, wanted)])
    assert found == pytest.approx(0.5)  # as sure of the second one, which finds nothing


def test_nothing_heard_is_not_a_number_of_seconds():
    found = promptness([(played([2] * 10), truth(("a", 10)))])
    assert math.isnan(found.onset_s)
    assert math.isnan(found.commit_s)
    assert found.missed == 1.0
