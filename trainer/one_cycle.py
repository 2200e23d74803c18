"""The learning rate of a student: up for a tenth of the updates, then down to nothing."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

SHORT = 20
"""Updates below which the way up is longer: a tenth of ten would have no length at all."""


def one_cycle(optimizer: Optimizer, rate: float, updates: int) -> OneCycleLR:
    """Return the schedule (Smith and Topin, arXiv 1708.07120) with its peak at ``rate``."""
    rise = 0.1 if updates >= SHORT else 0.3
    return OneCycleLR(optimizer, rate, total_steps=updates, pct_start=rise)
