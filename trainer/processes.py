"""One process or several that share a batch (torchrun): who this one is, and sums over all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Processes:
    """This process among those that train one model."""

    rank: int
    world: int
    device: torch.device

    def total(self, count: Tensor) -> Tensor:
        """Return a count summed over all processes, without gradient."""
        count = count.detach().clone()
        if self.world > 1:
            distributed.all_reduce(count)
        return count

    def wrapped(self, model: nn.Module) -> nn.Module:
        """Return the model whose gradients are averaged over all processes."""
        if self.world == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)


@contextmanager
def joined(kind: str = "") -> Iterator[Processes]:
    """Give this process's place: as torchrun says, alone without it.

    A GPU each where there are some and ``kind`` is not ``cpu``: number ``LOCAL_RANK``.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = torch.device("cpu")
    if kind != "cpu" and torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if world > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, device)
    finally:
        if world > 1:
            distributed.destroy_process_group()
