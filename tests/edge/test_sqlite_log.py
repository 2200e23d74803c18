import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge import sqlite_log
from edge.records import (
    DeviceRecord,
    GapRecord,
    ModelRecord,
    Record,
    SegmentRecord,
    StationRecord,
    SwitchRecord,
)
from edge.segments import Segment
from edge.sqlite_log import LogError, SqliteLog
from edge.storage import look
from edge.timeline import NEVER_US

REPOSITORY = Path(sqlite_log.__file__).parents[1]
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
MIDNIGHT_US = 1_773_446_400 * SECOND_US  # 2026-03-14 00:00 UTC
OPERATIONS = ["Picking", "Assemble", "Scan", "Null"]
ACTIONS = ["Grasp", "Bend", "Beep"]
MANIFEST = json.dumps(
    {
        "data_license": "none",
        "levels": [
            {"name": "operation", "labels": OPERATIONS},
            {"name": "action", "labels": ACTIONS, "parents": OPERATIONS[:3]},
        ],
    }
)
STATION = StationRecord("hall", "jetson-1", "packing-1", "imu,camera", MIDNIGHT_US)
GAP = GapRecord("packing-1", "imu", 1, MIDNIGHT_US, None, "silent")


def model(name: str, sha256: str = "ab" * 32, manifest: str = MANIFEST) -> ModelRecord:
    return ModelRecord(name, sha256, name, "litert", manifest, MIDNIGHT_US)


def device(**changes: object) -> DeviceRecord:
    wrist = DeviceRecord(
        "packing-1", "wrist-7", "imu", "right_wrist", 1, "online", "b1",
        MIDNIGHT_US, MIDNIGHT_US + SECOND_US, 10, 100, 1, 2, 3, 4,
    )  # fmt: skip
    return replace(wrist, **changes)  # type: ignore[arg-type]


def segment(
    label: str,
    start_s: float,
    end_s: float,
    *,
    bundle: str = "imu",
    session: int = 1,
    level: str = "operation",
    parent: str = "",
    state: str = "closed",
) -> SegmentRecord:
    start_us = MIDNIGHT_US + round(start_s * SECOND_US)
    end_us = MIDNIGHT_US + round(end_s * SECOND_US)
    seen = Segment(level, label, parent, start_us, end_us, 0.9, 0.8, state)  # type: ignore[arg-type]
    return SegmentRecord("packing-1", bundle, bundle, session, seen, end_us + SECOND_US)


def switch(at_s: int, before: str, after: str, session: int = 1) -> SwitchRecord:
    at_us = MIDNIGHT_US + at_s * SECOND_US
    return SwitchRecord("packing-1", "imu", session, at_us, before, after)


def in_a_row(*steps: tuple[str, float], **where: object) -> list[Record]:
    """Return segments of these labels and lengths in seconds, one after the other."""
    records: list[Record] = []
    at_s = 0.0
    for label, length_s in steps:
        records.append(segment(label, at_s, at_s + length_s, **where))  # type: ignore[arg-type]
        at_s += length_s
    return records


def read(path: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        return reader.execute(query).fetchall()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.db"


@pytest.fixture
def log(path):
    with closing(SqliteLog(path)) as log:
        log.write([model("imu"), model("camera"), STATION])
        yield log


# --- what is written ---


def test_a_segment_is_one_row_that_its_end_completes(log, path):
    begun = segment("Picking", 0, 1, state="open")
    ended = segment("Picking", 0, 12)
    log.write([begun])
    assert read(path, "SELECT label, state FROM segments") == [("Picking", "open")]
    log.write([ended])
    rows = read(path, "SELECT id, state, end_us - start_us, confidence, observed FROM segments")
    assert rows == [(begun.id, "closed", 12 * SECOND_US, 0.9, 0.8)]


def test_beginning_and_end_may_come_in_one_batch(log, path):
    log.write([segment("Picking", 0, 1, state="open"), segment("Picking", 0, 12)])
    assert read(path, "SELECT state FROM segments") == [("closed",)]


def test_what_is_said_again_changes_nothing(log, path):
    batch = [segment("Picking", 0, 1, state="open"), segment("Picking", 0, 9), GAP, device()]
    log.write(batch)
    before = [read(path, f"SELECT * FROM {t}") for t in ("segments", "gaps", "device_states")]
    again = [replace(r, emitted_us=9) if isinstance(r, SegmentRecord) else r for r in batch]
    log.write(again)
    after = [read(path, f"SELECT * FROM {t}") for t in ("segments", "gaps", "device_states")]
    assert after == before


def test_a_gap_is_closed_when_the_inputs_return_and_stays_closed(log, path):
    log.write([GAP])
    assert read(path, "SELECT end_us FROM gaps") == [(None,)]
    log.write([replace(GAP, end_us=MIDNIGHT_US + 5)])
    log.write([GAP])
    assert read(path, "SELECT end_us - start_us FROM gaps") == [(5,)]


def test_a_device_has_one_row_a_session_with_its_newest_counts(log, path):
    log.write([device(), device(messages=20, lost=5, status="offline"), device(session=2)])
    rows = read(path, "SELECT session, messages, lost, status FROM device_states")
    assert rows == [(1, 20, 5, "offline"), (2, 10, 3, "online")]


def test_a_device_that_gave_no_reading_has_no_reading_time(log, path):
    log.write([device(first_us=NEVER_US, last_us=NEVER_US)])
    assert read(path, "SELECT first_us, last_us FROM device_states") == [(None, None)]


def test_each_segment_tells_which_model_of_a_name_made_it(log, path):
    log.write([segment("Picking", 0, 1)])
    log.write([model("imu", sha256="cd" * 32)])
    log.write([segment("Scan", 1, 2)])
    rows = read(path, "SELECT label, model_sha256 FROM segments ORDER BY start_us")
    assert rows == [("Picking", "ab" * 32), ("Scan", "cd" * 32)]


def test_after_a_restart_the_latest_model_of_a_name_counts(log, path):
    log.write([replace(model("imu", sha256="cd" * 32), loaded_us=MIDNIGHT_US + 1)])
    log.close()
    with closing(SqliteLog(path)) as again:
        again.write([segment("Scan", 1, 2)])
    assert read(path, "SELECT model_sha256 FROM segments") == [("cd" * 32,)]


def test_a_segment_of_an_unknown_model_is_refused(log):
    with pytest.raises(LogError, match=r"segment of model 'radar', expected .*camera, imu"):
        log.write([segment("Picking", 0, 1, bundle="radar")])


def test_a_batch_is_written_whole_or_not_at_all(log, path):
    with pytest.raises(LogError, match=r"board\.db: found CHECK constraint failed"):
        log.write([segment("Picking", 0, 5), GAP, segment("Scan", 9, 5)])
    assert read(path, "SELECT count(*) FROM segments") == [(0,)]
    log.write([segment("Picking", 0, 5)])
    assert read(path, "SELECT count(*) FROM segments") == [(1,)]


def test_a_full_disk_is_said_and_takes_nothing_back(log, path):
    log.write([segment("Picking", 0, 5)])
    pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
    log._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LogError, match="full"):
        log.write([segment("Scan", i, i + 1, session=2) for i in range(1000)])
    assert read(path, "SELECT label FROM segments") == [("Picking",)]


def test_sessions_are_numbered_per_station_after_all_that_the_log_knows(log):
    assert log.next_session("packing-1") == 1
    log.write([segment("Picking", 0, 5, session=3)])
    assert log.next_session("packing-1") == 4
    log.write([device(session=7)])
    assert log.next_session("packing-1") == 8
    log.write([switch(0, "", "wrist", session=9)])
    assert log.next_session("packing-1") == 10
    assert log.next_session("packing-2") == 1


# --- readers, crashes, restarts ---


def test_a_reader_sees_each_batch_as_soon_as_it_is_written(log, path):
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        for i in range(20):
            log.write([segment("Picking", i, i + 1)])
            assert reader.execute("SELECT count(*) FROM segments").fetchone() == (i + 1,)


def test_a_reader_in_the_middle_of_a_query_does_not_hold_the_writer_up(log, path):
    log.write(in_a_row(("Picking", 5), ("Scan", 5)))
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        rows = reader.execute("SELECT label FROM segments ORDER BY start_us")
        assert rows.fetchone() == ("Picking",)
        log.write([segment("Assemble", 10, 15)])
        assert rows.fetchall() == [("Scan",)]


def test_after_close_the_file_alone_holds_everything(log, path):
    log.write([segment("Picking", 0, 5)])
    log.close()
    assert [p.name for p in path.parent.iterdir()] == ["board.db"]


WRITER = """
import sys
from pathlib import Path
from edge.records import ModelRecord, SegmentRecord
from edge.segments import Segment
from edge.sqlite_log import SqliteLog

log = SqliteLog(Path(sys.argv[1]))
session = log.next_session("packing-1")
log.write([ModelRecord("imu", "ab", "imu", "litert", "{}", 0)])
for i in range(10**9):
    batch = []
    for k in range(3):
        seen = Segment("operation", f"label {k}", "", 3 * i + k, 3 * i + k + 1, 0.9, 0.8, "open")
        batch.append(SegmentRecord("packing-1", "imu", "imu", session, seen, i))
    log.write(batch)
    print(*[record.id for record in batch], flush=True)
"""


@pytest.mark.fault("F30")
def test_a_killed_writer_leaves_every_row_that_it_reported(path):
    reported: set[str] = set()
    for lines in (1, 300):  # each goes on in the file that the last one left
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        assert process.stdout is not None
        with process, process.stdout:
            for _ in range(lines):
                reported.update(process.stdout.readline().split())
            process.send_signal(signal.SIGKILL)
            whole = [line for line in process.stdout if line.endswith("\n")]
            reported.update(id_ for line in whole for id_ in line.split())
        assert process.returncode == -signal.SIGKILL
        assert read(path, "PRAGMA integrity_check") == [("ok",)]
        written = read(path, "SELECT id FROM segments")
        assert reported <= {id_ for (id_,) in written}
        assert len(written) % 3 == 0  # no batch was torn
    assert len(reported) >= 3 * (1 + 300)


def test_a_log_is_opened_again_with_all_it_held(log, path):
    log.write([segment("Picking", 0, 5)])
    log.close()
    with closing(SqliteLog(path)) as again:
        again.write([segment("Scan", 5, 6)])
    assert read(path, "SELECT count(*) FROM segments") == [(2,)]


def test_a_second_writer_that_does_not_let_go_is_said(path, monkeypatch):
    monkeypatch.setattr(sqlite_log, "BUSY_S", 0.01)
    with closing(SqliteLog(path)) as log, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogError, match=r"board\.db: found database is locked"):
            log.write([STATION])
        other.rollback()
        log.write([STATION])
    assert read(path, "SELECT station FROM stations") == [("packing-1",)]


# --- what is refused ---


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(LogError, match=r"no folder .*nowhere"):
        SqliteLog(tmp_path / "nowhere" / "board.db")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write in")
def test_a_folder_that_can_not_be_written_in_is_named():
    with pytest.raises(LogError, match=r"/proc/board\.db: found "):
        SqliteLog(Path("/proc/board.db"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"time,label\n0,Picking\n" * 400, "not a database"),
        (b"SQLite format 3\0" + b"\xff" * 4000, "not a database|damage|malformed"),
    ],
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path, content, words):
    path.write_bytes(content)
    with pytest.raises(LogError, match=words):
        SqliteLog(path)
    assert path.read_bytes() == content


def test_somebody_elses_database_is_refused_and_left_as_it_is(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE invoices (number)")
    content = path.read_bytes()
    with pytest.raises(LogError, match="something else, with tables invoices"):
        SqliteLog(path)
    assert path.read_bytes() == content


@pytest.mark.fault("F37")
def test_a_newer_programs_log_is_refused_with_both_versions(log, path):
    log.close()
    newest = len(list(look.SCHEMA.glob("*.sql")))
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
            (look.MIGRATION_SET, "0099_tomorrow", ""),
        )
        other.commit()
    content = path.read_bytes()
    with pytest.raises(LogError, match=rf"schema version 99, expected {newest} or older"):
        SqliteLog(path)
    assert path.read_bytes() == content


@pytest.mark.fault("F37")
def test_an_older_log_is_brought_up_to_date_with_its_rows(log, path, tmp_path, monkeypatch):
    log.write([segment("Picking", 0, 5)])
    log.close()
    newer = tmp_path / "schema"
    newer.mkdir()
    for file in look.SCHEMA.glob("*.sql"):
        (newer / file.name).write_text(file.read_text())
    (newer / "0098_notes.sql").write_text("ALTER TABLE stations ADD COLUMN note TEXT;")
    monkeypatch.setattr(look, "SCHEMA", newer)
    SqliteLog(path).close()
    assert read(path, "SELECT station, note FROM stations") == [("packing-1", None)]
    assert read(path, "SELECT label FROM segments") == [("Picking",)]


def test_a_migration_that_fails_leaves_the_log_as_it_was(log, path, tmp_path, monkeypatch):
    log.close()
    tables = read(path, "SELECT name FROM sqlite_master")
    newer = tmp_path / "schema"
    newer.mkdir()
    for file in look.SCHEMA.glob("*.sql"):
        (newer / file.name).write_text(file.read_text())
    (newer / "0098_notes.sql").write_text("CREATE TABLE notes (text); DROP TABLE nonsense;")
    monkeypatch.setattr(look, "SCHEMA", newer)
    with pytest.raises(LogError, match="no such table: nonsense"):
        SqliteLog(path)
    assert read(path, "SELECT name FROM sqlite_master") == tables


def test_the_schema_asks_for_nothing_newer_than_sqlite_3_37():
    newer = re.compile(r"->|unixepoch\(|\b(FULL|RIGHT)\s+(OUTER\s+)?JOIN|IS (NOT )?DISTINCT", re.I)
    for file in look.SCHEMA.glob("*.sql"):
        assert newer.findall(file.read_text()) == []


# --- what analysts ask ---


def test_readable_segments_have_times_as_text(log, path):
    log.write([segment("Picking", 9.5 * 3600 + 0.123, 9.5 * 3600 + 2.623)])
    rows = read(path, "SELECT start_utc, end_utc, duration_s FROM segments_readable")
    assert rows == [("2026-03-14 09:30:00.123", "2026-03-14 09:30:02.623", 2.5)]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [((4, 1, 9), (3, 14 / 3, 4, 1, 9)), ((4, 1, 9, 5), (4, 4.75, 4.5, 1, 9))],
)
def test_durations_have_mean_median_and_extremes(log, path, lengths, expected):
    log.write(in_a_row(*[("Picking", s) for s in lengths]))
    log.write([segment("Picking", 100, 190, state="interrupted")])  # not seen to its end
    log.write([segment("Grasp", 0, 50, level="action", parent="Picking")])
    rows = read(path, "SELECT count, mean_s, median_s, min_s, max_s FROM operation_durations")
    assert rows == [pytest.approx(expected)]


def test_a_cycle_goes_from_first_operation_to_first_operation(log, path):
    log.write(
        in_a_row(
            ("Scan", 5),  # before the first box that was seen to begin
            ("Picking", 10), ("Assemble", 20), ("Scan", 5),
            ("Picking", 10), ("null", 3), ("Picking", 10), ("Assemble", 20),
            ("Picking", 10), ("Scan", 5),  # without an end
        )
    )  # fmt: skip
    log.write(in_a_row(("Picking", 1), ("Scan", 1), ("Picking", 1), session=2))
    rows = read(path, "SELECT session, cycle, start_utc, cycle_s FROM cycle_times")
    assert rows == [
        (1, 1, "2026-03-14 00:00:05.000", 35.0),
        (1, 2, "2026-03-14 00:00:40.000", 43.0),
        (2, 1, "2026-03-14 00:00:00.000", 2.0),
    ]


def test_null_as_the_models_first_label_begins_no_cycle(log, path):
    levels = [{"name": "operation", "labels": ["Null", "Picking", "Scan"]}]
    log.write([model("imu", "cd" * 32, json.dumps({"levels": levels}))])
    log.write(in_a_row(("Null", 5), ("Picking", 10), ("Scan", 5), ("Null", 5), ("Picking", 1)))
    assert read(path, "SELECT cycle_s FROM cycle_times") == [(20.0,)]


def test_throughput_counts_cycles_in_the_hour_they_end_in(log, path):
    log.write(in_a_row(*[("Picking", 1000), ("Scan", 500)] * 4))  # ends at 1500, 3000, 4500 s
    rows = read(path, "SELECT hour_utc, cycles, mean_cycle_s FROM throughput_per_hour")
    assert rows == [("2026-03-14 00:00", 2, 1500.0), ("2026-03-14 01:00", 1, 1500.0)]


def test_transitions_stay_within_session_and_level(log, path):
    log.write(in_a_row(("Picking", 1), ("Scan", 1), ("Picking", 1), ("Assemble", 1)))
    log.write(in_a_row(("Picking", 1), ("Scan", 1), session=2))
    log.write([segment("Grasp", 0, 1, level="action")])
    rows = read(path, "SELECT label, next_label, count, share FROM transitions")
    assert sorted(rows) == [
        ("Picking", "Assemble", 1, pytest.approx(1 / 3)),
        ("Picking", "Scan", 2, pytest.approx(2 / 3)),
        ("Scan", "Picking", 1, 1.0),
    ]


def test_idle_time_is_cut_at_full_hours_and_tells_null_from_unseen(log, path):
    log.write(
        [
            segment("Picking", 0, 3000),
            segment("Null", 3000, 2 * 3600 + 60),  # from 00:50 to 02:01
            segment("Scan", 2 * 3600 + 60, 2 * 3600 + 100, state="interrupted"),
            segment("Scan", 2 * 3600 + 400, 2 * 3600 + 500),
            segment("Scan", 5 * 3600, 6 * 3600, session=2),
        ]
    )
    rows = read(path, "SELECT hour_utc, idle_s, null_s, unseen_s FROM idle_time")
    assert rows == [
        ("2026-03-14 00:00", 600.0, 600.0, 0.0),
        ("2026-03-14 01:00", 3600.0, 3600.0, 0.0),
        ("2026-03-14 02:00", 360.0, 60.0, 300.0),
    ]


def test_agreement_is_the_share_of_common_time_with_equal_labels(log, path):
    log.write(in_a_row(("Picking", 10), ("Scan", 10), ("Assemble", 10)))
    camera = [segment("Picking", 2, 8), segment("Scan", 8, 20), segment("Picking", 25, 50)]
    log.write([replace(r, bundle="camera") for r in camera])
    rows = read(path, "SELECT bundle_a, bundle_b, common_s, agreement FROM label_agreement")
    equal_s, common_s = 6 + 10, 18 + 5  # Picking 2..8, Scan 10..20; 2..20 and 25..30
    assert rows == [("camera", "imu", common_s, pytest.approx(equal_s / common_s))]


def test_an_action_belongs_to_the_operation_it_shares_most_time_with(log, path):
    log.write(in_a_row(("Picking", 10), ("Assemble", 1), ("Scan", 10)))
    log.write(
        [
            segment("Grasp", 2, 4, level="action", parent="Picking"),
            segment("Bend", 8, 18, level="action", parent="Assemble"),
            segment("Beep", 30, 31, level="action", parent="Scan"),
        ]
    )
    query = "SELECT action, parent, operation, share FROM actions_in_operations ORDER BY start_us"
    assert read(path, query) == [
        ("Grasp", "Picking", "Picking", 1.0),
        ("Bend", "Assemble", "Scan", 0.7),
        ("Beep", "Scan", None, None),
    ]


def test_a_turn_lasts_to_the_next_and_the_last_to_the_end_of_what_was_seen(log, path):
    log.write(in_a_row(("Picking", 10), ("Scan", 20)))
    log.write([switch(0, "", "wrist"), switch(12, "wrist", "camera"), switch(25, "camera", "")])
    log.write([switch(12, "wrist", "camera")])  # said again
    rows = read(path, "SELECT model, start_us, end_us FROM turns ORDER BY start_us")
    seconds = [(m, *((t - MIDNIGHT_US) / SECOND_US for t in span)) for m, *span in rows]
    assert seconds == [("wrist", 0, 12), ("camera", 12, 25), ("", 25, 30)]


def test_a_turn_is_never_shorter_than_nothing_while_its_session_goes_on(log, path):
    log.write([switch(12, "", "wrist")])
    query = "SELECT end_us - start_us FROM turns"
    assert read(path, query) == [(0,)], "no segment yet"
    log.write([segment("Picking", 0, 10, state="open")])
    assert read(path, query) == [(0,)], "none that is certain as far as that"


def many(count: int) -> list[Record]:
    """Return about ``count`` segments of two models: operations of four actions each."""
    records: list[Record] = []
    for session in range(1, 11):
        for i in range(count // 100):
            start_s = session * 86400 + 40 * i
            label = OPERATIONS[i % 4]
            records.append(segment(label, start_s, start_s + 40, session=session))
            for k in range(4):
                at_s = start_s + 10 * k
                action = ACTIONS[(i + k) % 3]
                records.append(
                    segment(action, at_s, at_s + 10, level="action", parent=label, session=session)
                )
    records += [replace(r, bundle="camera") for r in records if isinstance(r, SegmentRecord)]
    return records + [switch(60 * i, "camera", "imu") for i in range(count // 100)]


class Work:
    """Instructions of SQLite's machine that a connection has executed: the same on a busy core."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.instructions = 0
        connection.set_progress_handler(self._on, 100)

    def _on(self) -> int:
        self.instructions += 100
        return 0


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_writing_and_every_view_cost_so_much_a_row_however_many_there_are(log, path, count):
    records = many(count)
    work = Work(log._connection)
    for i in range(0, len(records), 100):
        log.write(records[i : i + 100])
    assert 0 < work.instructions / len(records) < 150
    with closing(sqlite3.connect(path)) as reader:
        views = reader.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall()
        for (name,) in views:
            work = Work(reader)
            assert reader.execute(f"SELECT * FROM {name}").fetchall(), name
            assert 0 < work.instructions / len(records) < 150, name


# --- what the README says ---


def readme_sections() -> dict[str, str]:
    """Return the README's text by heading."""
    text = (REPOSITORY / "edge" / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.+)$", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_readme_explains_every_table_view_and_column(log, path):
    sections = readme_sections()
    names = read(path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    for (name,) in names:
        if name.startswith(("sqlite_", "_sqlite_")):
            continue
        for _, column, *_ in read(path, f"PRAGMA table_xinfo({name})"):
            assert f"`{column}`" in sections[name], f"{name}.{column}"


def test_the_readmes_queries_run(log, path):
    log.write([*in_a_row(("Picking", 1), ("Scan", 1)), GAP, device()])
    for section in readme_sections().values():
        for query in re.findall(r"```sql\n(.+?)```", section, flags=re.S):
            read(path, query)


def test_every_table_and_view_of_the_schema_says_what_it_is(log, path):
    query = (
        "SELECT sql FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE '%sqlite%'"
    )
    for (sql,) in read(path, query):
        assert re.match(r"CREATE (TABLE|VIEW) \w+ (\(|AS)\s+-- [A-Z]", sql), sql
