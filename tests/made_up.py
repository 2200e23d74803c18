"""Stretches and recordings written as text, a letter a step."""

import numpy as np

from sensor_adapters.recording import Recording, StepLabels, TrueSegment
from sensor_adapters.samples import US_PER_S
from trainer.stretches import Stretch, joined

ORIGIN_S = 1_767_859_200


def us(second):
    return ORIGIN_S * US_PER_S + round(second * US_PER_S)


def said(text, start=0.0, step=1.0):
    """Return the runs of a text, a letter a step; ``.`` is nothing, ``-`` is Null."""
    parts = [
        Stretch({"-": "Null"}.get(x, x), us(start + i * step), us(start + (i + 1) * step))
        for i, x in enumerate(text)
        if x != "."
    ]
    return [s for s in parts if s.label == "Null"] + joined(parts)


def session(*segments, level="operation", labels=None, seconds=None):
    truth = tuple(TrueSegment(level, label, us(a), us(b)) for label, a, b in segments)
    steps: tuple[StepLabels, ...] = ()
    if seconds is not None:
        time_us = np.array([us(i) for i in range(len(seconds))], np.int64)
        target = np.array([[float(x == label) for label in labels] for x in seconds], np.float32)
        steps = (StepLabels(level, time_us, tuple(labels), target),)
    return Recording("made-up", "virtual", "nobody", (), {}, truth, steps)
