"""Several models' answers to one step made one: the mean, weighted by what each model is worth.

What a model is worth its bundle says, by the sensors that live (`edge.bundle.Manifest.worth`): one
of wrist and camera may be worth more without its camera than one of the wrist alone.

Weighted means of classifiers' answers: the sum rule of Kittler et al., "On Combining Classifiers"
(IEEE TPAMI 1998).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.bundle import Arrays, Manifest

WORTH_POWER = 4
"""Of a model's worth, as its weight: between hearing all alike and only the best."""


@dataclass(frozen=True)
class Answer:
    """What one model, or several together, say of one step."""

    probabilities: Arrays
    """(K,) by level, labels in the relay's order."""
    observed: float
    alive: frozenset[str]
    boundary: float
    """Probability that an action begins at the step."""


def weights_of(manifests: Sequence[Manifest]) -> list[dict[frozenset[str], float]]:
    """Return how much each model counts by what lives; nothing unless all say what that is."""
    found = []
    for manifest in manifests:
        known = {
            kinds: figure**WORTH_POWER
            for kinds, figure in manifest.worth.items()
            if kinds and kinds <= frozenset(manifest.kinds)
        }
        if len(known) < 2 ** len(manifest.kinds) - 1:
            return []
        found.append(known)
    return found


def together(answers: dict[int, Answer], weights: dict[int, float]) -> Answer:
    """Return what models say together: the weighted mean."""
    heard = [answers[rank] for rank in weights]
    if len(heard) == 1:
        return heard[0]
    share = np.array([*weights.values()], np.float64) + np.finfo(np.float32).tiny
    share /= share.sum()
    said = {
        level: np.tensordot(share, np.stack([one.probabilities[level] for one in heard]), 1)
        for level in heard[0].probabilities
    }
    return Answer(
        {level: p.astype(np.float32) for level, p in said.items()},
        float(share @ [one.observed for one in heard]),
        frozenset[str]().union(*(one.alive for one in heard)),
        float(share @ [one.boundary for one in heard]),
    )
