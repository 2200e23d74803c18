"""MALT one step at a time, exactly: what of the long memory does not change is kept.

The queries of a branch do not depend on what is seen, so a step that enters the long memory is
asked by them once: its scores and values stand in a queue until it is forgotten. Places are counted
from the newest, so what a place adds to scores and values is constant. The short memory is read
anew at every step, since its places move with it; of the last branch's reading only the newest step
is wanted.

The state is one row of floats a station, zeros before its first step, so that a board can carry it.

Legend: N stations, D width, H heads, L and S places, Q queries of a branch.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.malt import Branch, Malt, Said, Stack, kept, memories

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


class MaltStep(nn.Module):
    """One step of N stations: features (N, D) and state in, (N, D) and state out."""

    def __init__(self, head: MaltHead) -> None:
        super().__init__()
        self.head, self.config = head, head.malt.config
        self.asked = nn.ModuleList(_Asked(branch, head.malt) for branch in _branches(head.malt))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is known at the step, and the state to read on from.

        Args:
            x: (N, D) the step's features.
            state: (N, S), ``MaltConfig.state_size`` floats.
        """
        c, head = self.config, self.head
        parts = [state[:, a:b] for a, b in pairwise((0, *accumulate(c.state_sizes)))]
        features, short_full, long_full, phase, *queues = parts
        features = features.unflatten(1, (c.short, c.width))
        # the oldest of the short memory leaves it; every stride-th goes on to the long one
        due = (phase - c.short % c.stride).abs() < 0.5
        arrives = due.float() * short_full[:, :1]  # (N, 1)
        enters = torch.relu(head.long(features[:, 0]))
        features = torch.cat([features[:, 1:].flatten(1), x], 1).unflatten(1, (c.short, c.width))
        here = (phase > -1).float()  # always; a constant would fix how many stations there are
        short_full = torch.cat([short_full[:, 1:], here], 1)
        long_full = _pushed(long_full, arrives, arrives)
        following = phase + 1
        following = following * (following < c.stride - 0.5).float()
        branches: tuple[Tensor, ...] = ()
        after: list[Tensor] = []
        for number, asked in enumerate(self.asked):
            assert isinstance(asked, _Asked)
            found, scores, values = asked(
                enters, arrives, long_full, queues[2 * number], queues[2 * number + 1]
            )
            branches = (*branches, asked.branch.refined(found, branches))
            after += [scores, values]
        short = torch.relu(head.short(features))
        said = self._newest(short, short_full, branches)
        state = torch.cat([features.flatten(1), short_full, long_full, following, *after], 1)
        return said, state

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
        rows = _pushed(rows, arrives[:, None], column[..., None])
        kept_values = values.unflatten(1, (c.long, c.width)).transpose(1, 2)
        value = functional.linear(enters, attention.value.weight)
        kept_values = _pushed(kept_values, arrives[:, None], value[..., None]).transpose(1, 2)
        known = rows.unflatten(1, (c.heads, count)) + self.place_scores
        weights = kept(known, full[:, None, None] > 0.5, attention.top)
        found = attention.found(weights, attention.split(kept_values + self.place_values))
        said: Tensor = self.branch.first.norm(unit.ended(self.asks, found))
        return said, rows.flatten(1), kept_values.flatten(1)


def _pushed(queue: Tensor, arrives: Tensor, newest: Tensor) -> Tensor:
    """Return a queue (…, L) whose oldest has gone for the newest where something arrives."""
    moved = torch.cat([queue[..., 1:], newest.expand(*queue.shape[:-1], 1)], -1)
    return arrives * moved + (1 - arrives) * queue


def _branches(malt: Malt) -> Iterator[Branch]:
    for branch in malt.branches:
        assert isinstance(branch, Branch)
        yield branch
