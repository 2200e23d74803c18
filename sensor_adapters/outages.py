"""Sensors that fail: recordings with stretches cut out, to rehearse what a board makes of it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sensor_adapters.recording import Recording
from sensor_adapters.samples import US_PER_S

KINDS = {"imu": "imu", "pose": "camera", "radio": "radio"}
"""Modality by adapter; what is not listed is a device."""
MEAN_S = 60.0
"""Mean length of a stretch, of recordings that hold ten and more of it."""

Stretch = tuple[int, int]


def modality(adapter: str) -> str:
    """Return which modality an adapter's devices belong to: imu, camera, radio or iot."""
    return KINDS.get(adapter, "iot")


def drawn(
    recording: Recording, share: float, seed: int, mean_s: float | None = None
) -> dict[str, list[Stretch]]:
    """Return random stretches [start_us, end_us) by modality in which all its devices are dead.

    Args:
        recording: whose time and modalities are taken.
        share: of the time that each modality is to be dead, 0 to less than 1.
        seed: of the random stretches; modalities fail independently of each other.
        mean_s: mean length of a stretch, a minute or a tenth of a short recording if not said;
            lengths are exponential, at least two seconds.
    """
    if not 0 <= share < 1:
        raise ValueError(f"outages: share is {share:g}, expected 0 to less than 1")
    start_us, end_us = recording.span_us()
    if mean_s is None:
        mean_s = min((end_us - start_us) / US_PER_S / 10, MEAN_S)
    names = sorted({modality(device.adapter) for device in recording.devices.values()})
    streams = np.random.SeedSequence(seed).spawn(len(names))
    return {
        name: list(_stretches(np.random.default_rng(stream), start_us, end_us, share, mean_s))
        for name, stream in zip(names, streams, strict=True)
    }


def _stretches(
    rng: np.random.Generator, start_us: int, end_us: int, share: float, mean_s: float
) -> Iterator[Stretch]:
    if not share:
        return
    alive_s = mean_s * (1 - share) / share
    at_us = start_us + round(rng.exponential(alive_s) * US_PER_S)
    while at_us < end_us:
        until_us = at_us + round(max(rng.exponential(mean_s), 2.0) * US_PER_S)
        yield at_us, min(until_us, end_us)
        at_us = until_us + round(rng.exponential(alive_s) * US_PER_S)


def without(recording: Recording, dead: dict[str, list[Stretch]]) -> Recording:
    """Return the recording as if these modalities had sent nothing in these stretches."""
    samples = []
    for one in recording.samples:
        kept = np.ones(len(one), np.bool_)
        for start_us, end_us in dead.get(modality(recording.devices[one.device].adapter), []):
            lo, hi = np.searchsorted(one.time_us, [start_us, end_us])
            kept[lo:hi] = False
        samples.append(replace(one, time_us=one.time_us[kept], values=one.values[kept]))
    told = [
        f"{name}: cut out {len(stretches)} stretches,"
        f" {sum(b - a for a, b in stretches) / US_PER_S:.0f} s in all"
        for name, stretches in dead.items()
    ]
    return replace(recording, samples=tuple(samples), notes=(*recording.notes, *told))
