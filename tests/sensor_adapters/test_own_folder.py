"""Recordings of one's own: what they mean, and what is said where they make no sense."""

import inspect
import textwrap

import numpy as np
import pytest

from sensor_adapters import own_folder
from sensor_adapters.own_description import channels_of, describe
from sensor_adapters.recording import RecordingError
from sensor_adapters.recordings import open_recording
from tests.own_example import write_recording

T0 = 1_700_000_000  # s
HEAD = """\
version = 1
[devices.wrist]
file = "wrist.csv"
adapter = "imu"
placement = "right_wrist"
rate_hz = 1
time = { column = "t", unit = "s" }
columns.acc_x = { column = "ax", unit = "g" }
"""
TAPE = """\
[devices.tape]
file = "tape.csv"
adapter = "state"
placement = "tape"
time = { column = "t", unit = "ms" }
columns.on = { column = "state", on = "ON", off = "OFF" }
"""
IN_SECONDS = '[labels]\nunit = "s"\n'
CAMERA = """\
[devices.cam]
file = "cam.csv"
adapter = "pose"
placement = "bench"
rate_hz = 1
image = [200, 100]
time = { column = "t", unit = "us" }
columns.box_left = { column = "x", unit = "px" }
columns.box_top = { column = "y", unit = "px" }
columns.box_w = { column = "w", unit = "px" }
columns.box_h = { column = "h", unit = "px" }
"""


@pytest.fixture
def folder(tmp_path):
    one = tmp_path / "monday"
    one.mkdir()
    (one / "recording.toml").write_text(HEAD)
    rows = "".join(f"{T0 + s},{s / 10}\n" for s in range(31))
    (one / "wrist.csv").write_text("t,ax\n" + rows)
    (one / "labels.csv").write_text(f"level,label,start,end\noperation,Pack,{T0},{T0 + 9.5}\n")
    return one


def device(recording, name):
    return next(s for s in recording.samples if s.device == name)


def test_a_recording_of_ones_own_opens_like_any_other(folder):
    recording = open_recording(str(folder))
    assert (recording.layout, recording.name, recording.subject) == ("own", "monday", "monday")
    assert recording.devices["wrist"].placement == "right_wrist"
    (label,) = recording.truth
    assert (label.level, label.label, label.box) == ("operation", "Pack", None)
    assert (label.start_us, label.end_us) == (T0 * 1_000_000, T0 * 1_000_000 + 9_500_000)


def test_units_are_those_that_the_description_names(folder):
    values = device(open_recording(str(folder)), "wrist").values
    np.testing.assert_allclose(values[10, 0], 9.80665, rtol=1e-6)
    assert np.isnan(values[:, 1:]).all(), "channels without a column are not observed"


def test_a_camera_in_pixels_becomes_shares_of_its_image(folder):
    (folder / "recording.toml").write_text(HEAD + CAMERA + IN_SECONDS)
    (folder / "cam.csv").write_text(f"t,x,y,w,h\n{T0}000000,50,25,100,50\n{T0 + 1}000000,,,,\n")
    found = device(open_recording(str(folder)), "cam")
    assert found.values[0, :5].tolist() == [1, 0.5, 0.5, 0.5, 0.5]
    assert found.values[1, 0] == 0, "an empty row is a picture without a person"


def test_a_device_that_reports_changes_is_taken_to_be_alive_in_between(folder):
    (folder / "recording.toml").write_text(HEAD + TAPE + IN_SECONDS)
    (folder / "tape.csv").write_text(f"t,state\n{T0 + 4}000,ON\n{T0 + 12}000,OFF\n")
    recording = open_recording(str(folder))
    found = device(recording, "tape")
    assert (found.time_us // 1_000_000 - T0).tolist() == [4, 10, 12, 20, 30]
    assert found.values[:, 0].tolist() == [1, 1, 0, 0, 0]
    assert any(note.startswith("tape: a heartbeat") for note in recording.notes)


def test_a_device_with_heartbeats_of_its_own_is_left_as_it_is(folder):
    (folder / "recording.toml").write_text(HEAD + TAPE + 'alive = "recorded"\n' + IN_SECONDS)
    (folder / "tape.csv").write_text(f"t,state\n{T0 + 4}000,ON\n{T0 + 12}000,OFF\n")
    assert len(device(open_recording(str(folder)), "tape")) == 2


def test_labels_may_be_dates_with_their_offset(folder):
    (folder / "labels.csv").write_text(
        "level,label,start,end,box\n"
        "operation,Pack,2023-11-15T07:13:21.5+09:00,2023-11-14T22:13:25Z,3\n"
    )
    (label,) = open_recording(str(folder)).truth
    start_us = T0 * 1_000_000
    assert (label.start_us - start_us, label.end_us - start_us) == (1_500_000, 5_000_000)
    assert label.box == 3


def test_a_rate_that_the_file_does_not_have_is_told(folder):
    (folder / "recording.toml").write_text(HEAD.replace("rate_hz = 1", "rate_hz = 50"))
    notes = open_recording(str(folder)).notes
    assert "wrist: found 1.0 readings a second, expected rate_hz 50" in notes


def test_labels_partly_outside_the_readings_are_told(folder):
    with (folder / "labels.csv").open("a") as file:
        file.write(f"operation,Late,{T0 + 900},{T0 + 901}\n")
    assert any("1 of 2 lie outside" in note for note in open_recording(str(folder)).notes)


def test_a_part_is_cut_by_time_at_whole_seconds(folder):
    first, rest = (open_recording(f"{folder}:part={p}") for p in ("0-80", "80-100"))
    assert (first.name, rest.name) == ("monday-part0-80", "monday-part80-100")
    assert len(device(first, "wrist")) + len(device(rest, "wrist")) == 31
    assert device(first, "wrist").time_us[-1] < device(rest, "wrist").time_us[0]


@pytest.mark.parametrize("wanted", ["80-80", "0-101", "x"])
def test_a_part_must_be_a_range_of_per_cent(folder, wanted):
    with pytest.raises(RecordingError, match="expected first-last such as 0-80, in per cent"):
        open_recording(f"{folder}:part={wanted}")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version = 1", "version = 2", "version is 2, expected 1"),
        ("version = 1", "version =", "not TOML"),
        ('adapter = "imu"', 'adapter = "imi"', "devices.wrist: adapter 'imi' is not installed"),
        ("rate_hz = 1\n", "", "devices.wrist.rate_hz is None, expected readings a second"),
        ("rate_hz", "rate", "devices.wrist: Object contains unknown field `rate`"),
        ("columns.acc_x", "columns.accx", "columns.accx: imu has no such channel, expected one of"),
        ('unit = "g"', 'unit = "G"', "acc_x.unit is 'G', expected g or m/s\\^2 or mg"),
        ('unit = "s"', 'unit = "min"', "devices.wrist: Invalid enum value 'min'"),
        ("[devices.wrist]", "[devices.Wrist]", "devices 'Wrist' is not an id"),
        ('"wrist.csv"', '"nope.csv"', "nope.csv: No such file"),
        ('column = "ax"', 'column = "bx"', "has columns t, ax, expected also bx"),
    ],
)  # fmt: skip
def test_a_description_that_makes_no_sense_is_refused_with_its_key(folder, old, new, told):
    file = folder / "recording.toml"
    assert old in HEAD
    file.write_text(HEAD.replace(old, new))
    with pytest.raises(RecordingError, match=told):
        open_recording(str(folder))


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("wrist.csv", "t,ax\n1,2\n\n2,x\n", "line 4, column ax: found 'x', expected a finite"),
        ("wrist.csv", "t,ax\n1,2\n\n9e9,1\n", "line 4, column t: found 9000000000.0* s, expected"),
        ("wrist.csv", "t,ax\n", "holds no readings"),
        ("labels.csv", "level,label,start\n", "expected also end"),
        ("labels.csv", "level,label,start,end\n", "holds no labels"),
        ("labels.csv", "level,label,start,end\n,Pack,1,2\n", "line 2, column level: found nothing"),
        ("labels.csv", "level,label,start,end\nop,P,2,1\n", "line 2: ends at 1, expected later"),
        ("labels.csv", "level,label,start,end\nop,P,noon,1\n", "column start: found 'noon'"),
        ("labels.csv", "level,label,start,end\nop,P,2023-11-14,1\n", "expected a number, or a"),
        ("labels.csv", "level,label,start,end\nop,P,1,2\n", "labels run from 1970-.*one clock"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_the_place(folder, file, text, told):
    (folder / file).write_text(text)
    with pytest.raises(RecordingError, match=told) as error:
        open_recording(str(folder))
    assert str(folder) in str(error.value)


def test_a_text_that_is_neither_on_nor_off_is_named(folder):
    (folder / "recording.toml").write_text(HEAD + TAPE)
    (folder / "tape.csv").write_text(f"t,state\n{T0}000,on\n")
    with pytest.raises(RecordingError, match="line 2, column state: found 'on', expected 'ON' or"):
        open_recording(str(folder))


def test_two_clocks_are_refused_and_the_unit_is_asked_about(folder):
    (folder / "recording.toml").write_text(HEAD + CAMERA)
    (folder / "cam.csv").write_text(f"t,x,y,w,h\n{T0}000,1,1,1,1\n")  # ms, not us
    with pytest.raises(RecordingError, match=r"cam runs from 1970.* is time.unit \('us'\)"):
        open_recording(str(folder))


def test_numbers_in_labels_need_a_unit_where_devices_count_differently(folder):
    (folder / "recording.toml").write_text(HEAD + TAPE)
    (folder / "tape.csv").write_text(f"t,state\n{T0}000,ON\n")
    with pytest.raises(RecordingError, match="devices in several units"):
        open_recording(str(folder))
    (folder / "recording.toml").write_text(HEAD + TAPE + IN_SECONDS)
    assert len(open_recording(str(folder)).truth) == 1


def test_without_labels_a_note_says_so(folder):
    (folder / "labels.csv").unlink()
    recording = open_recording(str(folder))
    assert not recording.truth
    assert "no labels: labels.csv is missing" in recording.notes


def test_the_example_of_the_documentation_is_a_description(tmp_path):
    text = inspect.getdoc(own_folder) or ""
    example = textwrap.dedent(text.partition("::\n\n")[2].partition("Channels that")[0])
    (tmp_path / "recording.toml").write_text(example)
    said = describe(tmp_path)
    assert set(said.devices) == {"wrist", "tape"}
    assert channels_of(said.devices["wrist"]) == ("acc_x", "acc_y")


def test_what_was_written_down_comes_back_as_it_was(tmp_path):
    simulated = write_recording(tmp_path / "monday", 7, boxes=1)
    mine = open_recording(str(tmp_path / "monday"))
    assert mine.truth == tuple(sorted(simulated.truth, key=lambda t: (t.start_us, -t.end_us)))
    for placement, tolerance in (("right_wrist", 1e-5), ("bench", 1e-5)):
        one, other = (
            next(s for s in r.samples if r.devices[s.device].placement == placement)
            for r in (mine, simulated)
        )
        np.testing.assert_array_equal(one.time_us, other.time_us)
        columns = ~np.isnan(one.values).all(axis=0)
        np.testing.assert_allclose(
            one.values[:, columns], other.values[:, columns], rtol=tolerance, atol=tolerance
        )
