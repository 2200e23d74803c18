"""What a board says over a line becomes payloads with the right times, whatever happens to it."""

import json
import random

import numpy as np
import pytest

from firmware_bridge import messages
from firmware_bridge.board import Board, Host
from firmware_bridge.frames import Frame, Type, encode
from firmware_bridge.messages import Hello
from firmware_bridge.readings import Outgoing, Readings, Target
from firmware_bridge.virtual_board import DT_US, SCHEMAS, VirtualBoard
from sensor_adapters import event, imu, state

S = 1_000_000
WALL_US = 1_700_000_000 * S
TARGETS = {
    "imu": Target("pack-1", "imu-rw"),
    "scanner": Target("pack-1", "scan"),
    "drawer": Target("pack-1", "drawer"),
}
ADAPTERS = {"imu": imu, "event": event, "state": state}


class Line:
    """A board and the bridge's end, in steps of 10 ms; every way takes a few of a millisecond."""

    def __init__(self, virtual: VirtualBoard, **targets: Target) -> None:
        self.virtual, self.board = virtual, Board()
        self.readings = Readings(targets or TARGETS, "b1")
        self.said: list[tuple[int, str, dict]] = []
        self.now_us = virtual.started_us
        self.chance = random.Random(4)
        self.loses = False

    def host(self, later_us: int = 0) -> Host:
        return Host(self.now_us + later_us, WALL_US)

    def run(self, seconds: float) -> "Line":
        for _ in range(round(seconds * 100)):
            self.now_us += 10_000
            due = self.board.due(self.host())
            there_us, back_us = (self.chance.randrange(200, 1500) for _ in range(2))
            answer = self.virtual.told(due, self.now_us + there_us) if due else b""
            for data in self.virtual.says(self.now_us):
                if not self.loses:
                    self.take(data)
            if answer:
                self.take(answer, there_us + back_us)
            self.hear(self.readings.due(self.host()) + self.readings.beats(self.host()))
        return self

    def take(self, data: bytes, later_us: int = 0) -> None:
        for placed in self.board.heard(data, self.host(later_us)):
            self.hear(self.readings.of(placed))

    def hear(self, found: list[Outgoing]) -> None:
        self.said += [(self.now_us, one.kind, json.loads(one.payload)) for one in found]

    def of(self, kind: str) -> list[dict]:
        return [body for _, one, body in self.said if one == kind]


def test_readings_come_in_order_with_the_times_at_which_they_were():
    line = Line(VirtualBoard(rate=1 + 200e-6, ahead_us=(1 << 32) - 30 * S)).run(120)
    batches = line.of("imu")
    assert [one["seq"] for one in batches] == list(range(len(batches)))
    assert len(batches) >= 1199
    for number, body in enumerate(batches):
        assert abs(body["t0"] - WALL_US - number * 10 * DT_US) < 5000
        assert body["dt"] == DT_US
        assert body.get("clk", "utc") == "utc"
        samples = imu.decode("imu-rw", json.dumps(body).encode())
        assert samples.values[:, 2] == pytest.approx(9.80665, rel=1e-3)


def test_a_clock_that_jumps_is_placed_within_5_ms_a_minute_later():
    line = Line(VirtualBoard(rate=1 + 200e-6)).run(60)
    line.virtual.ahead_us += 3 * S
    line.run(60)
    batches = line.of("imu")
    line.run(10)
    later = line.of("imu")[len(batches) :]
    assert line.board.time.jumps == 1
    for number, body in enumerate(later, len(batches)):
        assert abs(body["t0"] - WALL_US - number * 10 * DT_US) < 5000


def test_what_the_adapters_read_is_what_the_board_meant():
    line = Line(VirtualBoard()).run(30)
    scans = [event.decode("scan", json.dumps(b).encode()) for b in line.of("event")]
    happened = [one for one in scans if one.values[0, 0] == 1]
    assert len(happened) == 4
    assert [b["events"][0]["data"] for b in line.of("event") if b["events"][0]] == [
        "4901234567894"
    ] * 4
    drawer = [state.decode("drawer", json.dumps(b).encode()) for b in line.of("state")]
    assert {float(one.values[0, 0]) for one in drawer} == {0.0, 1.0}


def test_silent_devices_of_a_board_that_lives_are_heard_every_few_seconds():
    line = Line(VirtualBoard()).run(60)
    for kind in ("event", "state"):
        at = np.array([body["t0"] for body in line.of(kind)])
        assert np.diff(at).max() <= 5.2 * S
        seqs = [body["seq"] for body in line.of(kind)]
        assert seqs == list(range(len(seqs)))


def test_what_is_lost_on_the_wire_is_seen_in_the_numbers():
    line = Line(VirtualBoard()).run(10)
    line.loses = True
    line.run(2)
    line.loses = False
    line.run(10)
    seqs = [body["seq"] for body in line.of("imu")]
    assert len(seqs) == seqs[-1] + 1 - 20
    assert line.board.streams[0].lost == 20


def test_frames_of_a_full_line_share_payloads_but_not_over_a_loss():
    line = Line(VirtualBoard(dt_us=150)).run(5)
    line.virtual._seqs[0] += 3
    line.run(5)
    line.hear(line.readings.rest())
    bodies = line.of("imu")
    assert 10 / 0.06 - 20 < len(bodies) < 10 / 0.05 + 20
    steps = np.diff([body["seq"] for body in bodies])
    assert sorted(steps)[-2:] == [1, 4]
    assert line.board.streams[0].lost == 3
    at = np.concatenate(
        [imu.decode("imu-rw", json.dumps(body).encode()).time_us for body in bodies]
    )
    before = line.board.deframer.counts.unknown  # they came before their schema
    assert len(at) == 10 * (10 * S // 1500 - before)
    assert np.median(np.diff(at)) == pytest.approx(150, abs=1)


def test_a_board_that_knows_no_time_goes_on_in_its_own():
    line = Line(VirtualBoard(answers=False)).run(20)
    batches = line.of("imu")
    assert {body["clk"] for body in batches} == {"device"}
    at = np.concatenate(
        [imu.decode("imu-rw", json.dumps(body).encode()).time_us for body in batches]
    )
    assert len(at) >= 1950
    assert (np.diff(at) == DT_US).all()
    assert all(0 <= body["rx"] - WALL_US - body["t0"] - 10 * DT_US < 5 * S for body in batches)


def test_a_board_that_starts_again_is_another_start():
    line = Line(VirtualBoard()).run(10)
    line.virtual = VirtualBoard(boot=2, started_us=line.now_us)
    line.take(line.virtual.greeting(line.now_us))
    line.run(10)
    assert line.board.starts == 1
    assert line.board.streams[0].lost == 0
    boots = [body["boot"] for body in line.of("imu")]
    assert sorted(set(boots), key=boots.index) == ["b1.0", "b1.1"]
    second = [body for body in line.of("imu") if body["boot"] == "b1.1"]
    assert [body["seq"] for body in second] == list(range(len(second)))
    at = [body["t0"] - WALL_US for body in second]
    assert np.diff(at) == pytest.approx(10 * DT_US, abs=3000)


def test_a_board_without_a_number_of_its_start_is_known_by_its_clock():
    line = Line(VirtualBoard(boot=0)).run(10)
    line.virtual = VirtualBoard(boot=0, started_us=line.now_us)
    line.take(line.virtual.greeting(line.now_us))
    line.run(10)
    assert line.board.starts == 1
    assert line.board.streams[0].lost == line.board.counts["repeated"] == 0


def test_what_waited_when_the_board_started_again_is_not_placed_by_its_new_clock():
    line = Line(VirtualBoard(answers=False, ahead_us=1000 * S)).run(1)
    line.virtual = VirtualBoard(boot=2, started_us=line.now_us)
    line.take(line.virtual.greeting(line.now_us))
    line.run(5)
    first = [body for body in line.of("imu") if body["boot"] == "b1.0"]
    assert sum(len(body["acc"]) for body in first) == 100
    assert {body["clk"] for body in first} == {"device"}
    assert first[0]["t0"] == 1000 * S


def test_a_bridge_that_starts_in_the_midst_asks_what_it_needs():
    virtual = VirtualBoard()
    list(virtual.says(100 * S))
    line = Line(virtual)
    line.now_us = 100 * S
    line.run(5)
    assert len(line.of("imu")) >= 45
    assert line.board.hello is not None


@pytest.mark.fault("F23")
def test_a_schema_that_changes_is_never_misread():
    line = Line(VirtualBoard()).run(5)
    line.hear(line.readings.rest())
    before = len(line.of("imu"))
    line.board._seeds[0] ^= 1
    line.run(5)
    assert len(line.of("imu")) == before
    assert line.board.deframer.counts.wrong > 40


class Newer(VirtualBoard):
    """A board whose firmware speaks a protocol to come."""

    def greeting(self, host_us: int) -> bytes:
        hello = bytearray(messages.pack_hello(Hello("glove", 1, "9.0")))
        hello[0] = 2
        said = [(Type.HELLO, 0, bytes(hello)), (0x4E, 0, b"what no one knows yet")]
        said += [(Type.SCHEMA, n, messages.pack_schema(one)) for n, one in enumerate(SCHEMAS)]
        now_us = self.clock_us(host_us)
        return b"".join(encode(Frame(type_, n, 0, now_us, payload)) for type_, n, payload in said)


@pytest.mark.fault("F46")
def test_of_a_newer_firmware_what_is_known_goes_on_and_the_rest_is_told():
    line = Line(Newer(answers=False))
    line.take(line.virtual.greeting(line.now_us))
    line.run(10)
    assert any("found protocol 2, expected 1" in text for text in line.board.logs)
    assert line.board.counts["of an unknown type"] >= 1
    assert sum(len(body["acc"]) for body in line.of("imu")) > 500


def test_a_command_is_acknowledged():
    line = Line(VirtualBoard()).run(1)
    line.take(line.virtual.told(line.board.command(7, "led on"), line.now_us))
    assert line.board.acks == {7: 0}


def test_streams_that_go_nowhere_are_left_out():
    line = Line(VirtualBoard(), imu=TARGETS["imu"]).run(30)
    assert {kind for _, kind, _ in line.said} == {"imu"}
    assert len(SCHEMAS) == 3
