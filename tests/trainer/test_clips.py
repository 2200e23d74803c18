"""Clips of published sets, hand-made in their publishers' layout."""

import gzip

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the trainer's dependencies")

from scipy.io import savemat

from sensor_adapters.recording import RecordingError
from trainer import phone_watch, utd_mhad
from trainer.clips import stretched

# --- UTD-MHAD ---


def leave(folder, name, rows=50, frames=30, *, skeleton=True, inertial=None):
    (folder / "Inertial").mkdir(exist_ok=True)
    (folder / "Skeleton").mkdir(exist_ok=True)
    imu = np.ones((rows, 6)) if inertial is None else inertial
    savemat(folder / "Inertial" / f"{name}_inertial.mat", {"d_iner": imu})
    joints = np.zeros((20, 3, frames))
    joints[10, 1] = np.arange(frames)  # the right wrist rises
    if skeleton:
        savemat(folder / "Skeleton" / f"{name}_skeleton.mat", {"d_skel": joints})


def test_a_clip_of_utd_mhad_is_in_si_units_and_says_where_the_unit_sat(tmp_path):
    leave(tmp_path, "a3_s2_t1")
    leave(tmp_path, "a22_s8_t4")
    found = utd_mhad.read(tmp_path)
    thigh, wrist = found.clips
    assert [found.labels[c.label] for c in (wrist, thigh)] == ["wave", "jog"]
    assert [(c.subject, c.place) for c in (wrist, thigh)] == [
        ("2", "right_wrist"), ("8", "right_thigh"),
    ]  # fmt: skip
    np.testing.assert_allclose(wrist.streams["imu"][0], [9.80665] * 3 + [np.pi / 180] * 3, 1e-6)
    rises = found.channels["skeleton"].index("right_wrist_y")
    np.testing.assert_allclose(wrist.streams["skeleton"][:, rises], np.arange(30))
    assert len(found.channels["skeleton"]) == wrist.streams["skeleton"].shape[1] == 60


def test_people_are_told_apart(tmp_path):
    for subject in (1, 2, 3):
        leave(tmp_path, f"a1_s{subject}_t1")
    assert [c.subject for c in utd_mhad.read(tmp_path).of(utd_mhad.SIDES[0]).clips] == ["1", "3"]


def test_a_clip_without_its_skeleton_is_left_out_and_told(tmp_path):
    leave(tmp_path, "a1_s1_t1")
    leave(tmp_path, "a2_s1_t1", skeleton=False)
    found = utd_mhad.read(tmp_path)
    assert [c.name for c in found.clips] == ["a1_s1_t1"]
    assert found.notes == ("a2_s1_t1: left out, found no a2_s1_t1_skeleton.mat",)


def test_a_number_beyond_the_27_actions_is_left_out_and_told(tmp_path):
    leave(tmp_path, "a1_s1_t1")
    leave(tmp_path, "a28_s1_t1")
    assert "a28_s1_t1_inertial.mat: left out" in utd_mhad.read(tmp_path).notes[0]


@pytest.mark.parametrize(
    ("inertial", "told"),
    [
        (np.ones((50, 5)), r"d_iner is \(50, 5\), expected any x 6"),
        (np.full((50, 6), np.nan), "no finite numbers"),
    ],
)
def test_a_damaged_clip_is_told(tmp_path, inertial, told):
    leave(tmp_path, "a1_s1_t1", inertial=inertial)
    with pytest.raises(RecordingError, match=told):
        utd_mhad.read(tmp_path)


def test_a_file_that_is_no_matlab_file_is_told(tmp_path):
    leave(tmp_path, "a1_s1_t1")
    (tmp_path / "Inertial" / "a1_s1_t1_inertial.mat").write_bytes(b"not one")
    with pytest.raises(RecordingError, match="expected a MATLAB file with d_iner"):
        utd_mhad.read(tmp_path)


@pytest.mark.parametrize("reader", [utd_mhad, phone_watch])
def test_an_empty_folder_is_told_with_what_belongs_there(tmp_path, reader):
    with pytest.raises(RecordingError, match="found no clip, expected"):
        reader.read(tmp_path)


def test_a_pair_is_stretched_to_one_length_end_on_end(tmp_path):
    leave(tmp_path, "a1_s1_t1", rows=107, frames=41)
    found = utd_mhad.read(tmp_path)
    assert found.stretched("imu", 64).shape == (1, 64, 6)
    rises = found.stretched("skeleton", 64)[0, :, 31]
    np.testing.assert_allclose(rises, np.linspace(0, 40, 64), rtol=1e-6)
    assert stretched(np.ones((5, 2), np.float32), 5).tolist() == np.ones((5, 2)).tolist()


# --- phone and watch ---


def rows(start_ms, labels, hz=100.0, jitter=0):
    """Return an execution's CSV; acceleration x is the time since ``start_ms`` in seconds."""
    lines = [",".join(phone_watch.COLUMNS)]
    for i, label in enumerate(labels):
        ms = start_ms + i * 1000 / hz
        stamp = int(ms) - int(ms) % jitter if jitter else int(ms)
        lines.append(f"{(ms - start_ms) / 1000},0,0,0,0,0,{stamp},{label}")
    return "\n".join(lines) + "\n"


def execution(folder, name, phone, watch):
    (folder / "s01").mkdir(exist_ok=True)
    for end, text in (("sp", phone), ("sw", watch)):
        (folder / "s01" / f"{name}_{end}.csv.gz").write_bytes(gzip.compress(text.encode()))


def test_windows_of_both_devices_lie_at_the_same_moments(tmp_path):
    labels = ["SEATED"] * 200 + ["WALKING"] * 200
    # the watch starts half a second later; the phone's readings come in bundles
    execution(
        tmp_path, "s01_01",
        rows(1_657_533_977_000, labels, jitter=40), rows(1_657_533_977_500, labels[50:]),
    )  # fmt: skip
    found = phone_watch.read(tmp_path)
    assert [found.labels[c.label] for c in found.clips] == ["SEATED"] * 2 + ["WALKING"] * 3
    for clip in found.clips:
        seconds = {device: values[:, 0] for device, values in clip.streams.items()}
        np.testing.assert_allclose(seconds["phone"] - seconds["watch"], 0.5, atol=0.02)
        assert clip.subject == "s01"


def test_an_unknown_label_of_a_watch_is_told(tmp_path):
    execution(tmp_path, "s01_01", rows(0, ["SEATED"] * 150), rows(0, ["FLYING"] * 150))
    with pytest.raises(RecordingError, match="found label 'FLYING', expected of SEATED"):
        phone_watch.read(tmp_path)


def test_the_published_clips_are_read_whole(data):
    utd = utd_mhad.read(data / "utd_mhad")
    assert len({c.subject for c in utd.clips}) == 8
    assert len({c.label for c in utd.clips}) == 27
    pair = phone_watch.read(data / "phone_watch")
    assert not utd.notes
    assert not pair.notes
    assert len({c.label for c in pair.clips}) == 5
