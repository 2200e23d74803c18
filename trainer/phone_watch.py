"""Phone and watch at once (Matey-Sanz et al., Data in Brief 2023), cut into windows as clips.

``s01/s01_01_sp.csv.gz`` (phone, in a pocket) and ``s01_01_sw.csv.gz`` (watch, on a wrist), plain
``.csv`` as well: x_acc, y_acc, z_acc (m/s^2), x_gyro, y_gyro, z_gyro (rad/s), timestamp (unix ms of
the device), label. Each execution is the same round: stand up, walk, turn, walk, turn, sit down.
Windows are clips of their own, so that no model can learn the order.

A phone's stamps are when a reading was delivered, some several at once; its readings were taken
evenly, so they are laid out evenly over the execution.
"""

import csv
import gzip
import io
import re
from pathlib import Path

import numpy as np

from sensor_adapters.csv_table import Doubles
from sensor_adapters.recording import RecordingError
from trainer.clips import Clip, Clips

LABELS = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
COLUMNS = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro", "timestamp", "label")
CHANNELS = tuple(f"{kind}_{axis}" for kind in ("acc", "gyr") for axis in "xyz")
DEVICES = {"phone": "sp", "watch": "sw"}
WINDOW_MS, STRIDE_MS = 1000, 500
ROWS = 100
"""Of a window: both devices read at about 100 Hz."""
_FILE = re.compile(r"(s\d+_\d+)_sp\.csv(\.gz)?\Z")


def read(folder: Path) -> Clips:
    """Return windows of a second, half a second apart, of which both devices have all readings.

    A window's label is the phone's at its middle.

    Raises:
        RecordingError: a file is damaged, or there is no execution.
    """
    clips, notes = [], []
    for path in sorted(folder.glob("s*/*_sp.csv*")):
        match = _FILE.match(path.name)
        if match is None:
            continue
        other = path.with_name(path.name.replace("_sp.csv", "_sw.csv"))
        if not other.is_file():
            notes.append(f"{match[1]}: left out, found no {other.name}")
            continue
        clips += _windows(match[1], {"phone": _table(path), "watch": _table(other)})
    if not clips:
        raise RecordingError(f"{folder}: found no clip, expected s01/s01_01_sp.csv.gz and _sw")
    return Clips(LABELS, dict.fromkeys(DEVICES, CHANNELS), tuple(clips), tuple(notes))


def _table(path: Path) -> tuple[Doubles, Doubles, list[str]]:
    """Return (T,) ms, (T, 6) readings and T labels."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        header, *rows = csv.reader(io.StringIO(text, newline=""))
        at = [header.index(name) for name in COLUMNS]
        numbers = np.array([[float(row[i]) for i in at[:7]] for row in rows], np.float64)
        labels = [row[at[7]] for row in rows]
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise RecordingError(f"{path}: {error}, expected columns {', '.join(COLUMNS)}") from error
    if len(rows) < ROWS or not np.isfinite(numbers).all():
        raise RecordingError(f"{path}: found {len(rows)} rows, expected a second of finite numbers")
    if unknown := set(labels) - set(LABELS):
        raise RecordingError(
            f"{path}: found label {sorted(unknown)[0]!r}, expected of {', '.join(LABELS)}"
        )
    place = np.arange(len(rows))
    slope, start = np.polyfit(place, numbers[:, 6], 1)
    return start + slope * place, numbers[:, :6], labels


def _windows(name: str, tables: dict[str, tuple[Doubles, Doubles, list[str]]]) -> list[Clip]:
    first = max(time[0] for time, _, _ in tables.values())
    last = min(time[-1] for time, _, _ in tables.values())
    labels = tables["phone"][2]
    found: list[Clip] = []
    for start in np.arange(first, last - WINDOW_MS, STRIDE_MS):
        moments = start + np.arange(ROWS) * (WINDOW_MS / ROWS)
        streams = {
            device: np.stack([np.interp(moments, time, c) for c in values.T], 1).astype(np.float32)
            for device, (time, values, _) in tables.items()
        }
        middle = int(np.searchsorted(tables["phone"][0], start + WINDOW_MS / 2))
        label = LABELS.index(labels[min(middle, len(labels) - 1)])
        subject = name.partition("_")[0]
        found.append(Clip(f"{name}_{len(found):02d}", label, subject, "pocket, wrist", streams))
    return found
