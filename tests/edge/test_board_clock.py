"""The board's clock is UTC: slewing is followed, setting it is news, local time is nobody's."""

import contextlib
import os
import sqlite3
import time

import pytest

from edge.board_clock import LEAP_US, BoardClock
from edge.records import ModelRecord, SegmentRecord
from edge.segments import Segment
from edge.sqlite_log import SqliteLog
from tests.edge.models import S

FALL_BACK_US = 1_793_512_800 * S
"""2026-11-01 06:00 UTC: in New York it is 2 o'clock, and becomes 1 o'clock."""


class Steered(BoardClock):
    """A clock whose system's time is steered by the test."""

    steered_us = 0

    def _read_us(self) -> int:
        return super()._read_us() + self.steered_us


@pytest.mark.fault("F29")
def test_a_clock_that_is_slewed_is_followed_and_nothing_leaps():
    clock = Steered()
    before_us = clock.now_us()
    for _ in range(100):
        clock.steered_us += LEAP_US // 10
        assert clock.look() == 0
    assert clock.now_us() - before_us == pytest.approx(10 * LEAP_US, abs=LEAP_US // 2)
    assert clock.leaps == 0


def test_a_clock_that_is_set_says_by_how_much():
    clock = Steered()
    for by_us in (3600 * S, -3600 * S, 2 * LEAP_US):
        clock.steered_us += by_us
        assert clock.look() == pytest.approx(by_us, abs=LEAP_US // 10)
        assert clock.look() == 0
    assert clock.leaps == 3


@pytest.fixture
def new_york():
    """Let the machine keep New York's time."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.fault("F27")
@pytest.mark.parametrize("change_us", [FALL_BACK_US, 1_772_953_200 * S])
def test_where_clocks_change_no_row_moves_and_no_hour_is_there_twice(tmp_path, new_york, change_us):
    log = SqliteLog(tmp_path / "log.db", change_us)
    manifest = '{"levels": [{"name": "operation", "labels": ["Pick", "Pack"]}]}'
    log.write([ModelRecord("imu", "0" * 64, "imu", "litert", manifest, change_us)])
    starts = range(change_us - 3 * 3600 * S, change_us + 3 * 3600 * S, 600 * S)
    log.write(
        SegmentRecord(
            "pack-1", "imu", "imu", 1,
            Segment("operation", ("Pick", "Pack")[n % 2], "", at, at + 600 * S, 0.9, 1.0, "closed"),
            at,
        )
        for n, at in enumerate(starts)
    )  # fmt: skip
    log.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "log.db")) as reader:
        said = reader.execute("SELECT start_utc, duration_s FROM segments_readable ORDER BY 1")
        rows = said.fetchall()
        hours = reader.execute("SELECT hour_utc, cycles FROM throughput_per_hour").fetchall()
    utc = [time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime(at // S)) for at in starts]
    assert rows == [(one, 600.0) for one in utc]
    assert len({hour for hour, _ in hours}) == len(hours) == 6
    assert {cycles for _, cycles in hours[1:]} == {3}
