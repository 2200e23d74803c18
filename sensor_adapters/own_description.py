"""What ``recording.toml`` says of a recording of one's own, checked key by key."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from sensor_adapters import imu, pose
from sensor_adapters.adapter import UnknownAdapter, load_adapter
from sensor_adapters.recording import RecordingError
from sensor_adapters.samples import US_PER_S, Stream
from sensor_adapters.topics import TopicError, check_id

DESCRIPTION = "recording.toml"
VERSION = 1
TIME_US = {"s": US_PER_S, "ms": 1000, "us": 1}
UNITS: dict[str, dict[str, float]] = {
    "m/s^2": imu.ACC_SCALE,
    "rad/s": imu.GYR_SCALE,
    "m": {"m": 1.0, "cm": 0.01, "mm": 0.001},
    "1": {"1": 1.0, "%": 0.01},
}
"""A channel's unit to the units that a column may come in, and what they are multiplied by."""
CORNER = {"box_left": ("box_cx", "box_w"), "box_top": ("box_cy", "box_h")}
"""Columns that a camera's box may come in instead of its centre."""
TimeUnit = Literal["s", "ms", "us"]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An unknown key is a slip of the pen."""


class Column(_Strict, frozen=True, kw_only=True):
    """Where a channel's readings stand."""

    column: str
    unit: str = "1"
    """Of the file; ``px`` for a camera's shares of the image."""
    on: str = ""
    """Text for 1, with ``off`` for 0, where the cells are no numbers."""
    off: str = ""


class TimeColumn(_Strict, frozen=True, kw_only=True):
    """Where a row's time stands."""

    column: str
    unit: TimeUnit


class OwnDevice(_Strict, frozen=True, kw_only=True):
    """One device and its file."""

    file: str
    adapter: str
    placement: str
    time: TimeColumn
    columns: dict[str, Column] = {}
    """By channel of the adapter's stream. A file of events may have none: a row is an event."""
    rate_hz: float | None = None
    image: tuple[float, float] | None = None
    """Width and height, px, of a camera whose columns are in px."""
    alive: Literal["assumed", "recorded"] = "assumed"
    """Of devices that report changes or events only: ``assumed`` adds a heartbeat every ten
    seconds while the recording lasts; ``recorded`` where the file has its own."""


class OwnLabels(_Strict, frozen=True, kw_only=True):
    """Where the labels are."""

    file: str = ""
    sqlite: str = ""
    """A database with a table ``ground_truth``; the trainer reads it."""
    unit: TimeUnit | None = None
    """Of times that are numbers; the devices' where they agree."""
    levels: tuple[str, ...] = ()
    """Coarsest first; the one with the fewest segments where left out."""


class Description(_Strict, frozen=True, kw_only=True):
    """What ``recording.toml`` says."""

    version: int
    devices: dict[str, OwnDevice]
    subject: str = ""
    labels: OwnLabels = OwnLabels()


def recognises(path: Path) -> bool:
    """Return whether the folder describes a recording of one's own."""
    return (path / DESCRIPTION).is_file()


def describe(path: Path) -> Description:
    """Return what the folder's ``recording.toml`` says.

    Raises:
        RecordingError: it is missing or no TOML, or a key is unknown, missing or makes no sense.
    """
    file = path / DESCRIPTION
    try:
        raw = msgspec.toml.decode(file.read_bytes())
    except OSError as error:
        raise RecordingError(f"{file}: {error.strerror}, expected a description") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise RecordingError(f"{file}: not TOML: {error}") from error
    if raw.get("version") != VERSION:
        raise RecordingError(f"{file}: version is {raw.get('version')!r}, expected {VERSION}")
    devices = raw.get("devices")
    if not isinstance(devices, dict) or not devices:
        raise RecordingError(f"{file}: found no [devices.<id>], expected at least one")
    converted = {
        id_: _converted(file, f"devices.{id_}", one, OwnDevice) for id_, one in devices.items()
    }
    labels = _converted(file, "labels", raw.get("labels", {}), OwnLabels)
    rest = {**raw, "devices": converted, "labels": labels}
    said: Description = _converted(file, "the file", rest, Description)
    for id_, device in said.devices.items():
        _check_device(file, id_, device)
    placements = [device.placement for device in said.devices.values()]
    if twice := sorted({p for p in placements if placements.count(p) > 1}):
        raise RecordingError(f"{file}: found two devices at {twice[0]!r}, expected one a placement")
    if labels.file and labels.sqlite:
        raise RecordingError(f"{file}: labels has file and sqlite, expected one of them")
    return said


def _converted(file: Path, key: str, value: Any, wanted: Any) -> Any:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise RecordingError(f"{file}: {key}: {error}") from error


def stream_of(device: OwnDevice) -> Stream:
    """Return what a device's adapter gives.

    Raises:
        UnknownAdapter: nobody offers it.
    """
    return load_adapter(device.adapter).stream


def channels_of(device: OwnDevice) -> tuple[str, ...]:
    """Return the channels that a device's columns give, in the stream's order."""
    stream = stream_of(device)
    given = set(device.columns) | {CORNER[name][0] for name in CORNER if name in device.columns}
    if stream.name == pose.stream.name:
        given.add("person")
    if stream.kind == "event":
        given.add(stream.channels[0].name)
    return tuple(c.name for c in stream.channels if c.name in given)


def _check_device(file: Path, id_: str, device: OwnDevice) -> None:
    """Refuse a device whose settings have the right type and make no sense."""
    key = f"{file}: devices.{id_}"
    try:
        check_id("devices", id_)
        stream = stream_of(device)
    except (TopicError, UnknownAdapter) as error:
        raise RecordingError(f"{key}: {error}") from error
    if stream.kind == "sampled" and not (device.rate_hz and 1 <= device.rate_hz <= 10_000):
        raise RecordingError(
            f"{key}.rate_hz is {device.rate_hz}, expected readings a second, 1 to 10000"
        )
    if not device.columns and stream.kind != "event":
        raise RecordingError(
            f"{key}: found no columns, expected some of {', '.join(_names(stream))}"
        )
    for name, column in device.columns.items():
        if name not in _names(stream):
            raise RecordingError(
                f"{key}.columns.{name}: {device.adapter} has no such channel, expected one of"
                f" {', '.join(_names(stream))}"
            )
        units = units_of(stream, name, device)
        if column.unit not in units:
            raise RecordingError(
                f"{key}.columns.{name}.unit is {column.unit!r}, expected"
                f" {' or '.join(sorted(units))}"
            )
        if column.unit == "px" and not (device.image and min(device.image) > 0):
            raise RecordingError(
                f"{key}.image is missing, expected width and height in pixels, as [1280, 720]"
            )
        if bool(column.on) != bool(column.off):
            raise RecordingError(f"{key}.columns.{name}: found one of on and off, expected both")
    for corner, (_, size) in CORNER.items():
        if corner in device.columns and size not in device.columns:
            raise RecordingError(f"{key}.columns: found {corner}, expected {size} as well")


def _names(stream: Stream) -> list[str]:
    """Return what a device's columns may be called."""
    names = [c.name for c in stream.channels]
    return names + list(CORNER) if stream.name == pose.stream.name else names


def units_of(stream: Stream, name: str, device: OwnDevice) -> dict[str, float]:
    """Return the units that a column may come in, and their factors."""
    channel = CORNER[name][0] if name in CORNER else name
    unit = next(c.unit for c in stream.channels if c.name == channel)
    units = dict(UNITS.get(unit, {unit: 1.0}))
    if stream.name == pose.stream.name and unit == "1":
        width, height = device.image or (np.nan, np.nan)
        if name.endswith("_x") or name in ("box_left", "box_cx", "box_w"):
            units["px"] = 1 / width
        elif name.endswith("_y") or name in ("box_top", "box_cy", "box_h"):
            units["px"] = 1 / height
    return units
