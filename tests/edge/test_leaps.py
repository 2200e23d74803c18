"""The board's clock is set: times that were made by it go on elsewhere, others do not care."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from edge.pipeline import BoardTime
from edge.records import ClockRecord, UnsyncedRecord
from sensor_adapters.topics import Message
from tests.edge.models import S
from tests.test_bad_input import FIRST, Board, beat, wrist

HOUR = 3600 * S
YEARS = 53 * 365 * 86_400 * S
BOOT = "4d1f"


class Set(Board):
    """A board whose clock is behind by some time, until it is set."""

    def __init__(self, behind_us: int, *, is_synced: bool = False) -> None:
        super().__init__()
        self._behind_us = behind_us
        self.pipeline.board = BoardTime(is_synced, BOOT, -behind_us)

    def set(self, second: int) -> None:
        self.pipeline.board = BoardTime(self.pipeline.board.is_synced, BOOT, 0)
        self.pipeline.leapt(self._behind_us, FIRST + second * S)

    def said(self, kind: type) -> list:
        return [record for record in self.records if isinstance(record, kind)]


def by_bridge(seconds: Iterable[int], behind_us: int) -> list[Message]:
    """Return what a bridge on the board sends: it tells time by the board's clock."""
    shifted = [wrist(second, shift_us=-behind_us) for second in seconds]
    return [
        replace(m, received_us=FIRST + (s + 1) * S - behind_us)
        for s, m in zip(seconds, shifted, strict=True)
    ]


def by_itself(seconds: Iterable[int], behind_us: int) -> list[Message]:
    """Return what a device with a right clock of its own sends."""
    return [replace(wrist(s), received_us=FIRST + (s + 1) * S - behind_us) for s in seconds]


def without_clock(seconds: Iterable[int], behind_us: int) -> list[Message]:
    """Return what a device says that counts from its own start."""
    found = []
    for message in by_itself(seconds, behind_us):
        body = msgspec.json.decode(message.payload) | {"clk": "device"}
        body["t0"] -= FIRST
        found.append(replace(message, payload=msgspec.json.encode(body)))
    return found


def moved(board: Set) -> list[tuple]:
    """Return the segments as they stand once the log has moved sessions that leapt."""
    told = [r for r in board.records if isinstance(r, (UnsyncedRecord, ClockRecord))]
    wrong = {one.session for one in told if isinstance(one, UnsyncedRecord) and one.base_us}
    is_moved = any(isinstance(one, ClockRecord) and one.what == "follows" for one in told)
    by_s = board._behind_us / S if is_moved else 0
    return [
        (label, start + by_s * (session in wrong), end + by_s * (session in wrong))
        for session, label, start, end, *_ in board.segments
    ]


@pytest.mark.fault("F25", "F26")
@pytest.mark.parametrize("speaks", [by_bridge, without_clock])
@pytest.mark.parametrize("behind_us", [YEARS, HOUR, -HOUR, 5 * S])
def test_what_was_timed_by_a_wrong_clock_is_set_right(speaks, behind_us):
    board = Set(behind_us)
    board.hear(speaks(range(35), behind_us))
    board.set(35)
    board.hear(speaks(range(35, 60), 0)).finish()
    assert [one.session for one in board.said(UnsyncedRecord)] == [1, 2]
    assert [one.what for one in board.said(ClockRecord)] == ["follows"]
    assert board.said(ClockRecord)[0].base_us == 0
    spans = [(start, end) for _, start, end in moved(board)]
    assert [label for label, *_ in moved(board)] == [
        *("pick", "pack", "ship", "pick"), *("pick", "pack", "ship"),
    ]  # fmt: skip
    assert spans[0][0] == pytest.approx(0, abs=1)
    assert spans[-1][1] == pytest.approx(60, abs=1)
    assert all(a[1] <= b[0] + 1 for a, b in pairwise(spans))


def test_several_devices_of_a_bridge_begin_one_session_together():
    def said(seconds: range, behind_us: int) -> list[Message]:
        scans = [
            replace(
                beat("event", "scan", second, shift_us=-behind_us),
                received_us=FIRST + (second + 1) * S - behind_us,
            )
            for second in seconds
            if second % 5 == 0
        ]
        both = [*by_bridge(seconds, behind_us), *scans]
        return sorted(both, key=lambda one: one.received_us)

    board = Set(HOUR)
    board.hear(said(range(35), HOUR))
    board.set(35)
    board.hear(said(range(35, 60), 0)).finish()
    assert {s[0] for s in board.segments} == {1, 2}
    assert [one.what for one in board.said(ClockRecord)] == ["follows"]


def test_what_was_under_way_when_the_clock_was_set_is_not_taken_for_a_device_that_stayed():
    board = Set(HOUR)
    before = by_bridge(range(35), HOUR)
    board.hear(before[:33])
    board.set(33)
    board.hear([replace(m, received_us=m.received_us + HOUR) for m in before[33:]])
    board.hear(by_bridge(range(35, 60), 0)).finish()
    assert [one.what for one in board.said(ClockRecord)] == ["follows"]
    assert {s[0] for s in board.segments} == {1, 2}


@pytest.mark.fault("F25", "F26")
@pytest.mark.parametrize("behind_us", [HOUR, -HOUR, 300 * S])
def test_a_device_with_a_right_clock_of_its_own_does_not_care(behind_us):
    calm = Board().hear(by_itself(range(120), 0)).finish()
    board = Set(behind_us)
    board.hear(by_itself(range(35), behind_us))
    board.set(35)
    board.hear(by_itself(range(35, 120), 0)).finish()
    assert board.segments == calm.segments
    assert [one.what for one in board.said(ClockRecord)] in (["differs"], [])
    assert bool(board.said(UnsyncedRecord)) == bool(board.said(ClockRecord))


def test_a_clock_that_was_right_and_is_set_moves_no_rows():
    board = Set(HOUR, is_synced=True)
    board.hear(by_bridge(range(35), HOUR))
    board.set(35)
    board.hear(by_bridge(range(35, 60), 0)).finish()
    assert board.said(UnsyncedRecord) == []
    assert {s[0] for s in board.segments} == {1, 2}


def test_a_device_that_is_minutes_off_is_placed_by_when_it_arrives():
    def late(second: int) -> Message:
        return replace(wrist(second, shift_us=-180 * S), received_us=FIRST + (second + 1) * S)

    def heard(clock: str) -> Board:
        board = Board()
        devices = board.pipeline._config.stations["pack-1"].devices
        devices["imu-rw"] = msgspec.structs.replace(devices["imu-rw"], clock=clock)
        scans = [beat("event", "scan", second) for second in range(0, 60, 5)]
        said = sorted([*map(late, range(60)), *scans], key=lambda one: one.received_us)
        return board.hear(said).finish()

    assert heard("device").device("imu-rw").late > 500
    board = heard("arrival")
    assert board.device("imu-rw").late == 0
    assert [s[1] for s in board.segments][-3:] == ["pick", "pack", "ship"]
    assert board.segments[-1][3] == pytest.approx(60, abs=1)


def test_a_replay_of_the_past_is_not_by_the_boards_clock():
    board = Set(0)
    board.hear(replace(m, received_us=m.received_us + YEARS) for m in by_itself(range(40), 0))
    board.finish()
    assert board.said(UnsyncedRecord) == []


def test_a_clock_that_is_found_to_be_right_vouches_for_what_it_timed():
    board = Set(0)
    board.hear(by_bridge(range(20), 0))
    board.pipeline.board = BoardTime(True, BOOT, 0)
    board.pipeline.synced()
    board.hear(by_bridge(range(20, 40), 0)).finish()
    assert [one.what for one in board.said(ClockRecord)] == ["synced"]
    assert len(board.said(UnsyncedRecord)) == 1
