"""Scores: a second counts by its last prediction, a segment once, what is unknown not at all."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sensor_adapters.recording import Recording, StepLabels, TrueSegment
from sensor_adapters.recordings import open_recording
from sensor_adapters.samples import US_PER_S
from trainer.metrics import (
    ScoreError,
    Stretch,
    edit_score,
    evaluate_recordings,
    evaluate_stretches,
    joined,
    macro_f1,
    on_scored_time,
    predicted_per_second,
    segment_f1,
    true_stretches,
    truth_per_second,
    weighted_brier,
)

REPOSITORY = Path(__file__).parents[2]
ORIGIN_S = 1_767_859_200


def us(second):
    return ORIGIN_S * US_PER_S + round(second * US_PER_S)


def said(text, start=0.0, step=1.0):
    """Return the runs of a text, a letter a step; ``.`` is nothing, ``-`` is Null."""
    parts = [
        Stretch({"-": "Null"}.get(x, x), us(start + i * step), us(start + (i + 1) * step))
        for i, x in enumerate(text)
        if x != "."
    ]
    return [s for s in parts if s.label == "Null"] + joined(parts)


def session(*segments, level="operation", labels=None, seconds=None):
    truth = tuple(TrueSegment(level, label, us(a), us(b)) for label, a, b in segments)
    steps: tuple[StepLabels, ...] = ()
    if seconds is not None:
        time_us = np.array([us(i) for i in range(len(seconds))], np.int64)
        target = np.array([[float(x == label) for label in labels] for x in seconds], np.float32)
        steps = (StepLabels(level, time_us, tuple(labels), target),)
    return Recording("made-up", "virtual", "nobody", (), {}, truth, steps)


def seconds_of(recording, level="operation"):
    """Return the true label of every second as text, ``.`` where none is scored."""
    _, labels, target = truth_per_second(recording, level)
    return "".join(labels[row.argmax()] if row.any() else "." for row in target)


def test_published_labels_of_seconds_are_taken_as_they_are():
    recording = session(("a", 0, 9), labels="ab", seconds="bb.")
    assert seconds_of(recording) == "bb."


def test_a_second_belongs_to_the_operation_in_force_at_its_end():
    assert seconds_of(session(("a", 0, 1.9), ("b", 1.9, 4))) == "abbb"


def test_a_second_without_any_operation_is_not_scored():
    assert seconds_of(session(("a", 0, 1.2), ("b", 3.4, 5))) == "aa.bb"


def test_a_long_action_goes_on_behind_a_short_one_inside_it():
    assert seconds_of(session(("a", 0, 5), ("b", 2, 3))) == "aabaa"


def test_seconds_lie_on_the_utc_grid_though_truth_begins_between():
    time_us, _, _ = truth_per_second(session(("a", 3.7, 4.1)), "operation")
    assert time_us.tolist() == [us(3), us(4)]


def test_a_level_without_truth_is_refused_with_those_there_are():
    with pytest.raises(ScoreError, match="made-up: has labels of operation, expected some of act"):
        truth_per_second(session(("a", 0, 5)), "action")


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


def test_touching_runs_of_one_label_are_one_segment_and_null_is_none():
    parts = [Stretch("a", 0, 2), Stretch("a", 2, 3), Stretch("Null", 3, 4), Stretch("a", 4, 4)]
    assert joined(parts) == [Stretch("a", 0, 3)]
    assert len(joined(said("aa-aa"))) == 2


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


def test_the_brier_score_of_a_case_worked_by_hand():
    p = np.array([[0.5, 0.5], [1.0, 0.0]], np.float32)
    y = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    # (1 * .25 + 3 * .25 = 1) and (1 + 3 = 4)
    assert weighted_brier(p, y, np.array([1, 3], np.float32)) == pytest.approx(2.5)


def test_the_brier_score_leaves_out_unlabelled_seconds():
    p = np.array([[1.0, 0.0], [0.3, 0.7]], np.float32)
    y = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    assert weighted_brier(p, y, np.ones(2, np.float32)) == 0
    with pytest.raises(ScoreError, match="no second"):
        weighted_brier(p, np.zeros_like(y), np.ones(2, np.float32))


def test_time_without_truth_is_taken_out_of_the_clock():
    truth = said("aa..bb")
    assert on_scored_time(said("aaaabb"), truth) == on_scored_time(said("aabbbb"), truth)
    assert joined(on_scored_time(said("..cc"), truth)) == []


def test_the_truth_scores_full_marks_against_itself():
    recording = session(("a", 0.3, 4.1), ("b", 4.1, 6), ("a", 7.5, 9), ("c", 9, 12.2))
    scores = evaluate_stretches(true_stretches(recording, "operation"), recording, "operation")
    assert (scores.accuracy, scores.macro_f1, scores.edit) == (1, 1, 100)
    assert scores.segment_f1 == {10: 1, 25: 1, 50: 1}
    assert scores.true_segments == scores.predicted_segments == 4


def test_saying_nothing_scores_nothing():
    scores = evaluate_stretches([], session(("a", 0, 4)), "operation")
    assert (scores.accuracy, scores.macro_f1, scores.edit) == (0, 0, 0)
    assert scores.seconds == 4


def test_a_made_up_operation_is_a_miss_but_a_made_up_activity_counts_as_a_label():
    text = said("aazz")
    assert evaluate_stretches(text, session(("a", 0, 4)), "operation").macro_f1 == pytest.approx(
        2 / 3
    )
    activity = session(("a", 0, 4), level="activity")
    assert evaluate_stretches(text, activity, "activity").macro_f1 == pytest.approx(1 / 3)


def test_all_published_operations_count_though_one_does_not_occur():
    recording = session(("a", 0, 2), labels="ab", seconds="aa")
    assert evaluate_stretches(said("aa"), recording, "operation").macro_f1 == 0.5


def test_segments_are_made_of_seconds_where_only_seconds_are_labelled():
    recording = session(labels="ab", seconds="aa.ab")
    assert true_stretches(recording, "operation") == said("aa.ab")


def test_several_recordings_are_scored_as_one_with_their_own_labels():
    one, other = session(("a", 0, 3)), session(("b", 0, 1), ("a", 1, 2))
    scores = evaluate_recordings([(said("aaa"), one), (said("ab"), other)], "operation")
    assert scores.accuracy == pytest.approx(3 / 5)
    assert scores.per_label == pytest.approx({"a": 2 * 3 / 8, "b": 0})
    assert scores.edit == pytest.approx((100 + 0) / 2)
    assert scores.segment_f1[50] == pytest.approx(2 * 1 / 6)


def test_scores_become_flat_json():
    flat = evaluate_stretches(said("aab"), session(("a", 0, 3)), "operation").as_dict()
    assert flat["f1_50"] == pytest.approx(2 / 3)
    assert flat["level"] == "operation"
    assert "segment_f1" not in flat


def test_a_virtual_box_scores_full_marks_against_itself_on_both_levels():
    recording = open_recording("virtual:seed=7,boxes=2")
    for level in ("operation", "action"):
        scores = evaluate_stretches(true_stretches(recording, level), recording, level)
        assert (scores.accuracy, scores.edit, scores.segment_f1[50]) == (1, 100, 1)


@pytest.mark.data
def test_seconds_made_of_segments_are_the_published_ones_but_for_null(data):
    folder = data / "openpack" / "v1.0.0" / "U0209"
    if not folder.is_dir():
        pytest.skip(f"no OpenPack session: {folder} is not a folder")
    recording = open_recording(str(folder / "S0500"))
    time_us, labels, target = truth_per_second(recording, "operation")
    predicted = predicted_per_second(true_stretches(recording, "operation"), time_us, labels)
    assert (predicted == target.argmax(axis=1)).all()


def test_scoring_needs_neither_torch_nor_scikit_learn():
    code = (
        "import sys, trainer.metrics, trainer.score;"
        "print(sorted({'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"
