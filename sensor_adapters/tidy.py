"""What readers of published sessions share: times in order, heartbeats, runs of labels."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sensor_adapters.csv_table import Doubles
from sensor_adapters.payloads import FIRST_US, LAST_US
from sensor_adapters.recording import RecordingError
from sensor_adapters.samples import US_PER_S, Int64s, Samples, Stream

HEARTBEAT_US = 10 * US_PER_S


def whole_us(path: Path, seconds_or_ms: Doubles, unit_us: int, origin_us: int = 0) -> Int64s:
    """Return (N,) UTC microseconds of stamps counted in ``unit_us`` from ``origin_us``.

    Raises:
        RecordingError: a stamp lies outside the years 1970 to 2100.
    """
    time_us = np.rint(seconds_or_ms * unit_us) + origin_us
    wrong = np.flatnonzero((time_us < FIRST_US) | (time_us >= LAST_US))
    if len(wrong):
        unit = {1000: "ms", US_PER_S: "s"}[unit_us]
        raise RecordingError(
            f"{path}: data row {wrong[0] + 1} is stamped {seconds_or_ms[wrong[0]]:.3f} {unit},"
            " expected a time between the years 1970 and 2100"
        )
    return time_us.astype(np.int64)


def ordered(
    device: str, stream: Stream, time_us: Int64s, values: npt.NDArray[np.floating]
) -> tuple[Samples, list[str]]:
    """Return a sampled stream in order of time, one reading a stamp (the first), and notes."""
    notes = []
    if (np.diff(time_us) < 0).any():
        notes.append(f"{device}: rows were not in order of time and have been sorted")
        order = np.argsort(time_us, kind="stable")
        time_us, values = time_us[order], values[order]
    first = np.ones(len(time_us), np.bool_)
    first[1:] = np.diff(time_us) > 0
    if not first.all():
        notes.append(f"{device}: dropped {int((~first).sum())} rows with a repeated stamp")
    return Samples(device, stream, time_us[first], values[first].astype(np.float32)), notes


def heartbeats(start_us: int, end_us: int) -> Int64s:
    """Return the whole multiples of ten seconds in [start_us, end_us].

    >>> heartbeats(9_999_999, 20_000_000).tolist()
    [10000000, 20000000]
    """
    first = -(-start_us // HEARTBEAT_US) * HEARTBEAT_US
    return np.arange(first, end_us + 1, HEARTBEAT_US, dtype=np.int64)


def runs(starts_us: Int64s, ends_us: Int64s, keys: Int64s) -> Iterator[tuple[int, int]]:
    """Yield (first, last) row of each stretch without a gap whose rows have the same key.

    Args:
        starts_us: (N,) start of each labelled step.
        ends_us: (N,) its end.
        keys: (N, K) whole numbers that must all stay the same within a stretch.
    """
    if not len(keys):
        return
    breaks = (keys[1:] != keys[:-1]).any(axis=1) | (starts_us[1:] != ends_us[:-1])
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(keys)]
    for first, after in pairwise(edges):
        yield first, after - 1
