"""What a network sees of clips: channels made of a sensor's readings, and variations of them.

Legend: B clips, T rows, C channels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sensor_adapters.imu import STANDARD_GRAVITY

RATE = 100 * math.pi / 180
"""Rates are counted in hundreds of degrees a second, so that they range as accelerations in g."""
SKELETON_HIP, SKELETON_SHOULDERS = 3, 1
"""Joints of a Kinect skeleton between which the trunk lies."""


@dataclass(frozen=True)
class ClipAugmentation:
    """How clips are varied in training; all zero, and ``crop`` 1, leaves them as they are."""

    rotate_deg: float = 20.0
    """Standard deviation of a turn of the unit, the same for acceleration and rate."""
    crop: float = 0.85
    """Least share of a clip that is shown."""
    warp: float = 0.0
    """Standard deviation of how far moments move, in clips."""
    gain: float = 0.1
    """Standard deviation of a factor on each channel."""
    noise: float = 0.1
    """Standard deviation of noise, in shares of a usual deviation."""
    hide: float = 0.15
    """Most of a clip that is hidden in one piece."""


PLAIN = ClipAugmentation(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)


def moments(
    count: int, rows: int, how: ClipAugmentation, rng: torch.Generator
) -> Tensor:  # fmt: skip
    """Return (B, rows) moments of clips in [0, 1], in order but for a warp's last wrinkles."""
    share = how.crop + (1 - how.crop) * torch.rand(count, 1, generator=rng)
    start = (1 - share) * torch.rand(count, 1, generator=rng)
    at = torch.linspace(0, 1, rows).repeat(count, 1)
    if how.warp:
        for waves in (1, 2):
            size = how.warp / waves * torch.randn(count, 1, generator=rng)
            at = at + size * torch.sin(math.pi * waves * at)
        at = at.clamp(0, 1)
    return start + share * at


def read_at(clips: Tensor, at: Tensor) -> Tensor:
    """Return (B, R, C): (B, T, C) clips read in a line at (B, R) moments in [0, 1]."""
    place = at * (clips.shape[1] - 1)
    before = place.floor().long().clamp(0, clips.shape[1] - 2)
    share = (place - before)[..., None]
    index = before[..., None].expand(-1, -1, clips.shape[-1])
    return clips.gather(1, index) * (1 - share) + clips.gather(1, index + 1) * share


def turned(clips: Tensor, degrees: float, rng: torch.Generator) -> Tensor:
    """Return (B, T, 6) readings as of units strapped on a little otherwise, a turn a clip."""
    axis = torch.randn(len(clips), 3, generator=rng) * math.radians(degrees)
    zero = torch.zeros(len(clips))
    x, y, z = axis.unbind(1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
    turn = torch.linalg.matrix_exp(skew)
    return torch.cat([torch.einsum("bij,btj->bti", turn, v) for v in clips.split(3, -1)], -1)


def varied_imu(clips: Tensor, how: ClipAugmentation, rng: torch.Generator) -> Tensor:
    """Return (B, T, 6) readings varied: turned, louder, noisier, a piece hidden."""
    batch, rows, _ = clips.shape
    if how.rotate_deg:
        clips = turned(clips, how.rotate_deg, rng)
    clips = clips * (1 + how.gain * torch.randn(batch, 1, 6, generator=rng))
    usual = torch.tensor([0.3 * STANDARD_GRAVITY] * 3 + [0.4 * RATE] * 3)
    clips = clips + how.noise * usual * torch.randn(clips.shape, generator=rng)
    most = int(rows * how.hide)
    if most < 1:
        return clips
    length = torch.randint(1, most + 1, (batch, 1), generator=rng)
    start = (torch.rand(batch, 1, generator=rng) * (rows - length)).long()
    at = torch.arange(rows)[None]
    return clips * ~((at >= start) & (at < start + length))[..., None]


def varied_skeleton(clips: Tensor, how: ClipAugmentation, rng: torch.Generator) -> Tensor:
    """Return (B, T, 60) joints of people who stand a little otherwise and are a little larger."""
    if how == PLAIN:
        return clips
    batch = len(clips)
    joints = clips.unflatten(-1, (-1, 3))
    angle = 0.2 * torch.randn(batch, generator=rng)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros(batch), torch.ones(batch)
    turn = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], 1).view(-1, 3, 3)
    joints = torch.einsum("bij,btkj->btki", turn, joints)
    joints = joints * (1 + how.gain / 2 * torch.randn(batch, 1, 1, 3, generator=rng))
    return (joints + 0.2 * how.noise * torch.randn(joints.shape, generator=rng)).flatten(2)


def readings(clips: Tensor) -> Tensor:
    """Return (B, T, 6) accelerations in g and rates in 100 deg/s."""
    return clips / torch.tensor([STANDARD_GRAVITY] * 3 + [RATE] * 3)


def motion(clips: Tensor) -> Tensor:
    """Return (B, T, 17): readings, their lengths, and what they do over time.

    That is by how much the acceleration changes from row to row, the rate added up (about how far
    the unit has turned) and the acceleration, without its mean, added up (about how fast it moves).
    """
    own = readings(clips)
    acc, rate = own.split(3, -1)
    change = functional.pad(acc[:, 1:] - acc[:, :-1], (0, 0, 1, 0))
    length = torch.cat([acc.norm(dim=-1, keepdim=True) - 1, rate.norm(dim=-1, keepdim=True)], -1)
    moving = (acc - acc.mean(1, keepdim=True)).cumsum(1)
    scale = 128 / clips.shape[1]  # sums and differences as of 128 rows
    turning = rate.cumsum(1) * scale
    return torch.cat([own, length, 5 / scale * change, 0.034 * turning, 0.05 * scale * moving], -1)


def posed(clips: Tensor) -> Tensor:
    """Return (B, T, 60): joints as seen from the hips, in lengths of the trunk."""
    joints = clips.unflatten(-1, (-1, 3))
    hip = joints[:, :, SKELETON_HIP : SKELETON_HIP + 1]
    trunk = (joints[:, :, SKELETON_SHOULDERS] - joints[:, :, SKELETON_HIP]).norm(dim=-1)
    return ((joints - hip) / trunk.mean(1).clamp(min=1e-3)[:, None, None, None]).flatten(2)


def with_velocity(clips: Tensor) -> Tensor:
    """Return (B, T, 120): joints, and how they move from row to row."""
    scale = clips.shape[1] / 64
    moved = functional.pad(clips[:, 1:] - clips[:, :-1], (0, 0, 1, 0))
    return torch.cat([clips, 10 * scale * moved], -1)
