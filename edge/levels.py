"""All label levels of one voice: probabilities by step in, segments out.

Levels are decoded each by itself, or together: then the lower one is, in the light of what is said
of the upper one, and the upper one's label is its parent, so that no action ever lies in another
operation than its own. A bundle's decoder asks for it by its ``parent_weight``.

Legend: K labels.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from edge.bundle import Decoder, Level
from edge.decoders import decoding_of
from edge.segments import Segment, StepSeen, Stretches
from sensor_adapters.samples import Floats, Int64s

SMALLEST = 1e-6  # floor of an upper label's probability, so that it can not forbid a lower one


class Together:
    """Levels one above the other, of which the lowest is decoded; often that is all."""

    LASTING = ("_decoding",)

    def __init__(self, levels: Sequence[Level], specs: Sequence[Decoder]) -> None:
        self.levels = levels
        self._decoding = decoding_of(specs[-1])
        self._of_parent = [_parents(upper, lower) for upper, lower in pairwise(levels)]
        self.listen(specs)

    def listen(self, specs: Sequence[Decoder]) -> None:
        """Take the steps to come as another model's."""
        self._weights = [spec.parent_weight for spec in specs[1:]]
        self._decoding.listen(specs[-1])

    def update(self, said: Mapping[str, Floats] | None, boundary: float | None) -> list[list[int]]:
        """Return the labels committed by a step, by level."""
        if said is None:
            return self._upwards(self._decoding.update(None))
        p = said[self.levels[0].name]
        for lower, parents, weight in zip(
            self.levels[1:], self._of_parent, self._weights, strict=True
        ):
            upper = np.maximum(p[parents].astype(np.float64), SMALLEST) ** weight
            both = np.maximum(said[lower.name], SMALLEST) * upper
            p = (both / both.sum()).astype(np.float32)
        return self._upwards(self._decoding.update(p, boundary))

    @property
    def provisional(self) -> list[int]:
        """The best label of the newest step, by level."""
        return [labels[0] for labels in self._upwards([self._decoding.provisional])]

    def finish(self) -> list[list[int]]:
        """Return the labels of all steps not yet committed, by level; start anew."""
        return self._upwards(self._decoding.finish())

    def _upwards(self, labels: list[int]) -> list[list[int]]:
        found = [labels]
        for parents in reversed(self._of_parent):
            found.insert(0, [int(parents[label]) for label in found[0]])
        return found


class Levels:
    """All levels on one station."""

    LASTING = ("_groups", "_stretches", "_newest")

    def __init__(self, levels: Sequence[Level], specs: Sequence[Decoder], step_us: int) -> None:
        self._spans = _spans(specs)
        self._groups = [Together(levels[a:b], specs[a:b]) for a, b in self._spans]
        self._levels = levels
        self._stretches = [Stretches(level, step_us) for level in levels]
        self._newest: list[StepSeen] = []  # one a level; none before anything is known

    def listen(self, specs: Sequence[Decoder]) -> None:
        """Take the steps to come as another model's, of the same labels and levels."""
        for group, (a, b) in zip(self._groups, self._spans, strict=True):
            group.listen(specs[a:b])

    def update(
        self, step: int, said: Mapping[str, Floats] | None, observed: float, modality: str = "",
        boundary: float | None = None,
    ) -> list[Segment]:  # fmt: skip
        """Take step ``step``; return segments that began, grew to an end, or both, in order.

        Args:
            step: on the UTC grid.
            said: (K,) probabilities by level; None: nothing is known of the step.
            observed: share of the model's inputs that was measured.
            modality: what lives, where models share one voice.
            boundary: probability that an action begins at the step, if that is known.

        A step of which nothing is known has the labels of the one before; before the first of which
        something is, it has none, and is left out.
        """
        if said is not None and not all(np.isfinite(p).all() for p in said.values()):
            said = None  # a model that says no numbers says nothing
        if said is None and not self._newest:
            return []
        self._newest = [
            StepSeen(step, None if said is None else said[level.name], observed, modality)
            for level in self._levels
        ]
        labels = [some for group in self._groups for some in group.update(said, boundary)]
        parts = zip(self._stretches, self._newest, labels, strict=True)
        return [change for one, seen, some in parts for change in one.take(seen, some)]

    @property
    def provisional(self) -> list[tuple[str, str, float]]:
        """Level, label and probability of the newest step, open to revision, one a level.

        None before anything is known.
        """
        if not self._newest:
            return []
        best = [label for group in self._groups for label in group.provisional]
        parts = zip(self._levels, self._newest, best, strict=True)
        return [(level.name, level.labels[k], seen.probability(k)) for level, seen, k in parts]

    @property
    def open(self) -> list[Segment]:
        """The segments that go on, as far as committed, one a level at most."""
        return [one.open for one in self._stretches if one.open is not None]

    @property
    def undecided(self) -> dict[str, int | None]:
        """By level the first step that was taken and whose label is not committed."""
        parts = zip(self._levels, self._stretches, strict=True)
        return {level.name: one.undecided for level, one in parts}

    def finish(self) -> list[Segment]:
        """Return what remains, ended as interrupted; everything starts anew."""
        labels = [some for group in self._groups for some in group.finish()]
        parts = zip(self._stretches, labels, strict=True)
        self._newest = []
        return [change for one, some in parts for change in one.finish(some)]


def _spans(specs: Sequence[Decoder]) -> list[tuple[int, int]]:
    """Return which levels are decoded together, first and behind the last."""
    begins = [i for i, spec in enumerate(specs) if not i or not spec.parent_weight]
    return list(zip(begins, [*begins[1:], len(specs)], strict=True))


def _parents(upper: Level, lower: Level) -> Int64s:
    """Return (K,) where in the level above each label's parent stands."""
    return np.array([upper.labels.index(parent) for parent in lower.parents], np.int64)
