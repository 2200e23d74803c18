"""Decoder settings: transitions, priors and durations counted on training labels, the rest chosen.

What a decoder is chosen by is how good the segments are that it logs (``Quality``), on validation.

Legend: T steps, K labels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import msgspec
import numpy as np

from edge.bundle import MOST_SHORTEST, Decoder, Level
from edge.segments import decoding_of
from sensor_adapters.samples import Floats, Int64s
from trainer.datasets import Examples
from trainer.frame_scores import macro_f1
from trainer.segment_scores import Matches, edit_score, matches
from trainer.stretches import Stretch

PRIOR_WEIGHTS = (0.0, 0.3, 0.6)
EVIDENCE_WEIGHTS = (0.3, 0.6, 1.0, 2.0, 5.0)  # the last all but leaves the arg-max
SHORTEST_SHARES = (0.0, 0.05, 0.2)
"""Share of a label's true segments that may be shorter than the decoder's shortest; 0: all."""
BOUNDARY_WEIGHTS = (0.0, 0.5, 1.0)
LAG_STEPS = 8
SHRINKAGE = 0.5  # imaginary transitions to each label, so that none is impossible
OVERLAP = 0.5
"""Of a found segment with a true one."""


@dataclass(frozen=True)
class Said:
    """What a model says of a recording's steps."""

    probabilities: Floats
    """(T, K)."""
    boundary: Floats | None = None
    """(T,) probability that an action begins at the step, if the model says so."""


@dataclass(frozen=True)
class Quality:
    """How good logged segments are: by second, by segment, by order."""

    macro_f1: float
    """0..1."""
    edit: float
    """0..100."""
    f1_50: float
    """0..1, of segments at an overlap of a half."""

    @property
    def mean(self) -> float:
        """The mean of the three, 0..1: what is chosen by."""
        return (self.macro_f1 + self.edit / 100 + self.f1_50) / 3


def counted(level: Level, train: Sequence[Examples], lag_steps: int = LAG_STEPS) -> Decoder:
    """Return a Viterbi decoder whose transitions and prior are those of the training labels."""
    k = len(level.labels)
    moves = np.full((k, k), SHRINKAGE / k)
    share = np.full(k, 1.0)
    for one in train:
        target = one.target[level.name]
        label, scored = target.argmax(1), target.sum(1) > 0
        share += target.sum(0)
        both = scored[1:] & scored[:-1]
        np.add.at(moves, (label[:-1][both], label[1:][both]), 1)
    log_move = np.log(moves / moves.sum(1, keepdims=True))
    return Decoder(
        level=level.name,
        log_transition=tuple(tuple(round(float(v), 5) for v in row) for row in log_move),
        log_prior=tuple(round(float(v), 5) for v in np.log(share / share.sum())),
        prior_weight=0.0,
        evidence_weight=1.0,
        lag_steps=lag_steps,
    )


def shortest(level: Level, train: Sequence[Examples], share: float) -> tuple[int, ...]:
    """Return (K,) steps below which that share of each label's true segments lasts; at least 1."""
    lasted: list[list[int]] = [[] for _ in level.labels]
    for one in train:
        for label, run in groupby(_true(one, level)):
            if label >= 0:
                lasted[label].append(len(list(run)))
    return tuple(
        int(np.clip(np.quantile(some, share, method="lower"), 1, MOST_SHORTEST))
        if some and share
        else 1
        for some in lasted
    )


def _true(one: Examples, level: Level) -> Int64s:
    """Return (T,) true labels, -1 where a step is not scored."""
    target = one.target[level.name]
    return np.where(target.sum(1) > 0, target.argmax(1), -1)


def decoded(spec: Decoder, said: Said) -> Int64s:
    """Return (T,) the committed label of each step."""
    decoding = decoding_of(spec)
    labels: list[int] = []
    for step, p in enumerate(said.probabilities):
        begins = None if said.boundary is None else float(said.boundary[step])
        labels += decoding.update(p, begins)
    return np.array(labels + decoding.finish(), np.int64)


def quality(level: Level, parts: Sequence[Examples], found: Sequence[Int64s]) -> Quality:
    """Return how good the labels (T,) of recordings are, where the truth is known."""
    true, best, orders = [], [], []
    total = Matches(0, 0, 0)
    for one, labels in zip(parts, found, strict=True):
        wanted = _true(one, level)
        scored = wanted >= 0
        true.append(wanted[scored])
        best.append(labels[scored])
        runs, said = _stretches(level, wanted[scored]), _stretches(level, labels[scored])
        orders.append(edit_score(runs, said))
        total += matches(runs, said, OVERLAP)
    f1 = macro_f1(np.concatenate(true), np.concatenate(best), level.labels).macro
    return Quality(f1, float(np.mean(orders)), total.f1)


def _stretches(level: Level, labels: Int64s) -> list[Stretch]:
    """Return runs of labels; a step is a microsecond long."""
    edges = np.flatnonzero(np.diff(labels, prepend=-1, append=-1))
    return [Stretch(level.labels[labels[a]], a, b) for a, b in pairwise(edges.tolist())]


def chosen(
    level: Level, train: Sequence[Examples], validation: Sequence[Examples], said: Sequence[Said],
    lag_steps: int = LAG_STEPS,
) -> tuple[Decoder, Quality]:  # fmt: skip
    """Return the Viterbi decoder with the best segments on validation, and how good they are.

    First how much evidence and priors count, then how long labels last and what boundaries say.

    Args:
        level: the level it decodes.
        train: where transitions, priors and durations are counted.
        validation: where the rest is chosen.
        said: of each validation recording.
        lag_steps: how late a step may be committed.
    """
    base = counted(level, train, lag_steps)
    first, reached = best_of(
        (
            msgspec.structs.replace(base, prior_weight=prior, evidence_weight=evidence)
            for prior in PRIOR_WEIGHTS
            for evidence in EVIDENCE_WEIGHTS
        ),
        level, validation, said,
    )  # fmt: skip
    weights = BOUNDARY_WEIGHTS if all(one.boundary is not None for one in said) else (0.0,)
    lasts = dict.fromkeys(shortest(level, train, share) for share in SHORTEST_SHARES)
    others = (
        msgspec.structs.replace(
            first, boundary_weight=weight, shortest_steps=some if max(some) > 1 else ()
        )
        for some in lasts
        for weight in weights
        if weight or max(some) > 1
    )
    return best_of(others, level, validation, said, (first, reached))


def best_of(
    specs: Iterable[Decoder], level: Level, validation: Sequence[Examples], said: Sequence[Said],
    known: tuple[Decoder, Quality] | None = None,
) -> tuple[Decoder, Quality]:  # fmt: skip
    """Return the decoder with the best segments, the first of equals; ``known`` is one already.

    Raises:
        ValueError: there is none.
    """
    best = known
    for spec in specs:
        reached = quality(level, validation, [decoded(spec, one) for one in said])
        if best is None or reached.mean > best[1].mean:
            best = spec, reached
    if best is None:
        raise ValueError("decoding: found no decoder to choose from, expected at least one")
    return best
