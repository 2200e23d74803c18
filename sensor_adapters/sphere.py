"""SPHERE Challenge 2016 recordings: ``train/0000N`` or ``test/NNNNN`` in the publishers' layout.

Twomey et al., "The SPHERE Challenge: Activity Recognition with Multimodal Sensor Data",
arXiv 1603.00797. One person at home: a wrist accelerometer (g, 20 Hz over a lossy radio), how
loud four access points heard each of its packets (dBm, empty where one did not), three cameras
that report a box while they see somebody, passive infrared sensors in nine rooms, and 20 activity
probabilities for every second.

The files count seconds from the recording's start. They are laid out from ``ORIGIN_US``, two
hours apart by recording number, so that no two recordings overlap.
"""

import re
from pathlib import Path

import msgspec
import numpy as np

from sensor_adapters import imu, pose, radio, state
from sensor_adapters.csv_table import header_of, read_numbers, read_rows, read_text
from sensor_adapters.recording import (
    Device,
    Recording,
    RecordingError,
    StepLabels,
    TrueSegment,
)
from sensor_adapters.samples import US_PER_S, Int64s, Samples
from sensor_adapters.tidy import heartbeats, ordered, runs, whole_us

ORIGIN_US = 1_451_606_400_000_000
"""2016-01-01T00:00:00Z, where recording 0 would start; the true dates are not published."""
APART_US = 2 * 3600 * US_PER_S
IMAGE = (320.0, 240.0)
"""Width and height, px, of the images the 2-D boxes lie in (they reach 309 and 235)."""

LEVEL = "activity"
CAMERAS = {"hallway": "hallway", "living_room": "living", "kitchen": "kitchen"}
"""File and placement, then the end of the device id."""
ACCESS_POINTS = {
    "Kitchen_AP": "kitchen",
    "Lounge_AP": "lounge",
    "Upstairs_AP": "upstairs",
    "Study_AP": "study",
}
"""Column of ``acceleration.csv``, then the end of the device id and of the placement."""
ROOMS = ("bath", "bed1", "bed2", "hall", "kitchen", "living", "stairs", "study", "toilet")
"""Rooms with a motion sensor, where ``pir_locations.json`` is not at hand."""
ACTIVITIES = (
    "a_ascend", "a_descend", "a_jump", "a_loadwalk", "a_walk", "p_bent", "p_kneel", "p_lie",
    "p_sit", "p_squat", "p_stand", "t_bend", "t_kneel_stand", "t_lie_sit", "t_sit_lie",
    "t_sit_stand", "t_stand_kneel", "t_stand_sit", "t_straighten", "t_turn",
)  # fmt: skip
"""Label columns of ``targets.csv``: ambulation, posture, transition."""
_FILES = ("acceleration.csv", "pir.csv", *(f"video_{camera}.csv" for camera in CAMERAS))

_BOX_2D = ("bb_2d_tl_x", "bb_2d_tl_y", "bb_2d_br_x", "bb_2d_br_y")
_CENTRE_3D = ("centre_3d_x", "centre_3d_y", "centre_3d_z")
_CORNERS_3D = tuple(f"bb_3d_{corner}_{axis}" for corner in ("flt", "brb") for axis in "xyz")
VIDEO_COLUMNS = ("t", *_BOX_2D, *_CENTRE_3D, *_CORNERS_3D)


def recognises(path: Path) -> bool:
    """Return whether the folder holds a file of this layout."""
    return any((path / name).is_file() for name in _FILES)


def read(path: Path) -> Recording:
    """Return one recording.

    ``wrist`` (imu, rates NaN: there is no gyroscope), ``ap-<room>`` (radio, a reading for each
    of the wrist's packets that it heard), ``cam-<room>`` (pose without key points, 3-D box in
    metres in the camera's frame, y upwards) and ``pir-<room>`` (state). Cameras say nothing
    while they see nobody. Labels: level ``activity``, one label the second with the
    highest mean of the annotators, the first column winning a tie.

    Raises:
        RecordingError: the folder's name is no number, a file is damaged, or none is there.
    """
    path = path.absolute()
    if not (path.name.isascii() and path.name.isdigit() and int(path.name) < 1_000_000):
        raise RecordingError(f"{path}: is named {path.name!r}, expected a number such as 00007")
    origin_us = ORIGIN_US + int(path.name) * APART_US
    samples, devices, notes = _sampled(path, origin_us)
    for one in _signals(path / "acceleration.csv", origin_us, notes):
        samples.append(one)
        devices[one.device] = Device("radio", f"ap_{one.device.removeprefix('ap-')}")
    if (path / "pir.csv").is_file():
        last_us = _last_us(path, origin_us, samples)
        for one in _motion(path, origin_us, last_us, notes):
            samples.append(one)
            devices[one.device] = Device("state", f"pir_{one.device.removeprefix('pir-')}")
    else:
        notes.append("no motion sensors: pir.csv is missing")
    if not samples:
        raise RecordingError(f"{path}: holds no readings, expected one of {', '.join(_FILES)}")
    truth, labels = _labels(path, origin_us, notes)
    name = f"sphere-{path.name}"
    return Recording(
        name, "sphere", name, tuple(samples), devices, truth, labels, notes=tuple(notes)
    )


def _sampled(path: Path, origin_us: int) -> tuple[list[Samples], dict[str, Device], list[str]]:
    """Return the wrist's and the cameras' samples, where they sit, and notes."""
    devices = {"wrist": Device("imu", "right_wrist")}
    sources = {"wrist": path / "acceleration.csv"}
    for camera, short in CAMERAS.items():
        devices[f"cam-{short}"] = Device("pose", camera)
        sources[f"cam-{short}"] = path / f"video_{camera}.csv"
    samples, notes = [], []
    for device, source in sources.items():
        if not source.is_file():
            notes.append(f"no {device}: {source.name} is missing")
            continue
        read_one = _wrist if device == "wrist" else _camera
        one, told = read_one(device, source, origin_us)
        notes += told
        if len(one):
            samples.append(one)
        else:
            notes.append(f"no {device}: {source.name} holds no rows")
    return samples, {s.device: devices[s.device] for s in samples}, notes


def _wrist(device: str, path: Path, origin_us: int) -> tuple[Samples, list[str]]:
    table = read_numbers(path, ("t", "x", "y", "z"), filled=1)
    values = np.full((len(table), 6), np.nan)
    values[:, :3] = table[:, 1:] * imu.STANDARD_GRAVITY
    return ordered(device, imu.stream, whole_us(path, table[:, 0], US_PER_S, origin_us), values)


def _signals(path: Path, origin_us: int, notes: list[str]) -> list[Samples]:
    """Return what each access point heard; one that is not in the file, or silent, is noted."""
    if not path.is_file():
        return []
    text = read_text(path)
    columns = [name for name in ACCESS_POINTS if name in header_of(path, text)]
    spelt = re.sub(r",(?=[,\r\n]|\Z)", ",nan", text)  # most cells are empty: the quick road
    table = read_numbers(path, ("t", *columns), filled=1, text=spelt)
    time_us = whole_us(path, table[:, 0], US_PER_S, origin_us)
    samples = []
    for column, room in ACCESS_POINTS.items():
        if column not in columns:
            notes.append(f"no ap-{room}: {path.name} has no column {column}")
            continue
        rssi = table[:, 1 + columns.index(column)]
        if ((rssi < radio.LOWEST) | (rssi > radio.HIGHEST)).any():
            raise RecordingError(
                f"{path}: column {column}: found {np.nanmin(rssi):g} to {np.nanmax(rssi):g},"
                f" expected {radio.LOWEST:g} to {radio.HIGHEST:g} dBm"
            )
        heard = ~np.isnan(rssi)
        if not heard.any():
            notes.append(f"no ap-{room}: {path.name} holds no reading in column {column}")
            continue
        one, told = ordered(f"ap-{room}", radio.stream, time_us[heard], rssi[heard, None])
        samples.append(one)
        notes += told
    return samples


def _camera(device: str, path: Path, origin_us: int) -> tuple[Samples, list[str]]:
    table = read_numbers(path, ("t", *_BOX_2D, *_CENTRE_3D, *_CORNERS_3D), filled=1)
    top_left, bottom_right = table[:, 1:3], table[:, 3:5]  # (N, 2) px
    centre, front, back = table[:, 5:8], table[:, 8:11], table[:, 11:14]  # (N, 3) mm
    box = np.concatenate(
        [(top_left + bottom_right) / 2 / IMAGE, (bottom_right - top_left) / IMAGE], axis=1
    )
    box_3d = np.concatenate([centre, np.abs(back - front)], axis=1) / 1000
    for part in (box, box_3d):  # a box is there as a whole or not at all
        part[np.isnan(part).any(axis=1)] = np.nan
    values = np.full((len(table), len(pose.stream.channels)), np.nan)
    values[:, pose.stream.column("person")] = 1
    first_2d, first_3d = pose.stream.column(pose.BOX[0]), pose.stream.column(pose.BOX_3D[0])
    values[:, first_2d : first_2d + 4] = box
    values[:, first_3d : first_3d + 6] = box_3d
    return ordered(device, pose.stream, whole_us(path, table[:, 0], US_PER_S, origin_us), values)


class _Meta(msgspec.Struct):
    """``meta.json``: where the recording ends, s from its start."""

    end: float


def _last_us(path: Path, origin_us: int, samples: list[Samples]) -> int:
    """Return when the recording ends: as published, else its last sample or interval."""
    meta = path / "meta.json"
    if meta.is_file():
        try:
            end_s = msgspec.json.decode(meta.read_bytes(), type=_Meta).end
        except msgspec.DecodeError as error:
            raise RecordingError(f"{meta}: {error}") from error
        return int(whole_us(meta, np.array([end_s]), US_PER_S, origin_us)[0])
    ends = read_numbers(path / "pir.csv", ("end",))[:, 0]
    last = [whole_us(path / "pir.csv", ends, US_PER_S, origin_us).max(initial=origin_us)]
    return max(int(t) for t in last + [s.time_us[-1] for s in samples])


def _motion(path: Path, origin_us: int, last_us: int, notes: list[str]) -> list[Samples]:
    """Return every room's sensor: its changes, and its state every ten seconds."""
    source = path / "pir.csv"
    found: dict[str, list[tuple[float, float]]] = {room: [] for room in _rooms(path)}
    for row in read_rows(source, ("start", "end", "name")):
        room = row.cells["name"]
        if room not in found:
            raise RecordingError(
                f"{source}: line {row.line}, column name: found {room!r}, expected one of"
                f" {', '.join(found)}"
            )
        interval = (row.number("start"), row.number("end"))
        if interval[1] < interval[0]:
            raise RecordingError(
                f"{source}: line {row.line}: ends at {interval[1]:g} s, expected not before its"
                f" start at {interval[0]:g} s"
            )
        found[room].append(interval)
    beats = heartbeats(origin_us, last_us)
    samples = []
    for room, intervals in found.items():
        edges = np.array(intervals, np.float64).reshape(-1, 2)
        spans = whole_us(source, edges.ravel(), US_PER_S, origin_us).reshape(-1, 2)
        samples.append(_levels(f"pir-{room}", merged(spans), beats))
    if beats.size:
        notes.append("motion sensors: a heartbeat every 10 s is assumed, the file has changes only")
    return samples


def _rooms(path: Path) -> tuple[str, ...]:
    listing = path.parent.parent / "pir_locations.json"
    if not listing.is_file():
        return ROOMS
    try:
        return tuple(msgspec.json.decode(listing.read_bytes(), type=list[str]))
    except msgspec.DecodeError as error:
        raise RecordingError(f"{listing}: {error}, expected a list of rooms") from error


def merged(spans: Int64s) -> Int64s:
    """Return (M, 2) intervals in order, overlapping and touching ones made one, empty ones gone.

    >>> merged(np.array([[5, 9], [1, 6], [9, 9]])).tolist()
    [[1, 9]]
    """
    whole: list[list[int]] = []
    for start, end in sorted(spans.tolist()):
        if whole and start <= whole[-1][1]:
            whole[-1][1] = max(whole[-1][1], end)
        else:
            whole.append([start, end])
    kept = [span for span in whole if span[1] > span[0]]
    return np.array(kept, np.int64).reshape(-1, 2)


def _levels(device: str, spans: Int64s, beats: Int64s) -> Samples:
    """Return 1 from each start, 0 from each end, and the state in force at each heartbeat."""
    time_us = np.union1d(spans.ravel(), beats)
    started = np.searchsorted(spans[:, 0], time_us, side="right")
    ended = np.searchsorted(spans[:, 1], time_us, side="right")
    on = (started - ended).astype(np.float32).reshape(-1, 1)
    return Samples(device, state.stream, time_us, on)


def _labels(
    path: Path, origin_us: int, notes: list[str]
) -> tuple[tuple[TrueSegment, ...], tuple[StepLabels, ...]]:
    source = path / "targets.csv"
    if not source.is_file():
        notes.append("no labels: targets.csv is missing")
        return (), ()
    text = read_text(source)
    labels = tuple(name for name in header_of(source, text) if name not in ("start", "end"))
    if not labels:
        raise RecordingError(f"{source}: has no label columns, expected one an activity")
    if unknown := [name for name in labels if name not in ACTIVITIES]:
        raise RecordingError(
            f"{source}: found label column {unknown[0]!r}, expected of {', '.join(ACTIVITIES)}"
        )
    table = read_numbers(source, ("start", "end", *labels), filled=2, text=text)
    table = table[np.argsort(table[:, 0], kind="stable")]
    starts_us = whole_us(source, table[:, 0], US_PER_S, origin_us)
    ends_us = whole_us(source, table[:, 1], US_PER_S, origin_us)
    target = table[:, 2:]  # (N, K)
    blank = np.isnan(target)
    torn = np.flatnonzero(blank.any(axis=1) & ~blank.all(axis=1))
    if len(torn):
        raise RecordingError(
            f"{source}: data row {torn[0] + 1} has {int(blank[torn[0]].sum())} empty cells,"
            f" expected none or all {len(labels)}"
        )
    target = np.where(blank, 0, target)
    best = np.where(target.any(axis=1), target.argmax(axis=1), -1).astype(np.int64)
    truth = tuple(
        TrueSegment(LEVEL, labels[best[first]], int(starts_us[first]), int(ends_us[last]))
        for first, last in runs(starts_us, ends_us, best[:, None])
        if best[first] >= 0
    )
    return truth, (StepLabels(LEVEL, starts_us, labels, target.astype(np.float32)),)
