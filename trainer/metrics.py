"""How right a model was: by second, by segment, by probability.

By second, the rules of the OpenPack challenge (Yoshimura et al., PerCom 2024): a second's
prediction is the last one made in it, a second without one keeps the one before, seconds
without truth are not scored, and the score is the mean F1 over the data set's ten operations.
By segment, those of Lea et al. (CVPR 2017): segmental F1 at an overlap, and the edit score. By
probability, that of the SPHERE challenge (Twomey et al., arXiv 1603.00797): a weighted Brier.
"""

# N seconds, K labels, P predicted and G true segments

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from sensor_adapters.recording import Recording, StepLabels, TrueSegment
from sensor_adapters.samples import US_PER_S, Floats, Int64s

Doubles = npt.NDArray[np.float64]
OVERLAPS = (10, 25, 50)  # per cent
OFFICIAL_LEVEL = "operation"


class ScoreError(Exception):
    """There is nothing to score, or not what was asked for; the text says found and expected."""


@dataclass(frozen=True)
class Stretch:
    """[start_us, end_us) of one label, predicted or true."""

    label: str
    start_us: int
    end_us: int


def is_null(label: str) -> bool:
    """Return whether a label says that nothing nameable was going on.

    >>> is_null("Null"), is_null("Scan Label")
    (True, False)
    """
    return label.lower() in ("", "null")


# By second


def truth_per_second(recording: Recording, level: str) -> tuple[Int64s, tuple[str, ...], Floats]:
    """Return what was true in every second of a level.

    Published labels of seconds are taken where the recording has them. Otherwise seconds of the
    UTC grid, from the first true segment to the last; of the segments that have part in a
    second the one that began last is true of it, so the one in force at its end counts, unless
    nothing followed it. This is how OpenPack's own labels of seconds are made from its
    segments, but that they let an operation last through the Null behind it.

    Returns:
        time_us (N,) starts of the seconds; labels (K,); target (N, K) shares, of which a row of
        zeros is not scored.

    Raises:
        ScoreError: the recording has no truth of this level.
    """
    for one in recording.step_labels:
        if one.level == level:
            return one.time_us, one.labels, one.target
    segments = [t for t in _segments(recording, level) if not is_null(t.label)]
    if not segments:
        found = ", ".join(labelled_levels(recording)) or "none"
        raise ScoreError(f"{recording.name}: has labels of {found}, expected some of {level}")
    labels = tuple(dict.fromkeys(t.label for t in segments))
    first = segments[0].start_us // US_PER_S
    index = np.full(_second_after(max(t.end_us for t in segments)) - first, -1)
    for t in segments:  # in order of start: the later one paints over
        index[t.start_us // US_PER_S - first : _second_after(t.end_us) - first] = labels.index(
            t.label
        )
    time_us = (first + np.arange(len(index), dtype=np.int64)) * US_PER_S
    return time_us, labels, (index[:, None] == np.arange(len(labels))).astype(np.float32)


def labelled_levels(recording: Recording) -> tuple[str, ...]:
    """Return the levels that a recording has truth of."""
    marked: list[TrueSegment | StepLabels] = [*recording.step_labels, *recording.truth]
    return tuple(dict.fromkeys(one.level for one in marked))


def _segments(recording: Recording, level: str) -> list[TrueSegment]:
    found = [t for t in recording.truth if t.level == level and t.end_us > t.start_us]
    return sorted(found, key=lambda t: t.start_us)


def _second_after(time_us: int) -> int:
    return -(-time_us // US_PER_S)


def predicted_per_second(
    stretches: Sequence[Stretch], time_us: Int64s, labels: Sequence[str]
) -> Int64s:
    """Return (N,) index of the label predicted for the second that begins at each ``time_us``.

    The last prediction made in the second, which is that of the stretch that began last before
    its end; a second without any keeps the one before. -1 before the first prediction (what
    ended before ``time_us[0]`` is none) and where the prediction is none of ``labels``.
    """
    ordered = sorted(stretches, key=lambda s: s.start_us)
    if not ordered or not len(time_us):
        return np.full(len(time_us), -1, np.int64)
    known = {label: index for index, label in enumerate(labels)}
    index = np.array([known.get(s.label, -1) for s in ordered], np.int64)
    starts = np.array([s.start_us for s in ordered], np.int64)
    ends = np.array([s.end_us for s in ordered], np.int64)
    newest = np.searchsorted(starts, time_us + US_PER_S) - 1  # (N,)
    heard = (newest >= 0) & (ends[newest] > time_us[0])
    return np.where(heard, index[newest], -1)


def best_label(target: Floats) -> Int64s:
    """Return (N,) index of each second's largest share, the first of equals; -1: not scored."""
    return np.where(target.any(axis=1), target.argmax(axis=1), -1).astype(np.int64)


@dataclass(frozen=True)
class MacroF1:
    """F1 by label over seconds, and its means."""

    macro: float
    """Unweighted mean over the labels that count."""
    weighted: float
    """Mean over the same, weighted by how often each is true."""
    accuracy: float
    """Share of the scored seconds that are right."""
    per_label: dict[str, float]
    """Of the labels that count; 0 where one neither is true nor predicted."""
    support: dict[str, int]
    """Seconds in which each is true."""


def macro_f1(
    true: Int64s,
    predicted: Int64s,
    labels: Sequence[str],
    classes: Sequence[str] | None = None,
) -> MacroF1:
    """Return F1 over (N,) seconds of indices into ``labels``; -1 in ``true`` is not scored.

    With ``classes`` exactly these count, as in OpenPack's score; without, all that are true or
    predicted anywhere. A prediction of -1 is a miss.

    Raises:
        ScoreError: no second is scored, or a class is none of the labels.
    """
    scored = true >= 0
    true, predicted = true[scored], predicted[scored]
    if not len(true):
        raise ScoreError("found no second with a true label, expected at least one")
    size = len(labels)
    hits = np.bincount(true[true == predicted], minlength=size)
    support = np.bincount(true, minlength=size)
    both = support + np.bincount(predicted[predicted >= 0], minlength=size)  # (K,)
    f1 = 2 * hits / np.maximum(both, 1)
    counted = np.flatnonzero(both) if classes is None else _indices(classes, labels)
    weight = support[counted]
    return MacroF1(
        macro=float(f1[counted].mean()),
        weighted=float(f1[counted] @ weight / max(weight.sum(), 1)),
        accuracy=float((true == predicted).mean()),
        per_label={labels[k]: float(f1[k]) for k in counted},
        support={labels[k]: int(support[k]) for k in counted},
    )


def _indices(classes: Sequence[str], labels: Sequence[str]) -> Int64s:
    strange = [name for name in classes if name not in labels]
    if strange or not classes:
        found = ", ".join(strange) or "no class"
        raise ScoreError(f"found {found} to score, expected some of {', '.join(labels)}")
    return np.array([labels.index(name) for name in classes], np.int64)


# By segment


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


@dataclass(frozen=True)
class Matches:
    """How many segments were found at one overlap; those of several recordings add up."""

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


# By probability


def weighted_brier(probabilities: Floats, target: Floats, weights: Floats) -> float:
    """Return the mean over labelled seconds of sum_k w_k (p_k - y_k)^2: 0 is best.

    ``probabilities`` and ``target`` (N, K), ``weights`` (K,). A second whose row of ``target``
    is zeros is not scored.

    Raises:
        ScoreError: no second is labelled.
    """
    scored = target.any(axis=1)
    if not scored.any():
        raise ScoreError("found no second with a true label, expected at least one")
    difference = probabilities[scored].astype(np.float64) - target[scored]
    return float((difference**2 @ weights.astype(np.float64)).mean())


# All of it


@dataclass(frozen=True)
class Scores:
    """What is reported of one level."""

    level: str
    seconds: int
    """Scored."""
    accuracy: float
    macro_f1: float
    weighted_f1: float
    edit: float
    """0..100; of several recordings the mean."""
    segment_f1: dict[int, float]
    """0..1 by overlap in per cent; of several recordings over all their segments."""
    true_segments: int
    predicted_segments: int
    """Where truth is known."""
    per_label: dict[str, float]
    """F1 of each label that counts."""
    support: dict[str, int]
    """Seconds in which each is true."""

    def as_dict(self) -> dict[str, object]:
        """Return it flat and ready for JSON; ``f1_10`` and so on are the segments'."""
        flat: dict[str, object] = asdict(self)
        del flat["segment_f1"]
        return flat | {f"f1_{overlap}": f1 for overlap, f1 in self.segment_f1.items()}


Judged = tuple[Sequence[Stretch], Recording]
"""What was predicted of a recording."""


def evaluate_stretches(stretches: Sequence[Stretch], recording: Recording, level: str) -> Scores:
    """Return how right the stretches of one level of one recording are.

    Of level ``operation`` the published labels count, or, where there are none, those that are
    true at all; of other levels all that are true or predicted.

    Raises:
        ScoreError: the recording has no truth of this level.
    """
    return evaluate_recordings([(stretches, recording)], level)


def evaluate_recordings(judged: Sequence[Judged], level: str) -> Scores:
    """Return the scores of several recordings, their seconds and segments put together.

    Raises:
        ScoreError: there is no recording, or one has no truth of this level.
    """
    if not judged:
        raise ScoreError("found no recording to score, expected at least one")
    truths = [truth_per_second(recording, level) for _, recording in judged]
    official = dict.fromkeys(label for _, labels, _ in truths for label in labels)
    said = dict.fromkeys(s.label for stretches, _ in judged for s in stretches)
    names = [*official, *(label for label in said if label not in official and not is_null(label))]
    true, predicted = [], []
    for (stretches, _), (time_us, labels, target) in zip(judged, truths, strict=True):
        own = np.array([names.index(label) for label in labels] + [-1])
        true.append(own[best_label(target)])
        predicted.append(predicted_per_second(stretches, time_us, names))
    by_second = macro_f1(
        np.concatenate(true),
        np.concatenate(predicted),
        names,
        tuple(official) if level == OFFICIAL_LEVEL else None,
    )
    pairs = [_on_scored_time(one, level) for one in judged]
    by_overlap = {
        overlap: sum((matches(*pair, overlap / 100) for pair in pairs), Matches(0, 0, 0))
        for overlap in OVERLAPS
    }
    return Scores(
        level=level,
        seconds=sum(int((part >= 0).sum()) for part in true),
        accuracy=by_second.accuracy,
        macro_f1=by_second.macro,
        weighted_f1=by_second.weighted,
        edit=float(np.mean([edit_score(*pair) for pair in pairs])),
        segment_f1={overlap: one.f1 for overlap, one in by_overlap.items()},
        true_segments=by_overlap[OVERLAPS[0]].true,
        predicted_segments=by_overlap[OVERLAPS[0]].predicted,
        per_label=by_second.per_label,
        support=by_second.support,
    )


def _on_scored_time(one: Judged, level: str) -> tuple[list[Stretch], list[Stretch]]:
    """Return truth and prediction, both on the clock of what is scored."""
    stretches, recording = one
    truth = true_stretches(recording, level)
    return on_scored_time(truth, truth), on_scored_time(stretches, truth)


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
