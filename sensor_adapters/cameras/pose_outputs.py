"""What pose models answer, and the people in it. No I/O.

Three kinds of outputs are known, by name and shape; K is the 17 key points of COCO:

- *one-stage*, as RTMO is exported (Lu et al., CVPR 2024): ``dets`` (1, N, 5) left, top, right,
  bottom, score and ``keypoints`` (1, N, K, 3) x, y, score, both in px of the model's input. The
  input is the letterboxed picture, blue-green-red, 0 to 255.
- *persons' boxes*, as YOLOX is exported with its suppression (Ge et al., arXiv 2107.08430):
  ``dets`` as above and perhaps ``labels`` (1, N), of which 0 is a person. The input is the same.
- *SimCC*, as RTMPose is exported (Jiang et al., arXiv 2303.07399; SimCC: Li et al., ECCV 2022):
  ``simcc_x`` (P, K, Wx) and ``simcc_y`` (P, K, Wy), how likely each of Wx columns and Wy rows is,
  finer than pixels. The input is a person's box grown by a quarter, in the input's proportions,
  red-green-blue, less ImageNet's mean and by its deviation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sensor_adapters.cameras.pose_model import Arrays, Shape
from sensor_adapters.cameras.tracks import Box
from sensor_adapters.pose import KEY_POINTS
from sensor_adapters.samples import Floats

Indices = npt.NDArray[np.intp]
K = len(KEY_POINTS)
ONE_STAGE: dict[str, Shape] = {"dets": (None, None, 5), "keypoints": (None, None, K, 3)}
BOXES: dict[str, Shape] = {"dets": (None, None, 5)}
LABELLED: dict[str, Shape] = {"dets": (None, None, 5), "labels": (None, None)}
SIMCC: dict[str, Shape] = {"simcc_x": (None, K, None), "simcc_y": (None, K, None)}

MOST_PX = 1e6
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
"""ImageNet's red, green, blue."""
GROWN = 1.25
"""How much larger than a person's box the part is that RTMPose sees."""


class NotNumbers(Exception):
    """A model answered with what is no number, or no place in any picture."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A person in one frame."""

    box: Box
    points: Floats
    """(17, 3) x px, y px, score 0 to 1."""


def fits(found: dict[str, Shape], expected: dict[str, Shape]) -> bool:
    """Return whether outputs are those expected, as far as their shapes are known.

    >>> fits({"dets": (1, None, 5)}, BOXES)
    True
    """
    return found.keys() == expected.keys() and all(
        len(shape) == len(expected[name])
        and all(
            a == b or a is None or b is None for a, b in zip(shape, expected[name], strict=True)
        )
        for name, shape in found.items()
    )


def in_words(outputs: dict[str, Shape]) -> str:
    """Return outputs as people write them.

    >>> in_words(BOXES)
    'dets (?, ?, 5)'
    """
    return " and ".join(
        f"{name} ({', '.join('?' if one is None else str(one) for one in shape)})"
        for name, shape in outputs.items()
    )


def shapes(answers: Arrays) -> dict[str, Shape]:
    """Return the shapes of what a model answered."""
    return {name: tuple(value.shape) for name, value in answers.items()}


def chosen(
    answers: Arrays, least_score: float, most_overlap: float, most: int
) -> tuple[Floats, Indices]:
    """Return the boxes (N, 4) and their places of all persons who are likely enough, best first.

    Raises:
        NotNumbers: a score is none, or a box that is likely enough.
    """
    dets = np.asarray(answers["dets"][0], np.float32)
    scores = dets[:, 4]
    if np.isnan(scores).any():
        raise NotNumbers
    likely = scores >= least_score
    if "labels" in answers:
        likely &= answers["labels"][0] == 0
    places: Indices = np.flatnonzero(likely)
    places = places[np.argsort(-scores[places], kind="stable")]
    if not _are_places(dets[places, :4]):
        raise NotNumbers
    boxes = dets[:, :4]
    kept: list[int] = []
    for place in places.tolist():
        if len(kept) == most:
            break
        if not kept or _overlaps(boxes[kept], boxes[place]).max() <= most_overlap:
            kept.append(place)
    return boxes[kept], np.array(kept, np.intp)


def _are_places(values: Floats) -> bool:
    """Return whether numbers are some that a picture could have; NaN is none."""
    return bool((np.abs(values) < MOST_PX).all())


def _overlaps(boxes: Floats, box: Floats) -> Floats:
    """Return (N,) intersections over unions of boxes (N, 4) with one (4,)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    shares: Floats = both / np.maximum(areas - both, 1e-9)
    return shares


def one_stage(
    answers: Arrays, ratio: float, least_score: float, most_overlap: float, most: int
) -> list[Sighting]:
    """Return the people of a one-stage model; ``ratio`` is how much smaller its picture was.

    Raises:
        NotNumbers: a score, a box or a key point is none.
    """
    boxes, places = chosen(answers, least_score, most_overlap, most)
    points = np.asarray(answers["keypoints"][0], np.float32)[places]  # (N, K, 3)
    if not _are_places(points):
        raise NotNumbers
    points[..., :2] /= ratio
    return sightings(boxes / ratio, points)


def sightings(boxes: Floats, points: Floats) -> list[Sighting]:
    """Return people by their boxes (N, 4) and points (N, 17, 3); scores are cut to 0 to 1."""
    points[..., 2] = points[..., 2].clip(0, 1)
    return [
        Sighting((box[0], box[1], box[2], box[3]), some)
        for box, some in zip(boxes.tolist(), points, strict=True)
    ]


def parts(boxes: Floats, width_px: int, height_px: int) -> tuple[Floats, Floats]:
    """Return centres and sizes (N, 2) of what a SimCC model of this size sees of boxes (N, 4)."""
    centres: Floats = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32)
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1) * GROWN
    wide = np.maximum(sizes[:, 0], sizes[:, 1] * width_px / height_px)
    whole: Floats = np.stack([wide, wide * height_px / width_px], axis=1).astype(np.float32)
    return centres, whole


def normalised(image: npt.NDArray[Any]) -> Floats:
    """Return a picture (H, W, 3) as a SimCC model takes it, (3, H, W)."""
    scaled = (image[:, :, ::-1].astype(np.float32) - MEAN) / DEVIATION
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def simcc(answers: Arrays, centres: Floats, sizes: Floats) -> Floats:
    """Return key points (P, 17, 3) in px of the image, for the parts of it that were seen.

    Raises:
        NotNumbers: a likelihood is none.
    """
    found = []
    least = []
    for axis, name in enumerate(("simcc_x", "simcc_y")):
        likely = np.asarray(answers[name], np.float32)  # (P, K, Wx or Wy)
        if not np.isfinite(likely).all():
            raise NotNumbers
        share = likely.argmax(axis=2) / likely.shape[2]
        found.append((share - 0.5) * sizes[:, None, axis] + centres[:, None, axis])
        least.append(likely.max(axis=2))
    return np.stack([*found, np.minimum(*least)], axis=2).astype(np.float32)
