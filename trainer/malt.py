"""MALT: what is happening now, by a short memory read in the light of a long one.

After "MALT: Multi-scale Action Learning Transformer for Online Action Detection" (arXiv 2405.20892,
IJCNN 2024), as far as it is public. N branches read the long memory, each by learned queries
and each next one in the light of those before; attention keeps the ``top`` strongest keys of a
query; one decoder, the same for all branches, reads the short memory with what each branch found,
coarse first. What a branch found of the long memory alone names the steps of the short one, too:
a task of anticipation that is learnt beside (``Said.branches``).

One rule of sampling for learning, whole recordings and streams: at step t the short memory is the
newest S steps, t the last of them; the long one is every ``stride``-th step older than those,
counted from the first step, at most L, the newest last. Where there is less, memories are empty in
front, and nothing attends what is empty.

Legend: B sequences, T steps, D width, H heads, L and S places of the long and the short memory,
Q queries, M keys.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainer.malt_config import MaltConfig

BLOCKED = -1e9
"""Score of a key that is not to be looked at: finite, so that a row without any stays a number."""


class Said(NamedTuple):
    """What the network makes of memories."""

    now: Tensor
    """(B, S, D) of the short memory's steps, each knowing those before it."""
    branches: tuple[Tensor, ...]
    """N times (B, S, D): the same steps by the long memory alone."""


def kept(scores: Tensor, allowed: Tensor, top: int) -> Tensor:
    """Return attention weights (…, Q, M): the softmax of each query's ``top`` strongest keys.

    As strong ones as the last of them stay, too. What is dropped has no slope; a query with no key
    has no weights.

    Args:
        scores: (…, Q, M).
        allowed: broadcast to them, false where a key is not to be looked at.
        top: how many.
    """
    scores = scores.masked_fill(~allowed, BLOCKED)
    if top < scores.shape[-1]:
        least = scores.topk(top, -1).values.amin(-1, keepdim=True)
        scores = scores.masked_fill(scores < least, BLOCKED)
    return scores.softmax(-1) * allowed


class SparseAttention(nn.Module):
    """Multi-head attention that keeps the strongest keys: (B, Q, D), (B, M, D) -> (B, Q, D)."""

    def __init__(self, width: int, heads: int, top: int) -> None:
        super().__init__()
        self.heads, self.top = heads, top
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        for one in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(one.weight)
            nn.init.zeros_(one.bias)

    def forward(self, asks: Tensor, memory: Tensor, allowed: Tensor) -> Tensor:
        """Return what each query finds; ``allowed`` is broadcast to (B, H, Q, M)."""
        scores = self.asked(asks) @ self.split(self.key(memory)).transpose(-1, -2)
        return self.found(kept(scores, allowed, self.top), self.split(self.value(memory)))

    def asked(self, asks: Tensor) -> Tensor:
        """Return the queries (B, H, Q, D/H), scaled."""
        return self.split(self.query(asks)) / math.sqrt(asks.shape[-1] // self.heads)

    def split(self, x: Tensor) -> Tensor:
        """Return (B, M, D) as (B, H, M, D/H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def found(self, weights: Tensor, values: Tensor) -> Tensor:
        """Return (B, Q, D) of weights (B, H, Q, M) and values (B, H, M, D/H)."""
        out: Tensor = self.out((weights @ values).transpose(1, 2).flatten(2))
        return out


class Unit(nn.Module):
    """Self-attention, attention to a memory, two layers; a sum and a norm after each."""

    def __init__(self, config: MaltConfig) -> None:
        super().__init__()
        width, inner = config.width, config.feedforward or config.width
        self.own = SparseAttention(width, config.heads, config.top)
        self.other = SparseAttention(width, config.heads, config.top)
        self.wide, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.own_norm, self.other_norm, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, memory: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """Return (B, Q, D); ``own`` and ``other`` say what may be attended."""
        asks = self.begun(x, own)
        return self.ended(asks, self.other(asks, memory, other))

    def begun(self, x: Tensor, own: Tensor) -> Tensor:
        """Return the queries after their self-attention."""
        said: Tensor = self.own_norm(x + self.drop(self.own(x, x, own)))
        return said

    def newest(self, x: Tensor, seen: Tensor) -> Tensor:
        """Return (B, 1, D): the last query after its self-attention, to all that are ``seen``."""
        own, last = self.own, x[:, -1:]
        keys, values = own.split(own.key(x)), own.split(own.value(x))
        weights = kept(own.asked(last) @ keys.transpose(-1, -2), seen, own.top)
        said: Tensor = self.own_norm(last + own.found(weights, values))
        return said

    def ended(self, asks: Tensor, found: Tensor) -> Tensor:
        """Return the unit's word of the queries and what they found in the memory."""
        x = self.other_norm(asks + self.drop(found))
        y = self.narrow(self.drop(torch.relu(self.wide(x))))
        said: Tensor = self.norm(x + self.drop(y))
        return said


class Stack(nn.Module):
    """Units one after the other on one memory, and a norm."""

    def __init__(self, config: MaltConfig, units: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(Unit(config) for _ in range(units))
        self.norm = nn.LayerNorm(config.width)

    @property
    def unit(self) -> Unit:
        """The only unit of a stack of one."""
        (one,) = self.units
        assert isinstance(one, Unit)
        return one

    def forward(self, x: Tensor, memory: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """Return (B, Q, D)."""
        for unit in self.units:
            x = unit(x, memory, own, other)
        said: Tensor = self.norm(x)
        return said


class Branch(nn.Module):
    """The n-th way of reading the long memory, in the light of the n - 1 before it."""

    def __init__(self, config: MaltConfig, number: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.queries[number], config.width) * 0.02)
        self.first = Stack(config, 1)
        self.later = nn.ModuleList(Stack(config, 2) for _ in range(number))

    def forward(self, memory: Tensor, seen: Tensor, before: tuple[Tensor, ...]) -> Tensor:
        """Return (B, S, D) of (B, L, D), ``seen`` (B, L), and what earlier branches found."""
        asks = self.asked(memory)
        return self.refined(self.first(asks, memory, _all(asks), seen[:, None, None]), before)

    def asked(self, memory: Tensor) -> Tensor:
        """Return the queries, the same ones for each of B memories."""
        if torch.compiler.is_exporting():  # to expand would fix how many there are
            return self.queries + (memory[:, :1] < -torch.inf).float()
        return self.queries.expand(len(memory), -1, -1)

    def refined(self, found: Tensor, before: tuple[Tensor, ...]) -> Tensor:
        """Return what was found, asked for by each of the earlier branches in turn."""
        for stack, asks in zip(self.later, before, strict=True):
            found = stack(asks, found, _all(asks), _all(found))
        return found


class Malt(nn.Module):
    """Memories in, what is known of the short one's steps out."""

    places: Tensor

    def __init__(self, config: MaltConfig) -> None:
        super().__init__()
        self.config = config
        self.branches = nn.ModuleList(Branch(config, n) for n in range(config.branches))
        count = 1 if config.one_decoder else config.branches
        self.decoders = nn.ModuleList(Stack(config, 1) for _ in range(count))
        self.drop = nn.Dropout(config.dropout)
        self.register_buffer(
            "places", sinusoids(config.long + config.short, config.width), persistent=False
        )

    def forward(self, long: Tensor, long_seen: Tensor, short: Tensor, short_seen: Tensor) -> Said:
        """Return what is made of memories (B, L, D) and (B, S, D).

        Args:
            long: the older, oldest first.
            long_seen: (B, L) which of its places are full.
            short: the newest, the newest last.
            short_seen: (B, S).
        """
        memory = self.drop(long + self.places[: self.config.long])
        branches: tuple[Tensor, ...] = ()
        for branch in self.branches:
            branches = (*branches, branch(memory, long_seen, branches))
        return Said(self.decoded(short, short_seen, branches), branches)

    def placed(self, short: Tensor) -> Tensor:
        """Return the short memory, each place known as such."""
        said: Tensor = self.drop(short + self.places[self.config.long :])
        return said

    def decoded(self, short: Tensor, seen: Tensor, branches: tuple[Tensor, ...]) -> Tensor:
        """Return (B, S, D): the short memory with what each branch found, coarse first."""
        x = self.placed(short)
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        own = causal & seen[:, None, None]  # (B, 1, S, S)
        for number, found in enumerate(branches):
            x = self.decoder(number)(x, found, own, _all(found))
        return x

    def decoder(self, number: int) -> Stack:
        """Return what reads the short memory with what a branch found."""
        one = self.decoders[min(number, len(self.decoders) - 1)]
        assert isinstance(one, Stack)
        return one


def _all(memory: Tensor) -> Tensor:
    """Return that every place of a memory may be attended."""
    return torch.ones(memory.shape[1], dtype=torch.bool, device=memory.device)


def sinusoids(places: int, width: int) -> Tensor:
    """Return (places, width): sines and cosines of each place (Vaswani et al. 2017, 3.5)."""
    place = torch.arange(places, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    said = torch.zeros(places, width)
    said[:, 0::2] = torch.sin(place * rate)
    said[:, 1::2] = torch.cos(place * rate[: width // 2])
    return said


def memories(x: Tensor, ends: Tensor, config: MaltConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return both memories at some steps of sequences, and which of their places are full.

    Args:
        x: (B, T, D) from the first step on.
        ends: (W,) steps.
        config: whose long, stride and short count.

    Returns:
        (B W, L, D), (B W, L), (B W, S, D), (B W, S).
    """
    short = ends[:, None] - torch.arange(config.short - 1, -1, -1, device=x.device)
    newest = torch.div(ends - config.short, config.stride, rounding_mode="floor") * config.stride
    back = torch.arange(config.long - 1, -1, -1, device=x.device) * config.stride
    long = newest[:, None] - back
    found = []
    for places in (long, short):
        full = places >= 0  # (W, places)
        seen = x[:, places.clamp(min=0)] * full[..., None]
        found += [seen.flatten(0, 1), full.repeat(len(x), 1)]
    return found[0], found[1], found[2], found[3]
