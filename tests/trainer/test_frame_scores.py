"""A second counts by its last prediction, a label by its F1, what is unknown not at all."""

import numpy as np
import pytest

from tests.made_up import said, us
from trainer.frame_scores import confusion, macro_f1, predicted_per_second
from trainer.stretches import Stretch
from trainer.truth import ScoreError


def by_second(stretches, count, labels="ab"):
    time_us = np.array([us(i) for i in range(count)], np.int64)
    return predicted_per_second(stretches, time_us, labels).tolist()


def test_the_last_prediction_of_a_second_counts():
    assert by_second(said("aaab", step=0.5), 2) == [0, 1]


def test_a_second_without_prediction_keeps_the_one_before():
    assert by_second(said("a..b."), 5) == [0, 0, 0, 1, 1]


def test_before_the_first_prediction_there_is_none():
    assert by_second(said("..ab"), 4) == [-1, -1, 0, 1]


def test_a_prediction_that_ended_before_the_first_second_is_not_kept():
    assert by_second(said("a", start=-2) + said(".b"), 2) == [-1, 1]


def test_a_prediction_that_reaches_into_the_first_second_is_kept():
    assert by_second([Stretch("a", us(-2), us(0.1))], 2) == [0, 0]


def test_a_predicted_null_is_no_label():
    assert by_second(said("a-b"), 3) == [0, -1, 1]


def test_no_prediction_at_all_is_minus_one_everywhere():
    assert by_second([], 2) == [-1, -1]


def indices(text, labels="abcd"):
    return np.array([labels.find(x) for x in text], np.int64)


def test_macro_f1_of_a_case_worked_by_hand():
    # a: 2 right, 1 missed, 0 false: F1 4/5; b: 1 right, 0 missed, 1 false: 2/3
    result = macro_f1(indices("aaab"), indices("aabb"), "abcd")
    assert result.per_label == pytest.approx({"a": 4 / 5, "b": 2 / 3})
    assert result.macro == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert result.weighted == pytest.approx((3 * 4 / 5 + 2 / 3) / 4)
    assert result.accuracy == 0.75
    assert result.support == {"a": 3, "b": 1}


def test_the_official_score_counts_an_operation_that_never_occurs_as_zero():
    result = macro_f1(indices("aaab"), indices("aabb"), "abcd", classes="abcd")
    assert result.macro == pytest.approx((4 / 5 + 2 / 3) / 4)


def test_a_label_that_is_only_predicted_counts_unless_classes_are_named():
    assert macro_f1(indices("aa"), indices("ac"), "abcd").macro == pytest.approx((2 / 3) / 2)
    assert macro_f1(indices("aa"), indices("ac"), "abcd", "a").macro == pytest.approx(2 / 3)


def test_a_second_without_truth_is_not_scored():
    with_hole = macro_f1(indices("a.ab"), indices("abab"), "abcd")
    assert with_hole == macro_f1(indices("aab"), indices("aab"), "abcd")


def test_no_prediction_is_a_miss_and_false_for_nobody():
    result = macro_f1(indices("ab"), indices(".b"), "abcd")
    assert result.per_label == {"a": 0, "b": 1}
    assert result.accuracy == 0.5


def test_nothing_to_score_is_an_error():
    with pytest.raises(ScoreError, match="no second with a true label"):
        macro_f1(indices(".."), indices("ab"), "abcd")


def test_a_class_that_is_no_label_is_an_error():
    with pytest.raises(ScoreError, match="found z to score, expected some of a, b"):
        macro_f1(indices("ab"), indices("ab"), "ab", classes="az")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [None, [0, 1, 2, 3, 4, 5, 6, 7]])
def test_means_are_those_of_scikit_learn(seed, classes):
    sklearn = pytest.importorskip("sklearn.metrics", reason="trainer needs scikit-learn")
    random = np.random.default_rng(seed)
    true, predicted = random.integers(0, 6, 200), random.integers(0, 7, 200)
    predicted = np.where(random.random(200) < 0.5, true, predicted)
    labels = "abcdefgh"
    ours = macro_f1(true, predicted, labels, classes and [labels[k] for k in classes])
    for average, mine in (("macro", ours.macro), ("weighted", ours.weighted)):
        theirs = sklearn.f1_score(true, predicted, labels=classes, average=average, zero_division=0)
        assert mine == pytest.approx(theirs)
    assert ours.accuracy == pytest.approx(sklearn.accuracy_score(true, predicted))


def test_a_confusion_has_a_row_for_the_truth_and_a_last_column_for_silence():
    counts = confusion(indices("aab.c"), indices("ab.bc"), 3)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_a_confusion_is_that_of_scikit_learn(seed):
    sklearn = pytest.importorskip("sklearn.metrics", reason="trainer needs scikit-learn")
    true, predicted = np.random.default_rng(seed).integers(0, 6, (2, 300))
    ours = confusion(true, predicted, 6)
    theirs = sklearn.confusion_matrix(true, predicted, labels=range(6))
    assert (ours[:, :6] == theirs).all()
    assert not ours[:, 6].any()
