"""Opening recordings by name, and the promise that replay gives back what a reader read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sensor_adapters import event, imu, pose, radio, state
from sensor_adapters.recording import RecordingError
from sensor_adapters.recordings import open_recording
from tests.own_example import write_recording

ENCODERS = {"imu": imu, "pose": pose, "state": state, "event": event, "radio": radio}
T0 = 1_700_000_000_000
ROWS = 997  # a batch; prime, so that batches end anywhere


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def openpack_user(root, *sessions):
    """Write sessions with one of everything and unround numbers."""
    numbers = np.random.default_rng(5).normal(size=(40, 6)).round(5)
    for session in sessions:
        write(
            root / f"atr/atr01/{session}.csv",
            "unixtime,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z",
            *(f"{T0 + 33 * i},{','.join(map(str, row))}" for i, row in enumerate(numbers)),
            f"{T0 + 9999},,,,1,2,3",
        )
        write(
            root / f"e4/e402/acc/{session}.csv",
            "time,acc_x,acc_y,acc_z",
            *(f"{T0 + 31 * i + i % 2},{a},{b},{c}" for i, (a, b, c, *_) in enumerate(numbers)),
        )
        frame = {"image_id": T0, "bbox": [401.3, 207.7, 151.9, 303.1], "bbox_score": 0.97}
        points = [[float(x) * 100, float(y) * 100, 0.1] for x, y, *_ in numbers[:17]]
        write(
            root / f"pose/mmpose-hrnet-mmdet/cleaned/{session}.json",
            json.dumps({"annotations": [{**frame, "keypoints": points}]}),
        )
        write(root / f"system/ht/{session}.csv", "unixtime", f"{T0 + 1000}", f"{T0 + 1000}")
    return root


def sphere_folder(path):
    write(
        path / "acceleration.csv",
        "t,x,y,z,Kitchen_AP,Study_AP",
        "0.013,0.713,-0.31,0.177,-93.5,",
        "0.0637,,,,-71.3,-105",
    )
    columns = [
        "t",
        *(f"{part}_{axis}" for part in ("bb_2d_tl", "bb_2d_br") for axis in "xy"),
        *(f"{part}_{axis}" for part in ("centre_3d", "bb_3d_flt", "bb_3d_brb") for axis in "xyz"),
    ]
    row = "0.3,11.1,22.2,45.7,99.9,517.31,-402.77,2811.13,400.09,31.7,2777.7,633.3,-901.9,2844.4"
    write(path / "video_kitchen.csv", ",".join(columns), row)
    write(path / "pir.csv", "start,end,name,index", "0.0201,0.0457,kitchen,4")
    return path


def own_folder(path):
    write_recording(path, 7, boxes=1)
    return path


@pytest.fixture
def by_layout(tmp_path):
    return {
        "openpack": openpack_user(tmp_path / "U0301", "S0100") / "S0100",
        "sphere": sphere_folder(tmp_path / "train" / "00007"),
        "own": own_folder(tmp_path / "monday"),
    }


@pytest.mark.parametrize("layout", ["openpack", "sphere", "own"])
def test_the_layout_is_recognised(by_layout, layout):
    recording = open_recording(str(by_layout[layout]))
    assert recording.layout == layout
    assert set(recording.devices) == {s.device for s in recording.samples}


def test_a_user_folder_with_one_session_is_enough(by_layout):
    assert open_recording(str(by_layout["openpack"].parent)).name == "U0301-S0100"


def test_a_user_folder_with_two_sessions_asks_which(tmp_path):
    user = openpack_user(tmp_path / "U0301", "S0100", "S0400")
    with pytest.raises(RecordingError, match="holds sessions S0100, S0400, expected one"):
        open_recording(str(user))
    assert open_recording(f"{user}/S0400").name == "U0301-S0400"


def test_a_session_that_is_not_there_is_refused(by_layout):
    with pytest.raises(RecordingError, match="no session S0200, expected one of S0100"):
        open_recording(str(by_layout["openpack"].with_name("S0200")))


def test_boxes_are_cut_by_name(by_layout):
    head = "uuid,user,session,box,id,operation,start,end,actions"
    lines = [
        f"u,U,S,{box},100,Picking,2023-11-15 07:13:2{box}+09:00,2023-11-15 07:13:2{box + 1}+09:00,"
        for box in (1, 2, 3)
    ]
    user = by_layout["openpack"].parent
    write(user / "annotation/openpack-operations/S0100.csv", head, *lines)
    part = open_recording(f"{user}:boxes=2-3")
    assert part.name == "U0301-S0100-boxes2-3"
    assert [t.box for t in part.truth] == [2, 3]


@pytest.mark.parametrize("wanted", ["", "3", "4-2", "a-b", "1-2-3"])
def test_boxes_must_be_a_range(by_layout, wanted):
    with pytest.raises(RecordingError, match="expected first-last such as 16-20"):
        open_recording(f"{by_layout['openpack']}:boxes={wanted}")


def test_any_layout_is_cut_by_shares_of_its_time(by_layout):
    whole = open_recording(str(by_layout["openpack"]))
    parts = [open_recording(f"{by_layout['openpack']}:part={p}") for p in ("0-60", "60-100")]
    assert [p.name for p in parts] == ["U0301-S0100-part0-60", "U0301-S0100-part60-100"]
    for index, samples in enumerate(whole.samples):
        both = [part.samples[index].time_us for part in parts]
        np.testing.assert_array_equal(np.concatenate(both), samples.time_us)


def test_a_home_has_no_boxes(by_layout):
    with pytest.raises(RecordingError, match="SPHERE has no boxes"):
        open_recording(f"{by_layout['sphere']}:boxes=1-2")


def test_what_is_no_recording_is_described_with_what_would_be(tmp_path):
    write(tmp_path / "some" / "photo.png", "")
    expected = "expected an OpenPack session .* a SPHERE recording .* or virtual:"
    for name, found in [
        ("nowhere", "does not exist"),
        ("some", "holds photo.png"),
        ("some/photo.png", "is a file"),
    ]:
        with pytest.raises(RecordingError, match=f"{found}, {expected}"):
            open_recording(str(tmp_path / name))


def test_a_virtual_station_needs_no_file():
    assert open_recording("virtual:seed=7,boxes=1").layout == "virtual"


# --- what replay relies on -------------------------------------------------------------------


def assert_survives(recording):
    """Every batch of every device, encoded and decoded, gives the same times and bits."""
    for samples in recording.samples:
        adapter = ENCODERS[recording.devices[samples.device].adapter]
        for first in range(0, len(samples), ROWS):
            batch = replace(
                samples,
                time_us=samples.time_us[first : first + ROWS],
                values=samples.values[first : first + ROWS],
            )
            back = adapter.decode(samples.device, adapter.encode(batch, "boot", first))
            np.testing.assert_array_equal(back.time_us, batch.time_us)
            unread = np.isnan(batch.values)
            np.testing.assert_array_equal(np.isnan(back.values), unread)
            np.testing.assert_array_equal(
                back.values.view(np.uint32)[~unread], batch.values.view(np.uint32)[~unread]
            )
            assert back.stream == samples.stream


@pytest.mark.parametrize("layout", ["openpack", "sphere", "own"])
def test_samples_survive_the_wire_bit_for_bit(by_layout, layout):
    assert_survives(open_recording(str(by_layout[layout])))


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "openpack/v1.0.0/U0209/S0500:boxes=16-20",
        "openpack/keypoint-sample/U0000",
        "sphere/train/00003",
    ],
)
def test_published_samples_survive_the_wire_bit_for_bit(data, name):
    if not (data / name.split("/")[0]).is_dir():
        pytest.skip(f"no recording {name} under {data}")
    assert_survives(open_recording(str(data / name)))


@pytest.mark.parametrize("layout", ["openpack", "sphere", "own"])
def test_times_never_run_backwards_and_sampled_stamps_are_distinct(by_layout, layout):
    for samples in open_recording(str(by_layout[layout])).samples:
        assert (np.diff(samples.time_us) >= (samples.stream.kind == "sampled")).all()
