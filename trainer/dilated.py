"""Residual convolutions over steps whose dilation doubles: near context first, then far.

As in temporal convolutional networks (Lea et al., CVPR 2017; Abu Farha and Gall, "MS-TCN", CVPR
2019). With few recordings they learn sooner than attention, see ``journal.md``.

Legend: B windows, T steps, D width.
"""

from torch import Tensor, nn


class DilatedLayer(nn.Module):
    """x + what steps ``dilation`` to either side say: (B, D, T) -> (B, D, T)."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation), nn.ReLU(),
            nn.Conv1d(width, width, 1), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, D, T)."""
        return x + self.layers(x)


class DilatedEncoder(nn.Module):
    """Layers of dilation 1, 2, 4, ...: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DilatedLayer(width, 2**i, dropout) for i in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        """Return what each step is in the light of those around it."""
        return self.layers(x.transpose(1, 2)).transpose(1, 2)
