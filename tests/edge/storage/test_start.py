"""A log that is damaged is set aside, one of another version is copied first or left alone."""

import json
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from edge.sqlite_log import LogError, SqliteLog, refuse_unfit
from edge.storage import look, start
from edge.storage.copies import PAGE_BYTES, salvage
from edge.storage.lock import Lock
from edge.storage.wal import survey
from tests.edge.test_sqlite_log import STATION, in_a_row, model, read, segment

NOW_US = 1_795_000_000_000_000  # 2026-11-18 11:06:40
ASIDE = "board.db.damaged-20261118T110640Z"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.db"


def filled(path: Path, rows: int = 2000) -> bytes:
    """Write a log, close it, and return its content."""
    with closing(SqliteLog(path, NOW_US)) as log:
        log.write([model("imu"), STATION, *in_a_row(*[("Picking", 1)] * rows)])
    return path.read_bytes()


def killed(path: Path) -> tuple[bytes, bytes]:
    """Return file and write-ahead log of a board that was killed after three batches."""
    with closing(SqliteLog(path, NOW_US)) as log:
        log.write([model("imu"), STATION, segment("Picking", 0, 1)])
        log._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        log.write([segment("Scan", 1, 2)])
        log.write([segment("Assemble", 2, 3)])
        log.write([segment("Picking", 3, 4)])
        return path.read_bytes(), path.with_name("board.db-wal").read_bytes()


def names(path: Path) -> set[str]:
    return {one.name for one in path.parent.iterdir()}


def overwritten(content: bytes) -> bytes:
    return content[: len(content) // 2] + b"\x5a" * (len(content) - len(content) // 2)


@pytest.mark.fault("F34")
@pytest.mark.parametrize(
    "harm",
    [
        overwritten,
        lambda content: content[: len(content) // 2],
        lambda content: b"\0" * 4096 + content[4096:],
        lambda content: bytes(len(content)),
    ],
    ids=["a page", "cut short", "no header", "zeros"],
)
def test_a_damaged_log_is_set_aside_as_it_is_and_a_new_one_begins(path, harm):
    broken = harm(filled(path))
    path.write_bytes(broken)
    with closing(SqliteLog(path, NOW_US)) as log:
        log.write([model("imu"), segment("Scan", 0, 1)])
    assert names(path) == {"board.db", ASIDE}
    assert path.with_name(ASIDE).read_bytes() == broken
    assert read(path, "SELECT label FROM segments") == [("Scan",)]
    ((event, at_us, detail),) = read(path, "SELECT event, at_us, detail FROM log_events")
    assert (event, at_us) == ("set_aside", NOW_US)
    assert detail.startswith(f"{ASIDE}: found ")


@pytest.mark.fault("F34")
def test_a_second_damaged_log_of_the_same_second_takes_no_others_name(path):
    for _ in range(2):
        path.write_bytes(overwritten(filled(path)))
        SqliteLog(path, NOW_US).close()
    assert {ASIDE, f"{ASIDE}-2"} < names(path)


@pytest.mark.fault("F34")
def test_a_write_ahead_log_of_garbage_is_kept_and_the_file_goes_on(path):
    file, wal = killed(path)
    path.write_bytes(file)
    path.with_name("board.db-wal").write_bytes(b"\x5a" * len(wal))
    SqliteLog(path, NOW_US).close()
    assert read(path, "SELECT label FROM segments") == [("Picking",)]
    assert path.with_name(f"{ASIDE}-wal").read_bytes() == b"\x5a" * len(wal)
    assert [event for (event,) in read(path, "SELECT event FROM log_events")] == ["set_aside"]


@pytest.mark.fault("F34")
def test_a_write_ahead_log_cut_short_gives_all_whole_batches_before(path):
    file, wal = killed(path)
    first = survey(path.with_name("board.db-wal"))
    path.write_bytes(file)
    page_bytes = struct.unpack(">I", wal[8:12])[0]
    ends = _commits(wal, page_bytes)
    path.with_name("board.db-wal").write_bytes(wal[: 32 + (page_bytes + 24) * (ends[0] + 1)])
    SqliteLog(path, NOW_US).close()
    assert first.frames == 0, "closed by now"
    assert read(path, "SELECT label FROM segments ORDER BY start_us") == [("Picking",), ("Scan",)]


@pytest.mark.fault("F31")
def test_a_batch_that_a_kill_cut_off_is_no_damage(path):
    file, wal = killed(path)
    page_bytes = struct.unpack(">I", wal[8:12])[0]
    path.write_bytes(file)
    path.with_name("board.db-wal").write_bytes(wal[:-page_bytes])  # its last page's head is there
    SqliteLog(path, NOW_US).close()
    assert read(path, "SELECT count(*) FROM segments") == [(3,)]
    assert read(path, "SELECT * FROM log_events") == []


@pytest.mark.fault("F34")
def test_batches_behind_a_broken_page_are_said_to_be_gone_and_a_copy_is_kept(path):
    file, wal = killed(path)
    page_bytes = struct.unpack(">I", wal[8:12])[0]
    at = 32 + (page_bytes + 24) * _commits(wal, page_bytes)[0] + 24 + 100
    broken = wal[:at] + bytes([wal[at] ^ 1]) + wal[at + 1 :]
    path.write_bytes(file)
    path.with_name("board.db-wal").write_bytes(broken)
    SqliteLog(path, NOW_US).close()
    assert read(path, "SELECT label FROM segments ORDER BY start_us") == [("Picking",), ("Scan",)]
    assert path.with_name(f"{ASIDE}-wal").read_bytes() == broken
    ((event, detail),) = read(path, "SELECT event, detail FROM log_events")
    assert event == "broken_off"
    assert "at least 1 batches behind that are not in the log" in detail


def _commits(wal: bytes, page_bytes: int) -> list[int]:
    """Return after how many pages each transaction of a write-ahead log ends."""
    sizes = [
        struct.unpack(">I", wal[at + 4 : at + 8])[0]
        for at in range(32, len(wal), page_bytes + 24)
    ]  # fmt: skip
    return [number + 1 for number, size in enumerate(sizes) if size]


def test_a_log_that_was_killed_while_it_was_created_begins_anew(path):
    path.write_bytes(b"")
    path.with_name("board.db-wal").write_bytes(b"")
    SqliteLog(path, NOW_US).close()
    assert read(path, "SELECT count(*) FROM log_events") == [(0,)]


@pytest.mark.fault("F34")
def test_damage_met_while_writing_lets_the_next_start_read_the_whole_log(path, monkeypatch):
    monkeypatch.setattr(start, "AT_ONCE_BYTES", 0)  # too large to be read at once
    content = filled(path)
    with closing(SqliteLog(path, NOW_US)) as log:
        assert log._check is not None
        log._check.wait()
        log.inspect()
    path.write_bytes(overwritten(content))
    log = SqliteLog(path, NOW_US)
    try:
        assert log._check is not None
        log._check.wait()
        with pytest.raises(LogError, match="damage"):
            log.inspect()
    finally:
        log.close()
    assert "board.db.suspect" in names(path)
    SqliteLog(path, NOW_US).close()
    assert ASIDE in names(path)
    assert "board.db.suspect" not in names(path)


def test_a_log_that_is_moved_away_under_the_board_is_said(path):
    with closing(SqliteLog(path)) as log:
        log.inspect()
        path.rename(path.with_name("elsewhere.db"))
        with pytest.raises(LogError, match="moved or deleted"):
            log.inspect()


def test_check_says_what_the_next_start_will_do_and_changes_nothing(path):
    path.write_bytes(overwritten(filled(path)))
    before = {name: (path.parent / name).read_bytes() for name in names(path)}
    assert "the next start sets it aside" in refuse_unfit(path)
    assert {name: (path.parent / name).read_bytes() for name in names(path)} == before


def test_a_second_program_on_one_log_is_refused_while_the_first_lives(path, monkeypatch):
    monkeypatch.setattr("edge.storage.lock.PATIENCE_S", 0.1)
    with closing(SqliteLog(path)), pytest.raises(LogError, match=r"in use by process \d+"):
        Lock(path, patience_s=0.1)
    SqliteLog(path).close()


# --- what a damaged log yields ---


@pytest.mark.fault("F34")
def test_rows_on_both_sides_of_a_broken_page_are_recovered(path, tmp_path):
    content = bytearray(filled(path))
    with closing(sqlite3.connect(path)) as reader:
        pages = [
            number
            for (number,) in reader.execute(
                "SELECT pageno FROM dbstat WHERE name = 'segments' AND pagetype = 'leaf'"
            )
        ]
    page_bytes = struct.unpack(">H", content[16:18])[0]
    at = (pages[len(pages) // 2] - 1) * page_bytes
    content[at : at + page_bytes] = b"\x5a" * page_bytes
    path.write_bytes(content)
    to = tmp_path / "found.db"
    SqliteLog(to).close()
    found = salvage(path, to)
    rows, is_whole = found["segments"]
    assert not is_whole
    assert 1900 < rows < 2000
    assert found["stations"] == (1, True)
    assert read(to, "SELECT count(*), min(start_us) < max(start_us) FROM segments") == [(rows, 1)]


# --- versions ---


def of_schema(path: Path, newest: int) -> None:
    """Make a small log as the program wrote it whose newest schema had this number."""
    migrations = Migrations(look.MIGRATION_SET)
    for file in sorted(look.SCHEMA.glob("*.sql"))[:newest]:
        sql = file.read_text(encoding="utf-8")
        migrations(name=file.stem)(lambda db, sql=sql: db.executescript(sql))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        migrations.apply(Database(connection, execute_plugins=False))
        manifest = json.dumps({"levels": [{"name": "operation", "labels": ["Picking"]}]})
        connection.execute(
            "INSERT INTO models (name, sha256, modality, engine, manifest, loaded_us)"
            " VALUES ('imu', 'ab', 'imu', 'litert', ?, 1)",
            (manifest,),
        )
        connection.execute(
            "INSERT INTO segments VALUES"
            " ('1', 'pack-1', 'imu', 'ab', 'imu', 1, 'operation', 'Picking', '', 5, 9, 0.9, 0.8,"
            " 'closed', 10)"
        )
        if newest >= 4:
            connection.execute("INSERT INTO outbox VALUES ('1', 'end', 'a/b', '{}')")


@pytest.mark.fault("F37")
@pytest.mark.parametrize("version", range(1, look.newest_version()))
def test_a_log_of_every_released_schema_is_copied_and_brought_up_to_date(path, version):
    of_schema(path, version)
    with closing(SqliteLog(path, NOW_US)) as log:
        assert len(log.unsent(9)) == (version >= 4)
    kept = path.with_name(f"board.db.before-{look.newest_version()}")
    assert (look.look(kept, whole=True), look.look(path, whole=True)) == (
        version,
        look.newest_version(),
    )
    assert read(path, "SELECT label FROM segments") == read(kept, "SELECT label FROM segments")
    ((event, detail),) = read(path, "SELECT event, detail FROM log_events")
    assert (event, kept.name in detail) == ("migrated", True)
    SqliteLog(path, NOW_US).close()
    assert read(path, "SELECT count(*) FROM log_events") == [(1,)]


@pytest.mark.fault("F37")
def test_without_room_for_a_copy_an_older_log_is_left_alone(path, monkeypatch):
    of_schema(path, 3)
    before = path.read_bytes()
    monkeypatch.setattr("edge.storage.copies.free_bytes", lambda folder: 10)
    with pytest.raises(LogError, match=r"expected 0 MB for a copy"):
        SqliteLog(path)
    assert path.read_bytes() == before
    assert not [name for name in names(path) if "before" in name or "part" in name]


def test_a_new_log_has_the_pages_that_were_chosen(path):
    SqliteLog(path).close()
    assert read(path, "PRAGMA page_size") == [(PAGE_BYTES,)]
