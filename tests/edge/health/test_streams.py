"""What a stream is seen to be: its rate, its pauses, values that stay, clocks that are off."""

import numpy as np
import pytest

from edge.devices import DeviceState
from edge.health.problems import Board, problems
from edge.health.stream_report import stream
from edge.health.streams import MARK_S, Watch
from sensor_adapters import event, imu, pose
from sensor_adapters.samples import Samples
from tests.edge.models import S

NOW_US = 1_790_000_000 * S
BOARD = Board(
    broker="127.0.0.1:1883", base="act/v1/osaka/board-1", silence_s=30.0, lateness_s=2.0,
    write_budget_bytes=10e9, adapters={"pack-1/imu-rw": "imu", "pack-1/scanner": "event"},
    needed_hz={"pack-1/imu-rw": 30.0},
)  # fmt: skip
WELL = {
    "connected": True, "uptime_s": 300.0, "degraded": [], "queued": 0, "outbox": 0, "models": {},
    "disk": {"free_bytes": 10**12, "wal_bytes": 0, "written_bytes_per_day": None},
    "temperatures_c": None, "too_hot": [], "slowed": None, "base": BOARD.base,
}  # fmt: skip


class Device:
    """A device that speaks once a second, and what is seen of it."""

    def __init__(self, stream=imu.stream, hz: float = 30.0) -> None:
        self.watch, self.device = Watch(), DeviceState("imu-rw", stream.name, "right_wrist")
        self._stream, self._hz, self.now_s = stream, hz, 0.0
        self.device.status = "online"
        self.watch.mark(self.device, 0.0)

    def speak(self, seconds: float, *, values=None, behind_s: float = 0.0) -> "Device":
        """Speak once a second for so long."""
        for _ in range(int(seconds)):
            self.wait(1)
            count = max(int(self._hz), 1)
            newest_us = NOW_US + round((self.now_s - behind_s) * S)
            time_us = newest_us - (np.arange(count)[::-1] * S / self._hz).astype(np.int64)
            rows = np.full((count, len(self._stream.channels)), self.now_s, np.float32)
            if values is not None:
                rows[:] = values
            said = Samples("imu-rw", self._stream, time_us, rows)
            self.watch.heard(said, NOW_US + round(self.now_s * S), self.now_s)
        return self

    def wait(self, seconds: float) -> "Device":
        for _ in range(int(seconds)):
            self.now_s += 1
            if self.now_s % MARK_S == 0:
                self.watch.mark(self.device, self.now_s)
        return self

    @property
    def state(self) -> str:
        return self.watch.state(self.device, BOARD.silence_s, self.now_s)

    @property
    def rate_hz(self) -> float | None:
        return self.watch.rate(self.now_s)[0]

    def entry(self) -> dict:
        return stream(self.device, self.watch, BOARD.silence_s, self.now_s)


def wrong(**streams: Device) -> str:
    entries = {f"pack-1/{name.replace('_', '-')}": one.entry() for name, one in streams.items()}
    return "; ".join(problems(BOARD, {**WELL, "devices": entries}))


@pytest.mark.fault("F15")
@pytest.mark.parametrize("hz", [15.0, 30.0, 60.0])
def test_the_rate_is_seen_as_it_is_and_too_few_readings_for_the_model_are_said(hz):
    one = Device(hz=hz).speak(70)
    assert one.rate_hz == pytest.approx(hz, rel=0.05)
    assert one.state == "ok"
    said = "readings a second, its models were trained on 30: look at its settings"
    assert (said in wrong(imu_rw=one)) == (hz < 20)


def test_a_rate_is_that_of_the_time_since_a_silence():
    one = Device().speak(70).wait(40).speak(10)
    assert one.rate_hz == pytest.approx(30, rel=0.15)
    assert one.watch.rate(one.now_s)[1] < 12


@pytest.mark.fault("F14")
def test_a_sensor_that_falls_silent_is_stale_then_silent_and_said():
    one = Device().speak(60)
    assert (one.state, wrong(imu_rw=one)) == ("ok", "")
    assert one.wait(5).state == "ok"
    assert one.wait(6).state == "stale"
    assert one.wait(301).state == "silent"
    assert "connected but nothing comes from pack-1/imu-rw for 312 s: is it on" in wrong(imu_rw=one)
    assert one.speak(1).state == "ok"
    one.device.status = "stopped"
    assert (one.state, wrong(imu_rw=one)) == ("silent", ""), "it said that it would"


def test_a_scanner_that_is_used_now_and_then_is_given_the_time_it_usually_takes():
    one = Device(event.stream, hz=1.0)
    for _ in range(20):
        one.wait(19).speak(1)
    assert one.wait(120).state == "ok"
    assert one.wait(120).state == "silent"


def test_what_never_spoke_is_said_with_its_topic_after_a_while():
    one = Device(event.stream)
    assert one.state == "unknown"
    said = wrong(scanner=one)
    assert "nothing has come from pack-1/scanner since the start 300 s ago" in said
    assert "act/v1/osaka/board-1/pack-1/in/event/scanner" in said


def test_while_the_broker_is_away_that_alone_is_said():
    one = Device().speak(60).wait(600)
    body = {**WELL, "connected": False, "devices": {"pack-1/imu-rw": one.entry()}}
    (text,) = problems(BOARD, body)
    assert text.startswith("no broker at 127.0.0.1:1883")


@pytest.mark.fault("F21")
def test_a_sensor_that_is_stuck_is_seen_and_one_that_may_well_rest_is_not():
    stuck = Device().speak(10).speak(75, values=9.81)
    assert stuck.watch.unchanged_us / S == pytest.approx(74, abs=1)
    assert "imu-rw has given the same values for 74 s: is it stuck?" in wrong(imu_rw=stuck)
    assert "same values" not in wrong(imu_rw=stuck.speak(1)), "it moved"
    nobody = np.full(62, np.nan, np.float32)
    nobody[0] = 0
    empty = Device(pose.stream, hz=10.0).speak(90, values=nobody)
    assert empty.watch.unchanged_us == 0, "a camera that sees nobody"


def test_losses_of_the_last_minute_are_said_and_older_ones_forgiven():
    one = Device().speak(60)
    one.device._lost_before = 5
    assert "5 messages of pack-1/imu-rw were lost in the last minute" in wrong(imu_rw=one)
    one.device.late = 3
    assert one.state == "late"
    assert "3 readings of pack-1/imu-rw in the last minute came after" in wrong(imu_rw=one)
    assert wrong(imu_rw=one.speak(70)) == ""
    assert one.state == "ok"


def test_a_clock_that_is_off_is_said_where_another_one_is_right():
    right, behind = Device().speak(60), Device().speak(60, behind_s=8)
    ahead = Device().speak(60, behind_s=-5)
    assert "clock of pack-1/b is 8.0 s behind" in wrong(a=right, b=behind)
    assert "clock of pack-1/b is 5.0 s ahead" in wrong(a=right, b=ahead)
    past = Device().speak(60, behind_s=86_400)
    assert "clock" not in wrong(a=past, b=past), "a replay of the past"
