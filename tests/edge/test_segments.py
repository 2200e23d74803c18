"""Probabilities to segments: bounded lag, back-dated boundaries, nothing lost or doubled."""

import itertools

import msgspec
import numpy as np
from hypothesis import given, settings, strategies as st

from edge.bundle import Decoder, Level
from edge.segments import SegmentDecoder, Viterbi
from tests.edge.models import S, decoder

LEVEL = Level(name="operation", labels=("a", "b", "c"))


def sure(label: int, p: float = 0.98) -> np.ndarray:
    rest = (1 - p) / 2
    return np.array([p if i == label else rest for i in range(3)], np.float32)


def evidence_of(spec: Decoder, probabilities: list[np.ndarray]) -> list[np.ndarray]:
    return [spec.evidence_weight * np.log(np.maximum(p, 1e-6).astype(float)) for p in probabilities]


def worth(spec: Decoder, probabilities: list[np.ndarray], path: list[int]) -> float:
    """Return the log probability of a path; ties make several the best."""
    seen = evidence_of(spec, probabilities)
    moves = sum(spec.log_transition[a][b] for a, b in itertools.pairwise(path))
    return moves + sum(float(e[label]) for e, label in zip(seen, path, strict=True))


def offline(spec: Decoder, probabilities: list[np.ndarray]) -> list[int]:
    """Viterbi over the whole sequence, the plain way."""
    log_p = evidence_of(spec, probabilities)
    move = np.array(spec.log_transition)
    score, back = log_p[0], []
    for evidence in log_p[1:]:
        reach = score[:, None] + move
        back.append(reach.argmax(0))
        score = reach.max(0) + evidence
    path = [int(score.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.34, 0.99)), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_with_a_lag_as_long_as_the_sequence_it_is_plain_viterbi(steps):
    spec = decoder("operation", 3, lag=100)
    probabilities = [sure(label, p) for label, p in steps]
    viterbi = Viterbi(spec)
    found = [label for p in probabilities for label in viterbi.update(p)] + viterbi.finish()
    best = worth(spec, probabilities, offline(spec, probabilities))
    assert abs(worth(spec, probabilities, found) - best) < 1e-9


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.34, 0.99)), min_size=1, max_size=60),
    st.integers(1, 6),
)
@settings(max_examples=200, deadline=None)
def test_every_step_gets_one_label_at_most_the_lag_late(steps, lag):
    viterbi = Viterbi(decoder("operation", 3, lag=lag))
    committed = 0
    for number, (label, p) in enumerate(steps, start=1):
        committed += len(viterbi.update(sure(label, p)))
        assert number - committed <= lag
    assert committed + len(viterbi.finish()) == len(steps)


def test_a_single_odd_step_is_smoothed_away_and_a_lasting_change_is_not():
    one = SegmentDecoder(LEVEL, decoder("operation", 3), S)
    labels = [0] * 5 + [1] + [0] * 5 + [2] * 5
    found = [s for i, x in enumerate(labels) for s in one.update(i, sure(x, 0.8), 1.0)]
    found += one.finish()
    ended = [s for s in found if s.state != "open"]
    assert [(s.label, s.start_us // S, s.end_us // S, s.state) for s in ended] == [
        ("a", 0, 11, "closed"),
        ("c", 11, 16, "interrupted"),
    ]


def test_a_boundary_is_dated_back_to_where_the_label_changed():
    one = SegmentDecoder(LEVEL, decoder("operation", 3, lag=8), S)
    emitted = [
        (i, s.start_us // S)
        for i, x in enumerate([0] * 6 + [1] * 9)
        for s in one.update(i, sure(x, 0.6), 1.0)
        if s.state == "open" and s.label == "b"
    ]
    [(when, start)] = emitted
    assert start == 6 < when <= start + 8


def test_confidence_and_observed_are_means_over_the_segment():
    one = SegmentDecoder(LEVEL, decoder("operation", 3), S)
    for i, (p, seen) in enumerate([(0.9, 1.0), (0.7, 0.5), (0.8, 0.0)]):
        one.update(i, sure(0, p), seen)
    last = one.finish()[-1]
    assert abs(last.confidence - 0.8) < 1e-6
    assert abs(last.observed - 0.5) < 1e-6


def test_a_parent_is_carried_into_the_segment():
    level = Level(name="action", labels=("x", "y"), parents=("a", "b"))
    one = SegmentDecoder(level, decoder("action", 2), S)
    one.update(0, np.array([0.1, 0.9], np.float32), 1.0)
    assert one.finish()[0].parent == "b"


def test_a_prior_taken_out_favours_the_rare_label():
    rare = msgspec.structs.replace(
        decoder("operation", 3), prior_weight=1.0, log_prior=tuple(np.log([0.98, 0.01, 0.01]))
    )
    one = SegmentDecoder(LEVEL, rare, S)
    one.update(0, np.array([0.6, 0.4, 0.0], np.float32), 1.0)
    assert one.provisional[0] == "b"
