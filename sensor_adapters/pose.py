"""Cameras that say where a person is: box, COCO-17 key points, and a 3-D box where depth is known.

``{"v":1,"dev":"cam1","boot":"b","seq":3,"t0":…,"dt":66667,"w":1280,"h":720,
"people":[{"box":[591.4,313.8,173.4,327.0],"kpt":[[666.9,387.0,0.94],…17]},null,…]}``

Pixels on the wire, shares of the image in the samples; ``null`` is a frame in which nobody was
seen. Key points: COCO order (Lin et al. 2014), see ``KEY_POINTS``.
"""

from collections.abc import Sequence
from itertools import chain

import msgspec
import numpy as np
import numpy.typing as npt

from sensor_adapters.payloads import (
    Rows,
    decode as decode_header,
    fields,
    narrowed,
    samples_of,
    shortest,
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
_X, _Y = [1, 3, *range(5, 56, 3)], [2, 4, *range(6, 56, 3)]  # columns along the image's sides
MOST_DIGITS = 10  # behind the point, of a box's corner as a share of the image

Doubles = npt.NDArray[np.float64]

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
    if not (1 <= body.w < 100_000 and 1 <= body.h < 100_000):
        raise DecodeError(f"{device}: image is {body.w} x {body.h}, expected 1 to 99999 pixels")
    time_us = times_us(body, len(body.people))
    values = np.full((len(body.people), len(stream.channels)), np.nan, np.float64)
    seen = [(row, person) for row, person in enumerate(body.people) if person is not None]
    values[:, 0] = 0
    values[[row for row, _ in seen], 0] = 1
    _fill(values, _BOX, [(row, p.box) for row, p in seen if p.box is not None])
    _fill(values, _KPT, [(row, _flat(device, p.kpt)) for row, p in seen if p.kpt is not None])
    _fill(values, _BOX_3D, [(row, p.box3d) for row, p in seen if p.box3d is not None])
    with np.errstate(over="ignore"):
        values[:, 1:3] += values[:, 3:5] / 2  # left, top to centre
        values /= _pixels(body.w, body.h)
    return samples_of(body, stream, time_us, narrowed(device, ("people",), values))


def _pixels(width: float, height: float) -> Doubles:
    """Return (62,) what each column is to be divided by."""
    scale = np.ones(len(stream.channels))
    scale[_X], scale[_Y] = width, height
    return scale


def _flat(device: str, points: list[Triple]) -> list[float]:
    """Return the numbers of the 17 key points in a row."""
    if len(points) != len(KEY_POINTS):
        raise DecodeError(f"{device}: {len(points)} key points, expected {len(KEY_POINTS)} (COCO)")
    return list(chain.from_iterable(points))


def _fill(values: Doubles, columns: slice, given: list[tuple[int, Sequence[float]]]) -> None:
    """Write the numbers given for some rows of (N, 62) into these columns."""
    if given:
        values[[row for row, _ in given], columns] = [numbers for _, numbers in given]


def encode(samples: Samples, boot: str, seq: int) -> bytes:
    """Return the payload of one batch, the image taken as 1 x 1.

    ``decode`` gives back the same float32 of all shares from a millionth of the image on.
    """
    missing = np.isnan(samples.values)  # (N, 62)
    boxes = _boxes(samples.values[:, _BOX])
    points = shortest(samples.values[:, _KPT])
    boxes_3d = shortest(samples.values[:, _BOX_3D])
    people: list[dict[str, object] | None] = []
    for row, person in enumerate(samples.values[:, 0] == 1):
        if not person:
            people.append(None)
            continue
        one: dict[str, object] = {}
        if not missing[row, _BOX].any():
            one["box"] = boxes[row]
        if not missing[row, _KPT].any():
            one["kpt"] = [points[i : i + 3] for i in range(row * 51, row * 51 + 51, 3)]
        if not missing[row, _BOX_3D].any():
            one["box3d"] = boxes_3d[row * 6 : row * 6 + 6]
        people.append(one)
    body = fields(samples, boot, seq)
    body |= {"w": 1, "h": 1, "people": people}
    return msgspec.json.encode(body)


def _boxes(boxes: Floats) -> list[list[float]]:
    """Return left, top, width, height of (N, 4) centres and sizes, in as few digits as will do."""
    size = np.array(shortest(boxes[:, 2:]), np.float64).reshape(-1, 2)  # NaN for None
    corner = boxes[:, :2] - size / 2
    for digits in range(MOST_DIGITS, 5, -1):
        fewer = corner.round(digits)
        same = (fewer + size / 2).astype(np.float32) == boxes[:, :2]
        corner = np.where(same, fewer, corner)
    rows: list[list[float]] = np.concatenate([corner, size], axis=1).tolist()
    return rows
