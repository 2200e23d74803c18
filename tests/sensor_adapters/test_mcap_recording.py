"""Recorded messages are a recording like the others, whatever else is in the file."""

import json

import msgspec
import numpy as np
import pytest

from sensor_adapters.recorder.mcap_writer import McapWriter
from sensor_adapters.recorder.message_decoding import StationLog
from sensor_adapters.recording import RecordingError
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages, site_toml
from sensor_adapters.topics import Message, parse_in
from tests import live

NAME = "virtual:seed=7,boxes=1"
BASE = "act/v1/osaka/board-1/pack-1/in"
T0 = 1_767_254_400_000_000


@pytest.fixture(scope="module")
def original():
    whole = open_recording(NAME)
    start_us, _ = whole.span_us()
    return whole.between(start_us, start_us + 20_000_000)


def said(recording, station="pack-1", boot="b1"):
    sent = messages(recording, "osaka", "board-1", station, boot)
    return [Message(one.topic, one.payload, one.at_us + 40_000) for one in sent]


def write(path, found, placements=None):
    writer = McapWriter(path, {}, placements or {})
    for number, message in enumerate(found):
        writer.add(message, number)
    writer.close(0)
    return path


def assert_same(found, original):
    assert set(found.devices) == set(original.devices)
    by_device = {one.device: one for one in found.samples}
    for one in original.samples:
        np.testing.assert_array_equal(by_device[one.device].time_us, one.time_us)
        np.testing.assert_array_equal(by_device[one.device].values, one.values)
        assert by_device[one.device].stream == one.stream


def test_times_and_values_are_those_of_the_recording_that_was_sent(tmp_path, original):
    found = open_recording(str(write(tmp_path / "monday.mcap", said(original))))
    assert (found.name, found.layout) == ("monday", "mcap")
    assert_same(found, original)
    assert "recorded of act/v1/osaka/board-1/pack-1" in found.notes


def test_repeated_payloads_and_those_out_of_order_make_no_difference(tmp_path, original):
    found = said(original)
    rng = np.random.default_rng(3)
    shuffled = [found[i] for i in rng.permutation(len(found))] + found[::3]
    recording = open_recording(str(write(tmp_path / "x.mcap", shuffled)))
    assert_same(recording, original)
    assert any("payloads: repeated" in note for note in recording.notes)
    assert not any("are missing" in note for note in recording.notes)


def test_payloads_that_never_came_are_counted_by_their_numbers(tmp_path, original):
    found = said(original)
    wrist = [m for m in found if m.topic.endswith("imu/imu-rw")]
    without = [m for m in found if m not in wrist[4:7]]
    notes = open_recording(str(write(tmp_path / "x.mcap", without))).notes
    assert "imu-rw: 3 payloads are missing, by their numbers" in notes


def test_what_does_not_decode_is_told_and_counted_and_stops_nothing(tmp_path, original):
    odd = [
        Message(f"{BASE}/imu/imu-rw", b'{"v":1', T0),
        Message(f"{BASE}/imu/imu-rw", b"\xff" * 9, T0),
        Message(f"{BASE}/lidar/front", b"{}", T0),
        Message(f"{BASE}/state/cam", b"{}", T0),
        Message("zigbee2mqtt/door", b'{"contact":false}', T0),
        Message("act/v1/osaka/board-1/health", b"{}", T0),
        Message(f"{BASE}/status/imu-rw", b"no status", T0),
    ]
    found = said(original)
    recording = open_recording(str(write(tmp_path / "x.mcap", found[:90] + odd + found[90:])))
    assert_same(recording, original)
    notes = "\n".join(recording.notes)
    assert "imu-rw: left out 2 payloads: not decoded; the first: imu-rw: payload of 6" in notes
    assert "1 payloads of kind lidar: no adapter of that name" in notes
    assert "cam: left out 1 payloads: of kind state, the device is of kind pose" in notes
    assert "2 messages on topics that are not devices'" in notes


def test_a_file_cut_short_is_read_as_far_as_it_goes(tmp_path, original):
    path = write(tmp_path / "x.mcap", said(original))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 9])
    recording = open_recording(str(path))
    assert_same(recording, original)
    assert recording.notes[1].startswith("the file is cut short at byte")


def test_several_stations_ask_which(tmp_path, original):
    both = sorted(said(original, "pack-1") + said(original, "pack-2"), key=lambda m: m.received_us)
    path = write(tmp_path / "x.mcap", both)
    with pytest.raises(RecordingError, match="stations osaka/board-1/pack-1, osaka/board-1/pack-2"):
        open_recording(str(path))
    with pytest.raises(RecordingError, match="has no station 'pack-3', expected one of osaka"):
        open_recording(f"{path}:station=pack-3")
    second = open_recording(f"{path}:station=pack-2")
    assert second.name == "x-pack-2"
    assert_same(second, original)
    part = open_recording(f"{path}:station=osaka/board-1/pack-1:part=0-50")
    assert part.name == "x-pack-1-part0-50"
    assert part.span_us()[1] < original.span_us()[1]


def test_a_station_is_a_matter_of_recorded_messages_only():
    with pytest.raises(RecordingError):
        open_recording("nowhere:station=pack-1")


def test_placements_come_from_the_file_or_from_a_configuration_beside_it(tmp_path, original):
    places = {f"pack-1/{id_}": device.placement for id_, device in original.devices.items()}
    inside = open_recording(str(write(tmp_path / "x.mcap", said(original), places)))
    assert inside.devices == original.devices
    path = write(tmp_path / "y.mcap", said(original))
    bare = open_recording(str(path))
    assert {id_: d.placement for id_, d in bare.devices.items()} == {i: i for i in bare.devices}
    assert any("placements are the devices' ids" in note for note in bare.notes)
    toml = site_toml(original, [], "localhost:1883", "x.db", "osaka", "board-1", "pack-1")
    path.with_suffix(".toml").write_text(toml)
    assert open_recording(str(path)).devices == original.devices
    path.with_suffix(".toml").write_text("stations = 3")
    with pytest.raises(RecordingError, match=r"y\.toml: .*expected a board's configuration"):
        open_recording(str(path))


def test_labels_beside_it_are_its_truth(tmp_path, original):
    path = write(tmp_path / "x.mcap", said(original))
    start_us, end_us = original.span_us()
    rows = ["level,label,start,end", f"operation,Picking,{start_us},{end_us}"]
    (tmp_path / "x.labels.csv").write_text("\n".join(rows))
    (one,) = open_recording(str(path)).truth
    assert (one.label, one.start_us, one.end_us) == ("Picking", start_us, end_us)


def test_a_file_without_devices_is_no_recording(tmp_path):
    path = write(tmp_path / "x.mcap", [Message("zigbee2mqtt/door", b"{}", T0)])
    with pytest.raises(RecordingError, match="holds no readings of devices, expected messages on"):
        open_recording(str(path))
    with pytest.raises(RecordingError, match="expected first-last"):
        open_recording(f"{path}:boxes=1")


# --- clocks and what is old ------------------------------------------------------------------


def state(seq, t0, on=True, boot="b", **more):
    body = {"v": 1, "dev": "tape", "boot": boot, "seq": seq, "t0": t0, "on": [on], **more}
    return msgspec.json.encode(body)


def read(*found):
    log = StationLog()
    for message in found:
        log.add(parse_in(message.topic), message)
    return log.samples()


def test_a_device_of_its_own_clock_is_placed_by_its_fastest_message_of_each_boot():
    delays_us = [90_000, 20_000, 55_000]
    found = [
        Message(
            f"{BASE}/state/tape",
            state(i, 1_000_000 * i, clk="device", boot=boot),
            T0 + later_us + 1_000_000 * i + delay_us,
        )
        for boot, later_us in (("b1", 0), ("b2", 60_000_000))
        for i, delay_us in enumerate(delays_us)
    ]
    (tape,), notes = read(*found)
    expected = [T0 + later + 1_000_000 * i + 20_000 for later in (0, 60_000_000) for i in range(3)]
    assert tape.time_us.tolist() == expected
    assert tape.clock == "utc"
    assert "placed by the fastest message of each of 2 starts" in "".join(notes)


def test_the_time_at_which_a_host_received_it_first_places_a_device():
    slow = Message(f"{BASE}/state/tape", state(0, 0, clk="device", rx=T0), T0 + 9_000_000)
    (tape,), _ = read(slow)
    assert tape.time_us.tolist() == [T0]


def test_what_the_broker_held_from_before_is_old_news():
    topic = f"{BASE}/state/tape"
    held = Message(topic, state(7, T0 - 50_000_000), T0, retained=True)
    live_ones = [Message(topic, state(8 + i, T0 + i), T0 + i, retained=True) for i in range(3)]
    (tape,), notes = read(held, *live_ones)
    assert tape.time_us.tolist() == [T0, T0 + 1, T0 + 2]
    assert "tape: left out 1 payloads: held by the broker from before" in notes


def test_a_device_that_restarts_and_keeps_its_boot_is_not_taken_for_repeating():
    topic = f"{BASE}/state/tape"
    found = [Message(topic, state(i % 3, T0 + i, on=i > 2), T0 + i) for i in range(6)]
    (tape,), notes = read(*found)
    assert len(tape) == 6
    assert notes == []


def test_a_reading_of_1970_does_not_stretch_a_recording_over_fifty_years():
    topic = f"{BASE}/state/tape"
    found = [Message(topic, state(i, T0 + i if i else 3), T0 + i) for i in range(6)]
    (tape,), notes = read(*found)
    assert tape.time_us[0] == T0 + 1
    assert notes == ["tape: left out 1 payloads: more than a day from the others by their clocks"]


def test_an_adapter_that_fails_is_told_like_a_payload_that_does_not_decode(monkeypatch):
    from sensor_adapters import state as adapter

    def broken(device, payload):
        raise ZeroDivisionError("oops")

    good = Message(f"{BASE}/event/s", json.dumps(
        {"v": 1, "dev": "s", "boot": "b", "seq": 0, "t0": T0, "events": [None]}
    ).encode(), T0)  # fmt: skip
    monkeypatch.setattr(adapter, "decode", broken)
    (one,), notes = read(good, Message(f"{BASE}/state/tape", state(0, T0), T0))
    assert one.device == "s"
    assert "ZeroDivisionError" in "".join(notes)


def test_show_and_site_take_it(tmp_path, original):
    from typer.testing import CliRunner

    from sensor_adapters.__main__ import app

    path = write(tmp_path / "x.mcap", said(original))
    shown = CliRunner().invoke(app, ["show", str(path), "--json"])
    assert json.loads(shown.stdout)["layout"] == "mcap"
    site = CliRunner().invoke(app, ["site", str(path), "--bundle", str(live.BUNDLES / "imu")])
    assert 'imu-rw = { adapter = "imu", placement = "imu-rw" }' in site.stdout
