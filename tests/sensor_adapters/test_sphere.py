"""SPHERE recordings, hand-made in the publishers' layout, and the published ones where at hand."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest

from sensor_adapters import sphere
from sensor_adapters.recording import Device, RecordingError

G = 9.80665
START = sphere.ORIGIN_US + 3 * sphere.APART_US
ACCELERATION = "t,x,y,z,Kitchen_AP,Lounge_AP,Upstairs_AP,Study_AP"
VIDEO = (
    "t,centre_2d_x,centre_2d_y,bb_2d_br_x,bb_2d_br_y,bb_2d_tl_x,bb_2d_tl_y,centre_3d_x,"
    "centre_3d_y,centre_3d_z,bb_3d_brb_x,bb_3d_brb_y,bb_3d_brb_z,bb_3d_flt_x,bb_3d_flt_y,bb_3d_flt_z"
)


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "train" / "00003"
    write(path / "acceleration.csv", ACCELERATION, "0.05,1,0,-0.5,-93,,-79,", "25.1,1,0,0,,,,")
    return path


def device(recording, name):
    return next(s for s in recording.samples if s.device == name)


def seconds(samples):
    return ((samples.time_us - START) / 1e6).tolist()


def test_the_wrist_is_in_si_units_and_has_no_gyroscope(folder):
    found = device(sphere.read(folder), "wrist")
    assert found.time_us.tolist() == [START + 50_000, START + 25_100_000]
    np.testing.assert_allclose(found.values[0, :3], [G, 0, -G / 2], rtol=1e-6)
    assert np.isnan(found.values[:, 3:]).all()


def test_an_access_point_speaks_of_the_packets_it_heard(folder):
    recording = sphere.read(folder)
    found = device(recording, "ap-kitchen")
    assert found.time_us.tolist() == [START + 50_000]
    assert found.values.tolist() == [[-93.0]]
    assert [c.unit for c in found.stream.channels] == ["dBm"]
    assert recording.devices["ap-kitchen"] == Device("radio", "ap_kitchen")
    assert recording.devices["ap-upstairs"] == Device("radio", "ap_upstairs")


def test_an_access_point_that_heard_nothing_is_told(folder):
    recording = sphere.read(folder)
    assert "ap-lounge" not in recording.devices
    assert "no ap-lounge: acceleration.csv holds no reading in column Lounge_AP" in recording.notes


def test_a_file_from_before_access_points_has_a_wrist_and_a_note(folder):
    write(folder / "acceleration.csv", "t,x,y,z,Study_AP", "0.05,1,0,0,-80")
    recording = sphere.read(folder)
    assert set(recording.devices) == {"wrist", "ap-study"}
    assert "no ap-kitchen: acceleration.csv has no column Kitchen_AP" in recording.notes


def test_an_access_point_hears_though_the_accelerometer_says_nothing(folder):
    write(folder / "acceleration.csv", ACCELERATION, "0.05,,,,-93,,,", "0.1,,,,,,,-60\r")
    recording = sphere.read(folder)
    assert device(recording, "ap-kitchen").values.tolist() == [[-93.0]]
    assert seconds(device(recording, "ap-study")) == [0.1]


def test_a_box_is_a_share_of_the_image_and_its_depth_is_in_metres(folder):
    row = "2.5,170,100,192,144,160,96,500,-600,3000,700,-1200,3030,300,100,2970"
    write(folder / "video_living_room.csv", VIDEO, row)
    recording = sphere.read(folder)
    found = device(recording, "cam-living")
    named = dict(zip((c.name for c in found.stream.channels), found.values[0], strict=True))
    assert [named[f"box_{k}"] for k in ("cx", "cy", "w", "h")] == pytest.approx(
        [0.55, 0.5, 0.1, 0.2]
    )
    assert [named[f"centre_{k}"] for k in "xyz"] == pytest.approx([0.5, -0.6, 3])
    assert [named[f"size_{k}"] for k in "xyz"] == pytest.approx([0.4, 1.3, 0.06])
    assert named["person"] == 1
    assert np.isnan(named["nose_x"])
    assert recording.devices["cam-living"].placement == "living_room"


def test_half_a_box_is_no_box(folder):
    row = "2.5,170,100,192,144,160,96,500,,3000,700,-1200,3030,300,100,2970"
    write(folder / "video_kitchen.csv", VIDEO, row)
    found = device(sphere.read(folder), "cam-kitchen")
    assert np.isnan(found.values[0, -6:]).all()
    assert not np.isnan(found.values[0, 1:5]).any()


def motion(folder, *rows):
    write(folder / "pir.csv", "start,end,name,index", *rows)


def test_motion_tells_changes_and_repeats_its_state_every_ten_seconds(folder):
    motion(folder, "18,22.5,kitchen,4", "4,6,kitchen,4")
    found = device(sphere.read(folder), "pir-kitchen")
    assert seconds(found) == [0, 4, 6, 10, 18, 20, 22.5]
    assert found.values[:, 0].tolist() == [0, 1, 0, 0, 1, 1, 0]


def test_motion_goes_on_until_the_recording_s_published_end(folder):
    write(folder / "meta.json", '{"annotators": [2], "end": 40.5, "start": 0}')
    motion(folder, "4,6,kitchen,4")
    assert seconds(device(sphere.read(folder), "pir-kitchen")) == [0, 4, 6, 10, 20, 30, 40]


@pytest.mark.parametrize("rows", [("4,8,hall,3", "6,9,hall,3"), ("8,9,hall,3", "4,8,hall,3")])
def test_overlapping_and_touching_motion_is_one(folder, rows):
    motion(folder, *rows)
    found = device(sphere.read(folder), "pir-hall")
    assert seconds(found) == [0, 4, 9, 10, 20]
    assert found.values[:, 0].tolist() == [0, 1, 0, 0, 0]


def test_a_change_at_a_heartbeat_is_told_once(folder):
    motion(folder, "10,20,hall,3")
    found = device(sphere.read(folder), "pir-hall")
    assert seconds(found) == [0, 10, 20]
    assert found.values[:, 0].tolist() == [0, 1, 0]


def test_a_room_in_which_nobody_moved_is_there_and_off(folder):
    motion(folder)
    recording = sphere.read(folder)
    rooms = {name for name in recording.devices if name.startswith("pir-")}
    assert rooms == {f"pir-{room}" for room in sphere.ROOMS}
    assert device(recording, "pir-bath").values[:, 0].tolist() == [0, 0, 0]


def test_the_house_s_own_list_of_rooms_wins(folder):
    write(folder.parent.parent / "pir_locations.json", json.dumps(["attic", "hall"]))
    motion(folder, "4,6,attic,0")
    recording = sphere.read(folder)
    assert {d for d in recording.devices if d.startswith("pir")} == {"pir-attic", "pir-hall"}
    assert recording.devices["pir-attic"].placement == "pir_attic"


def targets(folder, *rows):
    write(folder / "targets.csv", "start,end,a_walk,p_sit,p_stand", *rows)


def test_truth_is_the_run_of_the_likeliest_label(folder):
    targets(folder, "0,1,,,", "1,2,1,0,0", "2,3,0.6,0,0.4", "3,4,0,0.2,0.8", "4,5,,,", "5,6,0,0,1")
    recording = sphere.read(folder)
    told = [
        (t.label, (t.start_us - START) / 1e6, (t.end_us - START) / 1e6) for t in recording.truth
    ]
    assert told == [("a_walk", 1, 3), ("p_stand", 3, 4), ("p_stand", 5, 6)]
    (steps,) = recording.step_labels
    assert steps.labels == ("a_walk", "p_sit", "p_stand")
    np.testing.assert_array_equal(steps.target.any(axis=1), [0, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(steps.target[2], np.array([0.6, 0, 0.4], np.float32))


def test_a_recording_without_targets_has_readings_and_a_note(folder):
    recording = sphere.read(folder)
    assert not recording.truth
    assert not recording.step_labels
    assert "no labels: targets.csv is missing" in recording.notes
    assert "no cam-hallway: video_hallway.csv is missing" in recording.notes


def test_a_camera_that_saw_nobody_is_told(folder):
    write(folder / "video_hallway.csv", VIDEO)
    recording = sphere.read(folder)
    assert "cam-hallway" not in recording.devices
    assert "no cam-hallway: video_hallway.csv holds no rows" in recording.notes


@pytest.mark.parametrize(
    ("file", "lines", "told"),
    [
        (
            "pir.csv",
            ["start,end,name,index", "1,2,garage,9"],
            "line 2, column name: found 'garage'",
        ),
        ("pir.csv", ["start,end,name,index", "1,x,hall,3"], "line 2, column end: found 'x'"),
        ("pir.csv", ["start,end,name,index", "3,2,hall,3"], "line 2: ends at 2 s"),
        ("pir.csv", ["start,end,index"], "expected also name"),
        ("targets.csv", ["start,end,a_walk,p_sit", "0,1,1,"], "data row 1 has 1 empty cells"),
        ("targets.csv", ["start,end,a_walk,sit"], "found label column 'sit', expected of a_ascend"),
        ("targets.csv", ["start,end"], "has no label columns"),
        ("acceleration.csv", [ACCELERATION, "0.1,1,1,one,,,,"], "column z: found 'one'"),
        ("acceleration.csv", [ACCELERATION, "0.1,1,1,1,,,far,"], "column Upstairs_AP: found 'far'"),
        (
            "acceleration.csv",
            [ACCELERATION, "0.1,1,1,1,,,-60,", "0.2,1,1,1,,,-128,"],
            "column Upstairs_AP: found -128 to -60, expected -127 to 20 dBm",
        ),
        ("video_kitchen.csv", ["t,centre_2d_x"], "expected also bb_2d_tl_x"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(folder, file, lines, told):
    write(folder / file, *lines)
    with pytest.raises(RecordingError, match=told) as error:
        sphere.read(folder)
    assert str(folder / file) in str(error.value)


def test_a_folder_without_readings_is_refused(tmp_path):
    write(tmp_path / "00003" / "acceleration.csv", ACCELERATION)
    with pytest.raises(RecordingError, match="holds no readings"):
        sphere.read(tmp_path / "00003")


def test_a_folder_that_is_no_number_is_refused(tmp_path):
    write(tmp_path / "extra" / "acceleration.csv", ACCELERATION, "0.05,1,0,0,,,,")
    with pytest.raises(RecordingError, match="named 'extra', expected a number"):
        sphere.read(tmp_path / "extra")


# --- the published recordings ----------------------------------------------------------------


@pytest.fixture(scope="module")
def published(data):
    """Return every recording at hand, however many there are, with its folder."""
    folders = sorted((data / "sphere/train").glob("[0-9]*"))
    if not folders:
        pytest.skip(f"no SPHERE recordings under {data / 'sphere/train'}")
    return [(sphere.read(folder), folder) for folder in folders]


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.data
def test_published_recordings_do_not_overlap(published):
    spans = sorted(recording.span_us() for recording, _ in published)
    assert all(before[1] < after[0] for before, after in pairwise(spans))


@pytest.mark.data
def test_published_readings_are_all_there_and_about_gravity(published):
    for recording, folder in published:
        found = device(recording, "wrist")
        assert len(found) == len(table(folder / "acceleration.csv"))
        assert 9 < np.median(np.linalg.norm(found.values[:, :3], axis=1)) < 11


@pytest.mark.data
def test_published_signal_strengths_are_the_file_s(published):
    for recording, folder in published:
        rows = table(folder / "acceleration.csv")
        for column, room in sphere.ACCESS_POINTS.items():
            told = [float(row[column]) for row in rows if row[column] != ""]
            assert (f"ap-{room}" in recording.devices) == bool(told)
            if told:
                assert device(recording, f"ap-{room}").values[:, 0].tolist() == told


@pytest.mark.data
def test_published_boxes_lie_in_the_image(published):
    for recording, _ in published:
        for found in recording.samples:
            if found.device.startswith("cam-"):
                centre = found.values[:, 1:3]
                half = found.values[:, 3:5] / 2
                assert ((centre - half >= 0) & (centre + half <= 1) & (half >= 0)).all()


@pytest.mark.data
def test_published_motion_can_be_read_back(published):
    for recording, folder in published:
        rows = table(folder / "pir.csv")
        for found in recording.samples:
            if not found.device.startswith("pir-"):
                continue
            on = np.diff(found.values[:, 0], prepend=0, append=0)
            starts = found.time_us[on[:-1] > 0]
            ends = found.time_us[on[:-1] < 0]
            first = recording.step_labels[0].time_us[0]
            told = sorted(
                (round(float(r["start"]) * 1e6), round(float(r["end"]) * 1e6))
                for r in rows
                if f"pir-{r['name']}" == found.device
            )
            assert (
                list(zip((starts - first).tolist(), (ends - first).tolist(), strict=True)) == told
            )


@pytest.mark.data
def test_published_labels_are_the_file_s(published):
    for recording, folder in published:
        rows = table(folder / "targets.csv")
        (steps,) = recording.step_labels
        assert list(steps.labels) == list(rows[0])[2:]
        labelled = [row for row in rows if row[steps.labels[0]] != ""]
        assert steps.target.any(axis=1).sum() == len(labelled)
        np.testing.assert_allclose(steps.target.sum(axis=1)[steps.target.any(axis=1)], 1, atol=1e-5)
        held_s = sum(t.end_us - t.start_us for t in recording.truth) / 1e6
        assert held_s == len(labelled)
