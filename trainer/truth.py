"""What was true: by second, as stretches, and on which levels."""

# N seconds, K labels

import numpy as np

from sensor_adapters.recording import Recording, StepLabels, TrueSegment
from sensor_adapters.samples import US_PER_S, Floats, Int64s
from trainer.stretches import Stretch, is_null, joined


class ScoreError(Exception):
    """There is nothing to score, or not what was asked for; the text says found and expected."""


def truth_per_second(recording: Recording, level: str) -> tuple[Int64s, tuple[str, ...], Floats]:
    """Return what was true in every second of a level; see ``truth_per_step``."""
    return truth_per_step(recording, level, US_PER_S)


def truth_per_step(
    recording: Recording, level: str, step_us: int
) -> tuple[Int64s, tuple[str, ...], Floats]:
    """Return what was true in every step of a level.

    Published labels of seconds are taken where the recording has them, for each part of a second
    where steps are shorter. Otherwise steps of the UTC grid, from the first true segment to the
    last; of the segments that have part in a step the one that began last is true of it, so the one
    in force at its end counts, unless nothing followed it. This is how OpenPack's own labels of
    seconds are made from its segments, but that they let an operation last through the Null behind
    it.

    Returns:
        time_us (N,) starts of the steps; labels (K,); target (N, K) shares, of which a row of
        zeros is not scored.

    Raises:
        ScoreError: the recording has no truth of this level.
    """
    for one in recording.step_labels:
        if one.level == level:
            parts = np.arange(0, US_PER_S, min(step_us, US_PER_S))
            time_us = (one.time_us[:, None] + parts).ravel()
            return time_us, one.labels, np.repeat(one.target, len(parts), 0)
    segments = [t for t in _segments(recording, level) if not is_null(t.label)]
    if not segments:
        found = ", ".join(labelled_levels(recording)) or "none"
        raise ScoreError(f"{recording.name}: has labels of {found}, expected some of {level}")
    labels = tuple(dict.fromkeys(t.label for t in segments))
    first = segments[0].start_us // step_us
    index = np.full(_after(max(t.end_us for t in segments), step_us) - first, -1)
    for t in segments:  # in order of start: the later one paints over
        begin, end = t.start_us // step_us, _after(t.end_us, step_us)
        index[begin - first : end - first] = labels.index(t.label)
    time_us = (first + np.arange(len(index), dtype=np.int64)) * step_us
    return time_us, labels, (index[:, None] == np.arange(len(labels))).astype(np.float32)


def labelled_levels(recording: Recording) -> tuple[str, ...]:
    """Return the levels that a recording has truth of."""
    marked: list[TrueSegment | StepLabels] = [*recording.step_labels, *recording.truth]
    return tuple(dict.fromkeys(one.level for one in marked))


def best_label(target: Floats) -> Int64s:
    """Return (N,) index of each second's largest share, the first of equals; -1: not scored."""
    return np.where(target.any(axis=1), target.argmax(axis=1), -1).astype(np.int64)


def true_stretches(recording: Recording, level: str) -> list[Stretch]:
    """Return the true segments of a level, made of its labelled seconds if it has none."""
    segments = [t for t in _segments(recording, level) if not is_null(t.label)]
    if segments:
        return [Stretch(t.label, t.start_us, t.end_us) for t in segments]
    time_us, labels, target = truth_per_second(recording, level)
    index = best_label(target)
    return joined(
        [
            Stretch(labels[k], int(t), int(t) + US_PER_S)
            for t, k in zip(time_us, index, strict=True)
            if k >= 0
        ]
    )


def _segments(recording: Recording, level: str) -> list[TrueSegment]:
    found = [t for t in recording.truth if t.level == level and t.end_us > t.start_us]
    return sorted(found, key=lambda t: t.start_us)


def _after(time_us: int, step_us: int) -> int:
    """Return the first step that begins at a time or later."""
    return -(-time_us // step_us)
