"""What a model must beat: the commonest label, and boosted trees on statistics of the steps.

Both see what the model sees (``edge.windows.cut``) and nothing later than the step they label.
"""

# T steps, R rows a step, C channels, F features, K labels

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from edge.bundle import Arrays
from sensor_adapters.samples import Floats, Int64s
from trainer.stretches import Stretch

UNSCORED = -1
PAST_STEPS = (2, 5, 10)  # means over the last so many steps, the present one included
OBSERVED = "_observed"

LEARNING_RATE = 0.1
MOST_ROUNDS, FEWEST_ROUNDS = 100, 15
WORK = 4e9  # rounds x steps x features x labels: 20 to 50 s on one x86 core


def features(tensors: Arrays) -> Floats:
    """Return (T, F) of the tensors of one run of steps, NaN where nothing was observed.

    Per channel mean, standard deviation, smallest and largest of a step's observed rows, and the
    mean of its means over the last 2, 5 and 10 steps; per input the share observed; per device
    whether it is in use, and how often it was in the last 2, 5 and 10 steps.
    """
    parts: list[Floats] = []
    for name in sorted(tensors):
        if name.endswith(OBSERVED):
            continue
        values = tensors[name]
        seen = tensors[name + OBSERVED] > 0
        if values.ndim == 3:
            parts += _statistics(values, seen)
        else:
            in_use = np.where(seen, values, np.nan).astype(np.float32)
            parts += [in_use, *_past(in_use)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _statistics(values: Floats, seen: npt.NDArray[np.bool_]) -> list[Floats]:
    """Return what (T, R, C) says, as parts (T, some)."""
    hidden = ~seen.any(axis=1)  # (T, C)
    count = np.maximum(seen.sum(axis=1), 1)
    mean = np.where(seen, values, 0).sum(axis=1) / count
    square = (np.where(seen, values - mean[:, None], 0) ** 2).sum(axis=1) / count
    smallest = np.where(seen, values, np.inf).min(axis=1)
    largest = np.where(seen, values, -np.inf).max(axis=1)
    parts = [mean, np.sqrt(square), smallest, largest]
    for part in parts:
        part[hidden] = np.nan
    share = seen.mean(axis=(1, 2), dtype=np.float32)[:, None]
    return [*parts, *_past(mean), share]


def _past(values: Floats) -> list[Floats]:
    """Return the means of (T, C) over the last 2, 5 and 10 steps, of those observed."""
    seen = ~np.isnan(values)
    total = _sums(np.where(seen, values, 0))
    count = _sums(seen)
    means = []
    for steps in PAST_STEPS:
        begin = np.maximum(np.arange(1, len(total)) - steps, 0)
        number = count[1:] - count[begin]
        mean = (total[1:] - total[begin]) / np.maximum(number, 1)
        means.append(np.where(number > 0, mean, np.nan).astype(np.float32))
    return means


def _sums(values: npt.NDArray) -> npt.NDArray[np.float64]:
    """Return (T + 1, C): the sum of all steps before each."""
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0, np.float64)])


def majority(labels: Int64s) -> int:
    """Return the commonest of (T,) training labels, the smallest of equals.

    Raises:
        ValueError: no step has a label.
    """
    return int(np.bincount(_scored(labels)).argmax())


def _scored(labels: Int64s) -> Int64s:
    scored = labels[labels != UNSCORED]
    if not len(scored):
        raise ValueError(f"found {len(labels)} steps without a label, expected some with one")
    return scored


@dataclass(frozen=True)
class BoostedTree:
    """Boosted trees that were trained."""

    model: HistGradientBoostingClassifier
    columns: Int64s
    """The features that it uses."""

    def labels(self, x: Floats) -> Int64s:
        """Return (T,) labels of (T, F) features."""
        return np.asarray(self.model.predict(x[:, self.columns]), np.int64)

    def probabilities(self, x: Floats, count: int) -> Floats:
        """Return (T, count): 0 for labels that training had none of."""
        full = np.zeros((len(x), count), np.float32)
        full[:, self.model.classes_.astype(np.int64)] = self.model.predict_proba(x[:, self.columns])
        return full


def boosted_tree(x: Floats, labels: Int64s, seed: int, *, balanced: bool = True) -> BoostedTree:
    """Return trees trained on (T, F) features of steps with (T,) labels; -1 is left out.

    ``balanced`` weighs labels by the inverse of how often they come: macro-F1 gains, accuracy
    may lose; validation tells. Rounds are as many as ``WORK`` allows.

    Raises:
        ValueError: fewer than two different labels.
    """
    scored = labels != UNSCORED
    x, y = x[scored], _scored(labels)
    known = len(np.unique(y))
    if known < 2:
        raise ValueError(f"found label {y[0]} alone, expected two labels at least to learn from")
    columns = _varying(x)
    rounds = int(WORK / (len(y) * len(columns) * (known if known > 2 else 1)))
    model = HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_iter=min(max(rounds, FEWEST_ROUNDS), MOST_ROUNDS),
        max_leaf_nodes=15,
        min_samples_leaf=10,
        max_bins=63,
        l2_regularization=1.0,
        early_stopping=False,  # its validation steps would be neighbours of training steps
        class_weight="balanced" if balanced else None,
        random_state=seed,
    )
    return BoostedTree(model.fit(x[:, columns], y), columns)


def _varying(x: Floats) -> Int64s:
    """Return the columns of (T, F) that are not the same throughout, so can tell anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of NaN alone
        differ = np.nanmax(x, axis=0) > np.nanmin(x, axis=0)
    hidden = np.isnan(x).mean(axis=0)
    chosen = np.flatnonzero(differ | ((hidden > 0) & (hidden < 1)))
    return chosen if len(chosen) else np.arange(x.shape[1])


def stretches_of(
    labels: Int64s, first_step: int, step_us: int, names: Sequence[str]
) -> list[Stretch]:
    """Return the runs of equal labels of (T,) steps on the UTC grid; -1 makes none.

    >>> [run.label for run in stretches_of(np.array([0, 0, -1, 1]), 10, 1000, ("a", "b"))]
    ['a', 'b']
    """
    if not len(labels):
        return []
    begins = np.append(0, np.flatnonzero(np.diff(labels)) + 1)
    ends = np.append(begins[1:], len(labels))
    return [
        Stretch(names[labels[a]], int(first_step + a) * step_us, int(first_step + b) * step_us)
        for a, b in zip(begins, ends, strict=True)
        if labels[a] != UNSCORED
    ]
