"""A network of one sensor's clips: convolutions, one block of self-attention, a classifier.

The extractor and the attention are D-CAT's parts (arXiv 2509.09747); their sizes are ours, as the
paper's are not public. Keys and values of the attention are what D-CAT compares.

Legend: B clips, T rows, C channels, N tokens, D width, K labels.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.dcat import KeysValues


@dataclass(frozen=True)
class ClipNetConfig:
    """What a network reads and names, and how large it is."""

    channels: int
    labels: int
    width: int = 96
    """D; D-CAT needs it to be the source's and the target's."""
    first: int = 64
    """Channels of the first convolution."""
    kernels: tuple[int, ...] = (7, 5, 3)
    strides: tuple[int, ...] = (2, 2, 1)


class ClipAnswers(NamedTuple):
    """What a network says of clips."""

    logits: Tensor
    """(B, K)"""
    feature: Tensor
    """(B, D) mean of the tokens."""
    tokens: Tensor
    """(B, N, D)"""
    said: KeysValues


class SelfAttention(nn.Module):
    """One block: softmax attention, residual, normalised; keys and values can be had."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, KeysValues]:
        """Return (B, N, D) tokens and the keys and values that they were read as."""
        said = KeysValues(self.key(tokens), self.value(tokens))
        seen = functional.scaled_dot_product_attention(self.query(tokens), *said)
        return self.norm(tokens + self.out(seen)), said


class ClipNet(nn.Module):
    """Clips in, logits out."""

    def __init__(self, config: ClipNetConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        sizes = [config.channels, config.first, *[config.width] * (len(config.kernels) - 1)]
        for (wide, out), kernel, stride in zip(
            pairwise(sizes), config.kernels, config.strides, strict=True
        ):
            layers.append(nn.Conv1d(wide, out, kernel, stride, kernel // 2))
            layers += [nn.BatchNorm1d(out), nn.ReLU()]
        self.extractor = nn.Sequential(*layers)
        self.attention = SelfAttention(config.width)
        self.classifier = nn.Linear(config.width, config.labels)

    @property
    def parameter_count(self) -> int:
        """Weights in all."""
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, clips: Tensor) -> ClipAnswers:
        """Return the answers for (B, T, C) clips."""
        tokens = self.extractor(clips.transpose(1, 2)).transpose(1, 2)
        tokens, said = self.attention(tokens)
        feature = tokens.mean(1)
        return ClipAnswers(self.classifier(feature), feature, tokens, said)


def frozen(net: ClipNet) -> ClipNet:
    """Return the network as a source: it answers, and nothing of it changes."""
    net.zero_grad()
    return net.eval().requires_grad_(False)


@torch.no_grad()
def answers(net: ClipNet, clips: Tensor, at_once: int = 256) -> ClipAnswers:
    """Return the answers for many clips, nothing learnt."""
    net.eval()
    parts = [net(clips[i : i + at_once]) for i in range(0, len(clips), at_once)]
    logits, feature, tokens, said = zip(*parts, strict=True)
    keys, values = zip(*said, strict=True)
    return ClipAnswers(
        torch.cat(logits), torch.cat(feature), torch.cat(tokens),
        KeysValues(torch.cat(keys), torch.cat(values)),
    )  # fmt: skip
