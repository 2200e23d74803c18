"""Decoder settings: transitions, priors and durations counted on training labels, the rest chosen.

What a decoder is chosen by is how good the segments are that it logs (``Quality``), on validation.

Legend: T steps, K labels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import msgspec
import numpy as np

from edge.bundle import MOST_SHORTEST, Decoder, Level
from edge.decoders import decoding_of
from edge.levels import Together
from sensor_adapters.samples import US_PER_S, Floats, Int64s
from trainer.datasets import Examples
from trainer.frame_scores import macro_f1
from trainer.segment_scores import Matches, edit_score, matches
from trainer.stretches import Stretch

PRIOR_WEIGHTS = (0.0, 0.3, 0.6)
EVIDENCE_WEIGHTS = (0.3, 0.6, 1.0, 2.0, 5.0)  # the last all but leaves the arg-max
SHORTEST_SHARES = (0.0, 0.05, 0.2)
"""Share of a label's true segments that may be shorter than the decoder's shortest; 0: all."""
BOUNDARY_WEIGHTS = (0.0, 0.5, 1.0)
PARENT_WEIGHTS = (0.5, 1.0, 2.0)
"""Of the level above, where two are decoded together."""
AGREEMENT_WORTH = 0.05
"""Quality that it may cost to decode two levels together; where actions lie in several operations,
and a parent is only where they mostly lie, it costs more."""
LAG_S = 8
"""How much later than it was answered a step may be committed."""
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


def lag_of(step_us: int, lag_s: float = LAG_S) -> int:
    """Return a lag in steps."""
    return round(lag_s * US_PER_S / step_us)


def counted(level: Level, train: Sequence[Examples], lag_steps: int) -> Decoder:
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


def decoded_together(
    levels: tuple[Level, Level], specs: tuple[Decoder, Decoder], said: tuple[Said, Said]
) -> tuple[Int64s, Int64s]:
    """Return (T,) the committed labels of two levels that are decoded together."""
    decoding = Together(levels, specs)
    found: tuple[list[int], list[int]] = ([], [])
    boundary = said[0].boundary
    for step, rows in enumerate(zip(*(one.probabilities for one in said), strict=True)):
        begins = None if boundary is None else float(boundary[step])
        given = {level.name: row for level, row in zip(levels, rows, strict=True)}
        for labels, more in zip(found, decoding.update(given, begins), strict=True):
            labels += more
    for labels, more in zip(found, decoding.finish(), strict=True):
        labels += more
    upper, lower = (np.array(labels, np.int64) for labels in found)
    return upper, lower


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
    lag_steps: int,
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

    def judge(spec: Decoder) -> Quality:
        return quality(level, validation, [decoded(spec, one) for one in said])

    weighed = (
        msgspec.structs.replace(base, prior_weight=prior, evidence_weight=evidence)
        for prior in PRIOR_WEIGHTS
        for evidence in EVIDENCE_WEIGHTS
    )
    first = best_of(weighed, judge)
    return best_of(_lasting(first[0], level, train, said), judge, first)


def chosen_together(
    levels: tuple[Level, Level], train: Sequence[Examples], validation: Sequence[Examples],
    said: Sequence[tuple[Said, Said]], lag_steps: int,
) -> tuple[tuple[Decoder, Decoder], tuple[Quality, Quality]]:  # fmt: skip
    """Return decoders by which a lower level's labels name the upper one's; see ``chosen``.

    Chosen by the mean of what both levels reach.
    """
    upper, lower = (counted(level, train, lag_steps) for level in levels)

    def both(spec: Decoder) -> tuple[Quality, Quality]:
        pairs = [decoded_together(levels, (upper, spec), one) for one in said]
        parts = zip(levels, zip(*pairs, strict=True), strict=True)
        first, second = (quality(level, validation, list(found)) for level, found in parts)
        return first, second

    def judge(spec: Decoder) -> Quality:
        first, second = both(spec)
        return Quality(
            (first.macro_f1 + second.macro_f1) / 2,
            (first.edit + second.edit) / 2,
            (first.f1_50 + second.f1_50) / 2,
        )

    weighed = (
        msgspec.structs.replace(
            lower, parent_weight=weight, prior_weight=prior, evidence_weight=evidence
        )
        for weight in PARENT_WEIGHTS
        for prior in PRIOR_WEIGHTS[:2]
        for evidence in EVIDENCE_WEIGHTS[1:4]
    )
    first = best_of(weighed, judge)
    spec, _ = best_of(_lasting(first[0], levels[1], train, [b for _, b in said]), judge, first)
    return (upper, spec), both(spec)


def complete(levels: Sequence[Level]) -> bool:
    """Return whether every label of the first of two levels is a parent of some of the second."""
    return len(levels) == 2 and set(levels[1].parents) == set(levels[0].labels)


def _lasting(
    spec: Decoder, level: Level, train: Sequence[Examples], said: Sequence[Said]
) -> Iterator[Decoder]:
    """Give a decoder with other shortest durations and weights of the boundary."""
    weights = BOUNDARY_WEIGHTS if all(one.boundary is not None for one in said) else (0.0,)
    for some in dict.fromkeys(shortest(level, train, share) for share in SHORTEST_SHARES):
        for weight in weights:
            if weight or max(some) > 1:
                lasts = some if max(some) > 1 else ()
                yield msgspec.structs.replace(spec, boundary_weight=weight, shortest_steps=lasts)


def best_of(
    specs: Iterable[Decoder], judge: Callable[[Decoder], Quality],
    known: tuple[Decoder, Quality] | None = None,
) -> tuple[Decoder, Quality]:  # fmt: skip
    """Return the decoder with the best segments, the first of equals; ``known`` is one already.

    Raises:
        ValueError: there is none.
    """
    best = known
    for spec in specs:
        reached = judge(spec)
        if best is None or reached.mean > best[1].mean:
            best = spec, reached
    if best is None:
        raise ValueError("decoding: found no decoder to choose from, expected at least one")
    return best
