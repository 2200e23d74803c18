"""A true segment or boundary is found once; what is said beside it is wrong."""

import numpy as np
import pytest

from tests.made_up import said, us
from trainer.segment_scores import boundary_f1, boundary_matches, edit_score, segment_f1
from trainer.stretches import Stretch


def test_a_segment_is_found_from_the_named_overlap_on():
    truth, predicted = said("aaaa"), said("..aaaa")  # 2 of 6 seconds are shared
    assert segment_f1(truth, predicted, 0.25) == 1
    assert segment_f1(truth, predicted, 1 / 3) == 1
    assert segment_f1(truth, predicted, 0.5) == 0


def test_a_segment_of_another_label_finds_nothing():
    assert segment_f1(said("aabb"), said("bbaa"), 0.1) == 0


def test_a_true_segment_is_found_once_and_its_fragments_are_false():
    # found 1 of predicted 3 and true 2: 2 / 5
    assert segment_f1(said("aaaaaabb"), said("aaa-aa-a"), 0.1) == pytest.approx(2 / 5)


def test_a_prediction_over_two_true_segments_finds_the_one_it_shares_most_with():
    # a over 0..7: shares 2/7 with the first, 4/7 with the second; 1 found of 1 and 3
    truth, predicted = said("aabaaaa"), said("aaaaaaa")
    assert segment_f1(truth, predicted, 0.25) == pytest.approx(2 / 4)


def test_nothing_found_where_nothing_is_to_be_found_is_right():
    assert segment_f1([], [], 0.5) == 1
    assert edit_score([], []) == 100


def test_nothing_said_finds_nothing():
    assert segment_f1(said("ab"), [], 0.1) == 0
    assert edit_score(said("ab"), []) == 0


def test_the_edit_score_ignores_when_and_for_how_long():
    assert edit_score(said("abc"), said("...aaaabccccc")) == 100


def test_the_edit_score_of_cases_worked_by_hand():
    assert edit_score(said("abcd"), said("abd")) == 75  # one missing of four
    assert edit_score(said("ab"), said("abab")) == 50  # two too many of four
    assert edit_score(said("abcd"), said("badc")) == 25  # three changes, whichever way
    assert edit_score(said("aaabbb"), said("aa-abbb")) == pytest.approx(100 * 2 / 3)


def plain_distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    swap = plain_distance(a[1:], b[1:]) + (a[0] != b[0])
    return min(swap, plain_distance(a[1:], b) + 1, plain_distance(a, b[1:]) + 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_edit_score_is_that_of_the_definition(seed):
    random = np.random.default_rng(seed)
    a, b = ("-".join(random.choice(list("abc"), random.integers(1, 6))) for _ in range(2))
    wanted = plain_distance(a.replace("-", ""), b.replace("-", ""))
    longest = max(len(a.replace("-", "")), len(b.replace("-", "")))
    assert edit_score(said(a), said(b)) == pytest.approx(100 * (1 - wanted / longest))


def test_a_boundary_is_found_up_to_the_tolerance_and_not_beyond():
    truth = said("aaaabbbb")  # the label changes once, at 4 s
    for off in (-1.0, -0.4, 0.0, 1.0):
        moved = [Stretch("a", us(0), us(4 + off)), Stretch("b", us(4 + off), us(8))]
        assert boundary_f1(truth, moved) == 1
        assert boundary_f1(truth, moved, tolerance_s=0.3) == (abs(off) <= 0.3)
    assert boundary_f1(truth, said("aaaaaabb")) == 0


def test_a_boundary_counts_whatever_the_labels_beside_it():
    assert boundary_f1(said("aabb"), said("cczz")) == 1


def test_a_boundary_is_found_once_and_a_second_guess_is_wrong():
    # b lasts half a second: two boundaries are said about the one at 4 s
    guesses = [
        Stretch("a", us(0), us(4)),
        Stretch("b", us(4), us(4.5)),
        Stretch("c", us(4.5), us(8)),
    ]
    one = boundary_matches(said("aaaacccc"), guesses)
    assert (one.found, one.predicted, one.true) == (1, 2, 1)
    assert one.f1 == pytest.approx(2 / 3)


def test_one_guess_between_two_boundaries_finds_one_of_them():
    one = boundary_matches(said("aabccc"), said("aaaccc"), tolerance_s=2)  # true 2, 3; said 3
    assert (one.found, one.predicted, one.true) == (1, 1, 2)


def test_two_guesses_share_out_two_boundaries_though_both_are_near_one():
    # true 4 and 5, said 3 and 4: each is a second away from its own
    assert boundary_f1(said("aaaabccc"), said("aaabcccc")) == 1


def test_where_the_truth_begins_and_ends_there_is_no_boundary_to_find():
    whole = boundary_matches(said("aaaa"), said("aaaa"))
    assert (whole.found, whole.predicted, whole.true) == (0, 0, 0)
    assert whole.f1 == 1
    assert boundary_f1(said("aaaa", start=10), said("bb") + said("aaaa", start=10)) == 1


def test_a_pause_has_two_boundaries():
    assert boundary_matches(said("aa--bb"), said("aaaabb"), tolerance_s=0.5).true == 2
    assert boundary_f1(said("aa--bb"), said("aaaabb"), 0.5) == pytest.approx(2 / 3)


def test_saying_nothing_finds_no_boundary():
    assert boundary_f1(said("ab"), []) == 0
    assert boundary_f1([], said("ab")) == 1


@pytest.mark.parametrize("seed", range(10))
def test_as_many_boundaries_are_found_as_any_pairing_could(seed):
    graph = pytest.importorskip("scipy.sparse.csgraph", reason="trainer needs scikit-learn")
    random = np.random.default_rng(seed)
    wanted, guessed = (np.sort(random.choice(np.arange(1, 400), 60, replace=False)) for _ in "ab")
    near = np.abs(wanted[:, None] - guessed) <= 3  # tenths of a second
    most = (graph.maximum_bipartite_matching(graph.csgraph_from_dense(near)) >= 0).sum()
    parts = []
    for cuts in (wanted, guessed):
        edges = [0, *cuts, 400]
        names = "ab" * len(edges)
        runs = zip(names, edges[:-1], edges[1:], strict=False)
        parts.append([Stretch(x, us(a / 10), us(b / 10)) for x, a, b in runs])
    one = boundary_matches(parts[0], parts[1], tolerance_s=0.3)
    assert (one.found, one.predicted, one.true) == (most, 60, 60)
