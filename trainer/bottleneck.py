"""SigFormer's intermediate bottleneck: a stream learns classes and boundaries by itself.

Liu et al., arXiv 2311.17428, figure of the framework, part b; released code, model.py.

Legend: B windows, T steps, D width, K labels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Recurrent(nn.Module):
    """A bidirectional LSTM: (B, T, D) -> (B, T, 2 * hidden), beside what it read if ``skip``."""

    def __init__(
        self, width: int, hidden: int, layers: int, dropout: float, *, skip: bool = False
    ) -> None:
        super().__init__()
        self.skip = skip
        self.width = 2 * hidden + width * skip
        self.lstm = nn.LSTM(
            width, hidden, layers, batch_first=True, bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, width)."""
        told = self.lstm(x)[0]
        return torch.cat([told, x], -1) if self.skip else told


class BoundaryFilter(nn.Module):
    """A boundary curve made clearer: dilated convolutions over (B, 1, T), residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, width, 1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, 3, padding=d, dilation=d), nn.ReLU(),
                nn.Conv1d(width, width, 1), nn.Dropout(dropout),
            )
            for d in (1, 2)
        )  # fmt: skip
        self.leave = nn.Conv1d(width, 1, 1)

    def forward(self, curve: Tensor) -> Tensor:
        """Return (B, 1, T) logits from (B, 1, T) of 0..1."""
        x = self.enter(curve)
        for layer in self.layers:
            x = x + layer(x)
        return self.leave(x)


class Bottleneck(nn.Module):
    """What one stream says of classes and boundaries; the classes flow back into it."""

    def __init__(
        self, width: int, labels: int, hidden: int, layers: int, dropout: float,
        boundary_dropout: float, boundary_width: int, *, skip: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.recurrent = Recurrent(width, hidden, layers, dropout, skip=skip)
        self.classes = nn.Linear(self.recurrent.width, labels)
        self.back = nn.Linear(labels, width)
        self.boundary = nn.Conv1d(width, 1, 1)
        self.clearer = nn.ModuleList(
            BoundaryFilter(boundary_width, boundary_dropout) for _ in range(2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the stream (B, T, D), class logits (B, T, K) and boundary logits (B, T)."""
        logits = self.classes(self.recurrent(x))
        x = x + self.back(functional.softmax(logits, -1))
        curves = [self.boundary(x.transpose(1, 2))]  # (B, 1, T)
        for clear in self.clearer:
            curves.append(clear(torch.sigmoid(curves[-1])))
        return x, logits, torch.stack(curves).mean(0).squeeze(1)
