"""MALT one step at a time, exactly: what of the long memory does not change is kept.

The queries of a branch do not depend on what is seen, so a step that enters the long memory is
asked by them once: its scores and values stand in a queue until it is forgotten. Places are counted
from the newest, so what a place adds to scores and values is constant. The short memory is read
anew at every step, since its places move with it; of the last branch's reading only the newest step
is wanted.

The state is one row of floats a station, zeros before its first step, so that a board can carry it.

Legend: N stations, D width, H heads, L and S places, Q queries of a branch.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.malt import Branch, Malt, Said, Stack, kept, memories
from trainer.malt_config import MaltConfig

AT_ONCE = 512
"""Steps whose memories are read anew in one go."""


class MaltHead(nn.Module):
    """Steps' features in, what is known at each step out; ``MaltStep`` is the same for one step."""

    def __init__(self, malt: Malt) -> None:
        super().__init__()
        width = malt.config.width
        self.malt = malt
        self.long, self.short = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, D) of (B, T, D), each step's memories read anew."""
        ends = torch.arange(x.shape[1], device=x.device).split(AT_ONCE)
        said = [self.read(x, some).now[:, -1].unflatten(0, (len(x), -1)) for some in ends]
        return torch.cat(said, 1)

    def read(self, x: Tensor, ends: Tensor) -> Said:
        """Return what is made of the memories that W steps of (B, T, D) end, B W of them."""
        long, long_full, short, short_full = memories(x, ends, self.malt.config)
        return self.malt(
            torch.relu(self.long(long)), long_full, torch.relu(self.short(short)), short_full
        )


class Passed(NamedTuple):
    """What a step makes of the memories' places; N stations."""

    features: Tensor
    """(N, S, D) of the short memory."""
    short_full: Tensor
    """(N, S) which of its places are full, as 0 and 1."""
    long_full: Tensor
    """(N, L)."""
    phase: Tensor
    """(N, 1) where in its stride the next step is."""
    oldest: Tensor
    """(N, D) features of the step that left the short memory."""
    arrives: Tensor
    """(N, 1) 1 where it enters the long one."""


def passed(x: Tensor, parts: Sequence[Tensor], config: MaltConfig) -> Passed:
    """Return the places of both memories after a step.

    Args:
        x: (N, D) the step's features.
        parts: the first four of ``MaltConfig.state_sizes``.
        config: whose short, stride and width count.
    """
    features, short_full, long_full, phase = parts
    features = features.unflatten(1, (config.short, config.width))
    # the oldest of the short memory leaves it; every stride-th goes on to the long one
    due = (phase - config.short % config.stride).abs() < 0.5
    arrives = due.float() * short_full[:, :1]
    here = (phase > -1).float()  # always; a constant would fix how many stations there are
    following = phase + 1
    return Passed(
        torch.cat([features[:, 1:].flatten(1), x], 1).unflatten(1, (config.short, config.width)),
        torch.cat([short_full[:, 1:], here], 1),
        pushed(long_full, arrives, arrives, axis=1),
        following * (following < config.stride - 0.5).float(),
        features[:, 0],
        arrives,
    )


class MaltStep(nn.Module):
    """One step of N stations: features (N, D) and state in, (N, D) and state out.

    What the branches found stands in the state as well, and is what it was until something enters
    the long memory, every ``stride``-th step. ``between`` is the same step where nothing does, and
    where it is not the first; it costs a fraction.
    """

    def __init__(self, head: MaltHead, *, between: bool = False) -> None:
        super().__init__()
        self.head, self.config, self.between = head, head.malt.config, between
        self.asked = nn.ModuleList(_Asked(branch, head.malt) for branch in _branches(head.malt))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is known at the step, and the state to read on from.

        Args:
            x: (N, D) the step's features.
            state: (N, S), ``MaltConfig.state_size`` floats.
        """
        c, head = self.config, self.head
        parts = [state[:, a:b] for a, b in pairwise((0, *accumulate(c.state_sizes)))]
        after = passed(x, parts[:4], c)
        known, queues = parts[4 : 4 + c.branches], parts[4 + c.branches :]
        branches: tuple[Tensor, ...] = ()
        if self.between:
            branches = tuple(one.unflatten(1, (c.short, c.width)) for one in known)
        else:
            branches, queues = self._read(after, queues)
        said = self._newest(torch.relu(head.short(after.features)), after.short_full, branches)
        places = [after.features.flatten(1), after.short_full, after.long_full, after.phase]
        found = [one.flatten(1) for one in branches]
        return said, torch.cat([*places, *found, *queues], 1)

    def _read(
        self, after: Passed, queues: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Return what the branches find, (N, S, D) each, and their queues after the step."""
        enters = torch.relu(self.head.long(after.oldest))
        branches: tuple[Tensor, ...] = ()
        moved: list[Tensor] = []
        for number, asked in enumerate(self.asked):
            assert isinstance(asked, _Asked)
            found, scores, values = asked(
                enters, after.arrives, after.long_full, queues[2 * number], queues[2 * number + 1]
            )
            branches = (*branches, asked.branch.refined(found, branches))
            moved += [scores, values]
        return branches, moved

    def _newest(self, short: Tensor, full: Tensor, branches: tuple[Tensor, ...]) -> Tensor:
        """Return (N, D): the newest step with what each branch found."""
        malt = self.head.malt
        *earlier, last = branches
        x = malt.decoded(short, full > 0.5, tuple(earlier)) if earlier else malt.placed(short)
        decoder = malt.decoders[-1]
        assert isinstance(decoder, Stack)
        unit, own = decoder.unit, decoder.unit.own
        newest = x[:, -1:]
        keys, values = own.split(own.key(x)), own.split(own.value(x))
        weights = kept(
            own.asked(newest) @ keys.transpose(-1, -2), full[:, None, None] > 0.5, own.top
        )
        asks = unit.own_norm(newest + own.found(weights, values))
        every = torch.ones(last.shape[1], dtype=torch.bool, device=x.device)
        said: Tensor = decoder.norm(unit.ended(asks, unit.other(asks, last, every)))
        return said[:, 0]


class _Asked(nn.Module):
    """A branch's reading of the long memory, its queries asked once and for all."""

    scored: Tensor
    asks: Tensor
    place_scores: Tensor
    place_values: Tensor

    def __init__(self, branch: Branch, malt: Malt) -> None:
        super().__init__()
        self.branch, self.config = branch, malt.config
        unit = branch.first.unit
        attention = unit.other
        with torch.no_grad():
            every = torch.ones(len(branch.queries), dtype=torch.bool)
            asks = unit.begun(branch.queries[None], every)  # (1, Q, D)
            queries = attention.asked(asks)  # (1, H, Q, D/H)
            places = malt.places[None, : self.config.long]
            keys = attention.split(attention.key(places))
            self.register_buffer("asks", asks)
            weight = attention.key.weight.unflatten(0, (self.config.heads, -1))  # (H, D/H, D)
            self.register_buffer("scored", (queries[0] @ weight).flatten(0, 1))  # (H Q, D)
            self.register_buffer("place_scores", (queries @ keys.transpose(-1, -2))[0])
            self.register_buffer("place_values", attention.value(places)[0])

    def forward(
        self, enters: Tensor, arrives: Tensor, full: Tensor, scores: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is found (N, Q, D), and both queues after the step, flat."""
        c, unit = self.config, self.branch.first.unit
        attention = unit.other
        count = len(self.branch.queries)
        column = functional.linear(enters, self.scored)  # (N, H Q)
        rows = scores.unflatten(1, (c.heads * count, c.long))
        rows = pushed(rows, enters=arrives[:, None], newest=column[..., None], axis=2)
        value = functional.linear(enters, attention.value.weight)
        kept_values = values.unflatten(1, (c.long, c.width))
        kept_values = pushed(kept_values, enters=arrives[:, None], newest=value[:, None], axis=1)
        known = rows.unflatten(1, (c.heads, count)) + self.place_scores
        weights = kept(known, full[:, None, None] > 0.5, attention.top)
        found = attention.found(weights, attention.split(kept_values + self.place_values))
        said: Tensor = self.branch.first.norm(unit.ended(self.asks, found))
        return said, rows.flatten(1), kept_values.flatten(1)


def pushed(queue: Tensor, enters: Tensor, newest: Tensor, axis: int) -> Tensor:
    """Return a queue whose oldest has gone for the newest where something enters.

    Args:
        queue: (N, …), the oldest first along an axis.
        enters: (N, 1, …) 1 or 0.
        newest: as the queue, 1 along the axis.
        axis: of time.
    """
    moved = torch.cat([queue.narrow(axis, 1, queue.shape[axis] - 1), newest], axis)
    return torch.where(enters > 0.5, moved, queue)


def _branches(malt: Malt) -> Iterator[Branch]:
    for branch in malt.branches:
        assert isinstance(branch, Branch)
        yield branch
