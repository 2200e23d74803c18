"""D-CAT: a target modality learns keys and values as a frozen source modality has them.

Daher, Wang and Mielle, "D-CAT: Decoupled Cross-Attention Transfer between Sensor Modalities for
Unimodal Inference", arXiv 2509.09747. The target's attention to itself, ``Q_t K_t^T V_t``, is to be
what its attention to the source would be, ``Q_t K_s^T V_s``; without softmax ``Q_t`` falls out:

    L_CA = || N(K_t^T V_t) - N(K_s^T V_s) ||_F

``K^T V`` is D x D whatever the number of tokens, so the two need neither one rate nor one clock.
The source is frozen and is not there at inference. What the paper leaves open (N, pairing, heads,
how a batch is reduced) is a choice here, named as such; the defaults are ours.

Legend: B samples, N tokens, D width, H heads, d = D / H.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Normalisation = Literal["fro", "n", "sqrt_d", "none"]
Pairing = Literal["same_sample", "same_class", "random"]
Ints = npt.NDArray[np.int64]
TINY = 1e-8


class KeysValues(NamedTuple):
    """What a self-attention block reads its tokens as, (B, N, D) both."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class DcatOptions:
    """How two modalities are compared."""

    weight: float = 1.0
    """Of L_CA beside the cross entropy."""
    normalisation: Normalisation = "fro"
    """``fro``: by the matrix's own norm, so that the loss is at most 2; ``n``: by the number of
    tokens; ``sqrt_d``: by the root of the width."""
    pairing: Pairing = "same_class"
    heads: int = 1
    per_sample: bool = True
    """False compares the sums over the batch: a weaker loss, of the data as a whole."""


def products(said: KeysValues, options: DcatOptions) -> Tensor:
    """Return N(K^T V): (B, H, d, d), or (1, H, d, d) where a batch is taken as a whole."""
    keys, values = (x.unflatten(-1, (options.heads, -1)) for x in said)  # (B, N, H, d)
    found = torch.einsum("bnhi,bnhj->bhij", keys.float(), values.float())
    tokens = said.keys.shape[1]
    if not options.per_sample:
        found, tokens = found.sum(0, keepdim=True), tokens * len(found)
    if options.normalisation == "fro":
        return found / found.flatten(-2).norm(dim=-1)[..., None, None].clamp(min=TINY)
    if options.normalisation == "n":
        return found / tokens
    if options.normalisation == "sqrt_d":
        return found / found.shape[-1] ** 0.5
    return found


def alignment_loss(target: Tensor, source: Tensor) -> Tensor:
    """Return the mean over samples and heads of the Frobenius norm of the difference.

    Args:
        target: (B, H, d, d) as ``products`` gives them.
        source: the same, held fixed; or (1, H, d, d), one for all.
    """
    difference = (target - source.detach()).flatten(-2)
    return difference.square().sum(-1).add(TINY**2).sqrt().mean()


def partners(
    labels: Sequence[int] | Ints, source_labels: Sequence[int] | Ints, pairing: Pairing,
    rng: np.random.Generator,
) -> Ints:  # fmt: skip
    """Return (B,) which source sample goes with each target sample.

    ``same_sample`` takes the two lists to be of the same moments, in one order.

    Raises:
        ValueError: the lists differ in length for ``same_sample``; the source has no sample of a
            class for ``same_class``.
    """
    wanted, there = np.asarray(labels), np.asarray(source_labels)
    if pairing == "random":
        return rng.integers(0, len(there), len(wanted))
    if pairing == "same_sample":
        if len(wanted) != len(there):
            raise ValueError(
                f"D-CAT: found {len(there)} source samples for {len(wanted)}, expected the same"
            )
        return np.arange(len(wanted))
    found = np.empty(len(wanted), np.int64)
    for label in np.unique(wanted):
        candidates = np.flatnonzero(there == label)
        if not len(candidates):
            raise ValueError(f"D-CAT: found no source sample of class {label}, expected one")
        rows = wanted == label
        found[rows] = rng.choice(candidates, rows.sum())
    return found
