"""What was done in an OpenPack session: intervals where published, else runs of seconds."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from sensor_adapters.csv_table import Doubles, Row, header_of, read_numbers, read_rows, read_text
from sensor_adapters.openpack_labels import FIRST_NULL, OPERATIONS, action_name, operation_name
from sensor_adapters.recording import RecordingError, StepLabels, TrueSegment
from sensor_adapters.samples import US_PER_S
from sensor_adapters.tidy import runs, whole_us

US_PER_MS = 1000

_OPERATIONS, _ACTIONS = "annotation/openpack-operations", "annotation/openpack-actions"
_EVERY_SECOND = ("annotation/activity-1s", "annotation/work-process")
"""Labels of releases 0.3 and 0.2, by the second only."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def find_file(user: Path, session: str, places: Sequence[str], ending: str = "csv") -> Path | None:
    """Return the session's file in the first of the folders that has one."""
    files = [user / place / f"{session}.{ending}" for place in places]
    return next((file for file in files if file.is_file()), None)


def label_files(user: Path, session: str) -> dict[str, Path | None]:
    """Return the file that labels of each level are read from first, None where there is none."""
    old = find_file(user, session, _EVERY_SECOND)
    has_actions = old is not None and "action" in header_of(old, read_text(old))
    operation, action = (
        find_file(user, session, (f"{place}-1hz", place)) for place in (_OPERATIONS, _ACTIONS)
    )
    return {"operation": operation or old, "action": action or (old if has_actions else None)}


def read_labels(
    user: Path, session: str, notes: list[str]
) -> tuple[tuple[TrueSegment, ...], tuple[StepLabels, ...]]:
    """Return what is annotated of one session, telling in ``notes`` what is not.

    Raises:
        RecordingError: a file is damaged.
    """
    truth: list[TrueSegment] = []
    steps: list[StepLabels] = []
    by_second = find_file(user, session, (f"{_OPERATIONS}-1hz",))
    if by_second:
        table = read_numbers(by_second, ("unixtime", "id", "box"), filled=2)
        steps.append(_operation_steps(by_second, table))
    shares = find_file(user, session, (f"{_ACTIONS}-1hz",))
    if shares:
        steps.append(_action_steps(shares))
    operations = find_file(user, session, (_OPERATIONS,))
    if operations:
        truth += _intervals(operations, "operation", operation_name)
    elif by_second:
        truth += _segments(by_second, table, "operation", operation_name)
        notes.append("operations: no intervals, cut from the labels of each second")
    actions = find_file(user, session, (_ACTIONS,))
    if actions:
        truth += _intervals(actions, "action", action_name)
    old = None if truth or steps else find_file(user, session, _EVERY_SECOND)
    if old:
        _labels_by_second(old, truth, steps, notes)
    if not truth and not steps:
        notes.append("no labels: the session is not annotated")
    return tuple(truth), tuple(steps)


def _labels_by_second(
    path: Path, truth: list[TrueSegment], steps: list[StepLabels], notes: list[str]
) -> None:
    """Add what releases before 1.0 tell: one operation a second, from 0.3 an action as well."""
    header = header_of(path, read_text(path))
    named = "operation" if "operation" in header else "act_id"
    table = read_numbers(path, ("unixtime", named, "box"), filled=2)
    truth += _segments(path, table, "operation", operation_name)
    steps.append(_operation_steps(path, table))
    if "action" in header:
        table = read_numbers(path, ("unixtime", "action", "box"), filled=2)
        truth += _segments(path, table, "action", action_name)
    notes.append(
        f"labels by the second only ({path.parent.name}); ids of that release are named as in"
        " release 1.0, which numbers some actions differently"
    )


def _operation_steps(path: Path, table: Doubles) -> StepLabels:
    """Return one-hot targets from (N, 3) of unix ms, id, box; Null is a row of zeros."""
    time_us = whole_us(path, table[:, 0], US_PER_MS)
    target = (table[:, 1:2] == np.array(list(OPERATIONS))).astype(np.float32)  # (N, 10)
    order = np.argsort(time_us, kind="stable")
    return StepLabels("operation", time_us[order], tuple(OPERATIONS.values()), target[order])


def _action_steps(path: Path) -> StepLabels:
    """Return each second's share of each action, as published; the Null columns are left out."""
    text = read_text(path)
    numbers = [int(name[2:]) for name in header_of(path, text) if re.fullmatch(r"ID\d{1,6}", name)]
    numbers = [number for number in numbers if number < FIRST_NULL]
    table = read_numbers(path, ("unixtime", *(f"ID{n}" for n in numbers)), text=text)
    time_us = whole_us(path, table[:, 0], US_PER_MS)
    order = np.argsort(time_us, kind="stable")
    labels = tuple(action_name(number) for number in numbers)
    return StepLabels("action", time_us[order], labels, table[order, 1:].astype(np.float32))


def _segments(
    path: Path, table: Doubles, level: str, name: Callable[[int], str]
) -> list[TrueSegment]:
    """Return the runs of equal id and box in (N, 3) of unix ms, id, box, a second each."""
    time_us = whole_us(path, table[:, 0], US_PER_MS)
    order = np.argsort(time_us, kind="stable")
    time_us, keys = time_us[order], np.nan_to_num(table[order, 1:], nan=-1).astype(np.int64)
    return [
        TrueSegment(
            level,
            name(int(keys[first, 0])),
            int(time_us[first]),
            int(time_us[last]) + US_PER_S,
            int(keys[first, 1]) if keys[first, 1] >= 0 else None,
        )
        for first, last in runs(time_us, time_us + US_PER_S, keys)
        if keys[first, 0] < FIRST_NULL
    ]


def _intervals(path: Path, level: str, name: Callable[[int], str]) -> list[TrueSegment]:
    """Return the annotated intervals in order of their starts; actions may overlap."""
    found = []
    for row in read_rows(path, ("box", "id", "start", "end")):
        number = int(row.number("id"))
        if number >= FIRST_NULL:
            continue
        box = int(row.number("box")) if row.cells["box"] else None
        start_us, end_us = _clock(row, "start"), _clock(row, "end")
        if end_us < start_us:
            raise RecordingError(
                f"{path}: line {row.line}: ends at {row.cells['end']}, expected not before its"
                f" start at {row.cells['start']}"
            )
        found.append(TrueSegment(level, name(number), start_us, end_us, box))
    return sorted(found, key=lambda one: (one.start_us, one.end_us))


def _clock(row: Row, column: str) -> int:
    """Return a cell such as ``2022-03-29 14:25:22.143000+09:00`` in UTC microseconds."""
    try:
        when = datetime.fromisoformat(row.cells[column])
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise RecordingError(
            f"{row.path}: line {row.line}, column {column}: found {row.cells[column]!r}, expected"
            " a date and time with its offset from UTC"
        )
    return (when - _EPOCH) // timedelta(microseconds=1)
