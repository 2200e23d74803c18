"""What a student knows of what came before: a GRU, dilated convolutions over the past, or MALT.

All read the features of each step and say what is known at it, over whole sequences for learning
(``Head``) and one step at a time for a board (``HeadStep``), the same either way.

Legend: B sequences, N stations, T steps, H width, S state.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from trainer import causal_tcn
from trainer.causal_tcn import CausalTcn, CausalTcnStep
from trainer.malt import Malt
from trainer.malt_config import MaltConfig
from trainer.malt_stream import MaltHead, MaltStep


class Known(NamedTuple):
    """What a head says of sequences."""

    hidden: Tensor
    """(B, T, H): what is known at each step."""
    foreseen: tuple[Tensor, ...] = ()
    """(B, T, H) each: what MALT's branches say of a step before it was there; learnt beside."""


class Head(Protocol):
    """A head over whole sequences, from their first step."""

    def __call__(self, x: Tensor) -> Known:
        """Return what is known of (B, T, H)."""


class TcnHead(nn.Module):
    """Dilated convolutions over the past."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.tcn = CausalTcn(width, layers, dropout)

    def forward(self, x: Tensor) -> Known:
        """Return what is known of (B, T, H)."""
        return Known(self.tcn(x))


class LearntMalt(nn.Module):
    """MALT: windows side by side while it learns, every step's memories anew when it is judged.

    While it learns, a short memory serves all of its steps, each of which sees those before it in
    the same memory: as many labels for a fraction of the work. Where the first one begins is drawn.
    """

    def __init__(self, config: MaltConfig) -> None:
        super().__init__()
        self.head = MaltHead(Malt(config))

    def forward(self, x: Tensor) -> Known:
        """Return what is known of (B, T, H)."""
        if not self.training:
            return Known(self.head(x))
        short, length = self.head.malt.config.short, x.shape[1]
        first = int(torch.randint(1, short + 1, ()))  # steps of the first window that are there
        ends = torch.arange(first - 1, length + short - 1, short, device=x.device)
        padded = torch.cat([x, x.new_zeros(len(x), short, x.shape[2])], 1)
        said = self.head.read(padded, ends)

        def inside(windows: Tensor) -> Tensor:
            """Return (B, T, H) of (B W, S, H)."""
            whole = windows.unflatten(0, (len(x), -1)).flatten(1, 2)
            return whole[:, short - first : short - first + length]

        return Known(inside(said.now), tuple(inside(one) for one in said.branches))


def head_of(
    width: int, tcn_layers: int, malt: MaltConfig | None, dropout: float
) -> TcnHead | LearntMalt | None:
    """Return what stands in for a GRU, if anything does.

    Raises:
        ValueError: MALT is of another width, or both are wanted.
    """
    if malt is not None and tcn_layers:
        raise ValueError("student: found MALT and a TCN, expected one of them")
    if malt is not None and malt.width != width:
        raise ValueError(f"student: found MALT of width {malt.width}, expected {width}")
    if malt is not None:
        return LearntMalt(malt)
    return TcnHead(width, tcn_layers, dropout) if tcn_layers else None


def step_of(head: TcnHead | LearntMalt) -> CausalTcnStep | MaltStep:
    """Return the head that reads one step, its state in and out."""
    return CausalTcnStep(head.tcn) if isinstance(head, TcnHead) else MaltStep(head.head)


def state_size(width: int, tcn_layers: int, malt: MaltConfig | None) -> int:
    """Return how many floats a head that stands in for a GRU carries."""
    if malt is None:
        return causal_tcn.state_size(width, tcn_layers)
    return malt.state_size
