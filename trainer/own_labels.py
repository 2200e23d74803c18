"""Labels of one's own recordings that lie in a database, and the door to recordings with them.

Any SQLite file with a table or view ``ground_truth`` will do, a copy of a board's log among them::

    CREATE TABLE ground_truth (
        level TEXT NOT NULL,        -- operation, action
        label TEXT NOT NULL,
        start_us INTEGER NOT NULL,  -- microseconds on the recording's clock, 1970 UTC as a rule
        end_us INTEGER NOT NULL CHECK (end_us > start_us),
        box INTEGER                 -- which work cycle, from 1, NULL where unknown
    );

Who has looked through a copy of what a board logged, and put it right, makes it a view of that::

    CREATE VIEW ground_truth AS
    SELECT level, label, start_us, end_us, NULL AS box FROM segments
    WHERE bundle = 'imu' AND state = 'closed';
"""

from pathlib import Path

from sensor_adapters.own_description import describe, recognises
from sensor_adapters.own_truth import with_truth
from sensor_adapters.payloads import FIRST_US, LAST_US
from sensor_adapters.recording import Recording, RecordingError, TrueSegment
from sensor_adapters.recordings import open_recording, share, without_part
from trainer import score
from trainer.truth import ScoreError

TABLE = "ground_truth"
COLUMNS = ("level", "label", "start_us", "end_us", "box")
_QUERY = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} ORDER BY start_us, end_us DESC"
_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"


def open_labelled(name: str) -> Recording:
    """Return what ``open_recording`` does, with labels that lie in a database as well.

    Raises:
        RecordingError: nothing is there, a file is damaged, or the database has no such labels.
    """
    text, wanted = (name, None) if name.startswith("virtual:") else without_part(name)
    source = labels_database(Path(text))
    if source is None:
        return open_recording(name)
    recording = with_truth(open_recording(text), read_labels(source), source)
    return share(recording, *wanted[1:]) if wanted else recording


def labels_database(folder: Path) -> Path | None:
    """Return the database that a recording of one's own names for its labels, if it does.

    Raises:
        RecordingError: its description is damaged.
    """
    if not recognises(folder):
        return None
    named = describe(folder).labels.sqlite
    return folder / named if named else None


def read_labels(db: Path) -> list[TrueSegment]:
    """Return the labelled stretches of a database, in order of their starts.

    Raises:
        RecordingError: no such file, no such table, or a row that makes no sense.
    """
    try:
        tables = [row[0] for row in score.ask(db, _TABLES)]
        if TABLE not in tables:
            raise RecordingError(
                f"{db}: found tables {', '.join(tables) or 'none'}, expected a table {TABLE} with"
                f" columns {', '.join(COLUMNS)}"
            )
        rows = score.ask(db, _QUERY)
    except ScoreError as error:
        told = str(error).partition(", expected")[0]
        raise RecordingError(
            f"{told}, expected a SQLite file with a table {TABLE} ({', '.join(COLUMNS)})"
        ) from error
    return [_segment(db, number, row) for number, row in enumerate(rows, 1)]


def _segment(db: Path, number: int, row: tuple) -> TrueSegment:
    """Return one row's segment."""
    level, label, start_us, end_us, box = row
    texts, numbers = {"level": level, "label": label}, {"start_us": start_us, "end_us": end_us}
    wrong = [(name, text, "text") for name, text in texts.items() if not _is_text(text)]
    numbers |= {} if box is None else {"box": box}
    wrong += [(n, v, "a whole number") for n, v in numbers.items() if not isinstance(v, int)]
    for column, found, expected in wrong:
        raise RecordingError(
            f"{db}: {TABLE} row {number} by start, column {column}: found {found!r}, expected"
            f" {expected}"
        )
    if not FIRST_US <= start_us < end_us < LAST_US:
        raise RecordingError(
            f"{db}: {TABLE} row {number} by start: found {start_us} to {end_us}, expected"
            " microseconds, the end behind the start"
        )
    return TrueSegment(level, label, start_us, end_us, box)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
