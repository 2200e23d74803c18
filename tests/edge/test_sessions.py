"""When a session ends, and who may set a station's time."""

from dataclasses import replace

import numpy as np

from edge.records import DeviceRecord
from sensor_adapters import imu, state
from sensor_adapters.adapter import load_adapter
from sensor_adapters.samples import Samples
from tests.edge.models import S
from tests.test_bad_input import FIRST, Board, encoded, shift, status, wrist

FIFTY_YEARS = 50 * 365 * 86_400 * S


def scanner(second: int, off_us: int) -> list:
    """Return a scanner's heartbeat, stamped ``off_us`` wrongly and received in time."""
    time_us = np.array([FIRST + second * S + off_us])
    beat = encoded("event", "scan", time_us, np.zeros((1, 1), np.float32), second + 1)
    return [replace(beat, received_us=FIRST + second * S)]


def test_a_will_ends_the_session_whatever_number_it_was_written_with():
    born, will = status("imu-rw", "online", 0, 0), status("imu-rw", "offline", 30, 0)
    board = Board().hear([born, *shift(range(30), "scan", "drawer"), will])
    assert board.segments[-1][1:5] == ("ship", 20, 30, "interrupted")
    assert board.device("imu-rw").status == "offline"


def test_the_will_of_an_earlier_boot_does_not_end_the_session():
    before = shift(range(20), "scan", "drawer")
    after = [wrist(second, seq=second - 19, boot="b2") for second in range(20, 60)]
    will = status("imu-rw", "offline", 40, 0, boot="b1")
    board = Board().hear([*before, *after[:20], will, *after[20:]]).finish()
    assert {s[0] for s in board.segments} == {1}


def test_one_device_with_a_wrong_clock_does_not_silence_the_station():
    for off_us in (-FIFTY_YEARS, FIFTY_YEARS):
        said = [m for s in range(60) for m in (*scanner(s, off_us), wrist(s))]
        board = Board().hear(said).finish()
        last = [s[:4] for s in board.segments if s[0] == board.segments[-1][0]]
        session = last[0][0]
        assert last[-1] == (session, "ship", 50, 60)
        wrists = [r for r in board.records if isinstance(r, DeviceRecord) and r.device == "imu-rw"]
        assert sum(r.samples for r in wrists) == 600
        assert sum(r.rejected for r in wrists) == 0


def test_the_wall_clock_has_no_say_in_a_replay_of_the_past():
    said = [replace(m, received_us=m.received_us + FIFTY_YEARS) for m in shift(range(60))]
    board = Board().hear(said).finish()
    assert {s[0] for s in board.segments} == {1}
    assert len(board.segments) == 6


def test_an_adapter_that_gives_another_stream_than_it_says_is_refused(monkeypatch):
    class Mixed:
        stream = imu.stream

        def decode(self, device: str, payload: bytes) -> Samples:
            return Samples(device, state.stream, np.array([FIRST]), np.zeros((1, 1), np.float32))

    def load(name: str) -> object:
        return Mixed() if name == "imu" else load_adapter(name)

    monkeypatch.setattr("edge.station.load_adapter", load)
    board = Board().hear(shift(range(3))).finish()
    assert board.device("imu-rw").rejected == 3


def test_counts_outlive_the_session_they_were_made_in():
    board = Board().hear([wrist(1), wrist(2), wrist(5), wrist(5)])
    before = board.pipeline.counts()
    assert (before["lost"], before["duplicated"]) == (2, 1)
    board.finish()
    assert board.pipeline.counts() == before
