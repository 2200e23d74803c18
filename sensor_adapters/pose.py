"""Cameras that say where a person is: box, COCO-17 key points, and a 3-D box where depth is known.

``{"v":1,"dev":"cam1","boot":"b","seq":3,"t0":…,"dt":66667,"w":1280,"h":720,
"people":[{"box":[591.4,313.8,173.4,327.0],"kpt":[[666.9,387.0,0.94],…17]},null,…]}``

Pixels on the wire, shares of the image in the samples; ``null`` is a frame in which nobody was
seen. Key points: COCO order (Lin et al. 2014), see ``KEY_POINTS``.
"""

import msgspec
import numpy as np

from sensor_adapters.payloads import (
    Rows,
    decode as decode_header,
    finite,
    shortest,
    time_fields,
    times_us,
)
from sensor_adapters.samples import Channel, DecodeError, Floats, Samples, Stream

KEY_POINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
BOX = ("box_cx", "box_cy", "box_w", "box_h")
BOX_3D = ("centre_x", "centre_y", "centre_z", "size_x", "size_y", "size_z")

stream = Stream(
    "pose",
    (
        Channel("person", "1"),
        *(Channel(name, "1") for name in BOX),
        *(Channel(f"{point}_{part}", "1") for point in KEY_POINTS for part in ("x", "y", "score")),
        *(Channel(name, "m") for name in BOX_3D),
    ),
    kind="sampled",
    rate_hz=15.0,
)
_BOX, _KPT, _BOX_3D = slice(1, 5), slice(5, 56), slice(56, 62)

Triple = tuple[float, float, float]


class Person(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The person in one frame."""

    box: tuple[float, float, float, float] | None = None
    """Left, top, width, height, px."""
    kpt: list[Triple] | None = None
    """17 of x px, y px, score 0..1."""
    box3d: tuple[float, float, float, float, float, float] | None = None
    """Centre x y z and size x y z, m, in the camera's frame."""


class PoseBatch(Rows, kw_only=True, omit_defaults=True):
    """The payload: one person or nobody a frame."""

    w: float
    """Image width, px."""
    h: float
    """Image height, px."""
    people: list[Person | None]


_decoder = msgspec.json.Decoder(PoseBatch)


def decode(device: str, payload: bytes) -> Samples:
    """Return (N, 62): person 0 or 1, box, key points, 3-D box; NaN where not given."""
    body = decode_header(_decoder, device, payload)
    if not (0 < body.w < 100_000 and 0 < body.h < 100_000):
        raise DecodeError(f"{device}: image is {body.w} x {body.h}, expected pixels above 0")
    time_us = times_us(body, len(body.people))
    values = np.full((len(body.people), len(stream.channels)), np.nan, np.float64)
    size = np.array([body.w, body.h])
    for row, person in zip(values, body.people, strict=True):
        row[0] = person is not None
        if person is None:
            continue
        if person.box is not None:
            left, top, width, height = person.box
            row[_BOX] = np.array([left + width / 2, top + height / 2, width, height]) / np.tile(
                size, 2
            )
        if person.kpt is not None:
            if len(person.kpt) != len(KEY_POINTS):
                raise DecodeError(
                    f"{device}: {len(person.kpt)} key points, expected {len(KEY_POINTS)} (COCO)"
                )
            points = np.array(person.kpt, np.float64)  # (17, 3)
            points[:, :2] /= size
            row[_KPT] = points.ravel()
        if person.box3d is not None:
            row[_BOX_3D] = person.box3d
    with np.errstate(over="ignore"):
        narrow: Floats = finite(device, "people", values.astype(np.float32))
    return Samples(device, stream, time_us, narrow, body.boot, body.seq, body.clk)


def encode(samples: Samples, boot: str, seq: int) -> bytes:
    """Return the payload of one batch, the image taken as 1 x 1 so that nothing is rounded."""
    people: list[dict[str, object] | None] = []
    for row in samples.values:  # (62,)
        if row[0] != 1:
            people.append(None)
            continue
        person: dict[str, object] = {}
        if not np.isnan(row[_BOX]).any():
            cx, cy, width, height = (float(v) for v in row[_BOX])
            person["box"] = [cx - width / 2, cy - height / 2, width, height]
        if not np.isnan(row[_KPT]).any():
            flat = shortest(row[_KPT])
            person["kpt"] = [flat[i : i + 3] for i in range(0, len(flat), 3)]
        if not np.isnan(row[_BOX_3D]).any():
            person["box3d"] = shortest(row[_BOX_3D])
        people.append(person)
    body: dict[str, object] = {"v": 1, "dev": samples.device, "boot": boot, "seq": seq}
    body |= time_fields(samples.time_us)
    if samples.clock != "utc":
        body["clk"] = samples.clock
    body |= {"w": 1, "h": 1, "people": people}
    return msgspec.json.encode(body)
