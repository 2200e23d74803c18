"""The virtual packing station: recordings of workers who do not exist, for those without data.

One script a session, one movement of one body, and every sensor derived from it, so that
training with all sensors and serving with one can be tried, and the truth is exact. All of it
is made up: it says how the software behaves, not how well it would do in a warehouse.

>>> parse("virtual:seed=7,boxes=2").name
'virtual-seed7'
"""

import re
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from sensor_adapters.body import build
from sensor_adapters.motion import Manner, move
from sensor_adapters.recording import Device, Recording, RecordingError, TrueSegment
from sensor_adapters.samples import US_PER_S
from sensor_adapters.virtual_body_sensors import CAMERA, IMUS, camera, inertial
from sensor_adapters.virtual_devices import DEVICES, device_samples
from sensor_adapters.worker import Act, draw_habits, script

FIRST_US = 1_767_254_400 * US_PER_S  # 2026-01-01T08:00:00Z
DAY_US = 86_400 * US_PER_S
MAX_SEED, MAX_BOXES = 20_000, 400
PREFIX = "virtual:"
DEFAULTS = {"seed": 0, "boxes": 20}


def simulate(seed: int, boxes: int = 20, start_us: int | None = None) -> Recording:
    """Return the session of worker ``seed``: packing ``boxes`` boxes on a day of its own.

    Args:
        seed: 0 to 20000; another seed is another worker, script and set of sensor faults.
        boxes: 1 to 400.
        start_us: UTC microseconds of the first sample; by default the seed-th day of 2026
            at 08:00, so that no two seeds overlap.

    Raises:
        RecordingError: seed or boxes out of range.
    """
    for what, value, low, high in (("seed", seed, 0, MAX_SEED), ("boxes", boxes, 1, MAX_BOXES)):
        if not low <= value <= high:
            raise RecordingError(f"virtual: {what} is {value}, expected {low} to {high}")
    if start_us is None:
        start_us = FIRST_US + seed * DAY_US
    worker, day, gestures, *parts = (np.random.default_rng([seed, k]) for k in range(16))
    habits = draw_habits(worker)
    acts = script(habits, boxes, day)
    body = build(move(acts, habits, Manner(habits, worker), gestures), worker.normal(1, 0.04))
    samples = [inertial(device, body, start_us, parts[k]) for k, device in enumerate(IMUS)]
    samples.append(camera(body, start_us, parts[8]))
    samples += device_samples(acts, start_us, parts[9])
    return Recording(
        name=f"virtual-seed{seed}",
        layout="virtual",
        subject=f"worker-{seed}",
        samples=tuple(samples),
        devices={**IMUS, CAMERA: Device("pose", "bench"), **DEVICES},
        truth=truth(acts, start_us),
        notes=("simulated: no person, no real sensor",),
    )


def truth(acts: Sequence[Act], start_us: int) -> tuple[TrueSegment, ...]:
    """Return operations and actions by start, an operation before its first action."""
    segments = []
    for _, group in groupby(acts, key=lambda act: (act.turn, act.operation)):
        inside = list(group)
        first, last = inside[0], inside[-1]
        if first.operation is None:
            continue
        spans = [("operation", first.operation, first.start_s, last.end_s)]
        spans += [("action", act.label, act.start_s, act.end_s) for act in inside]
        for level, label, start_s, end_s in spans:
            start, end = (start_us + round(t * 1000) * (US_PER_S // 1000) for t in (start_s, end_s))
            segments.append(TrueSegment(level, label, start, end, first.box))
    return tuple(segments)


def parse(spec: str) -> Recording:
    """Return the recording that ``virtual:seed=7,boxes=20`` stands for; both may be left out.

    Raises:
        RecordingError: another prefix, an unknown or repeated key, not a number, out of range.
    """
    if not spec.startswith(PREFIX):
        raise RecordingError(f"{spec!r} is no virtual recording, expected virtual:seed=7,boxes=20")
    settings: dict[str, int] = {}
    for part in filter(None, spec[len(PREFIX) :].split(",")):
        key, _, text = part.partition("=")
        if key not in DEFAULTS or key in settings:
            expected = " and ".join(DEFAULTS)
            found = "twice" if key in settings else "as a key"
            raise RecordingError(f"{spec}: found {key!r} {found}, expected {expected}, each once")
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise RecordingError(f"{spec}: {key} is {text!r}, expected a whole number")
        settings[key] = int(text)
    return simulate(**(DEFAULTS | settings))
