"""Recordings of one's own: a folder with ``recording.toml``, one CSV file a device, and labels.

::

    version = 1
    subject = "anna"                                   # the folder's name where left out

    [devices.wrist]
    file = "wrist.csv"
    adapter = "imu"                                    # imu, pose, state, event, or another's
    placement = "right_wrist"
    rate_hz = 50                                       # of sampled devices
    time = { column = "t", unit = "ms" }               # s, ms or us since 1970, or from any origin
    columns.acc_x = { column = "ax", unit = "g" }      # the adapter's channel, your column
    columns.acc_y = { column = "ay", unit = "g" }

    [devices.tape]
    file = "tape.csv"
    adapter = "state"
    placement = "tape"
    time = { column = "when", unit = "s" }
    columns.on = { column = "state", on = "ON", off = "OFF" }   # or a column of 0 and 1

    [labels]                                           # may be left out for labels.csv
    file = "labels.csv"                                # or sqlite = "truth.db", see the trainer

Channels that no column is named for are not observed; an empty cell is a reading that was not
given. ``labels.csv`` has the columns ``level``, ``label``, ``start``, ``end`` and, if known,
``box``; times are dates with their offset from UTC, or numbers in the devices' unit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from sensor_adapters import pose
from sensor_adapters.csv_table import Doubles, read_numbers, read_rows, read_text
from sensor_adapters.own_description import (
    CORNER,
    TIME_US,
    Column,
    Description,
    OwnDevice,
    TimeColumn,
    describe as describe,
    recognises as recognises,
    stream_of,
    units_of,
)
from sensor_adapters.own_truth import LABELS, noted, read_labels, span, with_truth
from sensor_adapters.payloads import FIRST_US, LAST_US
from sensor_adapters.recording import Device, Recording, RecordingError
from sensor_adapters.samples import US_PER_S, Int64s, Samples, Stream
from sensor_adapters.tidy import heartbeats, ordered

RATE_TOLERANCE = 0.2  # a rate that is further from the file's is told


def read(path: Path) -> Recording:
    """Return the recording that a folder describes.

    Labels in a database are left to the trainer, which a note says.

    Raises:
        RecordingError: the description or a file is damaged, a device runs at another time than
            the others, or no label falls into the recording.
    """
    path = path.absolute()
    said = describe(path)
    notes: list[str] = []
    samples = [_samples(path, id_, device, notes) for id_, device in said.devices.items()]
    for one in [s for s in samples if not len(s)]:
        notes.append(f"no {one.device}: {said.devices[one.device].file} holds no rows")
    samples = [s for s in samples if len(s)]
    if not samples:
        raise RecordingError(f"{path}: holds no readings, expected some in a device's file")
    _check_clocks(path, said, samples, notes)
    samples = [_alive(said.devices[s.device], s, samples, notes) for s in samples]
    recording = Recording(
        name=path.name,
        layout="own",
        subject=said.subject or path.name,
        samples=tuple(samples),
        devices={
            s.device: Device(said.devices[s.device].adapter, said.devices[s.device].placement)
            for s in samples
        },
        notes=tuple(notes),
    )
    if said.labels.sqlite:
        return noted(recording, f"labels: in {said.labels.sqlite}, which the trainer reads")
    source = path / (said.labels.file or LABELS)
    if not source.is_file() and not said.labels.file:
        return noted(recording, f"no labels: {LABELS} is missing")
    return with_truth(recording, read_labels(source, said), source)


def _samples(path: Path, id_: str, device: OwnDevice, notes: list[str]) -> Samples:
    """Return one device's readings in the stream's units, in order of time."""
    file, stream = path / device.file, stream_of(device)
    named = [(name, column) for name, column in device.columns.items() if not column.on]
    wanted = (device.time.column, *(column.column for _, column in named))
    text = read_text(file)
    table = read_numbers(file, wanted, filled=1, text=text)
    time_us = _stamps(file, text, device.time, table[:, 0])
    columns = {
        name: table[:, 1 + i] * units_of(stream, name, device)[column.unit]
        for i, (name, column) in enumerate(named)
    }
    for name, column in device.columns.items():
        if column.on:
            columns[name] = _switched(file, column)
    values = _values(stream, columns, len(table))
    if stream.kind == "event":
        order = np.argsort(time_us, kind="stable")  # several may share a stamp
        return Samples(id_, stream, time_us[order], values[order].astype(np.float32))
    one, told = ordered(id_, stream, time_us, values)
    notes += told + _rate_note(id_, device, one)
    return one


def _values(stream: Stream, columns: Mapping[str, Doubles], rows: int) -> Doubles:
    """Return (N, C) of a stream, NaN for the channels that no column gives."""
    values = np.full((rows, len(stream.channels)), np.nan)
    for name, column in columns.items():
        if name not in CORNER:
            values[:, stream.column(name)] = column
    for corner, (centre, size) in CORNER.items():
        if corner in columns:
            values[:, stream.column(centre)] = columns[corner] + columns[size] / 2
    if stream.name == pose.stream.name and "person" not in columns:
        values[:, stream.column("person")] = ~np.isnan(values).all(axis=1)
    if stream.kind == "event" and not columns:
        values[:, 0] = 1
    if stream.kind != "sampled":
        values[:, 0] = np.where(np.isnan(values[:, 0]), np.nan, values[:, 0] > 0)
    return values


def _switched(file: Path, column: Column) -> Doubles:
    """Return 1 and 0 of a column of two texts."""
    known = {column.on: 1.0, column.off: 0.0}
    found = []
    for row in read_rows(file, (column.column,)):
        cell = row.cells[column.column]
        if cell not in known:
            raise RecordingError(
                f"{file}: line {row.line}, column {column.column}: found {cell!r}, expected"
                f" {column.on!r} or {column.off!r}"
            )
        found.append(known[cell])
    return np.array(found)


def _stamps(file: Path, text: str, column: TimeColumn, stamps: Doubles) -> Int64s:
    """Return (N,) microseconds of a column of times."""
    time_us = np.rint(stamps * TIME_US[column.unit])
    wrong = np.flatnonzero((time_us < FIRST_US) | (time_us >= LAST_US))
    if len(wrong):
        lines = [n for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        raise RecordingError(
            f"{file}: line {lines[1 + wrong[0]]}, column {column.column}: found"
            f" {stamps[wrong[0]]:.6f} {column.unit}, expected a time between the years 1970 and"
            " 2100; is the unit right?"
        )
    return time_us.astype(np.int64)


def _rate_note(id_: str, device: OwnDevice, samples: Samples) -> list[str]:
    """Return what is to be told of a rate that the file does not have."""
    if samples.stream.kind != "sampled" or len(samples) < 3 or device.rate_hz is None:
        return []
    found_hz = US_PER_S / max(float(np.median(np.diff(samples.time_us))), 1.0)
    if abs(found_hz / device.rate_hz - 1) <= RATE_TOLERANCE:
        return []
    return [f"{id_}: found {found_hz:.1f} readings a second, expected rate_hz {device.rate_hz:g}"]


def _check_clocks(path: Path, said: Description, samples: list[Samples], notes: list[str]) -> None:
    """Refuse a sampled device that runs at another time than the first; tell of the others."""
    first = next((s for s in samples if s.stream.kind == "sampled"), samples[0])
    start_us, end_us = int(first.time_us[0]), int(first.time_us[-1])
    for one in samples:
        if one.time_us[0] <= end_us and one.time_us[-1] >= start_us:
            continue
        device = said.devices[one.device]
        text = (
            f"{one.device} runs {span(int(one.time_us[0]), int(one.time_us[-1]))},"
            f" {first.device} {span(start_us, end_us)}"
        )
        if one.stream.kind == "sampled":
            raise RecordingError(
                f"{path / device.file}: {text}, expected one clock for all; is time.unit"
                f" ({device.time.unit!r}) right?"
            )
        notes.append(f"{text}: at no time together")


def _alive(
    device: OwnDevice, samples: Samples, others: Iterable[Samples], notes: list[str]
) -> Samples:
    """Return a sparse device's readings between the heartbeats that it is taken to have sent."""
    kind = samples.stream.kind
    if kind == "sampled" or device.alive == "recorded":
        return samples
    notes.append(f"{samples.device}: a heartbeat every 10 s is assumed while the recording lasts")
    spans = [s.time_us for s in others]
    beats = heartbeats(min(int(t[0]) for t in spans), max(int(t[-1]) for t in spans))
    beats = np.setdiff1d(beats, samples.time_us)
    values = np.zeros((len(beats), samples.values.shape[1]), np.float32)
    if kind == "level":  # what was last said holds; before that nothing is known
        before = np.searchsorted(samples.time_us, beats) - 1
        beats, before = beats[before >= 0], before[before >= 0]
        values = samples.values[before]
    time_us = np.concatenate([samples.time_us, beats])
    order = np.argsort(time_us, kind="stable")
    both = np.concatenate([samples.values, values])
    return replace(samples, time_us=time_us[order], values=both[order])
