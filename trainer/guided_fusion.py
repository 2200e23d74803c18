"""SigFormer's sparse guided cross-modal module: dense streams fused where devices say something.

Liu et al., arXiv 2311.17428. The mask M[t, e] is 1 iff device e is in use at step t
(``edge.masks``). Built from the abstract, the figure of the framework and the released code, which
do not determine how M acts; so three readings are offered, and two to compare with:

- ``A``: the queries are multiplied by M; a step without a device looks at everything alike, or,
  where attention is local (``near``), at what is near.
- ``B``: x_t + M_t * CA_t: a step without a device is left alone. The default.
- ``C``: only steps with a device are looked at; a window without any is left alone.
- ``off``: no mask. ``shuffled``: reading B, the devices' states moved in time (the control).

The released code has no mask; it adds the guidance to every step (``GuidedFusionLayer.released``).

Legend: B windows, T steps, E devices (1 for their union), D width.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.attention import CrossAttention

Reading = Literal["A", "B", "C", "off", "shuffled"]


class SparseGuidedFusion(nn.Module):
    """One stream in the light of the devices: (B, T, D) -> (B, T, D)."""

    def __init__(
        self, width: int, heads: int, dropout: float, reading: Reading, *, near: bool = False
    ) -> None:
        super().__init__()
        self.reading = reading
        self.norm = nn.LayerNorm(width)
        self.norm_guide = nn.LayerNorm(width)
        self.cross = CrossAttention(width, heads, dropout, near=near)

    def forward(self, x: Tensor, guide: Tensor, mask: Tensor, seen: Tensor | None) -> Tensor:
        """Return the stream, guided where the mask allows.

        Args:
            x: (B, T, D) the stream.
            guide: (B, T, E, D) what the devices say.
            mask: (B, T, E) float, 1 where a device is in use.
            seen: (B, T) bool, the steps at which the stream was observed; None is all.
        """
        queries = self.norm_guide(guide).flatten(1, 2)  # (B, T * E, D)
        gate, keys = None, seen
        if self.reading == "A":
            gate = mask.flatten(1).unsqueeze(-1)
        elif self.reading == "C":
            keys = (mask > 0).transpose(1, 2)  # (B, E, T)
            keys = keys if seen is None else keys & seen[:, None]
            keys = keys[:, None].expand(-1, x.shape[1], -1, -1).flatten(1, 2)  # (B, T * E, T)
        found = self.cross(queries, self.norm(x), keys, gate).unflatten(1, guide.shape[1:3])
        if self.reading in ("B", "shuffled"):
            found = found * mask.unsqueeze(-1)
        return x + found.sum(2)


class GuidedFusionLayer(nn.Module):
    """Guidance of each stream, attention between the streams, feed-forward.

    ``streams`` may be one or two; with one there is nothing to attend to between them. Norms are
    shared by the streams, as released. Attention alone tells where a device points to, not which
    device it was: so ``tell`` adds M * guidance to each stream first, the masked form of the
    released SiLU(x + guidance). ``reading`` None is the released form: that, and no mask.
    """

    def __init__(
        self, width: int, heads: int, feed_forward: int, dropout: float,
        attention_dropout: float, streams: int, reading: Reading | None, *,
        guided: bool, tell: bool = True, near: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.released = reading is None
        self.guided, self.tell = guided, tell
        self.masked = reading not in (None, "off")
        both = range(streams)
        if guided:
            self.guidance = nn.ModuleList(
                CrossAttention(width, heads, attention_dropout, near=near) if reading is None
                else SparseGuidedFusion(width, heads, attention_dropout, reading, near=near)
                for _ in both
            )  # fmt: skip
            if reading is None:
                self.norm_guidance = nn.LayerNorm(width)
        if streams == 2:
            self.between = nn.ModuleList(
                CrossAttention(width, heads, attention_dropout, near=near) for _ in both
            )
            self.norm_between = nn.LayerNorm(width)
        self.forwards = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, feed_forward), nn.GELU(), nn.Dropout(dropout),
                nn.Linear(feed_forward, width), nn.Dropout(dropout),
            )
            for _ in both
        )  # fmt: skip
        self.norm_forward = nn.LayerNorm(width)

    def forward(
        self, streams: list[Tensor], guide: Tensor | None, mask: Tensor | None, seen: list[Tensor]
    ) -> list[Tensor]:
        """Return the streams, each (B, T, D).

        Args:
            streams: one or two of (B, T, D).
            guide: (B, T, E, D) what the devices say; None without devices.
            mask: (B, T, E) float, 1 where a device is in use; None without devices.
            seen: (B, T) bool for each stream, where it was observed.
        """
        if self.guided and guide is not None and mask is not None:
            streams = self._guided(streams, guide, mask, seen)
        if len(streams) == 2:
            x, y = streams
            streams = [
                self.norm_between(self.between[0](x, y, seen[1]) + x),
                self.norm_between(self.between[1](y, x, seen[0]) + y),
            ]
        return [
            self.norm_forward(forward(x) + x)
            for forward, x in zip(self.forwards, streams, strict=True)
        ]

    def _guided(
        self, streams: list[Tensor], guide: Tensor, mask: Tensor, seen: list[Tensor]
    ) -> list[Tensor]:
        if self.released:
            said = guide.sum(2)
            streams = [functional.silu(x + said) for x in streams]
            return [
                self.norm_guidance(cross(said, x) + x)
                for cross, x in zip(self.guidance, streams, strict=True)
            ]
        if self.tell:
            told = (guide * mask.unsqueeze(-1) if self.masked else guide).sum(2)
            streams = [x + told for x in streams]
        return [
            fusion(x, guide, mask, keys)
            for fusion, x, keys in zip(self.guidance, streams, seen, strict=True)
        ]


def widened(mask: Tensor, steps: int) -> Tensor:
    """Return (B, T, E) with each use lasting ``steps`` longer at both ends.

    >>> widened(torch.tensor([[[0.], [0.], [1.], [0.]]]), 1).flatten().tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    if not steps:
        return mask
    return functional.max_pool1d(mask.transpose(1, 2), 2 * steps + 1, 1, steps).transpose(1, 2)


def moved(states: Tensor, training: bool) -> Tensor:
    """Return (S, B, T, E) device states at other times: the control that must lose what they tell.

    Every window is turned round by a lag between a quarter and three quarters of it, drawn anew in
    training, half of it otherwise; rates and lengths of use stay as they are.
    """
    steps = states.shape[2]
    lag = torch.full((states.shape[1],), steps // 2)
    if training:
        lag = torch.randint(steps // 4, 3 * steps // 4 + 1, lag.shape)
    at = (torch.arange(steps) - lag[:, None]) % steps  # (B, T)
    return states.gather(2, at.to(states.device)[None, :, :, None].expand_as(states))
