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
    residual: bool = False
    """Blocks of two convolutions and a way around, in place of single ones."""
    recurrent: bool = False
    """A GRU each way in time between convolutions and attention."""
    peaks: bool = False
    """The classifier reads the largest of each feature beside the mean, some of it dropped."""


class ClipAnswers(NamedTuple):
    """What a network says of clips."""

    logits: Tensor
    """(B, K)"""
    feature: Tensor
    """(B, D) mean of the tokens."""
    tokens: Tensor
    """(B, N, D)"""
    said: KeysValues


class Block(nn.Module):
    """Two convolutions and a way around them (He et al. 2016), in one dimension."""

    def __init__(self, wide: int, out: int, stride: int, kernel: int = 5) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv1d(wide, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm1d(out),
            nn.ReLU(), nn.Dropout(0.1),
            nn.Conv1d(out, out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(out),
        )  # fmt: skip
        self.around = nn.Sequential(
            nn.AvgPool1d(stride, ceil_mode=True), nn.Conv1d(wide, out, 1, bias=False),
            nn.BatchNorm1d(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, T / stride) of (B, wide, T)."""
        return functional.relu(self.inner(x) + self.around(x))


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
        self.extractor = nn.Sequential(*(_residual if config.residual else _plain)(config))
        self.past_and_future = (
            nn.GRU(config.width, config.width // 2, batch_first=True, bidirectional=True)
            if config.recurrent
            else None
        )
        self.attention = SelfAttention(config.width)
        self.drop = nn.Dropout(0.3 if config.peaks else 0.0)
        self.classifier = nn.Linear(config.width * (1 + config.peaks), config.labels)

    @property
    def parameter_count(self) -> int:
        """Weights in all."""
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, clips: Tensor) -> ClipAnswers:
        """Return the answers for (B, T, C) clips."""
        tokens = self.extractor(clips.transpose(1, 2)).transpose(1, 2)
        if self.past_and_future is not None:
            tokens, _ = self.past_and_future(tokens)
        tokens, said = self.attention(tokens)
        feature = tokens.mean(1)
        read = torch.cat([feature, tokens.amax(1)], -1) if self.config.peaks else feature
        return ClipAnswers(self.classifier(self.drop(read)), feature, tokens, said)


def _plain(config: ClipNetConfig) -> list[nn.Module]:
    """Return a convolution a kernel, each normalised."""
    layers: list[nn.Module] = []
    sizes = [config.channels, config.first, *[config.width] * (len(config.kernels) - 1)]
    for (wide, out), kernel, stride in zip(
        pairwise(sizes), config.kernels, config.strides, strict=True
    ):
        layers.append(nn.Conv1d(wide, out, kernel, stride, kernel // 2))
        layers += [nn.BatchNorm1d(out), nn.ReLU()]
    return layers


def _residual(config: ClipNetConfig) -> list[nn.Module]:
    """Return a convolution and three blocks, each of which halves the tokens."""
    first, width = config.first, config.width
    stem = [nn.Conv1d(config.channels, first, 7, padding=3, bias=False), nn.BatchNorm1d(first)]
    sizes = (first, first, (first + width) // 2, width)
    return [*stem, nn.ReLU(), *(Block(wide, out, 2) for wide, out in pairwise(sizes))]


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
