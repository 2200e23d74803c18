"""Which station a person in the picture is at: polygons in shares of the image. No I/O.

Somebody belongs to the first zone they are seen in, and stays until they are further from it than
a margin: who stands on the border does not flicker. A station is whoever's has been there longest;
while that one is hidden for a moment, nobody else takes the place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

Spot = tuple[float, float]
"""x, y in shares of the image; may lie outside of it."""
Zone = tuple[Spot, ...]
"""Corners of a polygon in order; none: everywhere."""


@dataclass(frozen=True)
class Place:
    """Where somebody is."""

    station: str
    since_us: int


def placed(
    before: Mapping[int, Place],
    zones: Mapping[str, Zone],
    margin: float,
    time_us: int,
    spots: Mapping[int, Spot],
    remembered: Iterable[int] = (),
) -> dict[int, Place]:
    """Return where people are after a frame, by their track's id.

    Args:
        before: where they were.
        zones: by station; where two overlap, the first takes the newcomer.
        margin: how far from their zone they may be before they leave it, a share of the image.
        time_us: the frame's time.
        spots: where those seen in it stand.
        remembered: who is not seen, and not forgotten: they stay where they were.
    """
    now = {id_: before[id_] for id_ in remembered if id_ in before}
    for id_, spot in spots.items():
        old = before.get(id_)
        if old is not None and distance(zones[old.station], spot) <= margin:
            now[id_] = old
            continue
        now.pop(id_, None)
        station = next((name for name, zone in zones.items() if contains(zone, spot)), None)
        if station is not None:
            now[id_] = Place(station, time_us)
    return now


def holders(places: Mapping[int, Place]) -> dict[str, int]:
    """Return whose each station is: the id of who has been there longest."""
    found: dict[str, tuple[int, int]] = {}
    for id_, place in places.items():
        key = (place.since_us, id_)
        found[place.station] = min(found.get(place.station, key), key)
    return {station: id_ for station, (_, id_) in found.items()}


def contains(zone: Zone, spot: Spot) -> bool:
    """Return whether a spot is inside, by the even-odd rule.

    >>> contains(((0, 0), (0.5, 0), (0.5, 1), (0, 1)), (0.25, 0.5))
    True
    """
    x, y = spot
    inside = not zone
    for (ax, ay), (bx, by) in _edges(zone):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            inside = not inside
    return inside


def distance(zone: Zone, spot: Spot) -> float:
    """Return how far a spot is from a zone, in shares of the image; 0 inside.

    >>> distance(((0, 0), (0.5, 0), (0.5, 1), (0, 1)), (0.75, 0.5))
    0.25
    """
    if contains(zone, spot):
        return 0.0
    return min(_to_edge(a, b, spot) for a, b in _edges(zone))


def area(zone: Zone) -> float:
    """Return the area between the corners, a share of the image (the shoelace formula)."""
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in _edges(zone))) / 2


def _edges(zone: Zone) -> Iterable[tuple[Spot, Spot]]:
    return pairwise((*zone, *zone[:1]))


def _to_edge(a: Spot, b: Spot, spot: Spot) -> float:
    (ax, ay), (bx, by), (x, y) = a, b, spot
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length if length else 0.0
    along = min(max(along, 0.0), 1.0)
    return hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))
