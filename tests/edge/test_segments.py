"""Probabilities to segments: back-dated boundaries, nothing lost or doubled."""

import msgspec
import numpy as np

from edge.bundle import Level
from edge.levels import Levels
from tests.edge.models import S, decoder, sure

LEVEL = Level(name="operation", labels=("a", "b", "c"))


def test_a_single_odd_step_is_smoothed_away_and_a_lasting_change_is_not():
    one = Levels((LEVEL,), (decoder("operation", 3),), S)
    labels = [0] * 5 + [1] + [0] * 5 + [2] * 5
    found = [
        s for i, x in enumerate(labels) for s in one.update(i, {"operation": sure(x, 0.8)}, 1.0)
    ]
    found += one.finish()
    ended = [s for s in found if s.state != "open"]
    assert [(s.label, s.start_us // S, s.end_us // S, s.state) for s in ended] == [
        ("a", 0, 11, "closed"),
        ("c", 11, 16, "interrupted"),
    ]


def test_a_boundary_is_dated_back_to_where_the_label_changed():
    one = Levels((LEVEL,), (decoder("operation", 3, lag=8),), S)
    emitted = [
        (i, s.start_us // S)
        for i, x in enumerate([0] * 6 + [1] * 9)
        for s in one.update(i, {"operation": sure(x, 0.6)}, 1.0)
        if s.state == "open" and s.label == "b"
    ]
    [(when, start)] = emitted
    assert start == 6 < when <= start + 8


def test_confidence_and_observed_are_means_over_the_segment():
    one = Levels((LEVEL,), (decoder("operation", 3),), S)
    for i, (p, seen) in enumerate([(0.9, 1.0), (0.7, 0.5), (0.8, 0.0)]):
        one.update(i, {"operation": sure(0, p)}, seen)
    last = one.finish()[-1]
    assert abs(last.confidence - 0.8) < 1e-6
    assert abs(last.observed - 0.5) < 1e-6


def test_a_parent_is_carried_into_the_segment():
    level = Level(name="action", labels=("x", "y"), parents=("a", "b"))
    one = Levels((level,), (decoder("action", 2),), S)
    one.update(0, {"action": np.array([0.1, 0.9], np.float32)}, 1.0)
    assert one.finish()[0].parent == "b"


def test_a_prior_taken_out_favours_the_rare_label():
    rare = msgspec.structs.replace(
        decoder("operation", 3), prior_weight=1.0, log_prior=tuple(np.log([0.98, 0.01, 0.01]))
    )
    one = Levels((LEVEL,), (rare,), S)
    one.update(0, {"operation": np.array([0.6, 0.4, 0.0], np.float32)}, 1.0)
    assert one.provisional[0][1] == "b"
