"""What the things on the bench would say: scanner, printer, tape, pen, shelf and back table.

All speak of the script's actions, now and then miss one or say something for nothing, and
repeat themselves at least every ten seconds, so that silence can be told from rest.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from sensor_adapters import event, state
from sensor_adapters.recording import Device
from sensor_adapters.samples import US_PER_S, Samples, Stream
from sensor_adapters.worker import Act

DEVICES = {
    "scanner": Device("event", "scanner"),
    "printer": Device("event", "printer"),
    "tape": Device("state", "tape"),
    "pen": Device("state", "pen"),
    "shelf": Device("state", "shelf"),
    "backtable": Device("state", "back_table"),
}
SCANS = (
    "Scan Order Sheet (handheld terminal)",
    "Scan Box",
    "Scan Item",
    "Scan Order Sheet (white scanner)",
    "Scan Printer",
)
TAPING = ("Attach Tape (Assemble Box)", "Attach Tape (Close Box)")
REACHING = ("Pick Up Item from Box",)
PUTTING = ("Put Packed Box (Put on Back Table)",)
HEARTBEAT_S = 5.0
MISSED = 0.05
SPURIOUS_EVERY_S = 300.0

Spans = list[tuple[float, float]]


def device_samples(acts: Sequence[Act], start_us: int, rng: np.random.Generator) -> list[Samples]:
    """Return every device's samples for one script."""
    end_s = acts[-1].end_s
    events = {"scanner": _scans(acts, rng), "printer": _prints(acts, rng)}
    levels = {
        "tape": _parts(acts, TAPING, 0.25, 0.8, rng),
        "pen": _pen(acts, rng),
        "shelf": _parts(acts, REACHING, 0.35, 0.75, rng),
        "backtable": _parts(acts, PUTTING, 0.7, 1.0, rng, stays_s=9.0),
    }
    samples = []
    for device, times in events.items():
        times = [t for t in times if rng.random() > MISSED]
        times += list(rng.uniform(0, end_s, rng.poisson(end_s / SPURIOUS_EVERY_S)))
        rows = [(t, 1.0) for t in times] + [(t, 0.0) for t in _heartbeats(end_s, rng)]
        samples.append(_samples(device, event.stream, rows, end_s, start_us))
    for device, spans in levels.items():
        spans = [span for span in spans if rng.random() > MISSED]
        for t in rng.uniform(0, end_s, rng.poisson(end_s / SPURIOUS_EVERY_S)):
            spans.append((float(t), float(t + rng.uniform(0.3, 2.5))))
        spans = _merged(spans)
        rows = [row for on, off in spans for row in ((on, 1.0), (off, 0.0))]
        for t in _heartbeats(end_s, rng):
            rows.append((t, float(any(on <= t < off for on, off in spans))))
        samples.append(_samples(device, state.stream, rows, end_s, start_us))
    return samples


def _samples(
    device: str, stream: Stream, rows: Iterable[tuple[float, float]], end_s: float, start_us: int
) -> Samples:
    """Return rows of (seconds, value) as samples in time order, to the millisecond."""
    kept = sorted((round(t * 1000), value) for t, value in rows if 0 <= t < end_s)
    time_us = start_us + np.array([ms for ms, _ in kept], np.int64) * (US_PER_S // 1000)
    values = np.array([value for _, value in kept], np.float32).reshape(-1, 1)
    return Samples(device, stream, time_us, values, boot="virtual")


def _heartbeats(end_s: float, rng: np.random.Generator) -> list[float]:
    return list(np.arange(rng.uniform(0, HEARTBEAT_S), end_s, HEARTBEAT_S))


def _scans(acts: Sequence[Act], rng: np.random.Generator) -> list[float]:
    """Return when codes were read: shortly before each scanning action's hands come to rest."""
    times = []
    for act in acts:
        if act.label in SCANS:
            busy_s = act.end_s - act.pause_s - act.start_s
            times.append(act.start_s + busy_s * float(rng.uniform(0.65, 0.95)))
    return times


def _prints(acts: Sequence[Act], rng: np.random.Generator) -> list[float]:
    """Return when labels came out: a second or two after the printer's code was read."""
    return [act.end_s + float(rng.uniform(0.6, 2.0)) for act in acts if act.label == "Scan Printer"]


def _parts(
    acts: Sequence[Act],
    labels: Sequence[str],
    first: float,
    last: float,
    rng: np.random.Generator,
    stays_s: float = 0.0,
) -> Spans:
    """Return the part of each act of ``labels`` in which its device is in use."""
    spans = []
    for act in acts:
        if act.label in labels:
            busy_s = act.end_s - act.pause_s - act.start_s
            on = act.start_s + busy_s * (first + float(rng.uniform(0, 0.1)))
            off = act.start_s + busy_s * (last + float(rng.uniform(-0.1, 0.1)))
            spans.append((on, max(off, on + 0.2) + (rng.gamma(3, stays_s / 3) if stays_s else 0)))
    return spans


def _pen(acts: Sequence[Act], rng: np.random.Generator) -> Spans:
    """Return when the pen was out of its holder; sometimes it is put back late."""
    spans, out_s = [], None
    for act in acts:
        if act.label in ("Hold Pen", "Pick Up Pen"):
            out_s = act.start_s + 0.5 * (act.end_s - act.pause_s - act.start_s)
        elif out_s is not None and act.label in ("Write Check Mark", "Write Sign"):
            late_s = float(rng.uniform(3, 15)) if rng.random() < 0.15 else 0.2
            spans.append((out_s, act.end_s + late_s))
            out_s = None
    return spans


def _merged(spans: Spans) -> Spans:
    """Return the union of the spans, rising and apart."""
    merged: Spans = []
    for on, off in sorted(spans):
        if merged and on <= merged[-1][1] + 0.002:
            merged[-1] = (merged[-1][0], max(off, merged[-1][1]))
        else:
            merged.append((on, off))
    return merged
