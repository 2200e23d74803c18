"""Through a real broker: recorded as it was sent, sent again as it was recorded."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensor_adapters.publisher import Publisher
from sensor_adapters.recorder.mcap_reader import McapReader
from sensor_adapters.recorder.subscriber import Subscriber
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from sensor_adapters.settings import Broker
from tests import live
from tests.recorder import recorder

pytestmark = pytest.mark.broker
IN = "act/v1/+/+/+/in/#"


@pytest.fixture(scope="module")
def original():
    whole = open_recording("virtual:seed=7,boxes=1")
    start_us, _ = whole.span_us()
    return whole.between(start_us, start_us + 20_000_000)


@pytest.fixture(scope="module")
def sent(original):
    return list(messages(original, live.SITE, live.NODE, live.STATION, "b1"))


def publish(port, found):
    with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
        publisher.board_answers = False
        return publisher.publish(found, 0)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "sensor_adapters", *map(str, arguments)],
        cwd=live.ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def replayed(file, port, *arguments):
    return command("replay", file, "--broker", f"127.0.0.1:{port}", "--speed", 0, *arguments)


def bytes_of(found):
    return [(one.topic, one.payload, one.qos) for one in found]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, sent):
    """Return the file of what was sent, and what its recorder said."""
    folder = tmp_path_factory.mktemp("recorded")
    with (
        live.mosquitto(folder) as port,
        recorder(folder / "a.mcap", port, "--topic", IN) as one,
    ):
        publish(port, sent)
        one.wait_until(len(sent))
        return one.file, one.stop()


def test_a_file_holds_what_was_sent_byte_for_byte_and_in_order(recorded, sent):
    file, said = recorded
    reader = McapReader(file)
    found = list(reader)
    assert bytes_of(found) == bytes_of(sent)
    assert (reader.damage, reader.lost) == ("", 0)
    times = [one.received_us for one in found]
    assert times == sorted(times)
    assert (said["messages"], said["lost"], said["times_away"]) == (len(sent), 0, 0)
    assert said["payload_bytes"] == sum(len(one.payload) for one in sent)
    assert said["file_bytes"] == file.stat().st_size
    assert sum(topic["messages"] for topic in said["topics"].values()) == len(sent)


def test_what_is_sent_again_is_what_was_sent(tmp_path, recorded, sent):
    with (
        live.mosquitto(tmp_path) as port,
        recorder(tmp_path / "b.mcap", port, "--topic", IN) as one,
    ):
        done = replayed(recorded[0], port)
        assert f"{len(sent)} of {len(sent)} messages published" in done.stdout, done.stderr
        one.wait_until(len(sent))
        one.stop()
    assert bytes_of(McapReader(one.file)) == bytes_of(sent)


def test_it_is_the_recording_that_was_sent(recorded, original):
    found = open_recording(str(recorded[0]))
    by_device = {one.device: one for one in found.samples}
    assert set(by_device) == {one.device for one in original.samples}
    for one in original.samples:
        np.testing.assert_array_equal(by_device[one.device].time_us, one.time_us)
        np.testing.assert_array_equal(by_device[one.device].values, one.values)


def test_a_recorder_that_is_killed_leaves_all_but_the_last_second(tmp_path, sent):
    with (
        live.mosquitto(tmp_path) as port,
        recorder(tmp_path / "x.mcap", port, "--topic", IN) as one,
    ):
        publish(port, sent[:80])
        one.wait_until(80)  # while it is being written
        publish(port, sent[80:])
        one.process.kill()
        one.process.wait(10)
        reader = McapReader(one.file)
        found = bytes_of(reader)
        assert len(found) >= 80
        assert found == bytes_of(sent[: len(found)])
        assert "cut short" in reader.damage
        notes = open_recording(str(one.file)).notes
        assert any("cut short" in note for note in notes)
        done = replayed(one.file, port)
        assert f"{len(found)} of {len(found)} messages published" in done.stdout
        assert "cut short" in done.stderr
        assert "replayed as far as it goes" in done.stderr


def test_any_topic_quality_and_payload_is_kept_and_retained_again_on_demand(tmp_path, sent):
    odd = [b"", b"ON", b"\xff\x00", b'{"contact":false}']
    found = [
        replace(sent[0], topic=f"zigbee2mqtt/Öl {i}", payload=payload, qos=qos, retained=i == 3)
        for qos in (2, 1, 0)
        for i, payload in enumerate(odd)
    ]
    with (
        live.mosquitto(tmp_path) as port,
        recorder(tmp_path / "x.mcap", port, "--topic", "zigbee2mqtt/#", "--topic", IN) as one,
    ):
        for message in found:  # qualities overtake each other at a broker
            publish(port, [message])
        one.wait_until(len(found))
        one.stop()
    kept = list(McapReader(one.file))
    assert sorted(bytes_of(kept)) == sorted(bytes_of(found))
    assert {(m.topic, m.retained) for m in kept} == {(m.topic, m.retained) for m in found}
    for number, arguments in enumerate([(), ("--retained",)]):
        folder = tmp_path / f"broker-{number}"
        folder.mkdir()
        with live.mosquitto(folder) as port:
            done = replayed(one.file, port, *arguments, "--topic", "zigbee2mqtt/+")
            assert "12 of 12" in done.stdout, done.stderr
            assert held(port) == (["zigbee2mqtt/Öl 3"] if arguments else [])


def held(port):
    """Return the topics of which a broker holds a message."""
    topics = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe([("zigbee2mqtt/#", 1), ("end", 1)])
    client.on_subscribe = lambda client, *_: client.publish("end", b"")

    def note(client, userdata, message):
        if message.topic == "end":
            client.disconnect()
        else:
            topics.append(message.topic)

    client.on_message = note
    client.connect("127.0.0.1", port)
    client.loop_forever()
    return topics


def test_a_broker_without_mqtt_5_is_recorded_too(tmp_path):
    port = live.free_port()
    broker = subprocess.Popen([sys.executable, "-m", "edge.embedded_broker", str(port)])
    try:
        live.wait_for_port(port, broker)
        with recorder(tmp_path / "x.mcap", port, "--topic", "a/#") as one:
            client = mqtt.Client(CallbackAPIVersion.VERSION2)
            client.connect("127.0.0.1", port)
            client.loop_start()
            client.publish("a/b", b"hello", qos=1).wait_for_publish(10)
            client.disconnect()
            client.loop_stop()
            (found,) = one.wait_until(1)
            assert (found.topic, found.payload) == ("a/b", b"hello")
            one.stop()
    finally:
        broker.terminate()
        broker.wait(10)


def test_what_a_full_disk_took_is_whole_and_it_is_said(tmp_path, sent):
    limit = 'ulimit -S -f 64; trap "" XFSZ'  # blocks of a kilobyte: the file may not grow further
    with (
        live.mosquitto(tmp_path) as port,
        recorder(tmp_path / "x.mcap", port, "--topic", IN, shell=limit) as one,
    ):
        publish(port, sent[:40])
        one.wait_until(40)
        for _ in range(3):
            publish(port, sent[40:])
        said = one.wait(code=1)
    assert "File too large" in one.err
    reader = McapReader(one.file)
    found = bytes_of(reader)
    assert len(found) >= 40
    assert found == bytes_of([*sent, *sent[40:], *sent[40:]][: len(found)])
    assert one.file.stat().st_size <= 64 << 10
    assert said["messages"] == len(found)
    assert said["lost"] > 0
    assert said["file_bytes"] == one.file.stat().st_size


def test_a_recording_ends_by_itself_after_its_seconds_and_a_broker_lost_meanwhile_is_said(tmp_path):
    with live.mosquitto(tmp_path) as port:
        context = recorder(tmp_path / "x.mcap", port, "--seconds", "3")
        one = context.__enter__()
    said = one.wait()
    context.__exit__(None, None, None)
    assert said["times_away"] == 1
    assert "lost the broker" in one.err
    assert list(McapReader(one.file)) == []


def test_settings_that_make_no_sense_and_files_that_are_there_are_refused(tmp_path):
    (tmp_path / "x.mcap").write_bytes(b"precious")
    free = f"127.0.0.1:{live.free_port()}"
    for arguments, code, text in [
        (("record", tmp_path / "x.mcap"), 2, "is there already, expected a new file"),
        (("record", tmp_path / "x.bag"), 2, "expected one that ends in .mcap"),
        (("record", tmp_path / "y.mcap", "--topic", "a/#/b"), 2, "# is not last"),
        (("record", tmp_path / "y.mcap", "--seconds", 0), 2, "expected more than 0"),
        (("record", tmp_path / "y.mcap", "--config", tmp_path / "no.toml"), 2, "No such file"),
        (("record", tmp_path / "y.mcap", "--broker", free), 1, "expected one to listen"),
        (("replay", tmp_path / "x.mcap"), 2, "expected an MCAP file"),
        (("replay", tmp_path / "x.mcap", "--outages", "0.3"), 2, "x.mcap:station="),
        (("replay", "virtual:seed=7,boxes=1", "--retained"), 2, "expected recorded messages"),
    ]:
        done = command(*arguments)
        assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert (tmp_path / "x.mcap").read_bytes() == b"precious"
    assert not (tmp_path / "y.mcap").exists()


def test_a_board_makes_the_same_of_the_file_as_of_the_recording(tmp_path):
    recording = open_recording("virtual:seed=303,boxes=1")
    segments, file = [], tmp_path / "x.mcap"
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        with (
            live.mosquitto(folder) as port,
            live.board(folder, port, recording, [live.BUNDLES / "iot"]) as board,
        ):
            if name == "first":
                config = ("--config", str(board.site))
                with recorder(file, port, "--topic", "act/v1/#", *config) as one:
                    live.play(recording, port)
                    one.wait_until(1)
                    said = one.stop()
                assert any("/segment" in topic for topic in said["topics"])
            else:
                done = replayed(file, port, "--topic", IN)
                assert "messages published" in done.stdout, done.stderr
            segments.append(board.segments())
            assert board.stop() == 0
    assert len(segments[0]) > 5
    assert segments[0] == segments[1]
    assert open_recording(str(file)).devices == recording.devices


def test_what_finds_the_queue_full_is_left_out_and_its_number_is_spent(tmp_path, sent):
    with (
        live.mosquitto(tmp_path) as port,
        Subscriber(Broker(port=port), [IN], say=print, most=25) as subscriber,
    ):
        publish(port, sent[:60])
        end_s = time.monotonic() + 30
        while subscriber.received < 60 and time.monotonic() < end_s:
            time.sleep(0.01)
        first = subscriber.take(0, 1000)
        publish(port, sent[60:61])
        ((number, message),) = subscriber.take(30, 1000)
    assert [number for number, _ in first] == list(range(25))
    assert bytes_of(message for _, message in first) == bytes_of(sent[:25])
    assert (number, message.payload) == (60, sent[60].payload)
