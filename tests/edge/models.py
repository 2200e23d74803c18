"""Small manifests for tests: two sensors' worth of inputs, no trained weights."""

import msgspec
import numpy as np

from edge.bundle import Decoder, Input, Level, Manifest, MaskDevice

S = 1_000_000
LABELS = ("pick", "pack", "ship")


def decoder(level: str, count: int, lag: int = 5, stay: float = -0.1) -> Decoder:
    move = -4.0
    rows = tuple(tuple(stay if i == j else move for j in range(count)) for i in range(count))
    return Decoder(
        level=level,
        log_transition=rows,
        log_prior=(0.0,) * count,
        prior_weight=0.0,
        evidence_weight=1.0,
        lag_steps=lag,
    )


def sure(label: int, p: float = 0.98) -> np.ndarray:
    """Return probabilities of three labels of which one is likely."""
    rest = (1 - p) / 2
    return np.array([p if i == label else rest for i in range(3)], np.float32)


def manifest(**changes: object) -> Manifest:
    """Return a manifest of one IMU at 10 Hz and two devices, three labels."""
    base = Manifest(
        format_version=1,
        name="test",
        modality=("imu",),
        step_us=S,
        inputs=(
            Input(
                name="imu",
                rate_hz=10,
                channels=("right_wrist.acc_x", "right_wrist.gyr_z"),
                units=("m/s^2", "rad/s"),
                mean=(1.0, 0.0),
                std=(2.0, 1.0),
                max_gap_us=250_000,
            ),
        ),
        devices=(
            MaskDevice(placement="scanner", kind="event", hold_us=S, max_silence_us=30 * S),
            MaskDevice(placement="drawer", kind="level", hold_us=0, max_silence_us=30 * S),
        ),
        levels=(Level(name="operation", labels=LABELS),),
        decoders=(decoder("operation", 3),),
        state_size=2,
        tensor_inputs=("imu", "imu_observed", "in_use", "in_use_observed", "state"),
        tensor_outputs=("p_operation", "boundary", "state"),
        delay_steps=0,
        reset_after_us=10 * S,
        quantization={},
        scores={},
        recipe={},
        data_license="none",
        git_revision="none",
        sha256={},
        seal="",
    )
    return msgspec.structs.replace(base, **changes)
