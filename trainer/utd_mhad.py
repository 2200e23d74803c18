"""UTD-MHAD in its publishers' layout: 27 actions of 8 people, an inertial unit and a skeleton.

Chen, Jafari and Kehtarnavaz, "UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing
a Depth Camera and a Wearable Inertial Sensor" (ICIP 2015). ``Inertial/a1_s1_t1_inertial.mat`` holds
``d_iner`` (T, 6): acceleration in g and rates in deg/s, nominally 50 Hz, on the right wrist for
actions 1 to 21 and the right thigh for 22 to 27; ``Skeleton/a1_s1_t1_skeleton.mat`` holds
``d_skel`` (20, 3, F): joints in metres as a Kinect sees them, nominally 30 Hz. The nominal rates
contradict the lengths, so a pair is known to begin and to end together, and nothing else.
"""

import re
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from sensor_adapters.imu import STANDARD_GRAVITY
from sensor_adapters.recording import RecordingError
from trainer.clips import Clip, Clips

LABELS = (
    "swipe left", "swipe right", "wave", "clap", "throw", "cross arms", "basketball shot",
    "draw x", "draw circle", "draw circle back", "draw triangle", "bowl", "box", "baseball swing",
    "tennis swing", "arm curl", "tennis serve", "push", "knock", "catch", "pick up and throw",
    "jog", "walk", "sit to stand", "stand to sit", "lunge", "squat",
)  # fmt: skip
ON_THE_THIGH = 21
"""Labels from this number on, counted from 0, were made with the unit on the thigh."""
SIDES = (("1", "3", "5", "7"), ("2", "4", "6", "8"))
"""Subjects; published results train on the first side and test on the second."""
JOINTS = (
    "head", "shoulder_centre", "spine", "hip_centre", "left_shoulder", "left_elbow", "left_wrist",
    "left_hand", "right_shoulder", "right_elbow", "right_wrist", "right_hand", "left_hip",
    "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot",
)  # fmt: skip
CHANNELS = {
    "imu": tuple(f"{kind}_{axis}" for kind in ("acc", "gyr") for axis in "xyz"),
    "skeleton": tuple(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz"),
}
_FILE = re.compile(r"a(\d+)_s(\d+)_t(\d+)_inertial\.mat\Z")
_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, NotImplementedError, MatReadError, zlib.error,
)  # fmt: skip
_TO_SI = np.array([STANDARD_GRAVITY] * 3 + [np.pi / 180] * 3)


def read(folder: Path) -> Clips:
    """Return all clips of which both halves are there, in order of their names; SI units.

    Raises:
        RecordingError: a file is damaged, or there is no clip.
    """
    clips, notes = [], []
    for path in sorted((folder / "Inertial").glob("*.mat")):
        match = _FILE.match(path.name)
        if match is None or not 1 <= int(match[1]) <= len(LABELS):
            notes.append(f"{path.name}: left out, expected a name such as a1_s1_t1_inertial.mat")
            continue
        name = path.name.removesuffix("_inertial.mat")
        other = folder / "Skeleton" / f"{name}_skeleton.mat"
        if not other.is_file():
            notes.append(f"{name}: left out, found no {other.name}")
            continue
        imu = _matrix(path, "d_iner", (None, 6)) * _TO_SI
        joints = _matrix(other, "d_skel", (len(JOINTS), 3, None)).transpose(2, 0, 1)  # (F, 20, 3)
        label = int(match[1]) - 1
        streams = {
            "imu": imu.astype(np.float32),
            "skeleton": joints.reshape(len(joints), -1).astype(np.float32),
        }
        place = "right_thigh" if label >= ON_THE_THIGH else "right_wrist"
        clips.append(Clip(name, label, match[2], place, streams))
    if not clips:
        raise RecordingError(
            f"{folder}: found no clip, expected Inertial/a1_s1_t1_inertial.mat and"
            " Skeleton/a1_s1_t1_skeleton.mat"
        )
    return Clips(LABELS, CHANNELS, tuple(clips), tuple(notes))


def _matrix(path: Path, key: str, shape: tuple[int | None, ...]) -> npt.NDArray[np.float64]:
    try:
        found = np.asarray(loadmat(path)[key], np.float64)
    except _UNREADABLE as error:
        raise RecordingError(
            f"{path}: found {error!r}, expected a MATLAB file with {key}"
        ) from error
    fits = found.ndim == len(shape) and all(
        size == wanted or (wanted is None and size > 1)
        for size, wanted in zip(found.shape, shape, strict=False)
    )
    if not fits:
        expected = " x ".join("any" if n is None else str(n) for n in shape)
        raise RecordingError(f"{path}: {key} is {found.shape}, expected {expected}")
    if not np.isfinite(found).all():
        raise RecordingError(f"{path}: {key} holds values that are no finite numbers")
    return found
