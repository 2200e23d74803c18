"""What one can rely on about the virtual packing station."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from sensor_adapters import event, imu, pose, state
from sensor_adapters.body import FOREARM_M, UPPER_ARM_M, build
from sensor_adapters.motion import TICK_HZ, Manner, Paths, move
from sensor_adapters.openpack_labels import ACTIONS, parent
from sensor_adapters.recording import Recording, RecordingError, TrueSegment
from sensor_adapters.samples import Samples
from sensor_adapters.virtual_body_sensors import _rates
from sensor_adapters.virtual_devices import PUTTING, REACHING, SCANS, TAPING
from sensor_adapters.virtual_station import DAY_US, MAX_BOXES, parse, simulate
from sensor_adapters.worker import OPERATIONS, draw_habits, script

SECOND_US = 1_000_000
HEARTBEAT_LIMIT_US = 10 * SECOND_US


@pytest.fixture(scope="module")
def session() -> Recording:
    return simulate(7, boxes=12)


def of(recording: Recording, device: str) -> Samples:
    return next(s for s in recording.samples if s.device == device)


def segments(recording: Recording, level: str, label: str | None = None) -> list[TrueSegment]:
    return [t for t in recording.truth if t.level == level and label in (None, t.label)]


def inside(time_us: int, spans: list[TrueSegment]) -> bool:
    return any(s.start_us <= time_us < s.end_us for s in spans)


def _paths(seed: int) -> tuple[Paths, float]:
    rng = np.random.default_rng(seed)
    habits = draw_habits(rng)
    return move(script(habits, 1, rng), habits, Manner(habits, rng), rng), 1.0


def switched_on_us(samples: Samples) -> list[int]:
    on = samples.values[:, 0] == 1
    rising = on & ~np.concatenate([[False], on[:-1]])
    return [int(t) for t in samples.time_us[rising]]


def test_the_same_seed_gives_the_same_session_bit_for_bit() -> None:
    first, second = simulate(3, boxes=3), simulate(3, boxes=3)
    assert first.truth == second.truth
    for one, other in zip(first.samples, second.samples, strict=True):
        assert one.time_us.tobytes() == other.time_us.tobytes()
        assert one.values.tobytes() == other.values.tobytes()


def test_another_seed_is_another_worker_on_another_day() -> None:
    sessions = [simulate(seed, boxes=2) for seed in (0, 1, 2)]
    assert len({s.subject for s in sessions}) == 3
    assert len({s.name for s in sessions}) == 3
    spans = sorted(s.span_us() for s in sessions)
    assert all(end < start for (_, end), (start, _) in pairwise(spans))


def test_even_the_longest_session_ends_before_the_next_seeds_begins() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        assert script(draw_habits(rng), MAX_BOXES, rng)[-1].end_s * SECOND_US < DAY_US


def test_a_session_can_start_whenever_one_likes() -> None:
    moved = simulate(3, boxes=2, start_us=1_800_000_000_000_000)
    usual = simulate(3, boxes=2)
    shift = usual.span_us()[0] - moved.span_us()[0]
    assert moved.span_us()[0] == 1_800_000_000_000_000
    assert [t.start_us + shift for t in moved.truth] == [t.start_us for t in usual.truth]


@pytest.mark.parametrize("level", ["operation", "action"])
def test_true_segments_follow_one_another_without_overlap(session: Recording, level: str) -> None:
    found = segments(session, level)
    assert all(s.start_us < s.end_us for s in found)
    assert all(a.end_us <= b.start_us for a, b in pairwise(found))


def test_every_action_lies_inside_an_operation_of_its_box(session: Recording) -> None:
    operations = segments(session, "operation")
    for action in segments(session, "action"):
        assert action.label in ACTIONS.values()
        assert any(
            o.start_us <= action.start_us
            and action.end_us <= o.end_us
            and o.box == action.box
            and o.label == parent(action.label)
            for o in operations
        ), action


def test_all_ten_operations_and_all_boxes_occur(session: Recording) -> None:
    operations = segments(session, "operation")
    assert {o.label for o in operations} == set(OPERATIONS)
    assert {o.box for o in operations} == set(range(1, 13))


def test_workers_swap_skip_repeat_and_leave_now_and_then() -> None:
    plain, gaps = 0, 0
    boxes = 0
    for seed in range(8):
        operations = segments(simulate(seed, boxes=10), "operation")
        for box in range(1, 11):
            plain += [o.label for o in operations if o.box == box] == list(OPERATIONS)
            boxes += 1
        gaps += sum(
            5 * SECOND_US <= b.start_us - a.end_us <= 41 * SECOND_US
            for a, b in pairwise(operations)
        )
    assert 0.4 * boxes < plain < 0.95 * boxes
    assert gaps >= 2


@pytest.mark.parametrize("device", ["imu-rw", "imu-lw", "imu-ra", "imu-la"])
def test_an_arm_at_its_stillest_feels_gravity_and_nothing_else(
    session: Recording, device: str
) -> None:
    values = of(session, device).values
    seconds = values[: len(values) // 30 * 30].reshape(-1, 30, 6)
    turning = np.linalg.norm(seconds[:, :, 3:], axis=2).mean(axis=1)
    still = seconds[np.argsort(turning)[:10]]
    assert np.linalg.norm(still[:, :, :3], axis=2).mean() == pytest.approx(9.80665, abs=0.4)
    assert turning.min() < 0.25


@pytest.mark.parametrize(("limb", "device"), [("forearm", "imu-rw"), ("upper_arm", "imu-la")])
def test_turning_rates_add_up_to_the_change_of_orientation(limb: str, device: str) -> None:
    body = build(*_paths(seed=1))
    frame = getattr(body.arms["right" if device == "imu-rw" else "left"], limb)
    rates = _rates(frame)
    turned = frame[0]
    for rate in rates[:120]:
        angle = np.linalg.norm(rate) / TICK_HZ
        x, y, z = rate / max(np.linalg.norm(rate), 1e-12)
        skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        turned = turned @ (np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew)
    assert np.allclose(turned, frame[120], atol=0.01)


def test_limbs_keep_their_length_and_frames_stay_square() -> None:
    body = build(*_paths(seed=2))
    for arm in body.arms.values():
        assert np.allclose(
            np.linalg.norm(arm.elbow - arm.shoulder, axis=1), UPPER_ARM_M, atol=0.005
        )
        assert np.allclose(np.linalg.norm(arm.wrist - arm.elbow, axis=1), FOREARM_M, atol=0.005)
        for frame in (arm.upper_arm, arm.forearm):
            assert np.allclose(np.einsum("nji,njk->nik", frame, frame), np.eye(3), atol=1e-9)
            assert np.allclose(np.linalg.det(frame), 1)


def test_inertial_units_speak_thirty_times_a_second_but_for_lost_packets() -> None:
    lost = []
    for seed in range(4):
        session = simulate(seed, boxes=6)
        first, last = session.span_us()
        for samples in (s for s in session.samples if s.stream is imu.stream):
            assert np.bincount(np.diff(samples.time_us)).argmax() in (33_333, 33_334)
            lost.append(1 - len(samples) / ((last - first) / SECOND_US * 30))
            assert np.isfinite(samples.values).all()
    assert 0.004 < np.mean(lost) < 0.03


def test_the_camera_speaks_ten_times_a_second_in_shares_of_the_image(session: Recording) -> None:
    frames = of(session, "cam")
    seen = frames.values[frames.values[:, 0] == 1]
    assert np.median(np.diff(frames.time_us)) == 100_000
    assert len(seen) > 0.7 * len(frames)
    assert ((seen[:, 1:5] >= 0) & (seen[:, 1:5] <= 1)).all()
    scores = seen[:, 7:56:3]
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.isnan(frames.values[:, 56:]).all()


def test_nobody_is_seen_while_the_worker_is_far_away() -> None:
    unseen = 0
    for seed in range(10):
        session = simulate(seed, boxes=8)
        frames = of(session, "cam")
        operations = segments(session, "operation")
        for a, b in pairwise(operations):
            part = (frames.time_us >= a.end_us) & (frames.time_us < b.start_us)
            unseen += int((frames.values[part, 0] == 0).sum())
    assert unseen > 50


def test_a_turned_back_hides_the_face(session: Recording) -> None:
    frames = of(session, "cam")
    nose = pose.stream.column("nose_score")
    away = segments(session, "action", PUTTING[0])
    late = [int(t.start_us + 0.8 * (t.end_us - t.start_us)) for t in away]
    rows = [int(np.searchsorted(frames.time_us, t)) for t in late]
    assert np.nanmedian(frames.values[rows, nose]) < 0.5 < np.nanmedian(frames.values[:, nose])


def test_scans_are_read_inside_scanning_actions(session: Recording) -> None:
    scanner = of(session, "scanner")
    times = scanner.time_us[scanner.values[:, 0] == 1]
    actions = [a for label in SCANS for a in segments(session, "action", label)]
    share = np.mean([inside(int(t), actions) for t in times])
    assert share > 0.85
    assert 0.8 < len(times) / len(actions) < 1.15


def test_labels_are_printed_just_after_the_printers_code_is_scanned(session: Recording) -> None:
    printer = of(session, "printer")
    times = printer.time_us[printer.values[:, 0] == 1]
    ends = np.array([a.end_us for a in segments(session, "action", "Scan Printer")])
    delays = [min((t - e for e in ends if e <= t), default=10**9) for t in times.tolist()]
    assert np.mean([d < 2.1 * SECOND_US for d in delays]) > 0.6


@pytest.mark.parametrize(
    ("device", "labels"),
    [
        ("tape", TAPING),
        ("shelf", REACHING),
        ("pen", ("Hold Pen", "Pick Up Pen")),
        ("backtable", PUTTING),
    ],
)
def test_devices_switch_on_inside_the_actions_that_use_them(
    session: Recording, device: str, labels: tuple[str, ...]
) -> None:
    times = switched_on_us(of(session, device))
    actions = [a for label in labels for a in segments(session, "action", label)]
    used = [sum(inside(t, [a]) for t in times) > 0 for a in actions]
    assert np.mean([inside(t, actions) for t in times]) > 0.65
    assert np.mean(used) > 0.8


def test_the_wrist_that_reaches_the_shelf_is_seen_there_when_the_light_curtain_is_broken(
    session: Recording,
) -> None:
    frames = of(session, "cam")
    column = pose.stream.column("box_cx")
    times = [
        t
        for t in switched_on_us(of(session, "shelf"))
        if inside(t, segments(session, "action", "Pick Up Item from Box"))
    ]
    rows = [int(np.searchsorted(frames.time_us, t)) for t in times]
    at_shelf = np.nanmedian(frames.values[rows, column])
    assert abs(at_shelf - np.nanmedian(frames.values[:, column])) > 0.15


def test_arms_shake_more_while_packing_than_while_waiting(session: Recording) -> None:
    samples = of(session, "imu-rw")
    first = session.truth[0].start_us
    force = np.linalg.norm(samples.values[:, :3], axis=1)
    assert (
        force[samples.time_us >= first].std() > 2 * force[samples.time_us < first - 200_000].std()
    )


@pytest.mark.parametrize("device", ["scanner", "printer", "tape", "pen", "shelf", "backtable"])
def test_a_device_is_never_silent_for_ten_seconds(session: Recording, device: str) -> None:
    first, last = session.span_us()
    times = np.concatenate([[first], of(session, device).time_us, [last]])
    assert (np.diff(times) >= 0).all()
    assert np.diff(times).max() <= HEARTBEAT_LIMIT_US


def test_every_payload_survives_the_wire(session: Recording) -> None:
    adapters = {"imu": imu, "pose": pose, "event": event, "state": state}
    for samples in session.samples:
        adapter = adapters[session.devices[samples.device].adapter]
        batch = dataclasses.replace(
            samples, time_us=samples.time_us[:30], values=samples.values[:30]
        )
        back = adapter.decode(samples.device, adapter.encode(batch, "b", 0))
        assert (back.time_us == batch.time_us).all()
        assert np.allclose(back.values, batch.values, atol=1e-6, equal_nan=True)


def test_a_specification_names_seed_and_boxes_and_both_may_be_left_out() -> None:
    named = parse("virtual:seed=7,boxes=2")
    assert (named.name, named.layout, named.subject) == ("virtual-seed7", "virtual", "worker-7")
    assert max(t.box or 0 for t in named.truth) == 2
    default = parse("virtual:")
    assert default.name == "virtual-seed0"
    assert max(t.box or 0 for t in default.truth) == 20


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("virtual:sead=7", "'sead'.*seed and boxes"),
        ("virtual:seed=7,seed=8", "twice"),
        ("virtual:boxes=many", "'many'.*whole number"),
        ("virtual:boxes=-1", "'-1'.*whole number"),
        ("virtual:seed", "''.*whole number"),
        ("virtual:boxes=0", "boxes is 0, expected 1 to"),
        ("virtual:seed=999999", "seed is 999999, expected 0 to"),
        ("real:seed=7", "expected virtual:"),
    ],
)
def test_a_wrong_specification_says_what_was_found_and_expected(spec: str, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        parse(spec)
