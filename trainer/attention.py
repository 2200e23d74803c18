"""Attention over the steps of a window, finite whatever is masked, and SigFormer's encoder layer.

The layer is SigFormer's convolutional transformer (Liu et al., "SigFormer: Sparse Signal-Guided
Transformer for Multi-Modal Action Segmentation", arXiv 2311.17428; released code, model.py):
attention, then a feed-forward part that looks one step to either side.

Legend: B windows, T steps, Q queries, H heads, D width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def attend(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None, dropout: float = 0.0,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return (B, H, Q, d) of scaled dot-product attention; 0 where a query has nothing to see.

    Args:
        q: (B, H, Q, d).
        k: (B, H, T, d).
        v: (B, H, T, d).
        keys: bool, what may be seen: (B, T), or (B, Q, T) where queries differ; None is all.
        dropout: share of the weights dropped.
        bias: (H, Q, T) added to the scores.
    """
    if keys is None:
        return functional.scaled_dot_product_attention(q, k, v, bias, dropout_p=dropout)
    allowed = (keys[:, None] if keys.dim() == 2 else keys)[:, None]  # (B, 1, Q or 1, T)
    some = allowed.any(-1, keepdim=True)
    # an empty row would be 0/0: let it see everything, then take that back
    mask = allowed | ~some
    if bias is not None:
        mask = bias.masked_fill(~mask, -torch.inf)
    seen = functional.scaled_dot_product_attention(q, k, v, mask, dropout_p=dropout)
    return seen * some.to(seen.dtype)


class Nearness(nn.Module):
    """A learned bias of attention scores: each head's liking for what is near in time.

    After Press et al., "Train Short, Test Long: Attention with Linear Biases" (ICLR 2022); slopes
    start at 2^-1, 2^-2, ... a step, and are learned.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.log_slope = nn.Parameter(-math.log(2) * torch.arange(1.0, heads + 1))

    def forward(self, queries: int, steps: int, each: int = 1) -> Tensor:
        """Return (H, Q, T) for queries ``each`` to a step."""
        device = self.log_slope.device
        at, to = torch.arange(queries, device=device) // each, torch.arange(steps, device=device)
        return -self.log_slope.exp()[:, None, None] * (at[:, None] - to).abs()


class CrossAttention(nn.Module):
    """Queries from one sequence, keys and values from another; no biases."""

    def __init__(self, width: int, heads: int, dropout: float, *, near: bool = False) -> None:
        super().__init__()
        self.near = Nearness(heads) if near else None
        if width % heads:
            raise ValueError(f"attention: width {width} is no multiple of {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Tensor, other: Tensor, keys: Tensor | None = None, gate: Tensor | None = None
    ) -> Tensor:
        """Return (B, Q, D): ``other`` (B, T, D) as seen from ``x`` (B, Q, D).

        Args:
            x: what asks.
            other: what is looked at.
            keys: as in ``attend``.
            gate: (B, Q, 1) factor on the queries; 0 makes a query look at everything alike.
        """
        q = self.to_q(x) if gate is None else self.to_q(x) * gate
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (q, self.to_k(other), self.to_v(other))
        )
        steps = other.shape[1]
        bias = self.near(x.shape[1], steps, x.shape[1] // steps) if self.near else None
        seen = attend(q, k, v, keys, self.dropout if self.training else 0.0, bias)
        return self.out(seen.transpose(1, 2).flatten(2))


class ConvFeedForward(nn.Module):
    """D -> D over steps: 1x1, then 3 steps wide, then 1x1, each normed in groups."""

    def __init__(self, width: int, expansion: int, groups: int) -> None:
        super().__init__()
        inner = width * expansion
        self.layers = nn.Sequential(
            nn.Conv1d(width, inner, 1), nn.GroupNorm(groups, inner), nn.GELU(),
            nn.Conv1d(inner, inner, 3, padding=1), nn.GroupNorm(groups, inner), nn.GELU(),
            nn.Conv1d(inner, width, 1),
        )  # fmt: skip
        self.norm = nn.GroupNorm(groups, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, D)."""
        return self.norm(self.layers(x.transpose(1, 2))).transpose(1, 2)


class ConvTransformerLayer(nn.Module):
    """x + self-attention, then x + convolutional feed-forward; normed before each."""

    def __init__(
        self, width: int, heads: int, head_width: int, expansion: int, groups: int,
        dropout: float, attention_dropout: float, residual_start: float = 1.0,
        *, near: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.near = Nearness(heads) if near else None
        self.heads, self.dropout = heads, attention_dropout
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.out = nn.Sequential(nn.Linear(heads * head_width, width), nn.Dropout(dropout))
        self.norm_forward = nn.LayerNorm(width)
        self.feed_forward = ConvFeedForward(width, expansion, groups)
        nn.init.constant_(self.feed_forward.norm.weight, residual_start)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, D)."""
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in self.qkv(self.norm(x)).chunk(3, -1)
        )
        bias = self.near(x.shape[1], x.shape[1]) if self.near else None
        seen = attend(q, k, v, None, self.dropout if self.training else 0.0, bias)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.feed_forward(self.norm_forward(x))


class StepEncoder(nn.Module):
    """Learned positions, then convolutional transformer layers: (B, T, D) -> (B, T, D)."""

    def __init__(
        self, window: int, width: int, layers: nn.ModuleList, position_std: float, dropout: float
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, window, width) * position_std)
        self.drop = nn.Dropout(dropout)
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Return what each step is in the light of the others; at most ``window`` steps."""
        if x.shape[1] > self.positions.shape[1]:
            raise ValueError(
                f"found a window of {x.shape[1]} steps, expected at most {self.positions.shape[1]}"
            )
        x = self.drop(x + self.positions[:, : x.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return x
