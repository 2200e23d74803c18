"""What a house's devices did, from openHAB's changes."""

import numpy as np
import pytest

from sensor_adapters import openhab
from sensor_adapters.recording import Device, RecordingError
from sensor_adapters.recordings import open_recording

HEAD = "item,unix_timestamp,value,activity_label"
START_S = 1_563_960_520


def leave(folder, *lines, head=HEAD):
    """Write changes; a line is item, seconds from the start, value and label."""
    rows = [head]
    for item, at_s, value, *label in lines:
        rows.append(",".join([item, str((START_S + at_s) * 1000), value, *label]))
    path = folder / "events.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def states(recording, device):
    one = next(s for s in recording.samples if s.device == device)
    return {
        (t // 1_000_000) - START_S: v for t, v in zip(one.time_us, one.values[:, 0], strict=True)
    }


def test_a_device_is_in_use_from_on_to_off_and_is_said_again_every_ten_seconds(tmp_path):
    path = leave(
        tmp_path, ("door", 0, "ON", "tea"), ("door", 15, "OFF", "tea"), ("lamp", 32, "ON", "tea")
    )
    recording = openhab.read(path)
    assert states(recording, "door") == {0: 1, 10: 1, 15: 0, 20: 0, 30: 0}
    assert recording.devices["door"] == Device("state", "door")
    assert states(recording, "lamp") == {0: 0, 10: 0, 20: 0, 30: 0, 32: 1}, "off before its first"
    assert "heartbeat every 10 s is assumed" in recording.notes[0]


def test_contacts_are_open_or_closed(tmp_path):
    path = leave(tmp_path, ("drawer", 0, "CLOSED", ""), ("drawer", 3, "OPEN", ""))
    assert states(openhab.read(path), "drawer") == {0: 0, 3: 1}


def test_ten_minutes_of_silence_part_two_sessions_and_states_are_carried_over(tmp_path):
    path = leave(
        tmp_path,
        ("blind", 0, "OFF", "a"), ("door", 1, "ON", "a"), ("door", 601, "OFF", "a"),
        ("blind", 1202, "ON", "b"), ("door", 1210, "ON", "b"),
    )  # fmt: skip
    assert openhab.sessions(path) == 2
    first = open_recording(f"{path}:session=1")
    assert max(states(first, "door")) == 601
    second = open_recording(f"{path}:session=2")
    assert states(second, "door") == {1202: 0, 1210: 1}
    assert second.name == "events-2"
    with pytest.raises(RecordingError, match="holds 2 sessions, expected :session=1 to 2"):
        open_recording(str(path))
    with pytest.raises(RecordingError, match="found session 3, expected 1 to 2"):
        open_recording(f"{path}:session=3")


def test_a_label_holds_to_the_next_of_another(tmp_path):
    path = leave(
        tmp_path,
        ("a", 0, "ON", "tea"), ("a", 5, "OFF", "tea"), ("a", 9, "ON", "reading"),
        ("a", 20, "OFF", "reading"),
    )  # fmt: skip
    found = [
        (t.level, t.label, t.start_us // 1_000_000 - START_S, t.end_us // 1_000_000 - START_S)
        for t in openhab.read(path).truth
    ]
    assert found == [("activity", "tea", 0, 9), ("activity", "reading", 9, 20)]


def test_a_file_without_labels_is_read_without_truth(tmp_path):
    path = leave(tmp_path, ("a", 0, "ON"), ("a", 5, "OFF"), head="item,unix_timestamp,value")
    assert openhab.read(path).truth == ()


def test_what_is_neither_on_nor_off_is_left_out_and_told(tmp_path):
    path = leave(tmp_path, ("a", 0, "ON", "x"), ("blind", 2, "98.0", "x"))
    recording = openhab.read(path)
    assert set(recording.devices) == {"a"}
    assert "not ON, OFF, OPEN or CLOSED: blind" in recording.notes[1]


def test_lines_out_of_order_are_put_in_order(tmp_path):
    path = leave(tmp_path, ("a", 5, "OFF", "x"), ("a", 0, "ON", "x"))
    assert states(openhab.read(path), "a") == {0: 1, 5: 0}


@pytest.mark.parametrize("stamp", ["soon", "", "-1"])
def test_a_stamp_that_is_no_time_is_told_with_its_line(tmp_path, stamp):
    path = tmp_path / "events.csv"
    path.write_text(f"{HEAD}\na,{stamp},ON,x\n")
    with pytest.raises(RecordingError, match=r"events\.csv: (line 2|data row 1)"):
        openhab.read(path)


def test_a_session_of_another_layout_is_refused(data):
    with pytest.raises(RecordingError, match="SPHERE has no session"):
        open_recording(f"{data / 'sphere/train/00001'}:session=1")


def test_a_session_is_a_number(tmp_path):
    path = leave(tmp_path, ("a", 0, "ON", "x"))
    with pytest.raises(RecordingError, match="found session '1-2', expected a number such as 2"):
        open_recording(f"{path}:session=1-2")


def test_the_published_house_has_seven_sessions_of_eleven_activities(data):
    path = data / "openhab_ralt/openhab_events.csv"
    assert openhab.sessions(path) == 7
    labels = {t.label for t in openhab.read(path, 7).truth if t.level == "activity"}
    assert len(labels - {"TRA"}) == 11
    assert all(np.isin(s.values, (0, 1)).all() for s in openhab.read(path, 2).samples)
