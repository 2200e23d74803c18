"""What inertial units and a camera would measure of a body, with the faults of real ones.

The inertial units feel the second difference of the very paths that the camera projects.
"""

import numpy as np

from sensor_adapters import imu, pose
from sensor_adapters.body import Body
from sensor_adapters.motion import TICK_HZ, Doubles
from sensor_adapters.recording import Device
from sensor_adapters.samples import US_PER_S, Bools, Floats, Int64s, Samples

IMUS = {
    "imu-rw": Device("imu", "right_wrist"),
    "imu-lw": Device("imu", "left_wrist"),
    "imu-ra": Device("imu", "right_upper_arm"),
    "imu-la": Device("imu", "left_upper_arm"),
}
CAMERA = "cam"
IMU_EVERY, CAMERA_EVERY = TICK_HZ // 30, TICK_HZ // 10
FOCAL = 0.55  # image widths; about 85 degrees across
ASPECT = 16 / 9
UP = np.array([0.0, 0.0, 1.0])
RANGE = np.array([8 * imu.STANDARD_GRAVITY] * 3 + [2000 * np.pi / 180] * 3)


def tick_us(start_us: int, ticks: int, every: int) -> Int64s:
    """Return the times of every ``every``-th tick, each rounded down to a microsecond."""
    times: Int64s = start_us + np.arange(0, ticks, every, dtype=np.int64) * US_PER_S // TICK_HZ
    return times


def inertial(device: str, body: Body, start_us: int, rng: np.random.Generator) -> Samples:
    """Return one unit's samples at 30 Hz, with bias, noise, a tilted strap and lost packets."""
    side, limb = IMUS[device].placement.split("_", 1)
    arm = body.arms[side]
    path, frame = (arm.wrist, arm.forearm) if limb == "wrist" else (arm.elbow, arm.upper_arm)
    frame = frame @ _strap(rng)
    acc = np.gradient(np.gradient(path, 1 / TICK_HZ, axis=0), 1 / TICK_HZ, axis=0)
    force = np.einsum("nji,nj->ni", frame, acc + imu.STANDARD_GRAVITY * UP)  # R^T (a - g)
    values = np.column_stack([force, _rates(frame)])[::IMU_EVERY]
    values += rng.normal(0, [0.08] * 3 + [0.015] * 3) + rng.normal(
        0, [0.15] * 3 + [0.02] * 3, values.shape
    )
    values = np.clip(values, -RANGE, RANGE)
    time_us = tick_us(start_us, len(path), IMU_EVERY)
    kept = ~_lost(len(values), 30, rng)
    rounded = np.round(values, 3).astype(np.float32)
    return Samples(device, imu.stream, time_us[kept], rounded[kept], boot="virtual")


def _strap(rng: np.random.Generator) -> Doubles:
    """Return (3, 3) how the unit sits on the limb this session: twisted, slightly tilted."""
    twist, tilt_y, tilt_z = rng.normal(0, [0.25, 0.1, 0.1])
    return _rotation(0, twist) @ _rotation(1, tilt_y) @ _rotation(2, tilt_z)


def _rotation(axis: int, angle: float) -> Doubles:
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def _rates(frame: Doubles) -> Doubles:
    """Return (N, 3) rad/s in the sensor's frame, from one tick's orientation to the next."""
    step = np.einsum("nji,njk->nik", frame[:-1], frame[1:])
    skew = np.stack(
        [
            step[:, 2, 1] - step[:, 1, 2],
            step[:, 0, 2] - step[:, 2, 0],
            step[:, 1, 0] - step[:, 0, 1],
        ],
        axis=1,
    )
    rates = skew * (TICK_HZ / 2)
    return np.concatenate([rates, rates[-1:]])


def _lost(count: int, rate_hz: int, rng: np.random.Generator) -> Bools:
    """Return (count,) True where a burst of 0.5 to 3 s was lost; one in two minutes or so."""
    lost = np.zeros(count, np.bool_)
    for first in rng.integers(0, count, rng.poisson(count / rate_hz / 110)):
        lost[first : first + int(rng.uniform(0.5, 3.0) * rate_hz)] = True
    return lost


def camera(body: Body, start_us: int, rng: np.random.Generator) -> Samples:
    """Return the key points at 10 Hz in shares of the image, seen from beyond the bench."""
    joints, cover = _joints(body)
    joints, cover = joints[::CAMERA_EVERY], cover[::CAMERA_EVERY]
    count = len(joints)
    score = np.clip(1 - cover, 0.03, 1) * rng.normal(0.93, 0.04, cover.shape)
    blur = 0.004 + 0.03 * (1 - np.clip(score, 0, 1)) ** 1.5
    share = _project(joints, rng)
    shift = np.repeat(rng.normal(0, 1, (count // 4 + 1, *share.shape[1:])), 4, axis=0)[:count]
    share = share + (0.7 * shift + 0.7 * rng.normal(0, 1, share.shape)) * blur[:, :, None]
    inside = ((share > 0) & (share < 1)).all(axis=2)
    score = np.clip(np.where(inside, score, 0.05 * score), 0, 1)
    low, high = share.min(axis=1), share.max(axis=1)
    low, high = np.clip(low - 0.015, 0, 1), np.clip(high + np.array([0.015, 0.02]), 0, 1)
    points = np.concatenate([share, score[:, :, None]], axis=2).reshape(count, -1)
    values = np.full((count, len(pose.stream.channels)), np.nan)
    values[:, 0] = (inside.sum(axis=1) >= 6) & (rng.random(count) > 0.01)
    values[:, 1:56] = np.column_stack([(low + high) / 2, high - low, points])
    values[values[:, 0] == 0, 1:] = np.nan
    rounded: Floats = np.round(values, 4).astype(np.float32)
    time_us = tick_us(start_us, len(body.hip), CAMERA_EVERY)
    kept = ~_lost(count, 10, rng)
    return Samples(CAMERA, pose.stream, time_us[kept], rounded[kept], boot="virtual")


def _joints(body: Body) -> tuple[Doubles, Doubles]:
    """Return (N, 17, 3) COCO joints, m, and (N, 17) how far each is hidden, 0 to 1."""
    right, ahead = body.axes[:, :, 0], body.axes[:, :, 1]
    sink = np.sin(body.paths.lean)[:, None]
    head = body.chest + 0.22 * UP + (0.06 + 0.15 * sink) * ahead - 0.1 * sink * UP
    gait = (body.paths.walking * np.sin(body.paths.gait))[:, None]
    spots = {"nose": head + 0.1 * ahead}
    for side, sign in (("left", -1.0), ("right", 1.0)):
        arm = body.arms[side]
        spots[f"{side}_eye"] = head + 0.03 * sign * right + 0.08 * ahead + 0.04 * UP
        spots[f"{side}_ear"] = head + 0.08 * sign * right + 0.02 * UP
        spots[f"{side}_shoulder"] = arm.shoulder
        spots[f"{side}_elbow"] = arm.elbow
        spots[f"{side}_wrist"] = arm.wrist
        hip = body.hip + 0.13 * sign * right
        spots[f"{side}_hip"] = hip
        spots[f"{side}_knee"] = hip + 0.15 * sign * gait * ahead - 0.46 * UP
        spots[f"{side}_ankle"] = hip + 0.3 * sign * gait * ahead - 0.87 * UP
    joints = np.stack([spots[name] for name in pose.KEY_POINTS], axis=1)
    return joints, _cover(body, joints)


def _cover(body: Body, joints: Doubles) -> Doubles:
    """Return (N, 17) how far bench, box and the worker's own back hide each joint."""
    cover = np.zeros(joints.shape[:2])
    away = (1 - np.cos(body.paths.facing)) / 2  # 0 towards the camera, 1 back turned
    legs = [i for i, name in enumerate(pose.KEY_POINTS) if name.endswith(("knee", "ankle"))]
    face = range(5)
    at_bench = (np.abs(body.hip[:, :2]) < [1.0, 0.4]).all(axis=1)
    cover[:, legs] = np.where(at_bench, 0.75, 0.1)[:, None]
    cover[:, face] = (0.8 * away**2)[:, None]
    for name in ("left_wrist", "right_wrist", "left_elbow", "right_elbow"):
        index = pose.KEY_POINTS.index(name)
        x, y, z = (joints[:, index, axis] for axis in range(3))
        behind_box = (np.abs(x) < 0.22) & (y < 0.36) & (z < 1.12) & at_bench
        cover[:, index] = np.maximum(0.55 * away**2, 0.5 * behind_box)
    return cover


def _project(joints: Doubles, rng: np.random.Generator) -> Doubles:
    """Return (N, 17, 2) shares of the image, from a camera hung a little differently each time."""
    eye = np.array([0.1, 2.0, 2.1]) + rng.normal(0, 0.06, 3)
    target = np.array([0.0, -0.1, 1.05]) + rng.normal(0, 0.05, 3)
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(ahead, UP) / np.linalg.norm(np.cross(ahead, UP))
    down = np.cross(ahead, right)
    seen = (joints - eye) @ np.column_stack([right, down, ahead])
    depth = np.maximum(seen[..., 2:], 0.1)
    shares: Doubles = 0.5 + seen[..., :2] / depth * [FOCAL, FOCAL * ASPECT]
    return shares
