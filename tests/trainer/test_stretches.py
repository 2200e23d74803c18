"""Runs of one label are one; time without truth is taken out of the clock."""

from tests.made_up import said
from trainer.stretches import Stretch, joined, on_scored_time


def test_touching_runs_of_one_label_are_one_segment_and_null_is_none():
    parts = [Stretch("a", 0, 2), Stretch("a", 2, 3), Stretch("Null", 3, 4), Stretch("a", 4, 4)]
    assert joined(parts) == [Stretch("a", 0, 3)]
    assert len(joined(said("aa-aa"))) == 2


def test_time_without_truth_is_taken_out_of_the_clock():
    truth = said("aa..bb")
    assert on_scored_time(said("aaaabb"), truth) == on_scored_time(said("aabbbb"), truth)
    assert joined(on_scored_time(said("..cc"), truth)) == []
