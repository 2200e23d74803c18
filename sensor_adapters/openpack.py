"""OpenPack sessions: ``<user folder>/S0500`` in the publishers' layout, releases 0.2 to 1.0.

A session is spread over folders: ``U0209/atr/atr01/S0500.csv``, ``U0209/system/ht/S0500.csv``
and so on; ``U0209/S0500`` stands for all of them. Stamps are unix milliseconds. What is known to
be wrong with a session is mended or told, see ``openpack_errors``.

- ``atr01`` to ``atr04`` (imu): g and deg/s, about 30 Hz; both wrists, both upper arms.
- ``e401``, ``e402`` (imu, rates NaN): published as g, but the numbers are g / 9.80665: the
  range ends at 0.2039 = 2 / 9.80665, and at rest |acc| is 0.102. They are read as that.
- ``kinect`` (pose): COCO-17 key points and box of one person in a 1280 x 720 image. A frame
  without a person is not in the file, so it can not be told from one that was not taken.
- ``scanner``, ``printer`` (event): one row an item scanned or a label printed, in whole
  seconds. The logs do not say that the device was alive; it is assumed, as a heartbeat every
  ten seconds while the sampled streams last. The printer's log was made from the annotation.

Labels: levels ``operation`` and ``action``; ids from 8000 (Null) make neither segment nor target.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from sensor_adapters import event, imu, pose
from sensor_adapters.csv_table import (
    LARGEST,
    header_of,
    read_numbers,
    read_text,
)
from sensor_adapters.openpack_errors import (
    errors_of,
    swapped_back,
    without_lost_boxes,
    wrong_rows,
)
from sensor_adapters.openpack_labels import SAME_PERSON
from sensor_adapters.openpack_truth import US_PER_MS, find_file, read_labels
from sensor_adapters.recording import (
    Device,
    Recording,
    RecordingError,
)
from sensor_adapters.samples import Int64s, Samples
from sensor_adapters.tidy import heartbeats, ordered, whole_us

IMAGE = (1280.0, 720.0)  # px
E4_UNIT = imu.STANDARD_GRAVITY**2  # m/s^2 in a published 1.0, see above
SESSION = re.compile(r"S\d{4}\Z")

PLACEMENTS = {
    "atr01": "right_wrist",
    "atr02": "left_wrist",
    "atr03": "right_upper_arm",
    "atr04": "left_upper_arm",
    "e401": "e4_right_wrist",
    "e402": "e4_left_wrist",
    "kinect": "bench",
    "scanner": "scanner",
    "printer": "printer",
}
_PLACES = {
    **{f"atr0{i}": (f"atr/atr0{i}", f"atr0{i}") for i in range(1, 5)},
    **{f"e40{i}": (f"e4/e40{i}/acc",) for i in range(1, 3)},
    "kinect": (
        "kinect/2d-kpt/mmpose-hrnet-w48-posetrack18-384x288-posewarper-stage2/single",
        "pose/mmpose-hrnet-mmdet/cleaned",
    ),
    "scanner": ("system/ht",),
    "printer": ("system/printer",),
}
"""Device to its folders within the user's, newest release first."""
COLUMNS = {
    "atr": ("unixtime", *(f"{what}_{axis}" for what in ("acc", "gyro") for axis in "xyz")),
    "e40": ("acc_x", "acc_y", "acc_z"),
    "sca": ("unixtime",),
    "pri": ("unixtime",),
}
"""First letters of a device to the columns that its file must have."""

Part = tuple[Samples, list[str]]


def sessions(user: Path) -> list[str]:
    """Return the sessions that a user folder has any readings of, in order."""
    found = {
        file.stem
        for places in _PLACES.values()
        for place in places
        for file in (user / place).glob("S*.*")
        if file.suffix in (".csv", ".json") and SESSION.match(file.stem)
    }
    return sorted(found)


def files_of(user: Path, session: str) -> dict[str, Path | None]:
    """Return every device's file of a session, None where it has none."""
    return {
        device: find_file(user, session, places, "json" if device == "kinect" else "csv")
        for device, places in _PLACES.items()
    }


def folder_of(device: str) -> str:
    """Return where the newest release keeps a device's files.

    >>> folder_of("scanner")
    'system/ht'
    """
    return _PLACES[device][0]


def recognises(path: Path) -> bool:
    """Return whether this is a user folder of the layout, or a session of one."""
    user = path.parent if SESSION.match(path.name) else path
    return bool(sessions(user))


def read(path: Path) -> Recording:
    """Return one session: ``<user folder>/S0500``, or the only one of a user folder.

    Raises:
        RecordingError: no such session, several to choose from, or a file is damaged.
    """
    user, session = _session_of(path.absolute())
    notes = _known(user.name, session)
    samples = _sampled(user, session, notes)
    samples += _events(user, session, samples, notes)
    if not samples:
        raise RecordingError(f"{user}: {session} holds no readings, expected at least one stream")
    truth, labels = read_labels(user, session, notes)
    errors = errors_of(user.name, session)
    samples = without_lost_boxes(errors, swapped_back(errors, samples), truth)
    return Recording(
        name=f"{user.name}-{session}",
        layout="openpack",
        subject=SAME_PERSON.get(user.name, user.name),
        samples=tuple(samples),
        devices={s.device: Device(s.stream.name, PLACEMENTS[s.device]) for s in samples},
        truth=truth,
        step_labels=labels,
        notes=tuple(notes),
    )


def boxes(recording: Recording, first: int, last: int) -> Recording:
    """Return the part from the first operation of box ``first`` to the last of box ``last``.

    Raises:
        RecordingError: the session has no operation of one of the two.
    """
    spans = {
        box: [t for t in recording.truth if t.level == "operation" and t.box == box]
        for box in sorted({t.box for t in recording.truth if t.box is not None})
    }
    for box in (first, last):
        if not spans.get(box):
            known = ", ".join(str(b) for b, operations in spans.items() if operations)
            raise RecordingError(
                f"{recording.name}: has no operation of box {box},"
                f" expected one of {known or 'none'}"
            )
    start_us = min(t.start_us for t in spans[first])
    end_us = max(t.end_us for t in spans[last])
    part = recording.between(start_us, end_us)
    return replace(part, name=f"{recording.name}-boxes{first}-{last}")


def _session_of(path: Path) -> tuple[Path, str]:
    """Return the user folder and the session that a path means."""
    user = path.parent if SESSION.match(path.name) else path
    found = sessions(user)
    if user != path and path.name in found:
        return user, path.name
    if user == path and len(found) == 1:
        return user, found[0]
    listed = ", ".join(found) or "none"
    if user == path:
        raise RecordingError(
            f"{user}: holds sessions {listed}, expected one; name it as {user.name}/S0500"
        )
    raise RecordingError(f"{user}: has no session {path.name}, expected one of {listed}")


def _known(user: str, session: str) -> list[str]:
    notes = []
    if user in SAME_PERSON:
        notes.append(f"{user} is the same person as {SAME_PERSON[user]}, named so as the subject")
    notes += [f"known of this session: {e.told()}" for e in errors_of(user, session)]
    return notes


def _sampled(user: Path, session: str, notes: list[str]) -> list[Samples]:
    """Return what has a rate, telling in ``notes`` what is missing or was repaired."""
    readers: dict[str, Callable[[str, Path, int], Part]] = {
        "atr": _atr,
        "e40": _e4,
        "kin": _key_points,
    }
    samples = []
    for device, places in _PLACES.items():
        reader = readers.get(device[:3])
        if reader is None:
            continue
        file = find_file(user, session, places, "json" if device == "kinect" else "csv")
        if file is None:
            notes.append(f"no {device}: {places[0]} has no {session}")
            continue
        wrong = wrong_rows(errors_of(user.name, session), device)
        one, told = reader(device, file, wrong)
        if wrong:
            told.append(f"{device}: dropped the first {wrong} rows, known to be stamped wrongly")
        notes += told
        if len(one):
            samples.append(one)
        else:
            notes.append(f"no {device}: {places[0]}/{file.name} holds no readings")
    return samples


def _atr(device: str, path: Path, skip: int) -> Part:
    table = read_numbers(path, COLUMNS["atr"], filled=1)[skip:]
    values = table[:, 1:] * np.repeat([imu.ACC_SCALE["g"], imu.GYR_SCALE["deg/s"]], 3)
    return ordered(device, imu.stream, whole_us(path, table[:, 0], US_PER_MS), values)


def _e4(device: str, path: Path, skip: int) -> Part:
    text = read_text(path)
    stamp = "time" if "time" in header_of(path, text) else "unixtime"
    table = read_numbers(path, (stamp, *COLUMNS["e40"]), filled=1, text=text)[skip:]
    values = np.full((len(table), 6), np.nan)
    values[:, :3] = table[:, 1:] * E4_UNIT
    return ordered(device, imu.stream, whole_us(path, table[:, 0], US_PER_MS), values)


class _Annotation(msgspec.Struct):
    """One person in one frame, px."""

    image_id: int
    """Unix milliseconds."""
    bbox: tuple[float, float, float, float]
    """Left, top, width, height."""
    keypoints: list[tuple[float, float, float]]
    """17 of x, y, score."""
    bbox_score: float = 1.0


class _Frames(msgspec.Struct):
    annotations: list[_Annotation]


def _key_points(device: str, path: Path, skip: int) -> Part:
    try:
        people = msgspec.json.decode(path.read_bytes(), type=_Frames).annotations[skip:]
    except msgspec.DecodeError as error:
        raise RecordingError(f"{path}: {error}, expected COCO key points") from error
    people.sort(key=lambda one: (one.image_id, -one.bbox_score))  # the surest of a frame first
    for one in people:
        if len(one.keypoints) != len(pose.KEY_POINTS):
            raise RecordingError(
                f"{path}: image {one.image_id} has {len(one.keypoints)} key points, expected"
                f" {len(pose.KEY_POINTS)} (COCO)"
            )
    values = np.full((len(people), len(pose.stream.channels)), np.nan)
    if people:
        box = np.array([one.bbox for one in people])  # (N, 4) px
        points = np.array([one.keypoints for one in people])  # (N, 17, 3)
        if max(np.abs(box).max(), np.abs(points).max()) > LARGEST:
            raise RecordingError(f"{path}: holds a number beyond {LARGEST:g}, expected pixels")
        points[:, :, :2] /= IMAGE
        first_box, first_point = pose.stream.column("box_cx"), pose.stream.column("nose_x")
        values[:, pose.stream.column("person")] = 1
        values[:, first_box : first_box + 2] = (box[:, :2] + box[:, 2:] / 2) / IMAGE
        values[:, first_box + 2 : first_box + 4] = box[:, 2:] / IMAGE
        values[:, first_point : first_point + points[0].size] = points.reshape(len(people), -1)
    stamps = np.array([one.image_id for one in people], np.float64)
    return ordered(device, pose.stream, whole_us(path, stamps, US_PER_MS), values)


def _events(
    user: Path, session: str, sampled: Sequence[Samples], notes: list[str]
) -> list[Samples]:
    """Return the logs of scanner and printer, between heartbeats."""
    logs = {}
    for device in ("scanner", "printer"):
        file = find_file(user, session, _PLACES[device])
        if file is None:
            notes.append(f"no {device}: {_PLACES[device][0]} has no {session}")
            continue
        stamps = read_numbers(file, ("unixtime",))[:, 0]
        logs[device] = np.sort(whole_us(file, stamps, US_PER_MS))
    if logs:
        notes.append(f"{', '.join(logs)}: a heartbeat every 10 s is assumed, the logs have none")
    if "printer" in logs:
        notes.append(
            "printer: its log was made from the annotation (it marks the end of Scan Printer);"
            " report results without it as well"
        )
    times = [one.time_us for one in sampled] or list(logs.values())
    times = [t for t in times if len(t)]
    if not times:
        return []
    beats = heartbeats(int(min(t[0] for t in times)), int(max(t[-1] for t in times)))
    return [_log(device, happened, beats) for device, happened in logs.items()]


def _log(device: str, happened: Int64s, beats: Int64s) -> Samples:
    """Return 1 for each event, several a stamp as they come, and 0 for each heartbeat."""
    quiet = np.setdiff1d(beats, happened)
    time_us = np.concatenate([happened, quiet])
    values = np.concatenate([np.ones(len(happened)), np.zeros(len(quiet))]).astype(np.float32)
    order = np.argsort(time_us, kind="stable")
    return Samples(device, event.stream, time_us[order], values[order].reshape(-1, 1))
