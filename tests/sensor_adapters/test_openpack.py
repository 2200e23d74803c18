"""OpenPack sessions, hand-made in the publishers' layout, and the published ones where at hand."""

import csv
import json

import numpy as np
import pytest

from sensor_adapters import openpack
from sensor_adapters.openpack_errors import KNOWN_ERRORS
from sensor_adapters.openpack_labels import ACTIONS, OPERATIONS, parent
from sensor_adapters.recording import RecordingError

T0 = 1_700_000_000_000  # ms, a whole multiple of ten seconds
G = 9.80665
ATR = "unixtime,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z,quat_w,quat_x,quat_y,quat_z"
INTERVALS = "uuid,user,session,box,id,operation,start,end,actions"
ACTION_INTERVALS = (
    "uuid,user,session,box,id,operation,action,start,end,box_size,work_position,is_top_view_label"
)
KEY_POINTS = "kinect/2d-kpt/mmpose-hrnet-w48-posetrack18-384x288-posewarper-stage2/single"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def atr(user, device="atr01", rows=((0, 1, 0, 0, 180, 0, 0),), folder="atr/"):
    body = [",".join(map(str, (T0 + ms, *rest, 0, 0, 0, 0))) for ms, *rest in rows]
    write(user / f"{folder}{device}/S0100.csv", ATR, *body)


def clock(second):
    """Return T0 + second as the annotation files spell it, in Japan's time."""
    return f"2023-11-15 07:13:{20 + second:09.6f}+09:00"


@pytest.fixture
def user(tmp_path):
    folder = tmp_path / "v1.0.0" / "U0301"
    atr(folder, rows=[(ms, 1, 0, 0, 180, 0, 0) for ms in range(0, 30_001, 1000)])
    return folder


def device(recording, name):
    return next(s for s in recording.samples if s.device == name)


def test_an_atr_reading_is_in_si_units(user):
    atr(user, "atr02", [(30, 0.5, -1, 2, 90, 0, -180)])
    found = device(openpack.read(user / "S0100"), "atr02")
    np.testing.assert_array_equal(found.time_us, [(T0 + 30) * 1000])
    expected = [[G / 2, -G, 2 * G, np.pi / 2, 0, -np.pi]]
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)


def test_each_inertial_unit_says_where_it_is_worn(user):
    for name in ("atr02", "atr03", "atr04"):
        atr(user, name)
    placements = {k: v.placement for k, v in openpack.read(user / "S0100").devices.items()}
    assert placements == {
        "atr01": "right_wrist",
        "atr02": "left_wrist",
        "atr03": "right_upper_arm",
        "atr04": "left_upper_arm",
    }


def test_an_e4_at_rest_feels_gravity_once_its_published_unit_is_undone(user):
    write(user / "e4/e401/acc/S0100.csv", "time,acc_x,acc_y,acc_z", f"{T0},0,{1 / G},0")
    found = device(openpack.read(user / "S0100"), "e401")
    np.testing.assert_allclose(found.values[0, :3], [0, G, 0], rtol=1e-6)
    assert np.isnan(found.values[0, 3:]).all()


def test_rows_out_of_order_are_sorted_and_the_first_of_a_stamp_is_kept(tmp_path):
    user = tmp_path / "U0301"
    atr(user, rows=[(60, 3, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0), (60, 4, 0, 0, 0, 0, 0)])
    recording = openpack.read(user)
    found = device(recording, "atr01")
    np.testing.assert_array_equal(found.time_us, [T0 * 1000, (T0 + 60) * 1000])
    np.testing.assert_allclose(found.values[:, 0], [G, 3 * G], rtol=1e-6)
    assert "atr01: dropped 1 rows with a repeated stamp" in recording.notes
    assert any("sorted" in note for note in recording.notes)


def test_scans_of_one_second_stay_several_between_heartbeats(user):
    scans = (T0 + 12_000, T0 + 12_000, T0 + 20_000)
    write(
        user / "system/ht/S0100.csv",
        "unixtime,datetime,order_sheet,box,item",
        *(f"{ms},-,DEN010001,BOX01,ITEM001" for ms in scans),
    )
    recording = openpack.read(user)
    found = device(recording, "scanner")
    assert ((found.time_us / 1000 - T0) / 1000).tolist() == [0, 10, 12, 12, 20, 30]
    assert found.values[:, 0].tolist() == [0, 0, 1, 1, 1, 0]
    assert recording.devices["scanner"].adapter == "event"


def test_a_printer_that_printed_nothing_was_alive_all_the_same(user):
    write(user / "system/printer/S0100.csv", "unixtime,datetime,order_sheet")
    recording = openpack.read(user)
    assert device(recording, "printer").values[:, 0].tolist() == [0, 0, 0, 0]
    assert any("made from the annotation" in note for note in recording.notes)


def key_points(x, score=0.9, ms=0, **changed):
    return {
        "image_id": T0 + ms,
        "category_id": 1,
        "bbox": [x, 360, 128, 72],
        "keypoints": [[x, 180.0, 0.5]] * 17,
        "bbox_score": score,
        **changed,
    }


def test_key_points_become_shares_of_the_image(user):
    write(user / KEY_POINTS / "S0100.json", json.dumps({"annotations": [key_points(640)]}))
    found = device(openpack.read(user), "kinect")
    named = dict(zip((c.name for c in found.stream.channels), found.values[0], strict=True))
    assert named["person"] == 1
    assert [named[f"box_{k}"] for k in ("cx", "cy", "w", "h")] == pytest.approx(
        [0.55, 0.55, 0.1, 0.1]
    )
    assert [named[f"right_ankle_{k}"] for k in ("x", "y", "score")] == [0.5, 0.25, 0.5]
    assert np.isnan(named["centre_x"])


def test_of_two_people_in_a_frame_the_surer_one_counts(user):
    people = [key_points(0, score=0.4), key_points(640, score=0.8)]
    write(user / KEY_POINTS / "S0100.json", json.dumps({"annotations": people}))
    recording = openpack.read(user)
    found = device(recording, "kinect")
    assert found.values[:, found.stream.column("nose_x")].tolist() == [0.5]
    assert "kinect: dropped 1 rows with a repeated stamp" in recording.notes


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ([key_points(1, keypoints=[[1, 2, 3]] * 16)], "16 key points, expected 17"),
        ([key_points(1, keypoints=[[1, 2]] * 17)], r"\$.annotations\[0\].keypoints\[0\]"),
        ([key_points(1e300)], "beyond 1e\\+30"),
    ],
)
def test_a_damaged_frame_is_named(user, people, told):
    write(user / KEY_POINTS / "S0100.json", json.dumps({"annotations": people}))
    with pytest.raises(RecordingError, match=told):
        openpack.read(user)


def annotate(user):
    write(
        user / "annotation/openpack-operations/S0100.csv",
        INTERVALS,
        f"b,U,S,1,200,Relocate Item Label,{clock(4.5)},{clock(9)},",
        f"a,U,S,1,100,Picking,{clock(1)},{clock(4.5)},act:1;act:2",
        f"c,U,S,2,100,Picking,{clock(10)},{clock(12.25)},",
        f"d,U,S,2,8100,Null,{clock(13)},{clock(14)},",
        f"e,U,S,3,100,Picking,{clock(15)},{clock(16)},",
    )
    write(
        user / "annotation/openpack-actions/S0100.csv",
        ACTION_INTERVALS,
        f"a,U,S,1,101,Picking,Pick Up Sheet,{clock(1)},{clock(2)},,,0",
        f"b,U,S,1,109,Picking,Put Packed Box,{clock(1.5)},{clock(3)},,,0",
        f"c,U,S,1,8103,Null,Ignore,{clock(4)},{clock(5)},,,0",
    )
    write(
        user / "annotation/openpack-operations-1hz/S0100.csv",
        "unixtime,user,session,box,id",
        f"{T0},U0301,S0100,1,100",
        f"{T0 + 1000},U0301,S0100,1,1000",
        f"{T0 + 2000},U0301,S0100,,8100",
    )
    write(
        user / "annotation/openpack-actions-1hz/S0100.csv",
        "unixtime,user,session,box,ID101,ID704,ID8105",
        f"{T0},U0301,S0100,1,0.25,0.75,0.0",
        f"{T0 + 1000},U0301,S0100,1,0.0,0.0,1.0",
    )


def test_operations_and_actions_carry_their_interval_and_box(user):
    annotate(user)
    truth = openpack.read(user).truth
    first = (T0 + 1000) * 1000
    told = [(t.level, t.label, t.start_us - first, t.end_us - first, t.box) for t in truth]
    assert told == [
        ("operation", "Picking", 0, 3_500_000, 1),
        ("operation", "Relocate Item Label", 3_500_000, 8_000_000, 1),
        ("operation", "Picking", 9_000_000, 11_250_000, 2),
        ("operation", "Picking", 14_000_000, 15_000_000, 3),
        ("action", "Pick Up Sheet", 0, 1_000_000, 1),
        ("action", "Put Packed Box", 500_000, 2_000_000, 1),
    ]


def test_labels_by_the_second_are_one_hot_and_null_is_unlabelled(user):
    annotate(user)
    operation, action = openpack.read(user).step_labels
    assert operation.labels == tuple(OPERATIONS.values())
    np.testing.assert_array_equal(operation.target.argmax(axis=1), [0, 9, 0])
    np.testing.assert_array_equal(operation.target.sum(axis=1), [1, 1, 0])
    assert action.labels == ("Pick Up Sheet", "Scan Item")
    np.testing.assert_array_equal(action.target, [[0.25, 0.75], [0, 0]])


def test_boxes_cut_from_the_first_operation_to_the_last(user):
    annotate(user)
    part = openpack.boxes(openpack.read(user), 1, 2)
    assert part.name == "U0301-S0100-boxes1-2"
    assert {t.box for t in part.truth} == {1, 2}
    seconds = (device(part, "atr01").time_us // 1000 - T0) // 1000
    assert seconds.tolist() == list(range(1, 13))


def test_a_box_ends_with_its_last_operation(user):
    annotate(user)
    part = openpack.boxes(openpack.read(user), 1, 1)
    assert [t.end_us // 1000 - T0 for t in part.truth if t.level == "operation"] == [4500, 9000]


def test_a_box_that_was_not_packed_is_refused(user):
    annotate(user)
    with pytest.raises(RecordingError, match="no operation of box 4, expected one of 1, 2, 3"):
        openpack.boxes(openpack.read(user), 1, 4)


def test_release_0_3_tells_operations_as_runs_of_seconds(user):
    rows = [
        (0, 1, 100, 101),
        (1, 1, 100, 104),
        (2, 1, 200, 104),
        (4, 1, 200, 104),
        (5, "", 8100, 8100),
    ]
    write(
        user / "annotation/activity-1s/S0100.csv",
        "unixtime,user,session,box,operation,action",
        *(f"{T0 + s * 1000},U0301,S0100,{b},{o},{a}" for s, b, o, a in rows),
    )
    recording = openpack.read(user)
    start = T0 * 1000
    told = [
        (t.label, (t.start_us - start) / 1e6, (t.end_us - start) / 1e6) for t in recording.truth
    ]
    assert told == [
        ("Picking", 0, 2),
        ("Relocate Item Label", 2, 3),
        ("Relocate Item Label", 4, 5),
        ("Pick Up Sheet", 0, 1),
        ("id 104", 1, 3),
        ("id 104", 4, 5),
    ]
    (steps,) = recording.step_labels
    np.testing.assert_array_equal(steps.target.sum(axis=1), [1, 1, 1, 1, 0])


def test_release_0_2_keeps_its_folders_one_level_higher(tmp_path):
    user = tmp_path / "U0301"
    atr(user, folder="")
    write(
        user / "pose/mmpose-hrnet-mmdet/cleaned/S0100.json",
        json.dumps({"annotations": [key_points(640)]}),
    )
    write(
        user / "annotation/work-process/S0100.csv",
        "unixtime,user,session,box,act_id",
        f"{T0},301,100,1,700",
    )
    recording = openpack.read(user / "S0100")
    assert set(recording.devices) == {"atr01", "kinect"}
    assert [t.label for t in recording.truth] == ["Scan Label"]


def test_streams_that_are_not_there_are_told(user):
    notes = openpack.read(user).notes
    assert "no e401: e4/e401/acc has no S0100" in notes
    assert f"no kinect: {KEY_POINTS} has no S0100" in notes
    assert "no labels: the session is not annotated" in notes


def test_a_reversed_unit_is_told_and_not_turned(tmp_path):
    write(tmp_path / "U0209/atr/atr03/S0500.csv", ATR, f"{T0},1,0,0,0,0,0,0,0,0,0")
    recording = openpack.read(tmp_path / "U0209")
    (note,) = [note for note in recording.notes if note.startswith("known of this session:")]
    assert "atr03 is worn reversed (flagged: " in note
    assert "nothing is turned" in note
    assert device(recording, "atr03").values[0, 0] == np.float32(G)


def known(recording):
    return [note for note in recording.notes if note.startswith("known of this session:")]


def test_swapped_units_are_swapped_back_and_it_is_said(tmp_path):
    user = tmp_path / "U0104"
    for name, acc in (("atr03", 1), ("atr04", 2)):
        write(user / f"atr/{name}/S0200.csv", ATR, f"{T0},{acc},0,0,0,0,0,0,0,0,0")
    recording = openpack.read(user)
    assert device(recording, "atr03").values[0, 0] == np.float32(2 * G)
    assert device(recording, "atr04").values[0, 0] == np.float32(G)
    assert "(applied: swapped back)" in known(recording)[0]


def test_readings_in_boxes_that_were_not_recorded_are_left_out(tmp_path):
    user = tmp_path / "U0107"
    body = [f"{T0 + 1000 * s},1,0,0,0,0,0,0,0,0,0" for s in range(30)]
    write(user / "atr/atr01/S0300.csv", ATR, *body)
    people = {"annotations": [key_points(1, ms=1000 * s) for s in range(30)]}
    write(user / KEY_POINTS / "S0300.json", json.dumps(people))
    spans = [(9, 2, 8), (10, 10, 12), (20, 18, 20), (21, 24, 26)]
    write(
        user / "annotation/openpack-operations/S0300.csv",
        INTERVALS,
        *(f"a,U,S,{box},100,Picking,{clock(s)},{clock(e)}," for box, s, e in spans),
    )
    recording = openpack.read(user)
    seconds = (device(recording, "kinect").time_us // 1000 - T0) // 1000
    assert seconds.tolist() == [s for s in range(30) if not 10 <= s < 20]
    assert len(device(recording, "atr01")) == 30, "the units went on"
    assert len(recording.truth) == 4, "what was done there stays true"
    assert "count as not observed" in known(recording)[0]


def test_a_session_of_whose_errors_nothing_is_known_has_no_such_note(user):
    assert known(openpack.read(user)) == []


@pytest.mark.parametrize("session", KNOWN_ERRORS, ids="-".join)
def test_each_known_error_says_what_is_done_about_it(session):
    for error in KNOWN_ERRORS[session]:
        assert ("applied: " in error.told()) is error.is_applied
        assert error.remedy in error.told()
        assert set(error.devices) <= set(openpack.PLACEMENTS)


def test_how_a_reversed_unit_was_turned_is_not_guessed():
    reversed_ = [e for errors in KNOWN_ERRORS.values() for e in errors if e.kind == "reversed"]
    assert reversed_
    assert all(len(error.devices) == 1 and not error.is_applied for error in reversed_)


def test_the_row_known_to_be_stamped_wrongly_is_dropped_before_sorting(tmp_path):
    body = [f"{ms},1,0,0,0,0,0,0,0,0,0" for ms in (T0 + 90_000_000, T0, T0 + 33)]
    write(tmp_path / "U0101/atr/atr01/S0500.csv", ATR, *body)
    recording = openpack.read(tmp_path / "U0101")
    assert device(recording, "atr01").time_us.tolist() == [T0 * 1000, (T0 + 33) * 1000]
    assert any("dropped the first 1 rows" in note for note in recording.notes)


def test_a_person_with_two_ids_is_one_subject(tmp_path):
    atr(tmp_path / "U0202")
    atr(tmp_path / "U0105")
    subjects = {openpack.read(tmp_path / user).subject for user in ("U0202", "U0105")}
    assert subjects == {"U0105"}


def test_an_action_belongs_to_the_operation_of_its_hundred():
    assert len(set(ACTIONS.values())) == len(ACTIONS), "labels must tell actions apart"
    assert all(parent(name) == OPERATIONS[n // 100 * 100] for n, name in ACTIONS.items())


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "is empty, expected at least a header line"),
        ([ATR.replace("gyro_y,", "")], "expected also gyro_y"),
        ([ATR, f"{T0},1,oops,1,0,0,0,0,0,0,0"], "line 2, column acc_y: found 'oops', expected"),
        ([ATR, f"{T0},1,inf,1,0,0,0,0,0,0,0"], "line 2, column acc_y: found 'inf', expected"),
        ([ATR, ",1,0,1,0,0,0,0,0,0,0"], "line 2, column unixtime: found '', expected"),
        ([ATR, f"{T0},1,0"], "line 2 has 3 cells, expected 11"),
        ([ATR, f"{T0}000,1,0,1,0,0,0,0,0,0,0"], "data row 1 is stamped .* expected a time between"),
    ],
)
def test_a_damaged_table_is_named_with_the_place(user, lines, told):
    path = user / "atr/atr01/S0100.csv"
    path.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(RecordingError, match=told) as error:
        openpack.read(user)
    assert str(path) in str(error.value)


def test_an_empty_cell_is_a_reading_that_was_not_given(user):
    write(user / "atr/atr01/S0100.csv", ATR, f"{T0},,0,1,0,0,0,0,0,0,0")
    values = device(openpack.read(user), "atr01").values
    assert np.isnan(values[0]).tolist() == [True] + [False] * 5


def test_an_interval_needs_its_offset_from_utc(user):
    line = "a,U,S,1,100,Picking,2023-11-15 07:13:21,2023-11-15 07:13:22,"
    write(user / "annotation/openpack-operations/S0100.csv", INTERVALS, line)
    with pytest.raises(RecordingError, match="line 2, column start: found '2023-11-15 07:13:21'"):
        openpack.read(user)


def test_a_session_without_readings_is_refused(tmp_path):
    write(tmp_path / "U0301/atr/atr01/S0100.csv", ATR)
    with pytest.raises(RecordingError, match="S0100 holds no readings"):
        openpack.read(tmp_path / "U0301")


def test_known_errors_name_users_and_sessions_as_the_folders_do():
    for user, session in KNOWN_ERRORS:
        assert user.startswith("U0")
        assert openpack.SESSION.match(session)


# --- the published session -------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(data):
    folder = data / "openpack/v1.0.0/U0209"
    if not folder.is_dir():
        pytest.skip(f"no OpenPack session: {folder} is not a folder")
    return openpack.read(folder / "S0500"), folder


@pytest.mark.data
def test_the_published_session_is_whole(published):
    recording, _ = published
    counts = {s.device: len(s) for s in recording.samples if s.stream.kind == "sampled"}
    assert counts == {**{f"atr0{i}": 46800 for i in range(1, 5)}, "e401": 45503}
    happened = {
        s.device: int(s.values.sum()) for s in recording.samples if s.stream.kind == "event"
    }
    assert happened == {"scanner": 35, "printer": 20}
    first = device(recording, "atr01").time_us
    assert (first[0], first[-1]) == (1_648_531_521_000_000, 1_648_532_924_970_000)
    operation, action = recording.step_labels
    assert operation.target.any(axis=1).sum() == 1404
    assert action.target.shape == (1402, 36)
    assert {t.box for t in recording.truth} == set(range(1, 21))
    assert {t.label for t in recording.truth if t.level == "operation"} == set(operation.labels)
    assert {t.label for t in recording.truth if t.level == "action"} <= set(action.labels)


@pytest.mark.data
def test_the_published_seconds_carry_the_last_operation_begun(published):
    """The publishers' rule: the state at the end of the second, gaps filled forward."""
    recording, _ = published
    operations = [t for t in recording.truth if t.level == "operation"]
    starts = np.array([t.start_us for t in operations])
    steps = recording.step_labels[0]
    latest = np.searchsorted(starts, steps.time_us + 1_000_000) - 1
    named = [steps.labels[k] for k in steps.target.argmax(axis=1)]
    assert [operations[i].label for i in latest] == named


@pytest.mark.data
@pytest.mark.parametrize("name", ["atr01", "atr02", "atr03", "atr04", "e401"])
def test_published_accelerations_are_about_gravity(published, name):
    values = device(published[0], name).values
    assert 9.5 < np.median(np.linalg.norm(values[:, :3], axis=1)) < 11


@pytest.mark.data
def test_published_scans_stand_at_the_log_s_stamps(published):
    recording, folder = published
    with (folder / "system/ht/S0500.csv").open() as file:
        stamps = [int(row["unixtime"]) * 1000 for row in csv.DictReader(file)]
    found = device(recording, "scanner")
    assert found.time_us[found.values[:, 0] == 1].tolist() == stamps


@pytest.mark.data
def test_published_key_points_lie_in_the_image(data):
    folder = data / "openpack/keypoint-sample/U0000"
    if not folder.is_dir():
        pytest.skip(f"no key points: {folder} is not a folder")
    found = device(openpack.read(folder), "kinect")
    assert len(found) == 100
    nose = found.values[:, found.stream.column("nose_x") :][:, :2]
    assert ((nose > 0) & (nose < 1)).all()
    assert np.median(np.diff(found.time_us)) in (66_000, 67_000)
