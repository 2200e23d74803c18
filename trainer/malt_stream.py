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

from trainer.malt import Branch, Malt, Said, SparseAttention, kept, memories
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

    What decoders read of the branches stands in the state as well, and is what it was until
    something enters the long memory, every ``stride``-th step. ``between`` is the same step where
    nothing does, and where it is not the first; it costs a fraction, and leaves the queues where
    they are: of the state it reads and gives ``MaltConfig.moving_size`` floats, the first ones.
    """

    def __init__(self, head: MaltHead, *, between: bool = False) -> None:
        super().__init__()
        self.head, self.config, self.between = head, head.malt.config, between
        self.asked = _Asked(head.malt)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is known at the step, and the state to read on from.

        Args:
            x: (N, D) the step's features.
            state: (N, S), ``MaltConfig.state_size`` floats, between entries the first of them.
        """
        c, head = self.config, self.head
        sizes = c.state_sizes[: 4 + c.branches] if self.between else c.state_sizes
        parts = [state[:, a:b] for a, b in pairwise((0, *accumulate(sizes)))]
        after = passed(x, parts[:4], c)
        known, queues = parts[4 : 4 + c.branches], tuple(parts[4 + c.branches :])
        if not self.between:
            enters = torch.relu(head.long(after.oldest))
            branches, queues = self.asked(enters, after.arrives, after.long_full, *queues)
            known = [
                _offered(head.malt.decoder(number).unit.other, found)
                for number, found in enumerate(branches)
            ]
        said = self._newest(torch.relu(head.short(after.features)), after.short_full, known)
        places = [after.features.flatten(1), after.short_full, after.long_full, after.phase]
        return said, torch.cat([*places, *known, *queues], 1)

    def _newest(self, short: Tensor, full: Tensor, known: Sequence[Tensor]) -> Tensor:
        """Return (N, D): the newest step with what each branch found, coarse first."""
        c, malt = self.config, self.head.malt
        x, seen = malt.placed(short), full[:, None, None] > 0.5
        every = torch.ones(c.short, dtype=torch.bool, device=x.device)
        causal = torch.ones(c.short, c.short, dtype=torch.bool, device=x.device).tril()
        for number, offered in enumerate(known, 1):
            decoder = malt.decoder(number - 1)
            unit, attention = decoder.unit, decoder.unit.other
            # of the last reading only the newest step is wanted
            last = number == c.branches
            asks = unit.newest(x, seen) if last else unit.begun(x, causal & seen)
            keys, values = offered.chunk(2, 1)
            scores = attention.asked(asks) @ keys.unflatten(1, (c.heads, -1, c.short))
            found = attention.found(
                kept(scores, every, attention.top), values.unflatten(1, (c.heads, c.short, -1))
            )
            x = decoder.norm(unit.ended(asks, found))
        return x[:, 0]


def _offered(attention: SparseAttention, found: Tensor) -> Tensor:
    """Return (N, 2 S D): the keys and values that a decoder reads of what a branch found."""
    keys = attention.split(attention.key(found)).transpose(-1, -2)
    values = attention.split(attention.value(found))
    return torch.cat([keys.flatten(1), values.flatten(1)], 1)


class _Asked(nn.Module):
    """The branches' readings of the long memory, their queries asked once and for all.

    All branches side by side: R rows of scores, as many as heads times queries in all.
    """

    scored: Tensor
    valued: Tensor
    place_scores: Tensor
    place_values: Tensor

    def __init__(self, malt: Malt) -> None:
        super().__init__()
        c = self.config = malt.config
        self.branches = malt.branches
        places = malt.places[None, : c.long]
        scored, place_scores, valued, place_values = [], [], [], []
        with torch.no_grad():
            for number, branch in enumerate(_branches(malt)):
                unit, attention = branch.first.unit, branch.first.unit.other
                every = torch.ones(len(branch.queries), dtype=torch.bool)
                asks = unit.begun(branch.queries[None], every)  # (1, Q, D)
                self.register_buffer(f"asks{number}", asks)
                queries = attention.asked(asks)[0]  # (H, Q, D/H)
                weight = attention.key.weight.unflatten(0, (c.heads, -1))  # (H, D/H, D)
                scored.append((queries @ weight).flatten(0, 1))
                keys = attention.split(attention.key(places))[0]
                place_scores.append((queries @ keys.transpose(-1, -2)).flatten(0, 1))
                valued.append(attention.value.weight)
                place_values.append(attention.value(places)[0])
            self.register_buffer("scored", torch.cat(scored))  # (R, D)
            self.register_buffer("place_scores", torch.cat(place_scores))  # (R, L)
            self.register_buffer("valued", torch.cat(valued))  # (branches D, D)
            self.register_buffer("place_values", torch.cat(place_values, 1))  # (L, branches D)

    def forward(
        self, enters: Tensor, arrives: Tensor, full: Tensor, scores: Tensor, values: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
        """Return what the branches find, (N, S, D) each, and the queues after the step, flat.

        Args:
            enters: (N, D) what may enter the long memory.
            arrives: (N, 1) 1 where it does, else 0.
            full: (N, L) which places are full after it.
            scores: (N, R L).
            values: (N, branches L D).
        """
        c = self.config
        column = functional.linear(enters, self.scored)  # (N, R)
        rows = scores.unflatten(1, (-1, c.long))
        rows = pushed(rows, enters=arrives[:, None], newest=column[..., None], axis=2)
        value = functional.linear(enters, self.valued)
        queue = values.unflatten(1, (c.long, -1))
        queue = pushed(queue, enters=arrives[:, None], newest=value[:, None], axis=1)
        weights = kept(rows + self.place_scores, full[:, None] > 0.5, c.top)
        each = weights.split([c.heads * count for count in c.queries], 1)
        seen = (queue + self.place_values).chunk(c.branches, 2)
        branches: tuple[Tensor, ...] = ()
        for number, branch in enumerate(self.branches):
            assert isinstance(branch, Branch)
            unit, attention = branch.first.unit, branch.first.unit.other
            found = attention.found(
                each[number].unflatten(1, (c.heads, -1)), attention.split(seen[number])
            )
            said = branch.first.norm(unit.ended(getattr(self, f"asks{number}"), found))
            branches = (*branches, branch.refined(said, branches))
        return branches, (rows.flatten(1), queue.flatten(1))


def pushed(queue: Tensor, enters: Tensor, newest: Tensor, axis: int) -> Tensor:
    """Return a queue whose oldest has gone for the newest where something enters.

    Args:
        queue: (N, …), the oldest first along an axis.
        enters: (N, 1, …) 1 or 0.
        newest: as the queue, 1 along the axis.
        axis: of time.
    """
    moved = torch.cat([queue.narrow(axis, 1, queue.shape[axis] - 1), newest], axis)
    return enters * moved + (1 - enters) * queue  # exact, and sooner than a choice


def _branches(malt: Malt) -> Iterator[Branch]:
    for branch in malt.branches:
        assert isinstance(branch, Branch)
        yield branch
