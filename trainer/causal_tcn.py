"""Dilated convolutions over past steps alone, and the same one step at a time.

The causal form of ``dilated``: each layer reads the present step and two older ones, ``d`` and
``2 d`` steps back, d = 1, 2, 4, …; before the first step there is nothing, zeros. One step at a
time, each layer keeps its inputs of the last 2 d steps.

Legend: B sequences or stations, T steps, H width.
"""

from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class PastLayer(nn.Module):
    """x + what the step and two older ones say: (B, H, T) -> (B, H, T)."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.past = nn.Conv1d(width, width, 3, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, H, T)."""
        before = functional.pad(x, (2 * self.dilation, 0))
        return x + self.drop(self.mix(torch.relu(self.past(before))))


class CausalTcn(nn.Module):
    """Layers of dilation 1, 2, 4, …: (B, T, H) -> (B, T, H)."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PastLayer(width, 2**i, dropout) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return what each step is in the light of those before it."""
        y = x.transpose(1, 2)
        for layer in self.layers:
            y = layer(y)
        return y.transpose(1, 2)


def state_size(width: int, layers: int) -> int:
    """Return how many floats a station carries."""
    return sum(2 * 2**i for i in range(layers)) * width


class CausalTcnStep(nn.Module):
    """One step: (N, H) and state in, (N, H) and state out; weights are the network's own."""

    def __init__(self, tcn: CausalTcn) -> None:
        super().__init__()
        self.taps = nn.ModuleList()
        self.mixes = nn.ModuleList()
        self.dilations: list[int] = []
        for layer in tcn.layers:
            assert isinstance(layer, PastLayer)
            width = layer.mix.in_channels
            taps = nn.Linear(3 * width, width)
            # oldest first, as a convolution has them
            taps.weight = nn.Parameter(layer.past.weight.detach().transpose(1, 2).flatten(1))
            mix = nn.Linear(width, width)
            mix.weight = nn.Parameter(layer.mix.weight.detach()[..., 0])
            assert layer.past.bias is not None
            assert layer.mix.bias is not None
            taps.bias = nn.Parameter(layer.past.bias.detach())
            mix.bias = nn.Parameter(layer.mix.bias.detach())
            self.taps.append(taps)
            self.mixes.append(mix)
            self.dilations.append(layer.dilation)
        self.width = width

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is known at the step, and the state to read on from."""
        w = self.width
        places = pairwise((0, *accumulate(2 * d * w for d in self.dilations)))
        after = []
        for taps, mix, d, (begin, end) in zip(
            self.taps, self.mixes, self.dilations, places, strict=True
        ):
            queue = torch.cat([state[:, begin:end], x], 1)  # 2 d + 1 steps, the newest last
            seen = torch.cat([queue[:, :w], queue[:, d * w : (d + 1) * w], x], 1)
            after.append(queue[:, w:])
            x = x + mix(torch.relu(taps(seen)))
        return x, torch.cat(after, 1)
