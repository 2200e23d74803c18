"""Decoder settings: transitions and priors counted on training labels, the rest on validation."""

from collections.abc import Iterator
from itertools import product

import msgspec
import numpy as np
import numpy.typing as npt

from edge.bundle import Decoder, Level
from edge.segments import SegmentDecoder
from trainer.datasets import Examples
from trainer.frame_scores import macro_f1

PRIOR_WEIGHTS = (0.0, 0.3, 0.6)
EVIDENCE_WEIGHTS = (0.3, 0.6, 1.0, 2.0, 5.0)  # the last all but leaves the arg-max
LAG_STEPS = 8
SHRINKAGE = 0.5  # imaginary transitions to each label, so that none is impossible


def counted(level: Level, train: list[Examples]) -> Decoder:
    """Return a decoder whose transitions and prior are those of the training labels."""
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
        lag_steps=LAG_STEPS,
    )


def decoded(
    level: Level, spec: Decoder, probabilities: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Return (T,) the committed label of each step of (T, K) probabilities."""
    decoder = SegmentDecoder(level, spec, step_us=1)
    out = np.zeros(len(probabilities), np.int64)
    for step, p in enumerate(probabilities):
        for s in decoder.update(step, p, 1.0):
            out[s.start_us : s.end_us] = level.labels.index(s.label)
    for s in decoder.finish():
        out[s.start_us : s.end_us] = level.labels.index(s.label)
    return out


def chosen(
    level: Level,
    train: list[Examples],
    validation: list[Examples],
    probabilities: list[npt.NDArray[np.float32]],
) -> tuple[Decoder, float]:
    """Return the decoder with the best per-second macro-F1 on validation, and that figure.

    Args:
        level: the level it decodes.
        train: where transitions and priors are counted.
        validation: where the two weights are chosen.
        probabilities: (T, K) of each validation recording.
    """
    base = counted(level, train)

    def score(spec: Decoder) -> float:
        true, found = [], []
        for one, p in zip(validation, probabilities, strict=True):
            target = one.target[level.name]
            scored = target.sum(1) > 0
            true.append(target[scored].argmax(1))
            found.append(decoded(level, spec, p)[scored])
        return macro_f1(np.concatenate(true), np.concatenate(found), level.labels).macro

    scored = [(score(spec), spec) for spec in _grid(base)]
    best = max(range(len(scored)), key=lambda i: scored[i][0])
    return scored[best][1], scored[best][0]


def _grid(base: Decoder) -> Iterator[Decoder]:
    for prior, evidence in product(PRIOR_WEIGHTS, EVIDENCE_WEIGHTS):
        yield msgspec.structs.replace(base, prior_weight=prior, evidence_weight=evidence)
