"""What can not be written is kept, tried again, and written once."""

import sqlite3
from contextlib import closing

import pytest

from edge import sqlite_log
from edge.sqlite_log import LogError, SqliteLog
from edge.storage import writing
from edge.storage.reserve import Reserve
from edge.storage.retention import Retention
from edge.storage.writing import MOST_S, Writing
from tests.edge.test_sqlite_log import model, read, segment


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.db"


@pytest.fixture
def log(path, monkeypatch):
    monkeypatch.setattr(sqlite_log, "BUSY_S", 0.01)
    with closing(SqliteLog(path)) as log:
        log.write([model("imu")])
        yield log


@pytest.fixture
def to(log, path):
    return Writing(log, Reserve(path, 0), Retention({}, 0))


def write(to: Writing, *records, now_s: float = 0.0) -> bool:
    return to.write(list(records), [], 1_000_000, now_s, is_lasting=False)


@pytest.mark.fault("F35")
def test_a_batch_that_met_a_lock_is_tried_again_at_growing_intervals_and_written_once(
    to, path, caplog
):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not write(to, segment("Picking", 0, 1))
        tries = [s / 10 for s in range(1, 200) if not to.again(s / 10) and to._next_s > s / 10 + 1]
        assert to._next_s - tries[-1] <= MOST_S
        assert to.health()["state"] == "waiting"
        assert "locked" in to.health()["error"]
        assert read(path, "SELECT count(*) FROM segments") == [(0,)]
        other.execute("ROLLBACK")
    assert to.again(40.0), "by a new connection, after so long"
    assert write(to, segment("Scan", 1, 2), now_s=41.0)
    assert read(path, "SELECT label FROM segments") == [("Picking",), ("Scan",)]
    assert read(path, "SELECT event, until_us - at_us, detail FROM log_events") == [
        ("waited", 40_000_000, "database is locked")
    ]
    assert to.health()["state"] == "writing"
    said = [one.message for one in caplog.records]
    assert len([one for one in said if "waiting" in one]) == 1


def test_a_full_log_takes_the_reserve_first(log, path, monkeypatch):
    reserve = Reserve(path, 100_000)
    assert reserve.make()
    to = Writing(log, reserve, Retention({}, 0))
    pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
    log._connection.execute(f"PRAGMA max_page_count = {pages}")
    release = Reserve.release

    def makes_room(self: Reserve) -> bool:
        log._connection.execute("PRAGMA max_page_count = 100000")
        return release(self)

    monkeypatch.setattr(Reserve, "release", makes_room)
    assert to.write([segment("Scan", i, i + 1) for i in range(1000)], [], 0, 0.0, is_lasting=False)
    assert not reserve.is_there
    assert not to.health()["reserve"]
    to.watch(100.0)
    assert reserve.is_there, "made anew once there is room"


def test_a_record_that_the_schema_refuses_is_no_matter_of_waiting(to):
    with pytest.raises(LogError, match="CHECK constraint"):
        write(to, segment("Scan", 9, 5))
    assert not to.is_waiting


@pytest.mark.fault("F36")
def test_a_reader_that_does_not_let_go_holds_nothing_up_and_is_told_of(
    to, log, path, monkeypatch, caplog
):
    monkeypatch.setattr(writing, "WAL_ALARM_BYTES", 1 << 20)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM segments").fetchone()
        for session in range(1, 9):
            batch = [segment("Scan", i, i + 1, session=session) for i in range(1000)]
            assert write(to, *batch)
            to.watch(float(session))
        assert to.health()["wal_is_long"]
        assert log.size_bytes[1] > 1 << 20
        assert len([one for one in caplog.records if "keep a query open" in one.message]) == 1
        reader.execute("ROLLBACK")
    to.watch(60.0)
    assert log.size_bytes[1] == 0, "emptied as soon as the reader let go"
    to.watch(61.0)
    assert not to.health()["wal_is_long"]
