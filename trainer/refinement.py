"""Class scores pooled over time, but not across boundaries (local barrier pooling).

Wang et al., "Boundary-Aware Cascade Networks for Temporal Action Segmentation" (ECCV 2020), as
SigFormer (arXiv 2311.17428) uses it at its end. SigFormer's released code pools over the class
axis by mistake; ``pooled_over_classes`` is that, to compare with.

Legend: B windows, T steps, K labels.
"""

import math

import torch
from torch import Tensor

OUTSIDE = 20.0  # what the released code pads its boundaries with


def pooled_over_time(scores: Tensor, boundary: Tensor, window: int, strength: float) -> Tensor:
    """Return (B, T, K): each step the mean of its neighbours', weighed by what lies between.

    w[t, j] = exp(-strength * sum of the boundaries between t and j) within window // 2 steps, where
    a boundary at t lies between t - 1 and t.

    Args:
        scores: (B, T, K).
        boundary: (B, T), 0..1: how surely a segment begins at t.
        window: steps, odd.
        strength: how much a sure boundary holds off; exp(-strength) of the weight passes.
    """
    with torch.autocast(scores.device.type, enabled=False):  # sums of bf16 would drift
        return _pooled(scores.float(), boundary.float(), window, strength).to(scores.dtype)


def _pooled(scores: Tensor, boundary: Tensor, window: int, strength: float) -> Tensor:
    passed = boundary.cumsum(1)  # (B, T)
    between = (passed[:, :, None] - passed[:, None]).abs()  # (B, T, T)
    at = torch.arange(scores.shape[1], device=scores.device)
    near = (at[:, None] - at).abs() <= window // 2  # (T, T)
    weight = torch.exp(-strength * between) * near
    weight = weight / weight.sum(-1, keepdim=True)
    return weight @ scores


def pooled_over_classes(scores: Tensor, strength: float) -> Tensor:
    """Return (B, T, K) as the released code has it: over neighbouring class ids, time apart."""
    at = torch.arange(scores.shape[-1], device=scores.device)
    passes = math.exp(-strength * OUTSIDE)
    weight = passes ** (at[:, None] - at).abs()  # (K, K), of a row that goes on at both ends
    return (scores.float() @ weight * (1 - passes) / (1 + passes)).to(scores.dtype)
