"""From paths to a body: joints and limb orientations in the station's frame, by vectors alone.

Frames are right handed, in metres: x right along the bench, y to the bench, z up. A limb's
frame has x along the limb away from the trunk and z square to the plane of the arm.
"""

from dataclasses import dataclass

import numpy as np

from sensor_adapters.motion import SIDES, Doubles, Paths

UPPER_ARM_M, FOREARM_M = 0.30, 0.27
HIP_M, TRUNK_M, SHOULDER_M = 0.95, 0.48, 0.19


@dataclass(frozen=True)
class Arm:
    """One arm over N ticks."""

    shoulder: Doubles
    """(N, 3) m."""
    elbow: Doubles
    wrist: Doubles
    upper_arm: Doubles
    """(N, 3, 3) limb frame to station frame."""
    forearm: Doubles


@dataclass(frozen=True)
class Body:
    """A worker's joints over N ticks."""

    hip: Doubles
    """(N, 3) m, the point between the hips."""
    axes: Doubles
    """(N, 3, 3): columns are the body's right, ahead and up (0, 0, 1)."""
    chest: Doubles
    """(N, 3) m, the point between the shoulders."""
    arms: dict[str, Arm]
    paths: Paths


def build(paths: Paths, stature: float) -> Body:
    """Return the body that follows ``paths``; ``stature`` 1 is 1.70 m tall."""
    zero, one = np.zeros_like(paths.facing), np.ones_like(paths.facing)
    sin, cos = np.sin(paths.facing), np.cos(paths.facing)
    axes = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1).reshape(-1, 3, 3)
    bob = 0.02 * paths.walking * np.cos(2 * paths.gait)
    hip = np.column_stack([paths.ground, HIP_M * stature + bob])
    trunk = TRUNK_M * stature
    reach = np.column_stack([zero, trunk * np.sin(paths.lean), trunk * np.cos(paths.lean)])
    chest = hip + _turn(axes, reach)
    arms = {side: _arm(paths, side, hip, chest, axes, bob) for side in SIDES}
    return Body(hip, axes, chest, arms, paths)


def _arm(paths: Paths, side: str, hip: Doubles, chest: Doubles, axes: Doubles, bob: Doubles) -> Arm:
    """Return one arm by two-link inverse kinematics, the elbow hanging out and back."""
    sign = 1.0 if side == "right" else -1.0
    shoulder = chest + sign * SHOULDER_M * axes[:, :, 0]
    point = paths.hands[side].point
    floor = np.column_stack([hip[:, :2], bob])
    goal = floor + _turn(axes, point) - shoulder
    away = _unit(goal)
    length = _soft(np.linalg.norm(goal, axis=1), UPPER_ARM_M + FOREARM_M)
    pole = _turn(axes, np.broadcast_to([0.6 * sign, -0.75, -0.3], goal.shape))
    outward = _unit(pole - away * (pole * away).sum(1, keepdims=True))
    cosine = (length**2 + UPPER_ARM_M**2 - FOREARM_M**2) / (2 * length * UPPER_ARM_M)
    along = (UPPER_ARM_M * cosine)[:, None]
    aside = (UPPER_ARM_M * np.sqrt(np.clip(1 - cosine**2, 0.01, None)))[:, None]
    elbow = shoulder + along * away + aside * outward
    wrist = shoulder + length[:, None] * away
    square = np.cross(away, outward)
    upper = _frame(_unit(elbow - shoulder), square)
    fore = _roll(_frame(_unit(wrist - elbow), square), sign * paths.hands[side].roll)
    return Arm(shoulder, elbow, wrist, upper, fore)


def _soft(length: Doubles, longest: float) -> Doubles:
    """Return reaches an arm can do: smooth near full stretch and near the shoulder."""
    knee = 0.8 * longest
    beyond = knee + 0.15 * longest * np.tanh((length - knee) / (0.15 * longest))
    bounded: Doubles = np.sqrt(np.where(length > knee, beyond, length) ** 2 + 0.06**2)
    return bounded


def _turn(axes: Doubles, vector: Doubles) -> Doubles:
    """Return (N, 3) vectors of the body's frame in the station's frame."""
    turned: Doubles = np.einsum("nij,nj->ni", axes, vector)
    return turned


def _unit(vector: Doubles) -> Doubles:
    length: Doubles = np.linalg.norm(vector, axis=-1, keepdims=True)
    return vector / np.maximum(length, 1e-9)


def _frame(along: Doubles, square: Doubles) -> Doubles:
    """Return (N, 3, 3) with columns x along the limb, y square to both, z near ``square``."""
    across = _unit(np.cross(square, along))
    return np.stack([along, across, np.cross(along, across)], axis=2)


def _roll(frame: Doubles, angle: Doubles) -> Doubles:
    """Return the frames turned about their own x."""
    sin, cos = np.sin(angle)[:, None], np.cos(angle)[:, None]
    y, z = frame[:, :, 1], frame[:, :, 2]
    return np.stack([frame[:, :, 0], cos * y + sin * z, cos * z - sin * y], axis=2)
