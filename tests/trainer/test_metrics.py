"""A recording's scores: full marks for the truth, nothing for silence, all of it together."""

import subprocess
import sys
from pathlib import Path

import pytest

from sensor_adapters.recordings import open_recording
from tests.made_up import said, session
from trainer.metrics import evaluate_recordings, evaluate_stretches, labelled_seconds
from trainer.truth import true_stretches

REPOSITORY = Path(__file__).parents[2]


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


def test_scoring_needs_neither_torch_nor_scikit_learn_nor_matplotlib():
    code = (
        "import sys, trainer.metrics, trainer.score, trainer.__main__;"
        "print(sorted({'torch', 'sklearn', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"


def test_boundaries_of_several_recordings_are_put_together_on_scored_time():
    one, other = session(("a", 0, 3), ("b", 3, 6)), session(("a", 0, 2), ("b", 8, 12))
    # of the first its one boundary is missed; the other's lies anywhere in the unscored 2..8
    scores = evaluate_recordings(
        [(said("aaaaaa"), one), (said("aaaaabbbbbbb"), other)], "operation"
    )
    assert scores.boundary_f1 == pytest.approx(2 * 1 / (2 + 1))


def test_seconds_hold_the_labels_of_the_truth_first_and_null_never():
    recording = session(("b", 0, 2), ("a", 3, 4))
    seconds = labelled_seconds([(said("zb-a"), recording)], "operation")
    assert seconds.labels == ("b", "a", "z")
    assert seconds.official == ("b", "a")
    assert seconds.true.tolist() == [0, 0, -1, 1]
    assert seconds.predicted.tolist() == [2, 0, -1, 1]
