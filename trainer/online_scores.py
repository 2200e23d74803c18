"""How right, how soon and how steadily an online detector speaks.

Average precision by step is that of Geest et al. (ECCV 2016), plain and calibrated (false positives
weighted by positives over negatives); by action start that of Shou et al. (ECCV 2018): a start
counts within some seconds of a true one, scored by the label's probability at it.

Legend: N steps, K labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.bundle import Decoder, Level
from edge.levels import Levels
from edge.segments import Segment
from sensor_adapters.samples import US_PER_S, Floats, Int64s
from trainer.stretches import Stretch, is_null

STARTS_WITHIN_S = tuple(range(1, 11))
FALSE_BELOW, FOUND_FROM = 0.1, 0.5
"""A false alarm has less of its own time in common with true segments of its label; a segment is
found by one whose overlap with it (intersection over union) is as much."""


def average_precisions(p: Floats, label: Int64s, *, calibrated: bool = False) -> Floats:
    """Return (K,) the average precision of each label, NaN where it is never true.

    Args:
        p: (N, K) probabilities.
        label: (N,) true labels; steps of -1 are left out.
        calibrated: as if every label were true as often as not.
    """
    p, label = p[label >= 0], label[label >= 0]
    found = np.full(p.shape[1], np.nan, np.float32)
    for k in range(p.shape[1]):
        positive = label == k
        if not positive.any():
            continue
        weight = (~positive).sum() / positive.sum() if calibrated else 1.0
        found[k] = _average_precision(p[:, k], positive, int(positive.sum()), weight or 1.0)
    return found


def _average_precision(
    score: Floats, right: npt.NDArray[np.bool_], wanted: int, weight: float = 1.0
) -> float:
    """Return the mean over what is wanted of the precision at which it is found; ties at once."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of equal scores
    true = np.cumsum(right[order])[last]
    false = last + 1 - true
    precision = true / (true + false / weight)
    return float((np.diff(true, prepend=0) * precision).sum() / wanted)


@dataclass(frozen=True)
class Heard:
    """What came out of one recording, and when; times in us, UTC."""

    labels: tuple[str, ...]
    first_us: int
    """Start of the first step."""
    step_us: int
    said_us: int
    """From a step's start to its answer."""
    provisional: Int64s
    """(N,) label shown when each step was answered."""
    confidence: Floats
    """(N,) its probability."""
    segments: tuple[Segment, ...]
    """As committed."""
    committed_us: tuple[int, ...]
    """When the end of each was known."""

    @property
    def stretches(self) -> list[Stretch]:
        """The segments, as they are compared."""
        return [Stretch(s.label, s.start_us, s.end_us) for s in self.segments]


def heard(
    level: Level, spec: Decoder, p: Floats, boundary: Floats, first: int, step_us: int,
    delay_steps: int,
) -> Heard:  # fmt: skip
    """Return what a decoder makes of a recording.

    Args:
        level: whose labels they are.
        spec: the decoder's settings.
        p: (N, K) probabilities by step.
        boundary: (N,) probability that an action begins.
        first: index of the first step on the UTC grid.
        step_us: length of a step.
        delay_steps: how much later than a step the model speaks of it.
    """
    decoder = Levels((level,), (spec,), step_us)
    said_us = (1 + delay_steps) * step_us
    provisional, confidence = np.zeros(len(p), np.int64), np.zeros(len(p), np.float32)
    segments: list[Segment] = []
    committed: list[int] = []
    for n, row in enumerate(p):
        ended = [
            s
            for s in decoder.update(first + n, {level.name: row}, 1.0, boundary=float(boundary[n]))
            if s.state != "open"
        ]
        segments += ended
        committed += [(first + n) * step_us + said_us] * len(ended)
        ((_, label, confidence[n]),) = decoder.provisional
        provisional[n] = level.labels.index(label)
    ended = [s for s in decoder.finish() if s.state != "open"]
    segments += ended
    committed += [(first + len(p) - 1) * step_us + said_us] * len(ended)
    return Heard(
        level.labels, first * step_us, step_us, said_us, provisional, confidence, tuple(segments),
        tuple(committed),
    )  # fmt: skip


def start_precision(parts: Sequence[tuple[Heard, Sequence[Stretch]]]) -> float:
    """Return the mean average precision of action starts, over labels and 1 to 10 s.

    A start is where the label that is shown becomes another; it finds the nearest true start of its
    label that no surer one has found. Starts where nothing is true count against it.
    """
    labels = sorted({t.label for _, truth in parts for t in truth if not is_null(t.label)})
    found = [
        _start_precision(parts, label, within * US_PER_S)
        for label in labels
        for within in STARTS_WITHIN_S
    ]
    return float(np.mean(found))


def _start_precision(
    parts: Sequence[tuple[Heard, Sequence[Stretch]]], label: str, within_us: int
) -> float:
    said: list[tuple[float, int, int]] = []  # score, recording, time
    true = [np.array([t.start_us for t in truth if t.label == label]) for _, truth in parts]
    for number, (one, _) in enumerate(parts):
        shown = one.provisional
        begins = np.flatnonzero(np.diff(shown, prepend=-1)).tolist()
        for n in begins:
            if one.labels[shown[n]] == label:
                said.append((float(one.confidence[n]), number, one.first_us + n * one.step_us))
    wanted = sum(map(len, true))
    if not said:
        return 0.0
    said.sort(key=lambda s: -s[0])
    taken = [np.zeros(len(t), bool) for t in true]
    right = np.zeros(len(said), bool)
    for rank, (_, number, time_us) in enumerate(said):
        away = np.abs(true[number] - time_us).astype(np.float64)
        away[taken[number]] = np.inf
        if len(away) and away.min() <= within_us:
            taken[number][away.argmin()] = right[rank] = True
    return _average_precision(np.array([s[0] for s in said], np.float32), right, wanted)


@dataclass(frozen=True)
class Promptness:
    """How soon, and how steadily; delays in seconds, NaN where nothing was found."""

    onset_s: float
    """From a true start to the first step that shows its label: the median."""
    onset_p95_s: float
    missed: float
    """Share of the true segments whose label is never shown while they last."""
    commit_s: float
    """From a true end to the end's being committed, of the segments found: the median."""
    commit_p95_s: float
    false_alarms_per_min: float
    """Committed segments that are on no true one of their label, per minute of known truth."""
    revisions_per_segment: float
    """Runs of steps that were committed otherwise than they were shown, for each segment."""


def promptness(parts: Sequence[tuple[Heard, Sequence[Stretch]]]) -> Promptness:
    """Return how soon recordings' true segments were shown and committed."""
    onset: list[int] = []
    commit: list[int] = []
    missed = false = committed = revised = wanted = 0
    known_us = 0
    for one, truth in parts:
        wanted += len(truth)
        known_us += sum(t.end_us - t.start_us for t in truth)
        revised += _revisions(one)
        committed += len(one.segments)
        for t in truth:
            delay = _shown_after_us(one, t)
            if delay is None:
                missed += 1
            else:
                onset.append(delay)
        for s, when_us in zip(one.stretches, one.committed_us, strict=True):
            best, overlap = _nearest(s, truth)
            if best is not None and overlap >= FOUND_FROM:
                commit.append(when_us - best.end_us)
            known = not is_null(s.label) and any(
                t.start_us < s.end_us and s.start_us < t.end_us for t in truth
            )
            false += known and _share(s, truth) < FALSE_BELOW
    return Promptness(
        *_spread_s(onset),
        missed / max(wanted, 1),
        *_spread_s(commit),
        false / max(known_us / (60 * US_PER_S), 1e-9),
        revised / max(committed, 1),
    )


def _revisions(one: Heard) -> int:
    """Return how many runs of steps were committed otherwise than they were shown."""
    steps = one.first_us + np.arange(len(one.provisional)) * one.step_us
    last = np.searchsorted([s.start_us for s in one.segments], steps, side="right") - 1
    labels = np.array([one.labels.index(s.label) for s in one.segments], np.int64)
    other = (labels[last] != one.provisional).astype(np.int8)
    return int((np.diff(other, prepend=0) == 1).sum())


def _share(one: Stretch, truth: Sequence[Stretch]) -> float:
    """Return how much of a committed segment lies in true ones of its label, 0..1."""
    shared = sum(
        max(min(one.end_us, t.end_us) - max(one.start_us, t.start_us), 0)
        for t in truth
        if t.label == one.label
    )
    return shared / (one.end_us - one.start_us)


def _shown_after_us(one: Heard, true: Stretch) -> int | None:
    """Return how long after its start a true segment's label was shown; None: not while it was."""
    if true.label not in one.labels:
        return None
    begin = -(-(true.start_us - one.first_us) // one.step_us)
    end = -(-(true.end_us - one.first_us) // one.step_us)
    label = one.labels.index(true.label)
    shown = np.flatnonzero(one.provisional[max(begin, 0) : max(end, 0)] == label)
    if not len(shown):
        return None
    step = max(begin, 0) + int(shown[0])
    return one.first_us + step * one.step_us + one.said_us - true.start_us


def _nearest(one: Stretch, truth: Sequence[Stretch]) -> tuple[Stretch | None, float]:
    """Return the true segment of a label that a committed one shares most with, and how much."""
    best, most = None, 0.0
    for t in truth:
        shared = min(one.end_us, t.end_us) - max(one.start_us, t.start_us)
        if t.label == one.label and shared > 0:
            union = max(one.end_us, t.end_us) - min(one.start_us, t.start_us)
            if shared / union > most:
                best, most = t, shared / union
    return best, most


def _spread_s(delays_us: Sequence[int]) -> tuple[float, float]:
    """Return median and 95th percentile in seconds."""
    if not delays_us:
        return float("nan"), float("nan")
    half, most = np.percentile(np.array(delays_us) / US_PER_S, [50, 95])
    return float(half), float(most)
