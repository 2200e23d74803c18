"""Old rows go, oldest first, a few at a time; what goes on and what others refer to stays."""

from contextlib import closing
from dataclasses import replace

import pytest

from edge import config
from edge.records import GapRecord, LogEventRecord, SegmentRecord
from edge.sqlite_log import SqliteLog
from edge.storage.clock_trust import WEEK_US, ClockTrust
from edge.storage.retention import DAY_US, PASS_S, ROWS, TABLES, Retention
from sensor_adapters.settings import ConfigError
from tests.edge.test_sqlite_log import (
    HOUR_US,
    MIDNIGHT_US,
    SECOND_US,
    device,
    in_a_row,
    many,
    model,
    read,
    segment,
    switch,
)
from tests.live import site_of

NOW_US = MIDNIGHT_US + 10 * DAY_US


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.db"


@pytest.fixture
def log(path):
    with closing(SqliteLog(path)) as log:
        log.write([model("imu"), model("camera")])
        yield log


def keep(days: float, **tables: float) -> dict[str, float]:
    return dict.fromkeys(TABLES, days) | tables


def trimmed(log: SqliteLog, retention: Retention, *, by_age: bool = True) -> list[int]:
    """Return how many rows each step of a whole pass deleted."""
    steps = []
    while gone := log.trim(retention, NOW_US, 0.0, by_age=by_age):
        steps.append(gone)
    return steps


def test_segments_older_than_asked_go_in_small_steps(log, path):
    old = in_a_row(*[("Picking", 10)] * 1000)  # ten days ago
    young = [segment("Scan", 9.5 * 86400 + i, 9.5 * 86400 + i + 1) for i in range(50)]
    log.write([*old, *young])
    steps = trimmed(log, Retention(keep(1), 0))
    assert steps == [ROWS] * 10
    assert read(path, "SELECT label, count(*) FROM segments GROUP BY label") == [("Scan", 50)]


def test_for_ever_is_for_ever(log, path):
    log.write([segment("Picking", 0, 1)])
    assert not Retention(keep(0), 0).is_due(0.0)


def test_an_open_segment_stays_however_old(log, path):
    log.write([segment("Picking", 0, 1, state="open"), segment("Scan", 1, 2)])
    trimmed(log, Retention(keep(1), 0))
    assert read(path, "SELECT label FROM segments") == [("Picking",)]


def test_each_table_is_kept_as_long_as_it_says(log, path):
    gap = GapRecord("packing-1", "imu", 1, MIDNIGHT_US, MIDNIGHT_US + 5, "silent")
    log.write([segment("Picking", 0, 1), gap, replace(gap, start_us=MIDNIGHT_US + 9, end_us=None)])
    trimmed(log, Retention(keep(1, gaps=30), 0))
    assert read(path, "SELECT count(*) FROM segments") == [(0,)]
    assert read(path, "SELECT count(*) FROM gaps") == [(2,)]
    trimmed(log, Retention(keep(1), 0))
    assert read(path, "SELECT end_us FROM gaps") == [(None,)], "one without an end stays"


def test_who_was_heard_when_the_oldest_row_began_stays_known(log, path):
    log.write([switch(0, "", "a"), switch(60, "a", "b"), switch(9 * 86400 + 7200, "b", "a")])
    trimmed(log, Retention(keep(1), 0))
    rows = read(path, "SELECT after FROM switches ORDER BY at_us")
    assert rows == [("b",), ("a",)]


def test_a_stations_newest_session_stays_so_that_no_number_comes_twice(log, path):
    log.write([device(session=4), device(session=5), replace(device(session=5), device="other")])
    trimmed(log, Retention(keep(1), 0))
    assert read(path, "SELECT session, device FROM device_states ORDER BY device") == [
        (5, "other"),
        (5, "wrist-7"),
    ]
    assert log.next_session("packing-1") == 6


def test_events_of_the_log_go_too(log, path):
    log.write([LogEventRecord("waited", MIDNIGHT_US, MIDNIGHT_US + 1, "database is locked")])
    trimmed(log, Retention(keep(1), 0))
    assert read(path, "SELECT count(*) FROM log_events") == [(0,)]


def test_models_stay(log, path):
    log.write([segment("Picking", 0, 1)])
    trimmed(log, Retention(keep(1), 0))
    assert read(path, "SELECT name FROM models ORDER BY name") == [("camera",), ("imu",)]


def test_rows_of_a_clock_that_was_never_set_have_no_age(log, path):
    born = segment("Picking", 0, 1)
    early = replace(born.segment, start_us=5, end_us=SECOND_US)
    log.write([replace(born, segment=early), segment("Scan", 1, 2)])
    trimmed(log, Retention(keep(1), 0))
    assert read(path, "SELECT label FROM segments") == [("Picking",)]


def test_a_log_of_too_many_bytes_loses_its_oldest_rows_and_grows_no_more(log, path):
    records = [r for r in many(8_000) if isinstance(r, SegmentRecord)]
    half = len(records) // 2
    log.write(records[:half])
    most_bytes = 800_000
    retention = Retention(keep(0), most_bytes)
    sizes = []
    for i in range(half, len(records), 200):
        log.write(records[i : i + 200])
        trimmed(log, retention)
        sizes.append(log.size_bytes[0] + log.size_bytes[1])
    pages, free, page_bytes = (
        read(path, f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size")
    )
    assert (pages - free) * page_bytes <= most_bytes
    assert read(path, "SELECT max(emitted_us) FROM segments") == [
        (max(r.emitted_us for r in records),)
    ]
    left = read(path, "SELECT min(rowid), max(rowid), count(*) FROM segments")[0]
    assert left[1] - left[0] + 1 == left[2], "the oldest went, and none between"


def test_where_nothing_may_go_it_is_said_and_nothing_goes(log, path):
    log.write([segment("Picking", i, i + 1, state="open") for i in range(2000)])
    retention = Retention(keep(0), 100_000)
    trimmed(log, retention)
    assert retention.is_stuck
    assert read(path, "SELECT count(*) FROM segments") == [(2000,)]


def test_between_two_passes_nothing_is_looked_for(log):
    retention = Retention(keep(1), 0)
    assert log.trim(retention, NOW_US, 100.0, by_age=True) == 0
    assert not retention.is_due(100.0 + PASS_S - 1)
    assert retention.is_due(100.0 + PASS_S)


def test_a_step_costs_the_same_in_a_large_log(log, path):
    log.write([r for r in many(10_000) if isinstance(r, SegmentRecord)])
    work = 0

    def count() -> int:
        nonlocal work
        work += 100
        return 0

    retention = Retention(keep(1), 0)
    log._connection.set_progress_handler(count, 100)
    assert log.trim(retention, NOW_US + 365 * DAY_US, 0.0, by_age=True) == ROWS
    assert work < 50 * ROWS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "keep_days = -1",
            r"log\.keep_days is -1.*expected .*0 or more|log\.keep_days is -1.*at least 0",
        ),
        ("keep_table_days = { models = 3 }", r"keep_table_days\.models .* one of the tables segm"),
        ("max_mb = -5", r"log\.max_mb is -5"),
    ],
)
def test_what_can_not_be_kept_so_is_refused_with_its_key(tmp_path, line, words):
    site = tmp_path / "site.toml"
    text = site_of(1883, "imu", {"wrist": ("imu", "right_wrist")})
    site.write_text(text.replace("[broker]", f"[log]\n{line}\n[broker]"))
    with pytest.raises(ConfigError, match=words):
        config.load(site)


# --- the clock by which rows go ---


def test_a_clock_that_leapt_ahead_is_not_believed_until_it_is_synchronised():
    trust = ClockTrust(newest_us=MIDNIGHT_US, now_s=50.0)
    week_us = MIDNIGHT_US + WEEK_US
    assert trust.is_trusted(week_us, 50.0, is_synchronised=False), "the board was off for a week"
    leapt_us = week_us + 60 * HOUR_US
    assert not trust.is_trusted(leapt_us, 60.0, is_synchronised=False)
    assert trust.is_trusted(leapt_us, 60.0, is_synchronised=True)
    assert trust.is_trusted(leapt_us, 50.0 + 61 * 3600, is_synchronised=False), "time passed"


def test_rows_do_not_go_by_a_clock_that_is_not_believed(log, path):
    log.write([segment("Picking", 0, 1)])
    trimmed(log, Retention(keep(1), 0), by_age=False)
    assert read(path, "SELECT count(*) FROM segments") == [(1,)]
