"""The plain teacher to beat: dilated convolutions over steps, in stages, no attention, no mask.

After Abu Farha and Gall, "MS-TCN: Multi-Stage Temporal Convolutional Network for Action
Segmentation" (CVPR 2019): a stage of residual layers whose dilation doubles, then stages that
refine the class probabilities of the one before; every stage is taught, their smoothing loss beside
its class loss (``LossWeights.smoothing``).

Legend: B windows, T steps, D width, K labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.dilated import DilatedLayer
from trainer.sigformer import DenseInput, StepEmbedding, TeacherAnswers


@dataclass(frozen=True)
class TcnConfig:
    """What the model reads, what it names, how large it is."""

    inputs: tuple[DenseInput, ...]
    devices: int
    levels: tuple[tuple[str, int], ...]
    width: int = 64
    stages: int = 3
    layers: int = 6
    """A stage's; dilations 1, 2, 4, ..."""
    dropout: float = 0.3


class Stage(nn.Module):
    """Residual dilated layers between two 1x1 convolutions: (B, C, T) -> (B, K, T)."""

    def __init__(self, channels: int, width: int, layers: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Conv1d(channels, width, 1)
        self.layers = nn.Sequential(*(DilatedLayer(width, 2**i, dropout) for i in range(layers)))
        self.leave = nn.Conv1d(width, labels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, K, T) logits and the features (B, D, T) they come from."""
        x = self.layers(self.enter(x))
        return self.leave(x), x


class Tcn(nn.Module):
    """All inputs side by side, then stages; answers as a SigFormer does."""

    def __init__(self, config: TcnConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleDict(
            {one.name: StepEmbedding(one, "rows") for one in config.inputs}
        )
        channels = sum(one.width for one in config.inputs) + 2 * config.devices
        first = config.levels[0][1]
        self.stages = nn.ModuleList(
            Stage(first if i else channels, config.width, config.layers, first, config.dropout)
            for i in range(config.stages)
        )
        self.finer = nn.ModuleDict(
            {f"p_{name}": nn.Conv1d(config.width, k, 1) for name, k in config.levels[1:]}
        )
        self.boundary = nn.Conv1d(config.width, 1, 1)

    @property
    def parameter_count(self) -> int:
        """Weights in all."""
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, inputs: Mapping[str, Tensor]) -> TeacherAnswers:
        """Return the answers for windows; inputs as ``SigFormer`` takes them."""
        parts = [
            embed(inputs[name], inputs[f"{name}_observed"])[0]
            for name, embed in self.embeddings.items()
        ]
        if self.config.devices:
            observed = inputs["in_use_observed"]
            parts += [inputs["in_use"] * observed, observed]
        x = torch.cat(parts, -1).transpose(1, 2)  # (B, C, T)
        said = []
        for stage in self.stages:
            logits, features = stage(x)
            said.append(logits.transpose(1, 2))
            x = functional.softmax(logits, 1)
        logits = {self.config.levels[0][0]: said[-1]}
        for name, _ in self.config.levels[1:]:
            logits[name] = self.finer[f"p_{name}"](features).transpose(1, 2)
        return TeacherAnswers(logits, self.boundary(features).squeeze(1), said[:-1], [])
