"""Runs of one label, predicted or true, and the clock on which they are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stretch:
    """[start_us, end_us) of one label, predicted or true."""

    label: str
    start_us: int
    end_us: int


Drawing = tuple[str, Mapping[str, Sequence[Stretch]], Sequence[str]]
"""What is drawn of one level: its name, stretches by who says so, labels."""


def is_null(label: str) -> bool:
    """Return whether a label says that nothing nameable was going on.

    >>> is_null("Null"), is_null("Scan Label")
    (True, False)
    """
    return label.lower() in ("", "null")


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Return segments in order: no Null, none empty, touching ones of one label made one."""
    whole: list[Stretch] = []
    for one in sorted(stretches, key=lambda s: s.start_us):
        if is_null(one.label) or one.end_us <= one.start_us:
            continue
        before = whole[-1] if whole else None
        if before and before.label == one.label and one.start_us <= before.end_us:
            whole[-1] = Stretch(one.label, before.start_us, max(before.end_us, one.end_us))
        else:
            whole.append(one)
    return whole


def on_scored_time(stretches: Sequence[Stretch], truth: Sequence[Stretch]) -> list[Stretch]:
    """Return the stretches on a clock that stands still where nothing is true.

    What is said where the truth is not known then neither helps nor harms, and a boundary
    that lies there costs nothing wherever it is.
    """
    if not truth:
        return []
    starts = np.sort(np.array([t.start_us for t in truth], np.int64))
    ends = np.array([t.end_us for t in sorted(truth, key=lambda t: t.start_us)], np.int64)
    reach = np.maximum.accumulate(ends)
    begins = np.flatnonzero(np.append(True, starts[1:] > reach[:-1]))
    spans = np.stack([starts[begins], reach[np.append(begins[1:] - 1, len(reach) - 1)]], axis=1)
    length = np.cumsum(spans[:, 1] - spans[:, 0])
    elapsed = np.stack([np.append(0, length[:-1]), length], axis=1)
    edges = np.array([(s.start_us, s.end_us) for s in stretches], np.int64).reshape(-1, 2)
    placed = np.interp(edges, spans.ravel(), elapsed.ravel()).round().astype(np.int64)
    return [
        Stretch(s.label, int(start), int(end))
        for s, (start, end) in zip(stretches, placed, strict=True)
    ]
