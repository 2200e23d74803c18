"""What a house's devices did, as openHAB writes it down: a CSV line for every change.

``item,unix_timestamp,value`` with the stamp in ms and ON, OFF, OPEN or CLOSED; with
``activity_label`` and ``location_label`` (RALT, Smith et al., ISAmI 2020) it is labelled as well.
A file holds sessions, told apart by more than ten minutes of silence; ``:session=2`` names one.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensor_adapters import state
from sensor_adapters.csv_table import Row, header_of, read_rows, read_text
from sensor_adapters.recording import Device, Recording, RecordingError, TrueSegment
from sensor_adapters.samples import Int64s, Samples
from sensor_adapters.tidy import heartbeats, whole_us

COLUMNS = ("item", "unix_timestamp", "value")
LEVELS = {"activity": "activity_label", "location": "location_label"}
"""Label level, then its column."""
USED = {"ON": 1, "OPEN": 1, "OFF": 0, "CLOSED": 0}
APART_US = 600_000_000
"""Silence after which another session begins."""
MS_US = 1000


@dataclass(frozen=True)
class _Table:
    """All changes of a file, in order of time."""

    rows: list[Row]
    time_us: Int64s
    levels: dict[str, str]


def recognises(path: Path) -> bool:
    """Return whether a path is a file of this layout."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(4096).decode("utf-8-sig", "replace")
    return set(COLUMNS) <= {name.strip() for name in first.split(",")}


def sessions(path: Path) -> int:
    """Return how many sessions a file holds.

    Raises:
        RecordingError: it is damaged.
    """
    return len(_edges(_read(path).time_us)) - 1


def read(path: Path, session: int | None = None) -> Recording:
    """Return one session, counted from 1; the whole file's where it holds but one.

    Every item that is on or off is a ``state`` device at a placement of its own name. Before its
    first change an item was in the other state. Changes are all that is written down, so the state
    in force is said again every ten seconds.

    Raises:
        RecordingError: a line is damaged, or there is no such session.
    """
    table = _read(path)
    edges = _edges(table.time_us)
    count = len(edges) - 1
    if session is None and count > 1:
        raise RecordingError(f"{path}: holds {count} sessions, expected :session=1 to {count}")
    number = 1 if session is None else session
    if not 1 <= number <= count:
        raise RecordingError(f"{path}: found session {number}, expected 1 to {count}")
    first, after = edges[number - 1], edges[number]
    start_us, end_us = int(table.time_us[first]), int(table.time_us[after - 1])
    samples, notes = _states(table, start_us, end_us)
    truth = tuple(
        segment
        for level, column in table.levels.items()
        for segment in _segments(table, level, column, first, after)
    )
    return Recording(
        name=f"{path.stem}-{number}",
        layout="openhab",
        subject=path.stem,
        samples=samples,
        devices={one.device: Device("state", one.device) for one in samples},
        truth=truth,
        notes=tuple(notes),
    )


def _read(path: Path) -> _Table:
    text = read_text(path)
    levels = {level: name for level, name in LEVELS.items() if name in header_of(path, text)}
    rows = list(read_rows(path, (*COLUMNS, *levels.values())))
    if not rows:
        raise RecordingError(f"{path}: holds no changes, expected a line for each")
    stamps = np.array([row.number("unix_timestamp") for row in rows])
    time_us = whole_us(path, stamps, MS_US)
    order = np.argsort(time_us, kind="stable")
    return _Table([rows[i] for i in order], time_us[order], levels)


def _edges(time_us: Int64s) -> list[int]:
    """Return the first row of each session, and the number of rows."""
    breaks = np.flatnonzero(np.diff(time_us) > APART_US) + 1
    return [0, *breaks.tolist(), len(time_us)]


def _states(table: _Table, start_us: int, end_us: int) -> tuple[tuple[Samples, ...], list[str]]:
    changes: dict[str, list[tuple[int, int]]] = {}
    unread: dict[str, None] = {}
    for row, time_us in zip(table.rows, table.time_us.tolist(), strict=True):
        item, used = row.cells["item"], USED.get(row.cells["value"].upper())
        if used is None:
            unread[item] = None
        else:
            changes.setdefault(item, []).append((time_us, used))
    beats = heartbeats(start_us, end_us)
    samples = []
    for item in sorted(changes):
        changed_us, used = np.array(changes[item], np.int64).T
        inside = changed_us[(changed_us >= start_us) & (changed_us <= end_us)]
        time_us = np.unique(np.concatenate([[start_us], inside, beats]))
        last = np.searchsorted(changed_us, time_us, side="right") - 1
        on = np.where(last < 0, 1 - used[0], used[np.maximum(last, 0)])
        values = on.astype(np.float32).reshape(-1, 1)
        samples.append(Samples(item, state.stream, time_us, values))
    notes = ["devices: a heartbeat every 10 s is assumed, the file has changes only"]
    if unread:
        names = ", ".join(sorted(unread))
        notes.append(f"left out, as their values are not ON, OFF, OPEN or CLOSED: {names}")
    return tuple(samples), notes


def _segments(
    table: _Table, level: str, column: str, first: int, after: int
) -> list[TrueSegment]:  # fmt: skip
    """Return runs of one label: a label holds from its line to the next line of another."""
    labels = [row.cells[column] for row in table.rows[first:after]]
    time_us = table.time_us[first:after].tolist()
    starts = [i for i, label in enumerate(labels) if i == 0 or labels[i - 1] != label]
    ends = [*starts[1:], len(labels) - 1]
    return [
        TrueSegment(level, labels[i], time_us[i], time_us[j])
        for i, j in zip(starts, ends, strict=True)
        if time_us[j] > time_us[i] and labels[i]
    ]
