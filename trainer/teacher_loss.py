"""SigFormer's losses: classes and boundaries, at the end and of each input by itself.

Liu et al., arXiv 2311.17428; weights of the released configuration: half of the class loss is
inner, boundaries count 0.2. Released, the inner loss is taken of the inputs' mean and a window's
first step is compared with the last of an unrelated one; here each input has its own loss and a
window's first step is no boundary.

Beside each class loss MS-TCN's smoothing loss may stand (Abu Farha and Gall, CVPR 2019, eq. 5-7).

Legend: B windows, T steps, K labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainer.sigformer import TeacherAnswers

SMOOTHING_LIMIT = 4.0
"""Beyond this difference of log-probabilities a change of label costs no more."""

Total = Callable[[Tensor], Tensor]
"""A count summed over all processes that share a batch."""


def alone(count: Tensor) -> Tensor:
    """Return the count of a process that shares its batch with none."""
    return count


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
    smoothing: float = 0.0
    """Of neighbouring steps' differences, beside each class loss; 0 leaves it out."""


def class_loss(logits: Tensor, target: Tensor, weights: Tensor, total: Total = alone) -> Tensor:
    """Return the weighted cross entropy with (B, T, K) shares; a row of zeros is not scored."""
    weighted = target * weights
    entropy = -(weighted * functional.log_softmax(logits.float(), -1)).sum()
    return entropy / total(weighted.sum()).clamp(min=1)


def smoothing_loss(logits: Tensor, target: Tensor, total: Total = alone) -> Tensor:
    """Return the mean of min(|log p(k, t) - log p(k, t - 1)|, 4)^2, the earlier one held fixed.

    Over (B, T, K) labels and pairs of neighbouring steps that are both scored.
    """
    scored = target.sum(-1) > 0
    both = (scored[:, 1:] & scored[:, :-1]).float()
    log_p = functional.log_softmax(logits.float(), -1)
    squared = (log_p[:, 1:] - log_p[:, :-1].detach()).square().clamp(max=SMOOTHING_LIMIT**2)
    return (squared.mean(-1) * both).sum() / total(both.sum()).clamp(min=1)


def boundary_loss(logits: Tensor, target: Tensor, total: Total = alone) -> Tensor:
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
    total: Total = alone,
) -> Tensor:
    """Return the whole loss; targets are (B, T, K) by level, class weights (K,) by level."""

    def named(logits: Tensor, level: str) -> Tensor:
        loss = class_loss(logits, targets[level], class_weights[level], total)
        if weights.smoothing:
            loss = loss + weights.smoothing * smoothing_loss(logits, targets[level], total)
        return loss

    first = next(iter(answers.logits))
    inner_logits, inner_boundary = answers.inner_logits, answers.inner_boundary
    if weights.inner_of_mean:
        inner_logits, inner_boundary = (
            [torch.stack(each).mean(0)] if each else [] for each in (inner_logits, inner_boundary)
        )
    inner = [named(x, first) for x in inner_logits]
    share = weights.inner if inner else 0.0
    loss = (1 - share) * named(answers.logits[first], first)
    if inner:
        loss = loss + share * torch.stack(inner).mean()
    for name in list(answers.logits)[1:]:
        loss = loss + weights.finer_level * named(answers.logits[name], name)
    loss = loss + weights.boundary * boundary_loss(answers.boundary, targets[first], total)
    edges = [boundary_loss(x, targets[first], total) for x in inner_boundary]
    if edges:
        loss = loss + weights.inner_boundary * torch.stack(edges).mean()
    return loss
