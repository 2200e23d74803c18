"""Sparse guided fusion for a student: what was seen while each device was in use, remembered.

A causal form of SigFormer's masked cross-attention (``guided_fusion.py``) that costs the same at
every step. Attending to all past steps at which device e was in use would need all of them; here
each device keeps one decayed running sum of their values and of their weights: linear attention
whose feature map is the mask. At a step, the fused features ask which of these memories matter::

    m_e <- m_e + g_e (W_v x - m_e)      g_e = r_e in_use_e observed_e, r_e the device's own rate
    w_e <- w_e + g_e (1 - w_e)          how much of m_e there is: 0 where e was never in use
    s_e  = (W_q x) · (m_e + k_e) / sqrt(D)
    x   <- x + W_o  sum_e observed_e exp(s_e) m_e  /  (1 + sum_e observed_e exp(s_e) w_e)

The 1 is a place to look at that holds nothing, so the quotient is finite and exactly 0 where no
device is observed or none was ever in use; the features then pass as they are. The m_e in the sum
carry their weight w_e already, so a device never in use has no influence. A step at which a device
is not in use leaves its memory alone.

Liu et al., arXiv 2311.17428. What differs: the mask chooses what is remembered, not who asks, since
a board can not look back; ``guided_fusion`` is the form that can.

Legend: N stations, T steps, H features of a step, E devices, D width of a memory.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 16
"""D: floats that a device's memory holds, its weight aside."""
STEEPEST = 5.0
"""Scores beyond it count no more: exp must stay finite in whatever a board computes with."""
FIRST_RATE = 0.2
"""r_e before training: a memory of about five steps in use."""


def state_size(devices: int) -> int:
    """Return how many floats the memories of E devices are."""
    return _slots(devices) * (WIDTH + 1)


def _slots(devices: int) -> int:
    """Return the number of memories: one device has a second that is never used."""
    return max(devices, 2)


class GuidedMemory(nn.Module):
    """One step's features in the light of what devices were used for: (N, H) -> (N, H).

    No axis of size 1 is kept in front of another, since LiteRT's converter takes it for the batch:
    a value goes to every device by being put beside itself E times, and one device counts as two.
    """

    def __init__(self, features: int, devices: int) -> None:
        super().__init__()
        self.devices = _slots(devices)
        self.alone = devices == 1
        self.value = nn.Linear(features, WIDTH)
        self.query = nn.Linear(features, WIDTH)
        self.key = nn.Parameter(torch.randn(self.devices, WIDTH) / math.sqrt(WIDTH))
        self.out = nn.Linear(WIDTH, features, bias=False)
        self.rate = nn.Parameter(
            torch.full((self.devices,), math.log(FIRST_RATE / (1 - FIRST_RATE)))
        )

    def remember(self, x: Tensor, used: Tensor, state: Tensor) -> Tensor:
        """Return the memories (N, S) after a step.

        Args:
            x: (N, H) the step's features.
            used: (N, E) 1 where a device is observed and in use.
            state: (N, S) the memories before, ``state_size`` floats.
        """
        memory, weight = self._parts(state)
        gain = torch.sigmoid(self.rate) * self._padded(used)  # (N, E)
        memory = memory + gain.unsqueeze(-1) * (self._each(self.value(x)) - memory)
        weight = weight + gain * (1 - weight)
        return torch.cat([memory.flatten(1), weight], -1)

    def recall(self, x: Tensor, seen: Tensor, state: Tensor) -> Tensor:
        """Return the features and what the memories add to them, (N, H).

        Args:
            x: (N, H) the step's features.
            seen: (N, E) 1 where a device is observed.
            state: (N, S) the memories as ``remember`` returns them.
        """
        memory, weight = self._parts(state)
        scores = (self._each(self.query(x)) * (memory + self.key)).sum(-1) / math.sqrt(WIDTH)
        attention = scores.clamp(-STEEPEST, STEEPEST).exp() * self._padded(seen)  # (N, E)
        found = (attention.unsqueeze(-1) * memory).sum(1)  # (N, D)
        return x + self.out(found / (1 + (attention * weight).sum(1, keepdim=True)))

    def forward(
        self, x: Tensor, used: Tensor, seen: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return whole sequences' features and the memories after them.

        Args:
            x: (N, T, H) features.
            used: (N, T, E) 1 where a device is observed and in use.
            seen: (N, T, E) 1 where a device is observed.
            state: (N, S) the memories before the first step.

        Returns:
            (N, T, H) and (N, S).
        """
        after = []
        for step, use in zip(x.unbind(1), used.unbind(1), strict=True):
            state = self.remember(step, use, state)
            after.append(state)
        flat = (y.flatten(0, 1) for y in (x, seen, torch.stack(after, 1)))
        return self.recall(*flat).unflatten(0, x.shape[:2]), state

    def _parts(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return memories (N, E, D) and their weights (N, E)."""
        end = self.devices * WIDTH
        return state[:, :end].unflatten(1, (self.devices, WIDTH)), state[:, end:]

    def _padded(self, mask: Tensor) -> Tensor:
        """Return the devices' mask, nothing of the second where there is only one."""
        return functional.pad(mask, (0, 1)) if self.alone else mask

    def _each(self, x: Tensor) -> Tensor:
        """Return (N, D) once a device, (N, E, D)."""
        return torch.cat([x] * self.devices, 1).unflatten(1, (self.devices, WIDTH))
