"""Probabilities bent by two numbers, so that they mean what they say, or name rare labels.

Losses weighted for rare labels bend probabilities away from shares; a temperature and a power of
the training prior bend them back (Guo et al., ICML 2017; Menon et al., "Long-tail learning via
logit adjustment", ICLR 2021). Both numbers are chosen on validation.

Legend: N steps, K labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from sensor_adapters.samples import Floats

TEMPERATURES = (0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0)
PRIOR_POWERS = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SMALLEST = 1e-7


@dataclass(frozen=True)
class Bend:
    """q is proportional to p^(1 / temperature) * prior^power."""

    temperature: float
    power: float
    prior: tuple[float, ...]
    """(K,)"""

    def of(self, probabilities: Floats) -> Floats:
        """Return (N, K) bent probabilities."""
        prior = np.array(self.prior, np.float32)
        logits = np.log(np.maximum(probabilities, SMALLEST)) / self.temperature
        logits = logits + self.power * np.log(np.maximum(prior, SMALLEST))
        q = np.exp(logits - logits.max(1, keepdims=True))
        bent: Floats = (q / q.sum(1, keepdims=True)).astype(np.float32)
        return bent


def prior(targets: list[Floats]) -> tuple[float, ...]:
    """Return (K,) the share of each label in the scored steps of training recordings."""
    total = np.sum([target.sum(0, dtype=np.float64) for target in targets], axis=0) + 1
    return tuple((total / total.sum()).astype(np.float32).tolist())


def calibrated(shares: tuple[float, ...], loss: Callable[[Bend], float]) -> Bend:
    """Return the bend of least loss, a probability score on validation."""
    return min((Bend(t, a, shares) for t, a in product(TEMPERATURES, PRIOR_POWERS)), key=loss)


def adjusted(shares: tuple[float, ...], score: Callable[[Bend], float]) -> Bend:
    """Return the bend of best score, macro-F1 of the arg-max on validation; ties near no bend."""
    bends = [Bend(1.0, a, shares) for a in sorted(PRIOR_POWERS, key=abs)]
    return max(bends, key=score)
