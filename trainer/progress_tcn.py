"""A causal multi-stage TCN that also tells how far each action has come.

After Shen and Elhamifar, "Progress-Aware Online Action Segmentation for Egocentric Procedural Task
Videos" (ProTAS, CVPR 2024): causal stages as MS-TCN's, in each a GRU that tells every label's
progress, from 0 to 1 over a segment, which is joined with the class scores by a 1x1 convolution.
Its task graph is left out.

Legend: B sequences, T steps, D width, K labels.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.causal_tcn import CausalTcn


class StageSaid(NamedTuple):
    """What a stage says of each step."""

    logits: Tensor
    """(B, T, K)."""
    progress: Tensor
    """(B, T, K) before the sigmoid: how far each label has come."""


class ProgressStage(nn.Module):
    """Dilated convolutions over the past, class scores, progress, and both joined."""

    def __init__(self, channels: int, width: int, layers: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.tcn = CausalTcn(width, layers, dropout)
        self.classes = nn.Linear(width, labels)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.progress = nn.Linear(width, labels)
        self.join = nn.Linear(2 * labels, labels)

    def forward(self, x: Tensor) -> StageSaid:
        """Return what is said of (B, T, C)."""
        hidden = self.tcn(self.enter(x))
        progress = self.progress(self.recurrent(hidden)[0])
        said = torch.cat([self.classes(hidden), progress], -1)
        return StageSaid(self.join(said), progress)


class ProgressTcn(nn.Module):
    """Stages one after the other, each refining the class probabilities of the one before."""

    def __init__(
        self, channels: int, labels: int, *, width: int = 64, layers: int = 10, stages: int = 4,
        dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stages = nn.ModuleList(
            ProgressStage(labels if i else channels, width, layers, labels, dropout)
            for i in range(stages)
        )

    def forward(self, x: Tensor) -> list[StageSaid]:
        """Return what each stage says of (B, T, C), the last one last."""
        found = []
        for stage in self.stages:
            said = stage(x)
            found.append(said)
            x = functional.softmax(said.logits, -1)
        return found


def ramps(label: np.ndarray, labels: int) -> np.ndarray:
    """Return (T, K) how far the segment that each of (T,) steps lies in has come; others 0.

    >>> ramps(np.array([1, 1, 0]), 2).tolist()
    [[0.0, 0.5], [0.0, 1.0], [1.0, 0.0]]
    """
    found = np.zeros((len(label), labels), np.float32)
    edges = [0, *(np.flatnonzero(np.diff(label)) + 1), len(label)]
    for begin, end in pairwise(edges):
        found[begin:end, label[begin]] = np.arange(1, end - begin + 1) / (end - begin)
    return found
