"""The truth of a second is what was in force at its end; what is unknown is not scored."""

import pytest

from sensor_adapters.recordings import open_recording
from tests.made_up import said, session, us
from trainer.frame_scores import predicted_per_second
from trainer.truth import ScoreError, true_stretches, truth_per_second, truth_per_step


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


def test_segments_are_made_of_seconds_where_only_seconds_are_labelled():
    recording = session(labels="ab", seconds="aa.ab")
    assert true_stretches(recording, "operation") == said("aa.ab")


@pytest.mark.data
def test_seconds_made_of_segments_are_the_published_ones_but_for_null(data):
    folder = data / "openpack" / "v1.0.0" / "U0209"
    if not folder.is_dir():
        pytest.skip(f"no OpenPack session: {folder} is not a folder")
    recording = open_recording(str(folder / "S0500"))
    time_us, labels, target = truth_per_second(recording, "operation")
    predicted = predicted_per_second(true_stretches(recording, "operation"), time_us, labels)
    assert (predicted == target.argmax(axis=1)).all()


def test_steps_of_a_quarter_second_are_true_of_what_was_in_force_at_their_end():
    time_us, labels, target = truth_per_step(
        session(("a", 0, 1.3), ("b", 1.3, 2)), "operation", 250_000
    )
    first = us(0)
    assert time_us.tolist() == [first + 250_000 * step for step in range(8)]
    assert [labels[k] for k in target.argmax(1)] == ["a"] * 5 + ["b"] * 3


def test_a_published_second_is_true_of_each_of_its_parts():
    recording = session(labels="ab", seconds="a.b")
    time_us, labels, target = truth_per_step(recording, "operation", 500_000)
    assert time_us.tolist() == [us(second) for second in (0, 0.5, 1, 1.5, 2, 2.5)]
    said = [labels[row.argmax()] if row.any() else "." for row in target]
    assert said == ["a", "a", ".", ".", "b", "b"]
