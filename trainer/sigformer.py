"""SigFormer: the teacher that sees every sensor, any subset of them, and fuses where devices speak.

Liu et al., "SigFormer: Sparse Signal-Guided Transformer for Multi-Modal Action Segmentation",
arXiv 2311.17428 (ACM TOMM, doi 10.1145/3657296), from its abstract, figures and released code:

1. each dense input is embedded by step and encoded by convolutional transformer layers;
2. an intermediate bottleneck makes it say classes and boundaries by itself (``bottleneck``);
3. inputs join in a motion and a spatial stream, guided by the devices (``guided_fusion``);
4. a class and a boundary branch learn from each other (``mutual_branches``);
5. class scores are pooled between the boundaries (``refinement``).

What was not observed is masked: an input is a learned constant at a step of which it has no
reading, and no attention between streams looks there. Beyond the paper: any inputs, any number
of devices, several label levels.

Legend: B windows, T steps, R rows of a step, C channels, E devices, D width, K labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.attention import ConvTransformerLayer, StepEncoder
from trainer.bottleneck import Bottleneck, Recurrent
from trainer.dilated import DilatedEncoder
from trainer.guided_fusion import GuidedFusionLayer, Reading, moved, widened
from trainer.mutual_branches import Interaction, MutualBranches
from trainer.refinement import pooled_over_classes, pooled_over_time
from trainer.student import RowEncoder

STATES = 3  # not in use, in use, not observed
DEVICES = "devices"


@dataclass(frozen=True)
class DenseInput:
    """One sampled input of the model."""

    name: str
    stream: Literal["motion", "spatial"]
    rows: int
    channels: int
    width: int
    """Of its own encoder."""


@dataclass(frozen=True)
class SigFormerConfig:
    """What the model reads, what it names, how large it is, and what of the paper is on."""

    inputs: tuple[DenseInput, ...]
    devices: int
    levels: tuple[tuple[str, int], ...]
    """(name, labels K), coarsest first."""
    window: int = 50
    """Steps it looks at at once."""
    width: int = 860
    """D of fusion and branches."""
    device_width: int = 30
    heads: int = 20
    """Of every attention."""
    head_width: int = 64
    """Of the convolutional transformer layers; cross-attention shares ``width`` among its heads."""
    expansion: int = 4
    groups: int = 10
    feed_forward: int = 2048
    encoder_layers: int = 3
    fusion_layers: int = 4
    branch_layers: tuple[int, int, int, int, int] = (3, 2, 3, 2, 2)
    """Class branch early, middle, late; boundary branch early, late."""
    recurrent_layers: int = 2
    recurrent_hidden: int = 0
    """Of each direction; 0 is the width of what it reads."""
    skip: bool = False
    """Let heads see what the recurrent layers read as well."""
    position_std: float = 1.0
    residual_start: float = 1.0
    """What the last norm of an encoder layer starts at; 0 lets a layer start as the identity."""
    near: bool = False
    """Let attention start out local in time, see ``attention.Nearness``."""
    dropout: float = 0.1
    attention_dropout: float = 0.1
    recurrent_dropout: float = 0.2
    boundary_dropout: float = 0.5
    boundary_width: int = 0
    """Of the filters of the inner boundary curves; 0 is the width of what they read."""
    layers: Literal["transformer", "dilated"] = "transformer"
    """What encoders and branches are made of: the published layer, or dilated convolutions,
    ``dilations`` for each layer of the published model."""
    dilations: int = 5
    embed: Literal["linear", "rows"] = "linear"
    """``linear``: all rows of a step at once, as published; ``rows``: the student's convolutions
    and statistics, which few data teach sooner."""
    bottleneck: bool = True
    reading: Reading = "B"
    per_device: bool = False
    """A query and a mask for each device, instead of their union."""
    widen_steps: int = 0
    tell: bool = True
    """Add M * guidance to the streams, see ``guided_fusion``."""
    interaction: Interaction = "paper"
    refine: Literal["time", "classes", "off"] = "time"
    refine_window: int = 7
    refine_strength: float = 10.0
    boundary_threshold: float = 0.85
    released: bool = False
    """The released code's fusion: no mask, guidance at every step, norm after."""


class TeacherAnswers(NamedTuple):
    """What a teacher says of windows, before softmax and sigmoid."""

    logits: dict[str, Tensor]
    """(B, T, K) by label level, refined."""
    boundary: Tensor
    """(B, T): does a segment begin at this step?"""
    inner_logits: list[Tensor]
    """(B, T, K) of the first level, of each input by itself, or of earlier stages."""
    inner_boundary: list[Tensor]
    """(B, T) of each input by itself."""


class StepEmbedding(nn.Module):
    """The rows of a step to one vector; a learned constant where nothing was observed."""

    def __init__(self, one: DenseInput, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "rows":
            self.rows = RowEncoder(one.channels, one.width)
            self.linear = nn.Linear(3 * one.width, one.width)
        else:
            self.linear = nn.Linear(one.rows * one.channels, one.width)
        self.missing = nn.Parameter(torch.zeros(one.width))

    def forward(self, values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, T, D) and (B, T) bool whether observed, from (B, T, R, C) twice."""
        seen = observed.flatten(2).any(-1)
        if self.kind == "rows":
            rows = self.rows(values.flatten(0, 1), observed.flatten(0, 1))
            x = self.linear(rows).unflatten(0, values.shape[:2])
        else:
            x = self.linear((values * observed).flatten(2))
        return torch.where(seen.unsqueeze(-1), x, self.missing.to(x.dtype)), seen


class DeviceEmbedding(nn.Module):
    """Each device's state to a vector: (B, T, E) twice -> (B, T, E, D)."""

    def __init__(self, devices: int, device_width: int, width: int) -> None:
        super().__init__()
        self.states = nn.Parameter(torch.randn(devices, STATES, device_width))
        self.project = nn.ModuleList(nn.Linear(device_width, width) for _ in range(devices))

    def forward(self, in_use: Tensor, observed: Tensor) -> Tensor:
        """Return what each device says at each step."""
        state = torch.where(observed > 0, (in_use > 0).long(), 2)  # (B, T, E)
        table = torch.stack(
            [project(e) for project, e in zip(self.project, self.states, strict=True)]
        )  # (E, 3, D)
        chosen = functional.one_hot(state, STATES).to(table.dtype)  # (B, T, E, 3)
        return torch.einsum("btes,esd->bted", chosen, table)


class SigFormer(nn.Module):
    """The whole model; see the module's text."""

    def __init__(self, config: SigFormerConfig) -> None:
        super().__init__()
        self.config = config
        if not config.inputs and not config.devices:
            raise ValueError("SigFormer: found no inputs and no devices, expected at least one")
        first = config.levels[0][1]
        self.embeddings = nn.ModuleDict(
            {one.name: StepEmbedding(one, config.embed) for one in config.inputs}
        )
        widths = {one.name: one.width for one in config.inputs}
        streams = {one.name: one.stream for one in config.inputs}
        if config.devices:
            self.devices = DeviceEmbedding(config.devices, config.device_width, config.width)
        if not config.inputs:  # devices alone: what they say is the stream as well
            widths, streams = {DEVICES: config.width}, {DEVICES: "spatial"}
        self.streams = tuple(dict.fromkeys(streams[name] for name in widths))
        self._stream_of = streams
        self.encoders = nn.ModuleDict(
            {name: self._encoder(config.encoder_layers, width) for name, width in widths.items()}
        )
        if config.bottleneck:
            self.bottlenecks = nn.ModuleDict(
                {
                    name: Bottleneck(
                        width, first, config.recurrent_hidden or width, config.recurrent_layers,
                        config.recurrent_dropout, config.boundary_dropout,
                        config.boundary_width or width, skip=config.skip,
                    )
                    for name, width in widths.items()
                }
            )  # fmt: skip
        self.projections = nn.ModuleDict(
            {name: nn.Linear(width, config.width) for name, width in widths.items()}
        )
        self.fusion = nn.ModuleList(
            GuidedFusionLayer(
                config.width, config.heads, config.feed_forward, config.dropout,
                config.attention_dropout, len(self.streams),
                None if config.released else config.reading,
                guided=config.devices > 0, tell=config.tell, near=config.near,
            )
            for _ in range(config.fusion_layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(config.width)
        hidden = config.recurrent_hidden or config.width
        recurrent = Recurrent(
            config.width, hidden, config.recurrent_layers, config.recurrent_dropout,
            skip=config.skip,
        )  # fmt: skip
        self.branches = MutualBranches(
            config.width, config.heads, config.feed_forward, config.dropout,
            config.attention_dropout, encoder=lambda depth: self._encoder(depth, config.width),
            depths=config.branch_layers, interaction=config.interaction, near=config.near,
            recurrent=recurrent,
        )  # fmt: skip
        self.heads = nn.ModuleDict(
            {f"p_{name}": nn.Linear(recurrent.width, labels) for name, labels in config.levels}
        )
        self.boundary = nn.Linear(recurrent.width, 1)

    def _encoder(self, depth: int, width: int) -> nn.Module:
        c = self.config
        if c.layers == "dilated":
            return DilatedEncoder(width, c.dilations * depth, c.dropout)
        layers = nn.ModuleList(
            ConvTransformerLayer(
                width, c.heads, c.head_width, c.expansion, c.groups, c.dropout,
                c.attention_dropout, c.residual_start, near=c.near,
            )
            for _ in range(depth)
        )  # fmt: skip
        return StepEncoder(c.window, width, layers, c.position_std, c.dropout)

    @property
    def parameter_count(self) -> int:
        """Weights in all."""
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, inputs: Mapping[str, Tensor]) -> TeacherAnswers:
        """Return the answers for windows.

        Args:
            inputs: (B, T, R, C) by input name and ``<name>_observed``, (B, T, E) for ``in_use`` and
                ``in_use_observed``; float, observed as 0 or 1; T at most the window.
        """
        guide, mask = self._guidance(inputs)
        encoded: dict[str, Tensor] = {}
        seen: dict[str, Tensor] = {}
        inner_logits, inner_boundary = [], []
        for name, encoder in self.encoders.items():
            if name == DEVICES:
                assert guide is not None
                x, seen[name] = guide.sum(2), inputs["in_use_observed"].any(-1)
            else:
                values, observed = inputs[name], inputs[f"{name}_observed"]
                x, seen[name] = self.embeddings[name](values, observed)
            x = encoder(x)
            if self.config.bottleneck:
                x, logits, boundary = self.bottlenecks[name](x)
                inner_logits.append(logits)
                inner_boundary.append(boundary)
            encoded[name] = self.projections[name](x)
        streams = [self._joined(encoded, stream) for stream in self.streams]
        keys = [
            torch.stack([seen[n] for n in encoded if self._stream_of[n] == stream]).any(0)
            for stream in self.streams
        ]
        for layer in self.fusion:
            streams = layer(streams, guide, mask, keys)
        classes, boundaries = self.branches(self.norm(torch.stack(streams).sum(0)))
        boundary = self.boundary(boundaries).squeeze(-1)
        logits = {name: self.heads[f"p_{name}"](classes) for name, _ in self.config.levels}
        first = self.config.levels[0][0]  # whose boundaries these are
        logits[first] = self._refined(logits[first], boundary)
        return TeacherAnswers(logits, boundary, inner_logits, inner_boundary)

    def _joined(self, encoded: dict[str, Tensor], stream: str) -> Tensor:
        return torch.stack([x for n, x in encoded.items() if self._stream_of[n] == stream]).sum(0)

    def _guidance(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """Return (B, T, E, D) what the devices say and (B, T, E) the mask, E = 1 for a union."""
        c = self.config
        if not c.devices:
            return None, None
        observed = inputs["in_use_observed"]
        in_use = widened(inputs["in_use"] * observed, c.widen_steps)
        if c.reading == "shuffled":
            in_use, observed = moved(torch.stack([in_use, observed]), self.training)
        guide, mask = self.devices(in_use, observed), in_use
        if not c.per_device:
            guide, mask = guide.sum(2, keepdim=True), mask.amax(2, keepdim=True)
        return guide, mask

    def _refined(self, logits: Tensor, boundary: Tensor) -> Tensor:
        c = self.config
        if c.refine == "time":
            sure = torch.sigmoid(boundary)
            sure = sure * (sure > c.boundary_threshold)
            return pooled_over_time(logits, sure, c.refine_window, c.refine_strength)
        if c.refine == "classes":
            return pooled_over_classes(logits, c.refine_strength)
        return logits
