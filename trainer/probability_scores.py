"""How right a model's probabilities were.

The weighted Brier score is that of the SPHERE challenge (Twomey et al., arXiv 1603.00797), the
calibration error that of Guo et al. (ICML 2017).
"""

# N seconds, K labels, B bins

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sensor_adapters.samples import Floats, Int64s
from trainer.truth import ScoreError

Doubles = npt.NDArray[np.float64]
BINS = 15  # of calibration


def weighted_brier(probabilities: Floats, target: Floats, weights: Floats) -> float:
    """Return the mean over labelled seconds of sum_k w_k (p_k - y_k)^2: 0 is best.

    ``probabilities`` and ``target`` (N, K), ``weights`` (K,). A second whose row of ``target``
    is zeros is not scored.

    Raises:
        ScoreError: no second is labelled.
    """
    p, y = _labelled(probabilities, target)
    return float(((p - y) ** 2 @ weights.astype(np.float64)).mean())


@dataclass(frozen=True)
class Calibration:
    """Whether what is said with 80 per cent is right in 80 of a hundred seconds."""

    error: float
    """Expected calibration error, 0..1: the mean gap of a bin, weighted by its seconds."""
    confidence: Doubles
    """(B,) mean probability of the labels predicted in each bin; not a number in empty ones."""
    accuracy: Doubles
    """(B,) how much of the truth they had, 0..1, a point above each ``confidence``."""
    seconds: Int64s
    """(B,) how many labelled seconds fell into each bin."""

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON, without the empty bins."""
        filled = np.flatnonzero(self.seconds)
        points = {"confidence": self.confidence, "accuracy": self.accuracy, "seconds": self.seconds}
        return {
            "calibration_error": self.error,
            "reliability": {name: values[filled].tolist() for name, values in points.items()},
        }


def calibration(
    probabilities: Floats | Doubles, target: Floats | Doubles, bins: int = BINS
) -> Calibration:
    """Return how far the probability of the likeliest label is from how often it is right.

    ``probabilities`` and ``target`` (N, K). The bins are equally wide, bin b of B holds (b / B,
    (b + 1) / B], the first 0 as well. Where the target is shared, the share of the predicted
    label counts as its accuracy. A second whose row of ``target`` is zeros is not scored.

    Raises:
        ScoreError: no second is labelled, or there is no bin.
    """
    if bins < 1:
        raise ScoreError(f"found {bins} bins, expected at least one")
    p, y = _labelled(probabilities, target)
    top = p.argmax(axis=1)[:, None]
    said, right = np.take_along_axis(p, top, 1)[:, 0], np.take_along_axis(y, top, 1)[:, 0]
    which = np.searchsorted(np.arange(1, bins) / bins, said)  # (N,)
    seconds = np.bincount(which, minlength=bins)
    confidence, accuracy = (np.bincount(which, values, minlength=bins) for values in (said, right))
    error = np.abs(confidence - accuracy).sum() / len(said)
    with np.errstate(invalid="ignore"):
        return Calibration(float(error), confidence / seconds, accuracy / seconds, seconds)


def _labelled(probabilities: Floats | Doubles, target: Floats | Doubles) -> tuple[Doubles, Doubles]:
    """Return the labelled rows of both, in double precision."""
    scored = target.any(axis=1)
    if not scored.any():
        raise ScoreError("found no second with a true label, expected at least one")
    return probabilities[scored].astype(np.float64), target[scored].astype(np.float64)
