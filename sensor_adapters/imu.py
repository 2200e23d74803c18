"""Batched inertial units: acceleration, and rotation rate where there is a gyroscope.

``{"v":1,"dev":"atr01","boot":"9f2c","seq":12,"t0":1648531521000000,"dt":30000,
"acc":[[0.3795,0.9069,0.1097],…],"gyr":[[0.67,1.76,-0.24],…],"unit":{"acc":"g","gyr":"deg/s"}}``
"""

import msgspec
import numpy as np

from sensor_adapters.payloads import (
    Rows,
    brief,
    decode as decode_header,
    fields,
    narrowed,
    samples_of,
    shortest,
    times_us,
)
from sensor_adapters.samples import Channel, DecodeError, Samples, Stream

STANDARD_GRAVITY = 9.80665  # m/s^2, CODATA
ACC_SCALE = {"m/s^2": 1.0, "g": STANDARD_GRAVITY, "mg": STANDARD_GRAVITY / 1000}
GYR_SCALE = {"rad/s": 1.0, "deg/s": float(np.pi / 180)}

stream = Stream(
    "imu",
    tuple(Channel(f"acc_{axis}", "m/s^2") for axis in "xyz")
    + tuple(Channel(f"gyr_{axis}", "rad/s") for axis in "xyz"),
    kind="sampled",
    rate_hz=30.0,
)

Triple = tuple[float | None, float | None, float | None]


class ImuBatch(Rows, kw_only=True, omit_defaults=True):
    """The payload; null stands for a reading that the device could not give."""

    acc: list[Triple]
    gyr: list[Triple] | None = None
    unit: dict[str, str] = msgspec.field(default_factory=dict)
    """``acc`` and ``gyr``; SI where absent."""


_decoder = msgspec.json.Decoder(ImuBatch)


def _scale(body: ImuBatch, what: str, scales: dict[str, float]) -> float:
    """Return what a payload's numbers are to be multiplied by."""
    unit = body.unit.get(what) if body.unit else None
    if unit is None:
        return 1.0
    if unit not in scales:
        raise DecodeError(f"{body.dev}: {what} is in {brief(unit)}, expected {' or '.join(scales)}")
    return scales[unit]


def decode(device: str, payload: bytes) -> Samples:
    """Return (N, 6) accelerations in m/s^2 and rates in rad/s."""
    body = decode_header(_decoder, device, payload)
    count = len(body.acc)
    time_us = times_us(body, count)
    acc, gyr = _scale(body, "acc", ACC_SCALE), _scale(body, "gyr", GYR_SCALE)
    values = np.empty((count, 6))
    values[:, :3] = np.array(body.acc, np.float64).reshape(count, 3)
    if body.gyr is None:
        values[:, 3:] = np.nan
    elif len(body.gyr) != count:
        raise DecodeError(f"{body.dev}: gyr has {len(body.gyr)} rows, expected {count}")
    else:
        values[:, 3:] = np.array(body.gyr, np.float64).reshape(count, 3)
    if (acc, gyr) != (1.0, 1.0):
        with np.errstate(over="ignore"):
            values *= [acc] * 3 + [gyr] * 3
    return samples_of(body, stream, time_us, narrowed(body.dev, ("acc", "gyr"), values))


def encode(samples: Samples, boot: str, seq: int) -> bytes:
    """Return the payload of one batch, in SI units; ``decode`` gives back the same float32."""
    flat = shortest(samples.values)  # rows of six
    has_gyr = not np.isnan(samples.values[:, 3:]).all()
    body = fields(samples, boot, seq)
    body["acc"] = [flat[i : i + 3] for i in range(0, len(flat), 6)]
    if has_gyr:
        body["gyr"] = [flat[i : i + 3] for i in range(3, len(flat), 6)]
    return msgspec.json.encode(body)
