"""Clips of three movements that differ in their pace, of four people, with both sensors.

The unit of the quick one is on the thigh, of the others on the wrist.
"""

import numpy as np

from trainer.clips import Clip, Clips
from trainer.utd_mhad import CHANNELS

LABELS = ("slow", "middling", "quick")
PEOPLE = ("1", "2", "3", "4")


def clips(each: int = 3, seed: int = 0) -> Clips:
    """Return the clips; every length differs, and the two sensors' as well."""
    rng = np.random.default_rng(seed)
    found = []
    for person in PEOPLE:
        for label in range(len(LABELS)):
            for take in range(each):
                rows, frames = rng.integers(90, 140), rng.integers(40, 60)
                wave = np.sin(np.linspace(0, 6 * (1 + 2 * label), rows))[:, None]
                imu = wave * np.array([9.0, 4, 2, 1, 2, 1]) + rng.normal(0, 0.5, (rows, 6))
                path = np.sin(np.linspace(0, 6 * (1 + 2 * label), frames))
                joints = rng.normal(0, 0.02, (frames, 20, 3))
                joints[:, 1, 1] += 0.5  # shoulders half a metre above the hips
                joints[:, 10, 1] += 0.3 * path  # the right wrist
                streams = {
                    "imu": imu.astype(np.float32),
                    "skeleton": joints.reshape(frames, -1).astype(np.float32),
                }
                name = f"a{label}_s{person}_t{take}"
                place = "right_thigh" if label == 2 else "right_wrist"
                found.append(Clip(name, label, person, place, streams))
    return Clips(LABELS, CHANNELS, tuple(found))
