"""How right a model was by segment and by boundary.

Segmental F1 at an overlap and the edit score are those of Lea et al. (CVPR 2017). The boundary
F1 asks only for when the label changed, to within a tolerance, and not for what it was.
"""

# P predicted and G true segments

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensor_adapters.samples import US_PER_S, Int64s
from trainer.stretches import Stretch, joined

OVERLAPS = (10, 25, 50)  # per cent
TOLERANCE_S = 1.0  # of a boundary


@dataclass(frozen=True)
class Matches:
    """How many segments or boundaries were found; those of several recordings add up."""

    found: int
    predicted: int
    true: int

    def __add__(self, other: "Matches") -> "Matches":
        return Matches(
            self.found + other.found, self.predicted + other.predicted, self.true + other.true
        )

    @property
    def f1(self) -> float:
        """0..1; 1 where nothing was to be found and nothing was."""
        both = self.predicted + self.true
        return 2 * self.found / both if both else 1.0


def matches(truth: Sequence[Stretch], predicted: Sequence[Stretch], overlap: float) -> Matches:
    """Return how many predicted segments lie on a true one of their label.

    A prediction belongs to the true segment of its label with which it shares most (intersection
    over union) and finds it if that is at least ``overlap``, 0..1. Each is found once at most:
    further predictions that belong to it are wrong. Null is no segment.
    """
    truth, predicted = joined(truth), joined(predicted)
    found = 0
    for label in {t.label for t in truth}:
        wanted, said = _edges(truth, label), _edges(predicted, label)
        if not len(said):
            continue
        first = np.maximum(said[:, :1], wanted[:, 0])  # (P, G)
        last = np.minimum(said[:, 1:], wanted[:, 1])
        union = np.maximum(said[:, 1:], wanted[:, 1]) - np.minimum(said[:, :1], wanted[:, 0])
        share = np.maximum(last - first, 0) / union
        enough = share.max(axis=1) >= overlap
        found += len(np.unique(share.argmax(axis=1)[enough]))
    return Matches(found, len(predicted), len(truth))


def _edges(stretches: Sequence[Stretch], label: str) -> Int64s:
    edges = [(s.start_us, s.end_us) for s in stretches if s.label == label]
    return np.array(edges, np.int64).reshape(-1, 2)


def segment_f1(truth: Sequence[Stretch], predicted: Sequence[Stretch], overlap: float) -> float:
    """Return F1 of segments, 0..1; ``overlap`` 0.1, 0.25, 0.5 give what papers call F1@10 ..."""
    return matches(truth, predicted, overlap).f1


def edit_score(truth: Sequence[Stretch], predicted: Sequence[Stretch]) -> float:
    """Return how alike the orders of segments are, 0..100, whenever they were.

    100 less the share of the longer sequence that must be inserted, deleted or replaced.

    >>> edit_score([Stretch("a", 0, 9), Stretch("b", 9, 12)], [Stretch("a", 3, 5)])
    50.0
    """
    wanted, said = ([s.label for s in joined(part)] for part in (truth, predicted))
    longest = max(len(wanted), len(said))
    return 100 * (1 - _distance(wanted, said) / longest) if longest else 100.0


def _distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the Levenshtein distance, a row at a time."""
    b_labels, column = np.array(b, np.str_), np.arange(len(b) + 1)
    row = column
    for label in a:
        replaced = row[:-1] + (b_labels != label)
        kept = np.append(row[0] + 1, np.minimum(row[1:] + 1, replaced))
        row = np.minimum.accumulate(kept - column) + column  # or inserted, from the left
    return int(row[-1])


def boundary_matches(
    truth: Sequence[Stretch], predicted: Sequence[Stretch], tolerance_s: float = TOLERANCE_S
) -> Matches:
    """Return how many of the moments at which the label changes were found.

    A boundary is the start or the end of a segment inside the time that the truth spans; where
    two touch they have one in common, and where the truth begins and ends there is none to find.
    A predicted one finds a true one at most ``tolerance_s`` seconds away, whatever the labels
    on either side. Each finds and is found once at most, as many as can be.
    """
    if not truth:
        return Matches(0, 0, 0)
    first, last = min(t.start_us for t in truth), max(t.end_us for t in truth)
    wanted, said = (_boundaries(part, first, last) for part in (truth, predicted))
    found = i = j = 0
    while i < len(wanted) and j < len(said):  # in order of time: pairs never need to cross
        apart_us = said[j] - wanted[i]
        if abs(apart_us) <= tolerance_s * US_PER_S:
            found, i, j = found + 1, i + 1, j + 1
        elif apart_us > 0:
            i += 1
        else:
            j += 1
    return Matches(found, len(said), len(wanted))


def _boundaries(stretches: Sequence[Stretch], first_us: int, last_us: int) -> list[int]:
    edges = {edge for s in joined(stretches) for edge in (s.start_us, s.end_us)}
    return sorted(edge for edge in edges if first_us < edge < last_us)


def boundary_f1(
    truth: Sequence[Stretch], predicted: Sequence[Stretch], tolerance_s: float = TOLERANCE_S
) -> float:
    """Return F1 of the moments at which the label changes, 0..1.

    >>> truth = [Stretch("a", 0, 9_000_000), Stretch("b", 9_000_000, 20_000_000)]
    >>> late = [Stretch("a", 0, 9_900_000), Stretch("b", 9_900_000, 20_000_000)]
    >>> boundary_f1(truth, late), boundary_f1(truth, late, tolerance_s=0.5)
    (1.0, 0.0)
    """
    return boundary_matches(truth, predicted, tolerance_s).f1
