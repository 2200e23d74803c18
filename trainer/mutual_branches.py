"""SigFormer's mutual interactive branches: classes and boundaries learn from each other, twice.

Liu et al., arXiv 2311.17428, figure of the framework, part d. ``paper``: early the class branch
queries the boundary branch, late the boundary branch queries the class branch. ``released``: the
same queries, but each answer, with the asker's residual, takes the place of the branch that was
asked.

Legend: B windows, T steps, D width.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from trainer.attention import CrossAttention
from trainer.bottleneck import Recurrent

Interaction = Literal["paper", "released", "off"]


class Interact(nn.Module):
    """x in the light of the other branch: cross-attention and feed-forward, residual, normed."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float,
        attention_dropout: float, *, near: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.cross = CrossAttention(width, heads, attention_dropout, near=near)
        self.norm = nn.LayerNorm(width)
        self.forwards = nn.Sequential(
            nn.Linear(width, feed_forward), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(feed_forward, width), nn.Dropout(dropout),
        )  # fmt: skip
        self.norm_forward = nn.LayerNorm(width)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Return (B, T, D) from (B, T, D) twice."""
        x = self.norm(self.cross(x, other) + x)
        return self.norm_forward(self.forwards(x) + x)


class MutualBranches(nn.Module):
    """Fused steps to class features and boundary features, both (B, T, 2 * hidden)."""

    def __init__(
        self, width: int, heads: int, feed_forward: int, dropout: float,
        attention_dropout: float, *,
        encoder: Callable[[int], nn.Module], depths: tuple[int, int, int, int, int],
        interaction: Interaction, recurrent: Recurrent, near: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.interaction = interaction
        self.class_early, self.class_middle, self.class_late = (encoder(d) for d in depths[:3])
        self.boundary_early, self.boundary_late = (encoder(d) for d in depths[3:])
        if interaction != "off":
            self.first, self.second = (
                Interact(width, heads, feed_forward, dropout, attention_dropout, near=near)
                for _ in range(2)
            )
        self.norm = nn.LayerNorm(width)
        self.recurrent = recurrent

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Return class features and boundary features from (B, T, D)."""
        f, u = self.class_early(fused), self.boundary_early(fused)
        if self.interaction == "paper":
            f = self.first(f, u)
        elif self.interaction == "released":
            u = self.first(f, u)
        u, f = self.boundary_late(u), self.class_middle(f)
        if self.interaction == "paper":
            u = self.second(u, f)
        boundary = self.recurrent(self.norm(u))
        if self.interaction == "released":
            f = self.second(u, f)
        return self.recurrent(self.norm(self.class_late(f))), boundary
