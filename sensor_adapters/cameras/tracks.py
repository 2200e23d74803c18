"""Who is who from frame to frame: boxes are matched greedily, with a short memory. No I/O.

The pairs that overlap most come first (intersection over union, the measure of the PASCAL VOC
challenge, Everingham et al. 2010); then, where a slow model leaves frames so far apart that a
walking person's boxes no longer overlap, those whose centres are nearest for their size. No
appearance is kept, so two people who swap places behind each other are swapped here, too.

The result does not depend on the order in which a frame's boxes are given.
"""

from dataclasses import dataclass
from math import hypot

from sensor_adapters.samples import US_PER_S

MEMORY_US = US_PER_S
LEAST_OVERLAP = 0.2
MOST_APART = 0.5
"""Of the mean of both boxes' diagonals."""
MOST_TRACKS = 50

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, px."""


@dataclass(frozen=True)
class Track:
    """Somebody who was seen before, or is now."""

    id: int
    first_us: int
    last_us: int
    box: Box


@dataclass(frozen=True)
class Tracks:
    """All who are remembered."""

    live: tuple[Track, ...] = ()
    next_id: int = 0


def followed(
    before: Tracks, time_us: int, boxes: list[Box], memory_us: int = MEMORY_US
) -> tuple[Tracks, list[int]]:
    """Return who is remembered after a frame, and the id of each of its boxes.

    Args:
        before: who was remembered.
        time_us: the frame's time.
        boxes: (N,) finite, in any order.
        memory_us: how long somebody who is not seen is remembered.
    """
    known = [one for one in before.live if time_us - one.last_us <= memory_us]
    order = sorted(range(len(boxes)), key=boxes.__getitem__)
    pairs = sorted(
        (*like, track.id, place, index)
        for track in known
        for place, index in enumerate(order)
        if (like := likeness(track.box, boxes[index])) is not None
    )
    ids: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, id_, _, index in pairs:
        if id_ not in taken and index not in ids:
            ids[index] = id_
            taken.add(id_)
    next_id = before.next_id
    for index in order:
        if index not in ids:
            ids[index], next_id = next_id, next_id + 1
    first_us = {one.id: one.first_us for one in known}
    seen = [
        Track(ids[index], first_us.get(ids[index], time_us), time_us, boxes[index])
        for index in order
    ]
    live = [*(one for one in known if one.id not in taken), *seen]
    live = sorted(live, key=lambda one: (one.last_us, -one.id))[-max(MOST_TRACKS, len(seen)) :]
    return Tracks(tuple(live), next_id), [ids[index] for index in range(len(boxes))]


def likeness(one: Box, other: Box) -> tuple[int, float] | None:
    """Return how well two boxes match, the least being best; None if not at all."""
    if (share := overlap(one, other)) >= LEAST_OVERLAP:
        return 0, -share
    size = (_diagonal(one) + _diagonal(other)) / 2
    apart = hypot(
        (one[0] + one[2] - other[0] - other[2]) / 2, (one[1] + one[3] - other[1] - other[3]) / 2
    )
    return (1, apart / size) if apart <= MOST_APART * size and size > 0 else None


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union, 0 to 1.

    >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(one) + _area(other) - both)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _diagonal(box: Box) -> float:
    return hypot(box[2] - box[0], box[3] - box[1])
