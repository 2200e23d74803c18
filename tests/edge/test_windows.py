"""Sensor time to model time: the same arrays live and in training, and never a look ahead."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from edge.timeline import Timeline
from edge.windows import WindowError, cut
from sensor_adapters import event, imu, pose, state
from sensor_adapters.samples import Samples
from tests.edge.models import S, manifest

WHOLE = 1 << 61
T0 = 1_700_000_000 * S


def readings(time_us: list[int], values: list[float], device: str = "d") -> Samples:
    rows = np.full((len(values), 6), np.nan, np.float32)
    rows[:, 0] = values
    rows[:, 5] = values
    return Samples(device, imu.stream, np.array(time_us, np.int64), rows)


def happenings(time_us: list[int], on: list[int], stream=event.stream) -> Samples:
    values = np.array(on, np.float32).reshape(-1, 1)
    return Samples("s", stream, np.array(time_us, np.int64), values)


def test_a_row_is_the_mean_of_its_readings_standardised():
    timeline = Timeline(WHOLE)
    timeline.push("right_wrist", readings([T0 + 10, T0 + 20, T0 + 100_000], [3, 5, 7]))
    steps = cut(timeline, manifest(), T0 // S, 1)
    assert steps.tensors["imu"][0, :2, 0].tolist() == [(4 - 1) / 2, (7 - 1) / 2]
    assert steps.tensors["imu"][0, :2, 1].tolist() == [4.0, 7.0]


def test_of_two_places_with_one_silent_half_is_observed():
    base = manifest()
    block = msgspec.structs.replace(
        base.inputs[0], channels=("right_wrist.acc_x", "left_wrist.acc_x"), units=("m/s^2",) * 2
    )
    both = manifest(inputs=(block,), devices=())
    timeline = Timeline(WHOLE)
    every_row = list(range(T0, T0 + S, 100_000))
    timeline.push("right_wrist", readings(every_row, [1.0] * 10))
    assert cut(timeline, both, T0 // S, 1).observed.tolist() == [0.5]
    timeline.push("left_wrist", readings(every_row, [1.0] * 10))
    assert cut(timeline, both, T0 // S, 1).observed.tolist() == [1.0]


def test_a_channel_that_a_device_never_gives_does_not_make_it_silent():
    timeline = Timeline(WHOLE)
    values = np.full((10, 6), np.nan, np.float32)
    values[:, 0] = 1  # an accelerometer without gyroscope
    time_us = np.arange(T0, T0 + S, 100_000)
    timeline.push("right_wrist", Samples("d", imu.stream, time_us, values))
    assert cut(timeline, manifest(devices=()), T0 // S, 1).observed.tolist() == [1.0]


def test_a_reading_stands_in_until_it_is_too_old_then_the_row_is_not_observed():
    timeline = Timeline(WHOLE)
    timeline.push("right_wrist", readings([T0 + 50_000], [3]))
    steps = cut(timeline, manifest(), T0 // S, 1)
    # its own row, then those whose end lies within 250 ms
    assert steps.tensors["imu_observed"][0, :, 0].tolist() == [1, 1, 1] + [0] * 7
    assert steps.tensors["imu"][0, 3:].tolist() == [[0, 0]] * 7


def test_a_reading_stands_in_across_a_step_edge():
    timeline = Timeline(WHOLE)
    timeline.push("right_wrist", readings([T0 + 990_000], [3]))
    steps = cut(timeline, manifest(), T0 // S + 1, 1)
    assert steps.tensors["imu_observed"][0, :, 0].tolist() == [1, 1] + [0] * 8


def test_a_reading_at_a_rows_end_belongs_to_the_next_row():
    timeline = Timeline(WHOLE)
    timeline.push("right_wrist", readings([T0 + 100_000], [9]))
    steps = cut(timeline, manifest(), T0 // S, 1)
    assert steps.tensors["imu_observed"][0, 0, 0] == 0
    assert steps.tensors["imu"][0, 1, 1] == 9


@given(
    st.lists(st.integers(0, 8 * S - 1), min_size=1, max_size=60, unique=True),
    st.lists(st.tuples(st.integers(0, 8 * S - 1), st.booleans()), max_size=15),
    st.integers(1, 7),
)
@settings(max_examples=150, deadline=None)
def test_cutting_step_by_step_while_data_arrives_equals_cutting_the_whole(times, events, upto):
    times, events = sorted(times), sorted(events)
    wrist = readings([T0 + t for t in times], [float(i) for i in range(len(times))])
    scans = happenings([T0 + t for t, _ in events], [int(on) for _, on in events])
    drawer = happenings([T0 + t for t, _ in events], [int(on) for _, on in events], state.stream)
    whole = Timeline(WHOLE)
    live = Timeline(WHOLE)
    parts = {"right_wrist": wrist, "scanner": scans, "drawer": drawer}
    for placement, samples in parts.items():
        whole.push(placement, samples)
    everything = cut(whole, manifest(), T0 // S, 8)
    for step in range(8):
        for placement, samples in parts.items():
            lo, hi = np.searchsorted(samples.time_us, [T0 + step * S, T0 + (step + 1) * S])
            live.push(
                placement,
                Samples("d", samples.stream, samples.time_us[lo:hi], samples.values[lo:hi]),
            )
        one = cut(live, manifest(), T0 // S + step, 1)
        for name, array in one.tensors.items():
            assert np.array_equal(array[0], everything.tensors[name][step]), name
        assert one.observed[0] == everything.observed[step]
        if step == upto:  # what was forgotten is never asked for again
            live.forget(T0 + (step + 1) * S - 31 * S)


@given(st.lists(st.integers(0, 4 * S - 1), min_size=2, max_size=40, unique=True), st.randoms())
@settings(max_examples=100, deadline=None)
@pytest.mark.fault("F18")
def test_the_order_of_arrival_within_the_lateness_changes_nothing(times, random):
    times = sorted(times)
    singles = [readings([T0 + t], [float(i)]) for i, t in enumerate(times)]
    straight, shuffled = Timeline(10 * S), Timeline(10 * S)
    for one in singles:
        straight.push("right_wrist", one)
    random.shuffle(singles)
    for one in singles:
        assert shuffled.push("right_wrist", one) == 0
    a, b = (cut(t, manifest(), T0 // S, 4) for t in (straight, shuffled))
    assert all(np.array_equal(a.tensors[n], b.tensors[n]) for n in a.tensors)


@given(st.lists(st.integers(0, 4 * S - 1), min_size=2, max_size=40, unique=True))
@settings(max_examples=100, deadline=None)
def test_no_step_looks_at_readings_from_its_end_on(times):
    times = sorted(times)
    full = Timeline(WHOLE)
    full.push("right_wrist", readings([T0 + t for t in times], [1.0] * len(times)))
    early = [t for t in times if t < 2 * S]
    part = Timeline(WHOLE)
    part.push("right_wrist", readings([T0 + t for t in early], [1.0] * len(early)))
    a, b = (cut(t, manifest(), T0 // S, 2) for t in (full, part))
    assert all(np.array_equal(a.tensors[n], b.tensors[n]) for n in a.tensors)


@pytest.mark.fault("F17")
def test_a_reading_later_than_the_lateness_is_counted_and_left_out():
    timeline = Timeline(2 * S)
    timeline.push("right_wrist", readings([T0 + 5 * S], [1]))
    late = timeline.push("right_wrist", readings([T0 + S, T0 + 4 * S], [1, 2]))
    assert (late, timeline.late) == (1, 1)
    track = timeline.tracks["right_wrist"]
    track.settle()
    assert track.time_us.tolist() == [T0 + 4 * S, T0 + 5 * S]


def test_a_device_of_another_kind_is_refused_with_both_kinds_named():
    timeline = Timeline(WHOLE)
    timeline.push("scanner", happenings([T0], [1], state.stream))
    with pytest.raises(WindowError, match=r"level.*expected event"):
        cut(timeline, manifest(), T0 // S, 1)


def test_a_stream_without_the_channel_is_refused_with_its_channels_named():
    timeline = Timeline(WHOLE)
    values = np.zeros((1, len(pose.stream.channels)), np.float32)
    timeline.push("right_wrist", Samples("cam", pose.stream, np.array([T0]), values))
    with pytest.raises(WindowError, match="no channel acc_x"):
        cut(timeline, manifest(), T0 // S, 1)
