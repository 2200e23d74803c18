"""The student: a small causal network a board can run, one step at a time, its state carried.

Two forms share their weights. `Student` reads whole recordings, for training; `StudentStep`
reads one step of many stations and is what `trainer.export` writes. Per input, two strided
convolutions run over the rows of a step and are pooled by mean and maximum, beside each channel's
mean and deviation; device states join by one linear layer and, if `guided`, by a memory of what was
seen while each device was in use; a GRU, or what stands in for it (`heads`), carries what came
before; each label level has a softmax, and one sigmoid says whether a segment begins at this step.

Legend: B batch (stations), T steps, R rows of a step, C channels, E devices, S state size,
D features of a step, H hidden size, K labels of a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge.bundle import Manifest
from trainer import heads
from trainer.guided_memory import GuidedMemory, state_size
from trainer.malt_config import MaltConfig

KERNEL = 5
FLAT = 1e-4  # variance of a channel that does not move; keeps the root's slope finite
CLIP = 5.0
"""Deviations from the mean beyond which a reading counts no more: one knock must not stretch the
range that all other readings share in 8 bits."""


@dataclass(frozen=True)
class StudentConfig:
    """What a student reads, what it names, and how large it is."""

    inputs: tuple[tuple[str, int, int], ...]
    """(name, rows R, channels C) of each input, in the order of the bundle's manifest."""

    levels: tuple[tuple[str, int], ...]
    """(name, labels K) of each label level, coarsest first."""

    devices: int = 0
    """Number of devices E whose use is read; 0 leaves the device branch out."""

    width: int = 64
    """Channels of an input's convolutions and of the device branch."""

    hidden: int = 96
    """Units H of a GRU layer."""

    layers: int = 1
    """GRU layers."""

    dropout: float = 0.1
    """Share of fused and recurrent features dropped in training."""

    tcn_layers: int = 0
    """Dilated convolutions over the past, so many, in place of the GRU."""

    malt: MaltConfig | None = None
    """MALT in place of the GRU."""

    guided: bool = False
    """Sparse guided fusion: remember what was seen while each device was in use. Without devices,
    or without inputs, there is nothing to remember, and the student is as without it."""

    def __post_init__(self) -> None:
        if not self.inputs and not self.devices:
            raise ValueError("student: found no inputs and no devices, expected at least one")
        if not self.levels:
            raise ValueError("student: found no label levels, expected at least one")
        named = [name for name, _, _ in self.inputs]
        taken = [f"{name}_observed" for name in named] + ["in_use", "in_use_observed", "state"]
        names = [*named, *taken, *self.output_names[:-1]]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"student: tensor names must differ, found {twice} twice")

    @property
    def remembers(self) -> bool:
        """Is there a memory of what was seen while devices were in use?"""
        return self.guided and bool(self.inputs) and self.devices > 0

    @property
    def recurrent_size(self) -> int:
        """Floats of the GRU's layers, or of what stands in for it: first in the state."""
        if self.tcn_layers or self.malt:
            return heads.state_size(self.hidden, self.tcn_layers, self.malt)
        return self.layers * self.hidden

    @property
    def state_size(self) -> int:
        """Floats S one station carries from step to step."""
        return self.recurrent_size + (state_size(self.devices) if self.remembers else 0)

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor of one station and step, in order, `state` last."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, rows, channels in self.inputs:
            shapes[name] = shapes[f"{name}_observed"] = (rows, channels)
        if self.devices:
            shapes["in_use"] = shapes["in_use_observed"] = (self.devices,)
        return {**shapes, "state": (self.state_size,)}

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the tensors read at each step, in order, `state` last."""
        return tuple(self.input_shapes)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the tensors answered at each step, in order, `state` last."""
        return (*(f"p_{level}" for level, _ in self.levels), "boundary", "state")


def reading(manifest: Manifest) -> StudentConfig:
    """Return the student, of the usual size, that reads and names what a manifest says."""
    return StudentConfig(
        inputs=tuple(
            (b.name, b.rate_hz * manifest.step_us // 1_000_000, len(b.channels))
            for b in manifest.inputs
        ),
        levels=tuple((level.name, len(level.labels)) for level in manifest.levels),
        devices=len(manifest.devices),
    )


class Answers(NamedTuple):
    """What the student says of whole recordings, before softmax and sigmoid."""

    logits: dict[str, Tensor]
    """(B, T, K) by label level."""

    boundary: Tensor
    """(B, T) logits: does a segment begin at this step?"""

    state: Tensor
    """(B, S) after the last step, to read on from."""

    hidden: Tensor
    """(B, T, H): what the heads read."""

    foreseen: tuple[dict[str, Tensor], ...] = ()
    """Logits (B, T, K) by level, as MALT's branches foresee them; only while it learns."""


class RowEncoder(nn.Module):
    """What happened in one step, from its rows: (N, R, C) twice -> (N, 3 * width).

    Two convolutions, pooled by mean and maximum, see movement; a linear layer over each channel's
    mean, deviation and share observed sees posture and vigour, which few data teach sooner.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(2 * channels, width, KERNEL, stride=2, padding=KERNEL // 2)
        self.far = nn.Conv1d(width, width, KERNEL, stride=2, padding=KERNEL // 2)
        self.statistics = nn.Linear(3 * channels, width)

    def forward(self, values: Tensor, observed: Tensor) -> Tensor:
        """Return the pooled features; what was not observed counts as 0 whatever it holds."""
        values = values.clamp(-CLIP, CLIP) * observed
        # no kept axes of size 1 here: LiteRT's converter takes them for the batch
        count = observed.sum(1).clamp(min=1)  # (N, C)
        mean = values.sum(1) / count
        variance = values.square().sum(1) / count - mean.square()
        spread = (variance.clamp(min=0) + FLAT).sqrt()
        said = torch.cat([mean, spread, observed.mean(1)], -1)  # (N, 3C)
        said = functional.relu(self.statistics(said))  # (N, width)
        rows = torch.cat([values, observed], -1).transpose(1, 2)  # (N, 2C, R)
        rows = functional.relu(self.far(functional.relu(self.near(rows))))
        return torch.cat([rows.mean(2), rows.amax(2), said], -1)


class Student(nn.Module):
    """The training form: whole recordings in, logits of every step out."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleDict(
            {name: RowEncoder(channels, config.width) for name, _, channels in config.inputs}
        )
        self.devices = nn.Linear(2 * config.devices, config.width) if config.devices else None
        features = 3 * config.width * len(config.inputs) + config.width * bool(config.devices)
        self.fuse = nn.Linear(features, config.hidden)
        self.drop = nn.Dropout(config.dropout)
        self.past = heads.head_of(config.hidden, config.tcn_layers, config.malt, config.dropout)
        if self.past is None:
            self.gru = nn.GRU(
                config.hidden,
                config.hidden,
                config.layers,
                batch_first=True,
                dropout=config.dropout if config.layers > 1 else 0.0,
            )
        self.heads = nn.ModuleDict(
            {f"p_{level}": nn.Linear(config.hidden, labels) for level, labels in config.levels}
        )
        self.boundary = nn.Linear(config.hidden, 1)
        # last, so that the other weights begin as they do without it
        self.memory = GuidedMemory(config.hidden, config.devices) if config.remembers else None

    @property
    def parameter_count(self) -> int:
        """Weights in all; as int8 about as many bytes."""
        return sum(weight.numel() for weight in self.parameters())

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (N, H): each step by itself, all inputs fused, no memory yet; N steps."""
        parts = [
            encoder(inputs[name], inputs[f"{name}_observed"])
            for name, encoder in self.encoders.items()
        ]
        if self.devices is not None:
            seen = inputs["in_use_observed"]
            states = torch.cat([inputs["in_use"] * seen, seen], -1)
            parts.append(functional.relu(self.devices(states)))
        return functional.relu(self.fuse(torch.cat(parts, -1)))

    def forward(self, inputs: Mapping[str, Tensor], state: Tensor | None = None) -> Answers:
        """Return the logits of every step.

        Args:
            inputs: (B, T, R, C) by input name and `<name>_observed`, (B, T, E) for `in_use`
                and `in_use_observed`; float, observed as 0 or 1.
            state: (B, S) to read on from; none starts afresh, from zeros.

        Raises:
            ValueError: there is a state, and no GRU: what stands in for it reads from the start.
        """
        if state is not None and self.past is not None:
            raise ValueError("student: found a state, expected none: only a GRU reads on from one")
        steps = {name: inputs[name] for name in self.config.input_names[:-1]}
        batch, length = next(iter(steps.values())).shape[:2]
        fused = self.features({name: x.flatten(0, 1) for name, x in steps.items()})
        fused = fused.unflatten(0, (batch, length))  # (B, T, H)
        if state is None:
            state = fused.new_zeros(batch, self.config.state_size)
        remembered = state[:, self.config.recurrent_size :]  # (B, 0) without a memory
        if self.memory is not None:
            seen = steps["in_use_observed"]
            fused, remembered = self.memory(fused, steps["in_use"] * seen, seen, remembered)
        carried = state[:, : self.config.recurrent_size]
        foreseen: tuple[Tensor, ...] = ()
        if self.past is not None:
            hidden, foreseen = self.past(self.drop(fused))
        else:
            layers = carried.unflatten(1, (self.config.layers, -1)).transpose(0, 1)
            hidden, last = self.gru(self.drop(fused), layers.contiguous())
            carried = last.transpose(0, 1).flatten(1)
        hidden = self.drop(hidden)
        return Answers(
            self._named(hidden),
            self.boundary(hidden).squeeze(-1),
            torch.cat([carried, remembered], -1),
            hidden,
            tuple(self._named(self.drop(one)) for one in foreseen),
        )

    def _named(self, hidden: Tensor) -> dict[str, Tensor]:
        return {level: self.heads[f"p_{level}"](hidden) for level, _ in self.config.levels}


class GruCell(nn.Module):
    """One GRU layer for one step, each gate a linear layer of its own so that int8 scales fit."""

    reset_ih: nn.Linear
    reset_hh: nn.Linear
    keep_ih: nn.Linear
    keep_hh: nn.Linear
    new_ih: nn.Linear
    new_hh: nn.Linear

    def __init__(self, gru: nn.GRU, layer: int) -> None:
        super().__init__()
        for side in ("ih", "hh"):
            weights = getattr(gru, f"weight_{side}_l{layer}").detach().chunk(3)
            biases = getattr(gru, f"bias_{side}_l{layer}").detach().chunk(3)
            for gate, weight, bias in zip(("reset", "keep", "new"), weights, biases, strict=True):
                linear = nn.Linear(weight.shape[1], weight.shape[0])
                linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
                self.add_module(f"{gate}_{side}", linear)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the next hidden state (B, H) from the features and the one before, (B, H)."""
        reset = torch.sigmoid(self.reset_ih(x) + self.reset_hh(h))
        keep = torch.sigmoid(self.keep_ih(x) + self.keep_hh(h))
        new = torch.tanh(self.new_ih(x) + reset * self.new_hh(h))
        return new + keep * (h - new)


class StudentStep(nn.Module):
    """The form a board runs: one step of B stations, probabilities out, state in and out.

    Its weights are the student's own, seen through other modules; it is always in eval mode.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.config = student.config
        self.student = student
        self.past = None if student.past is None else heads.step_of(student.past)
        if self.past is None:
            self.cells = nn.ModuleList(
                GruCell(student.gru, layer) for layer in range(student.config.layers)
            )
        self.train(False)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return `config.output_names` for `config.input_names`, both in order."""
        inputs = dict(zip(self.config.input_names, tensors, strict=True))
        x = self.student.features(inputs)
        state, size, hidden = inputs["state"], self.config.recurrent_size, self.config.hidden
        remembered = []
        if self.student.memory is not None:
            seen = inputs["in_use_observed"]
            after = self.student.memory.remember(x, inputs["in_use"] * seen, state[:, size:])
            x = self.student.memory.recall(x, seen, after)
            remembered = [after]
        states = []
        if self.past is not None:
            x, after = self.past(x, state[:, :size])
            states.append(after)
        else:
            for layer, cell in enumerate(self.cells):
                x = cell(x, state[:, layer * hidden : (layer + 1) * hidden])
                states.append(x)
        labels = [
            torch.softmax(self.student.heads[name](x), -1) for name in self.config.output_names[:-2]
        ]
        boundary = torch.sigmoid(self.student.boundary(x))
        return (*labels, boundary, torch.cat([*states, *remembered], -1))
