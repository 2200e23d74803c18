"""A lane: state carried, silence held back, long silence ended where observation ended."""

import msgspec
import numpy as np

from edge.bundle import Manifest
from edge.lanes import Lane
from edge.segments import Segment
from edge.timeline import Timeline
from edge.voices import Gap
from sensor_adapters import imu
from sensor_adapters.samples import Samples
from tests.edge import models
from tests.edge.models import LABELS, S

FIRST = 1_700_000_000


def manifest(delay_steps: int = 0) -> Manifest:
    """Return a model of the wrist alone, whose readings stand for their own row only."""
    base = models.manifest()
    inputs = (msgspec.structs.replace(base.inputs[0], max_gap_us=90_000),)
    return msgspec.structs.replace(base, inputs=inputs, devices=(), delay_steps=delay_steps)


def wrist(timeline: Timeline, seconds: list[int]) -> None:
    """Put readings at 10 Hz into these seconds after FIRST."""
    for second in seconds:
        time_us = (FIRST + second) * S + np.arange(10) * 100_000
        rows = np.full((10, 6), np.nan, np.float32)
        rows[:, 0] = rows[:, 5] = second
        timeline.push("right_wrist", Samples("w", imu.stream, time_us, rows))


def run(lane: Lane, timeline: Timeline) -> list[Segment | Gap]:
    """Infer all that is ready with a model that counts its steps and sees label 0 always."""
    found: list[Segment | Gap] = []
    while True:
        found += lane.advance()
        if lane.step is None:
            lane.load(timeline)
            found += lane.advance()
            if lane.step is None:
                return found
        p = np.array([0.9, 0.05, 0.05], np.float32)
        state = lane.state + 1
        found += lane.accept({"p_operation": p, "boundary": np.zeros(1, "f4"), "state": state})


def ended(found: list[Segment | Gap]) -> list[tuple[str, int, int]]:
    return [
        (s.label, s.start_us // S - FIRST, s.end_us // S - FIRST)
        for s in found
        if isinstance(s, Segment) and s.state != "open"
    ]


def gaps(found: list[Segment | Gap]) -> list[tuple[int, int | None]]:
    return [
        (g.start_us // S - FIRST, None if g.end_us is None else g.end_us // S - FIRST)
        for g in found
        if isinstance(g, Gap)
    ]


def test_a_lane_starts_at_its_first_reading_and_not_before():
    lane, timeline = Lane(manifest()), Timeline(S)
    wrist(timeline, [3, 4, 5, 6])
    run(lane, timeline)
    assert lane.steps_done == 2  # 3 and 4 are complete; 5 and 6 may still grow
    assert lane.state.tolist() == [2, 2]


def test_a_short_silence_passes_through_the_model_unobserved():
    lane, timeline = Lane(manifest()), Timeline(S)
    wrist(timeline, [0, 1, 6, 7])
    timeline.complete((FIRST + 8) * S)
    found = run(lane, timeline) + lane.finish()
    assert ended(found) == [(LABELS[0], 0, 8)]
    segment = next(s for s in found if isinstance(s, Segment) and s.state != "open")
    assert 0.3 < segment.observed < 0.7


def test_a_long_silence_ends_the_segment_where_observation_ended_and_leaves_a_gap():
    lane, timeline = Lane(manifest()), Timeline(S)
    wrist(timeline, [0, 1, 2])
    wrist(timeline, [40, 41, 42])
    timeline.complete((FIRST + 43) * S)
    found = run(lane, timeline)
    assert ended(found) == [(LABELS[0], 0, 3)]
    assert gaps(found) == [(3, None), (3, 40)]
    assert ended(lane.finish()) == [(LABELS[0], 40, 43)]
    assert lane.steps_done == 6


def test_silence_at_the_end_is_dropped():
    lane, timeline = Lane(manifest()), Timeline(S)
    wrist(timeline, [0, 1, 2])
    timeline.complete((FIRST + 8) * S)
    found = run(lane, timeline) + lane.finish()
    assert ended(found) == [(LABELS[0], 0, 3)]


def test_time_passing_in_small_or_large_pieces_gives_the_same_segments():
    parts = [[0, 1, 2], [3], [9, 10], [30, 31, 33], [34, 35, 36, 60, 61]]
    pieces, whole = [], []
    lane, timeline = Lane(manifest()), Timeline(S)
    for part in parts:
        for second in part:
            wrist(timeline, [second])
            pieces += run(lane, timeline)
    timeline.complete((FIRST + 62) * S)
    pieces += run(lane, timeline) + lane.finish()

    lane, timeline = Lane(manifest()), Timeline(1 << 61)
    wrist(timeline, [second for part in parts for second in part])
    timeline.complete((FIRST + 62) * S)
    whole += run(lane, timeline) + lane.finish()
    assert ended(pieces) == ended(whole)
    assert gaps(pieces) == gaps(whole)


def test_a_model_that_speaks_late_is_given_silent_steps_to_speak_of_the_last():
    lane, timeline = Lane(manifest(delay_steps=2)), Timeline(S)
    wrist(timeline, [0, 1, 2])
    timeline.complete((FIRST + 5) * S)
    found = run(lane, timeline)
    assert lane.steps_done == 3
    lane.drain()
    found += run(lane, timeline)
    found += lane.finish()
    assert lane.steps_done == 5
    assert ended(found) == [(LABELS[0], 0, 3)]


def test_a_late_model_loses_no_step_before_a_long_silence_either():
    lane, timeline = Lane(manifest(delay_steps=2)), Timeline(S)
    wrist(timeline, [0, 1, 2])
    wrist(timeline, [40])
    timeline.complete((FIRST + 43) * S)
    found = run(lane, timeline)
    lane.drain()
    found += run(lane, timeline)
    found += lane.finish()
    assert ended(found) == [(LABELS[0], 0, 3), (LABELS[0], 40, 41)]
    assert gaps(found) == [(3, None), (3, 40)]
