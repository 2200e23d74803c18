"""How right a model was by second.

The rules of the OpenPack challenge (Yoshimura et al., PerCom 2024): a second's prediction is the
last one made in it, a second without one keeps the one before, seconds without truth are not
scored, and the score is the mean F1 over the data set's ten operations.
"""

# N seconds, K labels

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensor_adapters.samples import US_PER_S, Int64s
from trainer.stretches import Stretch
from trainer.truth import ScoreError


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


def confusion(true: Int64s, predicted: Int64s, size: int) -> Int64s:
    """Return (K, K + 1) seconds by true and by predicted label; the last column: no prediction.

    ``true`` and ``predicted`` (N,) are indices below ``size`` K; -1 in ``true`` is not counted.

    >>> confusion(np.array([0, 0, 1, -1]), np.array([0, 1, -1, 0]), 2).tolist()
    [[1, 1, 0], [0, 0, 1]]
    """
    scored = true >= 0
    column = np.where(predicted < 0, size, predicted)[scored]
    cell = true[scored] * (size + 1) + column
    return np.bincount(cell, minlength=size * (size + 1)).reshape(size, size + 1)


def _indices(classes: Sequence[str], labels: Sequence[str]) -> Int64s:
    strange = [name for name in classes if name not in labels]
    if strange or not classes:
        found = ", ".join(strange) or "no class"
        raise ScoreError(f"found {found} to score, expected some of {', '.join(labels)}")
    return np.array([labels.index(name) for name in classes], np.int64)
