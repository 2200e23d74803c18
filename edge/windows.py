"""Sensor time to model time: the arrays a model sees for a run of steps.

Steps lie on the UTC grid: step k covers [k, k + 1) * step_us; an input's rows divide it
evenly. A row holds the mean of the readings inside it; without one, the last reading within
``max_gap_us`` stands in; without that, the row is 0 and not observed. No row looks at a reading
from its own end or later, so serving and training cut the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.bundle import Arrays, Input, Manifest
from edge.masks import heard, intervals, touched
from edge.timeline import Timeline, Track
from sensor_adapters.samples import US_PER_S, Bools, Floats, Int64s

Doubles = npt.NDArray[np.float64]


class WindowError(Exception):
    """A station's devices do not fit a model's inputs; the text names found and expected."""


@dataclass(frozen=True)
class Steps:
    """What a model sees of ``T`` steps from ``first`` on."""

    first: int
    """Index of the first step on the UTC grid."""
    tensors: Arrays
    """By tensor name: (T, R, C) for sampled inputs, (T, E) for devices, no state."""
    observed: Floats
    """(T,) share of the places that the model looks at that was really observed, 0..1."""
    alive: tuple[frozenset[str], ...]
    """T sets: of which of the manifest's ``kinds`` something is observed."""

    def __len__(self) -> int:
        return len(self.observed)


def rows(track: Track, columns: list[int], block: Input, first_row: int, count: int) -> Floats:
    """Return (count, C) readings on the row grid, NaN where not observed."""
    rate, gap_us, width = block.rate_hz, block.max_gap_us, len(columns)
    edge_us = -(-(first_row + np.arange(count + 1)) * US_PER_S // rate)  # (count + 1,)
    lo, hi = np.searchsorted(track.time_us, [edge_us[0] - gap_us, edge_us[-1]])
    time_us = track.time_us[lo:hi]  # (N,)
    if not len(time_us):
        return np.full((count, width), np.nan, np.float32)
    values = track.values[lo:hi][:, columns].astype(np.float64)  # (N, C)
    seen = ~np.isnan(values)
    row = time_us * rate // US_PER_S - first_row  # (N,) below 0 for the tail before the run
    counted = seen & (row >= 0)[:, None]
    slot = (row[:, None] * width + np.arange(width))[counted]
    # float64 sums of a row's few float32 readings are exact: no order of addition matters
    total = np.bincount(slot, values[counted], count * width).reshape(count, width)
    number = np.bincount(slot, minlength=count * width).reshape(count, width)

    held = _held(time_us, values, seen, edge_us[1:], gap_us)
    mean = total / np.maximum(number, 1)
    return np.where(number > 0, mean, held).astype(np.float32)


def _held(time_us: Int64s, values: Doubles, seen: Bools, end_us: Int64s, gap_us: int) -> Doubles:
    """Return (count, C) each column's newest reading before ``end_us``, NaN where too old."""
    index = np.where(seen, np.arange(len(seen))[:, None], -1)  # (N, C)
    newest = np.maximum.accumulate(index, axis=0)  # (N, C)
    row = np.searchsorted(time_us, end_us) - 1  # (count,) -1 where nothing came yet
    at = np.where((row >= 0)[:, None], newest[row], -1)  # (count, C)
    fresh = (at >= 0) & (end_us[:, None] - time_us[at] <= gap_us)
    return np.where(fresh, np.take_along_axis(values, at.clip(0), axis=0), np.nan)


def _block(timeline: Timeline, block: Input, step_us: int, first: int, steps: int) -> Floats:
    """Return (T, R, C) in the channels' units, NaN where not observed."""
    per_step = block.rate_hz * step_us // US_PER_S
    out = np.full((steps * per_step, len(block.channels)), np.nan, np.float32)
    by_placement: dict[str, list[int]] = {}
    for index, name in enumerate(block.channels):
        by_placement.setdefault(name.rpartition(".")[0], []).append(index)
    for placement, indices in by_placement.items():
        track = timeline.tracks.get(placement)
        if track is None:
            continue
        track.settle()
        columns = [_column(track, block, i) for i in indices]
        out[:, indices] = rows(track, columns, block, first * per_step, steps * per_step)
    return out.reshape(steps, per_step, len(block.channels))


def _column(track: Track, block: Input, index: int) -> int:
    """Return a model channel's column in its track, its unit checked."""
    placement, _, channel = block.channels[index].rpartition(".")
    try:
        column = track.stream.column(channel)
    except KeyError as error:
        raise WindowError(f"{placement}: {error.args[0]}") from error
    unit = track.stream.channels[column].unit
    if unit != block.units[index]:
        raise WindowError(f"{placement}.{channel}: unit is {unit}, expected {block.units[index]}")
    return column


def _share(block: Input, seen: Bools) -> Floats:
    """Return (T,) how much of (T, R, C) was observed: of every place, rows with any reading.

    Not of every channel: a camera that sees nobody, or a unit without gyroscope, is not silent.
    """
    places = np.array([name.rpartition(".")[0] for name in block.channels])  # (C,)
    shares = [
        seen[:, :, places == place].any(axis=2).mean(axis=1, dtype=np.float32)
        for place in dict.fromkeys(places.tolist())
    ]
    share: Floats = np.mean(shares, axis=0, dtype=np.float32)
    return share


def device_masks(
    timeline: Timeline, manifest: Manifest, first: int, steps: int
) -> tuple[Bools, Bools]:
    """Return (T, E) in use and (T, E) observed, of the model's devices in order."""
    in_use = np.zeros((steps, len(manifest.devices)), np.bool_)
    observed = np.zeros_like(in_use)
    for e, device in enumerate(manifest.devices):
        track = timeline.tracks.get(device.placement)
        if track is None:
            continue
        if track.stream.kind != device.kind:
            raise WindowError(
                f"{device.placement}: stream is of kind {track.stream.kind}, expected {device.kind}"
            )
        track.settle()
        step_us = manifest.step_us
        end = int(np.searchsorted(track.time_us, (first + steps) * step_us))
        time_us, on = track.time_us[:end], track.values[:end, 0]
        stretches = intervals(time_us, on, device.kind, device.hold_us)
        in_use[:, e] = touched(stretches, first, steps, step_us)
        observed[:, e] = heard(time_us, first, steps, step_us, device.max_silence_us)
    return in_use & observed, observed


def cut(timeline: Timeline, manifest: Manifest, first: int, steps: int) -> Steps:
    """Return what the model sees of steps [first, first + steps).

    Raises:
        WindowError: a device's channels, units or kind are not those the model was trained on.
    """
    tensors: Arrays = {}
    shares: list[Floats] = []
    for block in manifest.inputs:
        raw = _block(timeline, block, manifest.step_us, first, steps)  # (T, R, C)
        seen = ~np.isnan(raw)
        mean, std = np.asarray(block.mean, np.float32), np.asarray(block.std, np.float32)
        tensors[block.name] = np.where(seen, (raw - mean) / std, np.float32(0))
        tensors[f"{block.name}_observed"] = seen.astype(np.float32)
        shares.append(_share(block, seen))
    if manifest.devices:
        in_use, observed = device_masks(timeline, manifest, first, steps)
        tensors["in_use"] = in_use.astype(np.float32)
        tensors["in_use_observed"] = observed.astype(np.float32)
        shares.append(observed.mean(axis=1, dtype=np.float32))
    kinds = manifest.kinds
    alive = tuple(
        frozenset(kind for kind, share in zip(kinds, row, strict=True) if share > 0)
        for row in np.stack(shares, axis=1).tolist()
    )
    return Steps(first, tensors, np.mean(shares, axis=0, dtype=np.float32), alive)


def keep_us(manifest: Manifest) -> int:
    """Return how far back of a step's start a cut may look."""
    looks = [block.max_gap_us for block in manifest.inputs]
    looks += [max(d.hold_us, d.max_silence_us) for d in manifest.devices]
    return max(looks, default=0) + manifest.step_us
