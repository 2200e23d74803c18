"""SigFormer's losses: classes and boundaries, at the end and of each input by itself.

Liu et al., arXiv 2311.17428; weights of the released configuration: half of the class loss is
inner, boundaries count 0.2. Released, the inner loss is taken of the inputs' mean and a window's
first step is compared with the last of an unrelated one; here each input has its own loss and a
window's first step is no boundary.

Legend: B windows, T steps, K labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainer.sigformer import TeacherAnswers

Total = Callable[[Tensor], Tensor]
"""A count summed over all processes that share a batch."""


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts."""

    inner: float = 0.5
    """Share of the inner class losses; 0 leaves them out."""
    boundary: float = 0.2
    inner_boundary: float = 0.2
    finer_level: float = 0.5
    """Of each label level after the first."""
    inner_of_mean: bool = False
    """As released: one loss of the inputs' mean."""


def class_loss(logits: Tensor, target: Tensor, weights: Tensor, total: Total) -> Tensor:
    """Return the weighted cross entropy with (B, T, K) shares; a row of zeros is not scored."""
    weighted = target * weights
    entropy = -(weighted * functional.log_softmax(logits.float(), -1)).sum()
    return entropy / total(weighted.sum()).clamp(min=1)


def boundary_loss(logits: Tensor, target: Tensor, total: Total) -> Tensor:
    """Return the binary cross entropy of (B, T): does the likeliest label change at this step?"""
    scored, label = target.sum(-1) > 0, target.argmax(-1)
    begins = (label[:, 1:] != label[:, :-1]).float()
    both = (scored[:, 1:] & scored[:, :-1]).float()
    entropy = functional.binary_cross_entropy_with_logits(
        logits[:, 1:].float(), begins, reduction="none"
    )
    return (entropy * both).sum() / total(both.sum()).clamp(min=1)


def teacher_loss(
    answers: TeacherAnswers,
    targets: dict[str, Tensor],
    class_weights: dict[str, Tensor],
    weights: LossWeights,
    total: Total = lambda count: count,
) -> Tensor:
    """Return the whole loss; targets are (B, T, K) by level, class weights (K,) by level."""
    first = next(iter(answers.logits))
    target, by_class = targets[first], class_weights[first]
    inner_logits, inner_boundary = answers.inner_logits, answers.inner_boundary
    if weights.inner_of_mean:
        inner_logits, inner_boundary = (
            [torch.stack(each).mean(0)] if each else [] for each in (inner_logits, inner_boundary)
        )
    inner = [class_loss(x, target, by_class, total) for x in inner_logits]
    share = weights.inner if inner else 0.0
    loss = (1 - share) * class_loss(answers.logits[first], target, by_class, total)
    if inner:
        loss = loss + share * torch.stack(inner).mean()
    for name in list(answers.logits)[1:]:
        finer = class_loss(answers.logits[name], targets[name], class_weights[name], total)
        loss = loss + weights.finer_level * finer
    loss = loss + weights.boundary * boundary_loss(answers.boundary, target, total)
    edges = [boundary_loss(x, target, total) for x in inner_boundary]
    if edges:
        loss = loss + weights.inner_boundary * torch.stack(edges).mean()
    return loss
