"""A replay: the messages of live devices, in order, and an end even where it is cut short."""

import signal
import subprocess
import sys
from itertools import islice

import msgspec
import pytest

from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages, until
from sensor_adapters.topics import parse_in
from tests import live


@pytest.fixture(scope="module")
def sent():
    recording = open_recording("virtual:seed=303,boxes=1")
    return list(messages(recording, live.SITE, live.NODE, live.STATION, "b1"))


def test_a_whole_replay_is_left_as_it_is(sent):
    assert list(until(lambda: False, sent)) == sent


@pytest.mark.parametrize("count", [1, 7, 100, 400])
def test_a_replay_cut_short_ends_with_every_begun_device_saying_stopped(sent, count):
    came: list[Sent] = []
    for message in until(lambda: len(came) >= count, sent):
        came.append(message)
    assert came[:count] == sent[:count]
    begun = {parse_in(message.topic).device for message in sent[:count]}
    ends = [(parse_in(m.topic), msgspec.json.decode(m.payload)) for m in came[count:]]
    assert sorted(topic.device for topic, _ in ends) == sorted(begun)
    assert {(topic.kind, body["state"]) for topic, body in ends} == {("status", "stopped")}


def test_the_sequence_numbers_of_a_replay_cut_short_have_no_hole(sent):
    came: list[Sent] = []
    for message in until(lambda: len(came) >= 300, sent):
        came.append(message)
    numbers: dict[str, list[int]] = {}
    for message in came:
        seq = msgspec.json.decode(message.payload)["seq"]
        numbers.setdefault(parse_in(message.topic).device, []).append(seq)
    assert all(found == list(range(len(found))) for found in numbers.values())


def test_nothing_is_said_by_a_replay_that_is_over_before_it_begins(sent):
    assert list(until(lambda: True, islice(sent, 3))) == []


@pytest.mark.broker
def test_ctrl_c_ends_a_replay_and_its_session_and_the_next_replay_is_whole(tmp_path):
    name = "virtual:seed=303,boxes=1"
    recording = open_recording(name)
    with (
        live.mosquitto(tmp_path) as port,
        live.board(tmp_path, port, recording, [live.BUNDLES / "iot"]) as board,
    ):
        command = [sys.executable, "-m", "sensor_adapters", "replay", name, "--speed", "5"]
        command += ["--broker", f"127.0.0.1:{port}", "--site", live.SITE, "--node", live.NODE]
        topic = f"act/v1/{live.SITE}/{live.NODE}/{live.STATION}/action"
        with live.Heard(port, topic) as action:
            replay = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=live.ROOT)
            action.wait(lambda said: any(body["levels"] for _, body in said), "a label")
            replay.send_signal(signal.SIGINT)
            said, _ = replay.communicate(timeout=60)
        assert replay.returncode == 130
        assert "published until it was stopped" in said
        live.play(recording, port)
        assert board.stop() == 0
        late = board.query("SELECT session, sum(late), sum(lost) FROM device_states GROUP BY 1")
    assert late == [(1, 0, 0), (2, 0, 0)]
