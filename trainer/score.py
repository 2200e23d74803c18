"""How right a board's log is: its segments against a recording's truth. Reads the log, only."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

from sensor_adapters.recording import Recording
from sensor_adapters.samples import US_PER_S
from trainer.metrics import Scores, evaluate_stretches
from trainer.stretches import Stretch, is_null
from trainer.truth import ScoreError, labelled_levels, true_stretches, truth_per_second

BUSY_S = 5.0  # a writer's lock is waited for this long


@dataclass(frozen=True)
class LoggedLane:
    """What one model said at one station in one session on one level."""

    station: str
    bundle: str
    session: int
    level: str
    stretches: tuple[Stretch, ...]
    """In order of their starts, Null included."""
    notes: tuple[str, ...]
    """What the reader should know: other sessions, what was still open."""


@dataclass(frozen=True)
class LogScore:
    """A row of the report: a lane, and how right it is."""

    station: str
    bundle: str
    session: int
    level: str
    segments: int
    """Logged within the recording's time, Null included."""
    scores: Scores
    stretches: tuple[Stretch, ...]
    """What was scored."""
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it flat and ready for JSON."""
        return {
            "station": self.station,
            "bundle": self.bundle,
            "session": self.session,
            "segments": self.segments,
            **self.scores.as_dict(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Row:
    """One logged segment."""

    station: str
    bundle: str
    session: int
    label: str
    start_us: int
    end_us: int
    state: str


def score_log(
    db: Path,
    recording: Recording,
    level: str | None = None,
    *,
    station: str | None = None,
    bundle: str | None = None,
    session: int | None = None,
) -> list[LogScore]:
    """Return a row for each model and level that the log has of the recording's time.

    Without ``level``, of all levels that the recording has truth of and the log has segments of.

    Raises:
        ScoreError: no such log, nothing in it of that time, several stations and none named, or
            the recording has no truth.
    """
    wanted = (level,) if level else labelled_levels(recording)
    if not wanted:
        raise ScoreError(f"{recording.name}: has no labels, expected some to score against")
    start_us, end_us = _true_span(recording, wanted)
    logged = _levels_logged(db, start_us, end_us)
    chosen = wanted if level else [one for one in wanted if one in logged] or wanted[:1]
    return [
        _scored(lane, recording)
        for one in chosen
        for lane in read_stretches(db, one, start_us, end_us, station, bundle, session)
    ]


def _true_span(recording: Recording, levels: Iterable[str]) -> tuple[int, int]:
    """Return from the first to behind the last second that anything is true of."""
    times = [truth_per_second(recording, level)[0] for level in levels]
    times = [time_us for time_us in times if len(time_us)]
    if not times:
        raise ScoreError(f"{recording.name}: has no labelled seconds, expected some to score")
    return min(int(t[0]) for t in times), max(int(t[-1]) for t in times) + US_PER_S


def _scored(lane: LoggedLane, recording: Recording) -> LogScore:
    notes = lane.notes
    said = {s.label for s in lane.stretches if not is_null(s.label)}
    true = {s.label for s in true_stretches(recording, lane.level)}
    if said and not said & true:
        notes += (
            f"no label in common: the log says {_some(said)}, the truth {_some(true)};"
            " the model was made for other labels",
        )
    scores = evaluate_stretches(lane.stretches, recording, lane.level)
    return LogScore(
        lane.station, lane.bundle, lane.session, lane.level,
        len(lane.stretches), scores, lane.stretches, notes,
    )  # fmt: skip


def _some(labels: Iterable[str], most: int = 4) -> str:
    names = sorted(labels)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")


def read_stretches(
    db: Path,
    level: str,
    start_us: int,
    end_us: int,
    station: str | None = None,
    bundle: str | None = None,
    session: int | None = None,
) -> list[LoggedLane]:
    """Return what was logged of [start_us, end_us) on one level, one lane a model.

    Where a model has several sessions in that time, as when a recording is replayed again, the
    newest is taken, and a note says so. A segment that is still open lasts to the next one of its
    lane, or to ``end_us``.

    Raises:
        ScoreError: no such log, nothing in it of that time, or several stations and none named.
    """
    rows = [
        row
        for row in _rows(db, level, start_us, end_us)
        if station in (None, row.station)
        and bundle in (None, row.bundle)
        and session in (None, row.session)
    ]
    if not rows:
        asked = {"level": level, "station": station, "bundle": bundle, "session": session}
        text = ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
        raise ScoreError(
            f"{db}: {_found(db)}, expected segments of {text}"
            f" between {_utc(start_us)} and {_utc(end_us)}"
        )
    stations = sorted({row.station for row in rows})
    if len(stations) > 1:
        raise ScoreError(f"{db}: found stations {', '.join(stations)}, expected one to be named")
    by_bundle = groupby(rows, key=lambda row: row.bundle)
    return [_lane(level, list(of_bundle), end_us) for _, of_bundle in by_bundle]


def _lane(level: str, rows: list[_Row], end_us: int) -> LoggedLane:
    """Return the newest session of one model's rows, which are in order of session and start."""
    sessions = sorted({row.session for row in rows})
    notes = []
    if len(sessions) > 1:
        older = ", ".join(str(one) for one in sessions[:-1])
        notes.append(f"session {sessions[-1]} is scored; sessions {older} are of that time as well")
    newest = [row for row in rows if row.session == sessions[-1]]
    stretches = []
    for row, following in zip(newest, [*newest[1:], None], strict=True):
        until_us = row.end_us
        if row.state == "open":
            until_us = max(until_us, following.start_us if following else end_us)
            notes.append(f"{row.label} from {_utc(row.start_us)} is still open in the log")
        stretches.append(Stretch(row.label, row.start_us, until_us))
    first = newest[0]
    return LoggedLane(
        first.station, first.bundle, first.session, level, tuple(stretches), tuple(notes)
    )


def ask(db: Path, sql: str) -> list[tuple]:
    """Return the rows of an analyst's query.

    Raises:
        ScoreError: no such log, or SQLite does not understand the query.
    """
    return _query(db, sql)


def newest_segments(db: Path, count: int) -> list[tuple]:
    """Return (start UTC, bundle, level, label, s, confidence, state) of the newest, oldest first.

    Raises:
        ScoreError: no such log.
    """
    newest = """
    SELECT substr(start_utc, 12, 8), bundle, level, label, round(duration_s, 1),
           round(confidence, 2), state
    FROM segments_readable ORDER BY start_utc DESC, bundle, level LIMIT ?
    """
    return _query(db, newest, count)[::-1]


_SEGMENTS = """
SELECT station, bundle, session, label, start_us, end_us, state FROM segments
WHERE level = ? AND start_us < ? AND end_us > ?
ORDER BY station, bundle, session, start_us
"""
_LEVELS = "SELECT DISTINCT level FROM segments WHERE start_us < ? AND end_us > ?"
_EXTENT = """
SELECT station, bundle, session, level, count(*), min(start_us), max(end_us) FROM segments
GROUP BY station, bundle, session, level ORDER BY max(end_us) DESC
"""


def _rows(db: Path, level: str, start_us: int, end_us: int) -> list[_Row]:
    return [_Row(*row) for row in _query(db, _SEGMENTS, level, end_us, start_us)]


def _levels_logged(db: Path, start_us: int, end_us: int) -> set[str]:
    return {row[0] for row in _query(db, _LEVELS, end_us, start_us)}


def _found(db: Path, most: int = 3) -> str:
    """Return in words what a log holds, newest first."""
    lanes = _query(db, _EXTENT)
    if not lanes:
        return "holds no segments at all"
    told = [
        f"{count} of level {level} (station {station}, bundle {bundle}, session {session},"
        f" {_utc(first)} to {_utc(last)})"
        for station, bundle, session, level, count, first, last in lanes[:most]
    ]
    more = f" and {len(lanes) - most} lanes more" if len(lanes) > most else ""
    return f"found {'; '.join(told)}{more}"


def _query(db: Path, sql: str, *values: object) -> list[tuple]:
    """Return a query's rows, whatever the board writes meanwhile.

    Raises:
        ScoreError: no such file, or it is no log.
    """
    if not db.is_file():
        found = "is a folder" if db.is_dir() else "does not exist"
        raise ScoreError(f"{db}: {found}, expected the board's log")
    address = f"{db.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, timeout=BUSY_S, uri=True)) as connection:
            return connection.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise ScoreError(f"{db}: {error}, expected the board's log with its segments") from error


def _utc(time_us: int) -> str:
    """Return a time to read.

    >>> _utc(1_767_859_204_310_000)
    '2026-01-08 08:00:04 UTC'
    """
    whole = datetime.fromtimestamp(time_us // US_PER_S, timezone.utc)
    return f"{whole:%Y-%m-%d %H:%M:%S} UTC"
