"""MALT one step at a time, all of it anew: what the cached form is measured against.

Only features are kept, those of the short memory's steps and of the long one's; everything else is
computed again at each step, as the published code would have to.

Legend: N stations, D width, L places of the long memory.
"""

from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from trainer.malt_config import MaltConfig
from trainer.malt_stream import MaltHead, passed, pushed


def state_size(config: MaltConfig) -> int:
    """Return how many floats a station carries."""
    return sum(_sizes(config))


def _sizes(config: MaltConfig) -> tuple[int, ...]:
    return (*config.state_sizes[:4], config.long * config.width)


class MaltRecomputed(nn.Module):
    """One step of N stations: features (N, D) and state in, (N, D) and state out."""

    def __init__(self, head: MaltHead) -> None:
        super().__init__()
        self.head, self.config = head, head.malt.config

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is known at the step, and the state to read on from."""
        c, head = self.config, self.head
        parts = [state[:, a:b] for a, b in pairwise((0, *accumulate(_sizes(c))))]
        after = passed(x, parts[:4], c)
        older = parts[4].unflatten(1, (c.long, c.width))
        older = pushed(older, after.arrives[:, None], after.oldest[:, None], axis=1)
        said = head.malt(
            torch.relu(head.long(older)), after.long_full > 0.5,
            torch.relu(head.short(after.features)), after.short_full > 0.5,
        )  # fmt: skip
        places = [after.features.flatten(1), after.short_full, after.long_full, after.phase]
        return said.now[:, -1], torch.cat([*places, older.flatten(1)], 1)
