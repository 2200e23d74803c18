"""The decoder commits the best path, in time, and a label lasts as long as it must."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from edge.bundle import Decoder
from edge.viterbi import Viterbi
from tests.edge.models import decoder, sure


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


def runs(labels):
    """Return (label, how many) of each run."""
    return [(label, len(list(some))) for label, some in itertools.groupby(labels)]


def decoded(spec, probabilities, boundaries=None):
    """Return the label of each step."""
    viterbi = Viterbi(spec)
    said = boundaries or [None] * len(probabilities)
    pairs = zip(probabilities, said, strict=True)
    return [x for p, b in pairs for x in viterbi.update(p, b)] + viterbi.finish()


STEPS = st.lists(st.tuples(st.integers(0, 2), st.floats(0.34, 0.99)), min_size=1, max_size=7)


@given(STEPS, st.tuples(*[st.integers(1, 3)] * 3))
@settings(max_examples=60, deadline=None)
def test_the_path_is_the_best_of_all_in_which_labels_last_as_long_as_they_must(steps, shortest):
    """What goes on at the beginning or at the end may be shorter than it is."""
    spec = msgspec.structs.replace(decoder("operation", 3, lag=100), shortest_steps=shortest)
    probabilities = [sure(label, p) for label, p in steps]
    lawful = [
        list(path)
        for path in itertools.product(range(3), repeat=len(steps))
        if all(count >= shortest[label] for label, count in runs(path)[1:-1])
    ]
    best = max(worth(spec, probabilities, path) for path in lawful)
    found = decoded(spec, probabilities)
    assert found in lawful
    # inside a chain to stay costs nothing
    spared = sum(
        -spec.log_transition[label][label] * (min(count, shortest[label]) - 1)
        for label, count in runs(found)[1:]
    )
    assert worth(spec, probabilities, found) + spared >= best - 1e-9


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.34, 0.99)), min_size=1, max_size=60),
    st.integers(0, 6),
    st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_no_segment_is_shorter_than_its_label_must_be_whatever_the_lag(steps, lag, shortest):
    spec = decoder("operation", 3, lag=lag)
    spec = msgspec.structs.replace(spec, shortest_steps=(shortest,) * 3)
    found = decoded(spec, [sure(label, p) for label, p in steps])
    assert len(found) == len(steps)
    assert all(count >= shortest for _, count in runs(found)[1:-1])


def test_without_a_lag_every_step_is_committed_as_it_comes():
    viterbi = Viterbi(decoder("operation", 3, lag=0))
    labels = [0, 0, 1, 1, 1, 2, 2, 2]
    found = [viterbi.update(sure(label)) for label in labels]
    assert [len(some) for some in found] == [1] * len(labels)
    assert [label for some in found for label in some] == labels
    assert viterbi.finish() == []


def test_a_boundary_says_when_the_label_changes_where_the_labels_do_not():
    spec = msgspec.structs.replace(decoder("operation", 3, lag=100), boundary_weight=1.0)
    unsure = np.array([0.45, 0.45, 0.1], np.float32)
    said = [sure(0)] * 3 + [unsure] * 5 + [sure(1)] * 3
    for at in range(3, 9):
        begins = [0.9 if step == at else 0.05 for step in range(len(said))]
        assert decoded(spec, said, begins) == [0] * at + [1] * (len(said) - at)


def test_a_step_of_which_nothing_is_known_goes_on_as_it_was():
    viterbi = Viterbi(decoder("operation", 3, lag=0))
    assert viterbi.update(None) == []
    assert [viterbi.update(p) for p in (sure(1), None, None)] == [[1], [1], [1]]


def test_nothing_is_provisional_before_the_first_step():
    with pytest.raises(RuntimeError, match="no step was decoded yet"):
        _ = Viterbi(decoder("operation", 3)).provisional
