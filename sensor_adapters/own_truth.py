"""Labels of a recording of one's own: a CSV file, and whether they belong to its readings."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sensor_adapters.csv_table import Row, header_of, read_rows, read_text
from sensor_adapters.own_description import DESCRIPTION, TIME_US, Description
from sensor_adapters.payloads import FIRST_US, LAST_US
from sensor_adapters.recording import Recording, RecordingError, TrueSegment

LABELS = "labels.csv"
LABEL_COLUMNS = ("level", "label", "start", "end")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def read_labels(file: Path, said: Description) -> list[TrueSegment]:
    """Return the labelled stretches of a CSV file, in order of their starts.

    Raises:
        RecordingError: the file is damaged, or a time is a number whose unit is not known.
    """
    text = read_text(file)
    has_box = "box" in header_of(file, text)
    unit_us = _label_unit_us(said)
    truth = []
    for row in read_rows(file, LABEL_COLUMNS + (("box",) if has_box else ())):
        for name in ("level", "label"):
            if not row.cells[name]:
                raise RecordingError(f"{file}: line {row.line}, column {name}: found nothing")
        start_us, end_us = (_time_us(row, name, unit_us) for name in ("start", "end"))
        if end_us <= start_us:
            raise RecordingError(
                f"{file}: line {row.line}: ends at {row.cells['end']}, expected later than its"
                f" start at {row.cells['start']}"
            )
        box = int(row.number("box")) if has_box and row.cells["box"] else None
        truth.append(TrueSegment(row.cells["level"], row.cells["label"], start_us, end_us, box))
    return sorted(truth, key=lambda one: (one.start_us, -one.end_us))


def _label_unit_us(said: Description) -> int | None:
    """Return how many microseconds a number in the labels counts; None where that is unknown."""
    units = {device.time.unit for device in said.devices.values()}
    unit = said.labels.unit or (units.pop() if len(units) == 1 else None)
    return TIME_US[unit] if unit else None


def _time_us(row: Row, column: str, unit_us: int | None) -> int:
    """Return a cell's time: a number, or a date and time with its offset from UTC."""
    cell = row.cells[column]
    try:
        number = float(cell)
    except ValueError:
        return _date_us(row, column)
    if unit_us is None:
        raise RecordingError(
            f"{row.path}: line {row.line}, column {column}: found the number {cell}, and devices"
            f" in several units; expected labels.unit in {DESCRIPTION}"
        )
    time_us = row.number(column) * unit_us
    if not FIRST_US <= time_us < LAST_US:
        raise RecordingError(
            f"{row.path}: line {row.line}, column {column}: found {number:f}, expected a time"
            " between the years 1970 and 2100; is the unit right?"
        )
    return round(time_us)


def _date_us(row: Row, column: str) -> int:
    cell = row.cells[column]
    try:
        when = datetime.fromisoformat(cell[:-1] + "+00:00" if cell.endswith("Z") else cell)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise RecordingError(
            f"{row.path}: line {row.line}, column {column}: found {cell!r}, expected a number, or"
            " a date and time with its offset from UTC, as 2026-01-08T08:00:04.31+00:00"
        )
    return (when - _EPOCH) // timedelta(microseconds=1)


def with_truth(recording: Recording, truth: Iterable[TrueSegment], source: Path) -> Recording:
    """Return the recording with these labels.

    Raises:
        RecordingError: there are none, or none falls into the recording: another clock.
    """
    segments = tuple(truth)
    if not segments:
        raise RecordingError(f"{source}: holds no labels, expected at least one")
    start_us, end_us = recording.span_us()
    outside = [t for t in segments if t.end_us <= start_us or t.start_us > end_us]
    if len(outside) == len(segments):
        spans = min(t.start_us for t in segments), max(t.end_us for t in segments)
        raise RecordingError(
            f"{source}: labels run {span(*spans)}, readings {span(start_us, end_us)}; expected"
            " one clock for both; is the labels' unit or offset right?"
        )
    if outside:
        recording = noted(
            recording,
            f"labels: {len(outside)} of {len(segments)} lie outside the readings"
            f" ({span(start_us, end_us)})",
        )
    return replace(recording, truth=segments)


def noted(recording: Recording, note: str) -> Recording:
    """Return the recording with one more note."""
    return replace(recording, notes=(*recording.notes, note))


def span(start_us: int, end_us: int) -> str:
    """Return a stretch of time to read."""
    return f"from {_utc(start_us)} to {_utc(end_us)}"


def _utc(time_us: int) -> str:
    when = _EPOCH + timedelta(microseconds=time_us)
    return f"{when:%Y-%m-%d %H:%M:%S}"
