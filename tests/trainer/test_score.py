"""A log is scored: the right lane of it, against the truth, without touching it."""

import json
import sqlite3
from dataclasses import replace

import pytest

from edge.records import ModelRecord, SegmentRecord
from edge.segments import Segment
from edge.sqlite_log import SqliteLog
from sensor_adapters.recording import Recording, TrueSegment
from sensor_adapters.samples import US_PER_S
from trainer.score import read_stretches, score_log
from trainer.stretches import Stretch
from trainer.truth import ScoreError

ORIGIN_US = 1_767_859_200 * US_PER_S


def us(second):
    return ORIGIN_US + round(second * US_PER_S)


def said(
    label, start, end, level="operation", state="closed", station="bench-1", bundle="imu", session=1
):
    segment = Segment(level, label, "", us(start), us(end), 0.9, 1.0, state)
    return SegmentRecord(station, bundle, "imu", session, segment, us(end) + 1)


def written(folder, *records):
    """Return the path of a board's log that holds the records."""
    db = folder / "log.db"
    log = SqliteLog(db)
    manifest = json.dumps({"levels": [{"name": "operation", "labels": ["Null", "a"]}]})
    names = sorted({record.bundle for record in records})
    log.write(ModelRecord(name, "0" * 64, "imu", "litert", manifest, 1) for name in names)
    log.write(records)
    log.close()
    return db


TRUTH = Recording(
    "made-up",
    "virtual",
    "nobody",
    (),
    {},
    (
        TrueSegment("operation", "a", us(0), us(6)),
        TrueSegment("operation", "b", us(6), us(10)),
        TrueSegment("action", "x", us(0), us(10)),
    ),
)
RIGHT = (said("a", 0, 6), said("b", 6, 10))


def test_a_log_that_is_right_scores_full_marks(tmp_path):
    (row,) = score_log(written(tmp_path, *RIGHT), TRUTH)
    assert (row.station, row.bundle, row.session, row.level) == ("bench-1", "imu", 1, "operation")
    assert (row.scores.macro_f1, row.scores.edit, row.scores.segment_f1[50]) == (1, 100, 1)
    assert (row.segments, row.scores.seconds, row.notes) == (2, 10, ())


def test_a_log_that_is_half_right_scores_so(tmp_path):
    (row,) = score_log(written(tmp_path, said("a", 0, 10)), TRUTH)
    assert row.scores.accuracy == 0.6
    assert row.scores.macro_f1 == pytest.approx((2 * 6 / 16) / 2)
    assert row.scores.edit == 50


def test_every_level_that_truth_and_log_share_gets_a_row(tmp_path):
    db = written(tmp_path, *RIGHT, said("x", 0, 10, level="action"), said("?", 0, 9, level="mood"))
    assert [row.level for row in score_log(db, TRUTH)] == ["operation", "action"]
    assert [row.level for row in score_log(db, TRUTH, "action")] == ["action"]


def test_every_model_gets_a_row(tmp_path):
    camera = [said("a", 0, 5, bundle="camera"), said("b", 5, 10, bundle="camera")]
    rows = score_log(written(tmp_path, *RIGHT, *camera), TRUTH)
    assert {row.bundle: row.scores.accuracy for row in rows} == {"imu": 1, "camera": 0.9}
    assert [
        r.bundle for r in score_log(written(tmp_path, *RIGHT, *camera), TRUTH, bundle="imu")
    ] == ["imu"]


def test_of_several_sessions_the_newest_is_scored_and_a_note_says_so(tmp_path):
    db = written(tmp_path, said("b", 0, 10), *(replace(one, session=2) for one in RIGHT))
    (row,) = score_log(db, TRUTH)
    assert (row.session, row.scores.accuracy) == (2, 1)
    assert row.notes == ("session 2 is scored; sessions 1 are of that time as well",)
    (older,) = score_log(db, TRUTH, session=1)
    assert (older.session, older.scores.accuracy, older.notes) == (1, 0.4, ())


def test_a_session_of_another_time_is_no_matter(tmp_path):
    (row,) = score_log(written(tmp_path, *RIGHT, said("b", 900, 910, session=2)), TRUTH)
    assert (row.session, row.notes) == (1, ())


def test_several_stations_are_an_error_until_one_is_named(tmp_path):
    db = written(tmp_path, *RIGHT, said("a", 0, 10, station="bench-2"))
    with pytest.raises(ScoreError, match="found stations bench-1, bench-2, expected one to be"):
        score_log(db, TRUTH)
    (row,) = score_log(db, TRUTH, station="bench-2")
    assert row.scores.accuracy == 0.6


def test_an_open_segment_lasts_to_the_next_or_to_the_end(tmp_path):
    db = written(tmp_path, said("a", 0, 1, state="open"), said("b", 6, 7, state="open"))
    (lane,) = read_stretches(db, "operation", us(0), us(10))
    assert lane.stretches == (Stretch("a", us(0), us(6)), Stretch("b", us(6), us(10)))
    assert lane.notes[1] == "b from 2026-01-08 08:00:06 UTC is still open in the log"


def test_null_is_logged_but_scored_as_saying_nothing(tmp_path):
    (row,) = score_log(written(tmp_path, said("a", 0, 6), said("Null", 6, 10)), TRUTH)
    assert (row.segments, row.scores.predicted_segments, row.scores.accuracy) == (2, 1, 0.6)


def test_a_model_of_other_labels_is_told(tmp_path):
    (row,) = score_log(written(tmp_path, said("walk", 0, 10)), TRUTH)
    assert row.scores.macro_f1 == 0
    assert row.notes[0].startswith("no label in common: the log says walk, the truth a, b;")


def test_a_log_of_another_time_is_an_error_that_says_which(tmp_path):
    db = written(tmp_path, said("a", 100, 110))
    with pytest.raises(ScoreError) as error:
        score_log(db, TRUTH)
    assert "found 1 of level operation (station bench-1, bundle imu, session 1" in str(error.value)
    assert "2026-01-08 08:01:40 UTC to 2026-01-08 08:01:50 UTC" in str(error.value)
    assert "expected segments of level operation between 2026-01-08 08:00:00" in str(error.value)


def test_a_bundle_that_said_nothing_is_an_error(tmp_path):
    with pytest.raises(ScoreError, match="expected segments of level operation, bundle camera"):
        score_log(written(tmp_path, *RIGHT), TRUTH, bundle="camera")


def test_an_empty_log_is_an_error(tmp_path):
    with pytest.raises(ScoreError, match="holds no segments at all"):
        score_log(written(tmp_path), TRUTH)


def test_no_log_is_an_error_and_none_is_made(tmp_path):
    with pytest.raises(ScoreError, match=r"none\.db: does not exist, expected the board's log"):
        score_log(tmp_path / "none.db", TRUTH)
    assert list(tmp_path.iterdir()) == []


def test_another_database_or_file_is_an_error(tmp_path):
    other, text = tmp_path / "other.db", tmp_path / "text.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    text.write_text("no database at all, but long enough to be looked at\n" * 20)
    with pytest.raises(ScoreError, match="no such table: segments, expected the board's log"):
        score_log(other, TRUTH)
    with pytest.raises(ScoreError, match="not a database, expected the board's log"):
        score_log(text, TRUTH)


def test_a_recording_without_truth_is_an_error(tmp_path):
    with pytest.raises(ScoreError, match="made-up: has no labels, expected some to score against"):
        score_log(written(tmp_path, *RIGHT), replace(TRUTH, truth=()))


def test_a_log_that_is_being_written_can_be_scored_and_stays_as_it_is(tmp_path):
    db = written(tmp_path, *RIGHT)
    log = SqliteLog(db)
    log.write([said("a", 10, 12)])
    before = db.read_bytes()
    (row,) = score_log(db, TRUTH)
    assert row.scores.accuracy == 1
    assert db.read_bytes() == before
    log.close()


def test_a_row_becomes_flat_json(tmp_path):
    (row,) = score_log(written(tmp_path, *RIGHT), TRUTH)
    assert json.loads(json.dumps(row.as_dict()))["f1_50"] == 1
