"""How MALT is made: what it remembers, and by how many ways it reads its long memory.

Legend: L and S places of the long and the short memory, N branches.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class MaltConfig:
    """How far back it looks, and how."""

    width: int = 64
    heads: int = 4
    feedforward: int = 0
    """Units between a unit's last two layers; 0 is as wide as the network."""
    long: int = 64
    """L."""
    stride: int = 4
    """Steps from one place of the long memory to the next."""
    short: int = 16
    """S."""
    branches: int = 2
    """N."""
    top: int = 48
    """Keys that a query may keep; the paper's 370 of 512 are about as many of 64."""
    one_decoder: bool = True
    """One for all branches, or one for each."""
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"malt: found width {self.width}, expected a multiple of {self.heads}")
        for name in ("long", "stride", "short", "branches", "top"):
            if getattr(self, name) < 1:
                raise ValueError(f"malt: {name} is {getattr(self, name)}, expected 1 or more")

    @property
    def queries(self) -> tuple[int, ...]:
        """How many each branch has of the long memory: the first as many as short places."""
        return (self.short, *[max(self.short // 2, 1)] * (self.branches - 1))

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Floats that a station carries from step to step.

        The short memory's features, which of its places and of the long one's are full, where in
        its stride the step is; keys and values of what each branch found; scores and values of all.
        """
        found = [2 * self.short * self.width] * self.branches
        rows = self.heads * sum(self.queries)
        queues = (rows * self.long, self.branches * self.long * self.width)
        return (self.short * self.width, self.short, self.long, 1, *found, *queues)

    @property
    def moving_size(self) -> int:
        """Floats that are other ones after a step at which nothing enters the long memory."""
        return sum(self.state_sizes[: 4 + self.branches])

    @property
    def state_size(self) -> int:
        """Floats that a station carries, in all."""
        return sum(self.state_sizes)
