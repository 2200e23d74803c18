"""From a script to paths: where trunk and hands are at every tick of the session.

Between two key frames everything follows the minimum-jerk curve of human reaching
(Flash and Hogan 1985), so velocities and accelerations are continuous and human in size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sensor_adapters.gestures import GESTURES, PLACES, Gesture, Point, travel_s
from sensor_adapters.worker import Act, Habits

Doubles = npt.NDArray[np.float64]

TICK_HZ = 60
"""The common rate of all paths: IMUs keep every 2nd tick, cameras every 6th."""
STEP_M = 0.65
QUICKEST_S = 0.25
"""No hand gets from one point to the next in less."""
SIDES = ("right", "left")


@dataclass(frozen=True)
class Hand:
    """Path of one hand in the body's frame."""

    point: Doubles
    """(N, 3) m: x right, y ahead, z up from the floor."""
    roll: Doubles
    """(N,) rad about the forearm's own axis."""


@dataclass(frozen=True)
class Paths:
    """Trunk and hands over N ticks."""

    time_s: Doubles
    """(N,) from the session's start."""
    ground: Doubles
    """(N, 2) m: the mid-hip point on the floor."""
    facing: Doubles
    """(N,) rad, 0 towards the bench, rising to the left, not wrapped."""
    lean: Doubles
    """(N,) rad forward bend of the trunk."""
    gait: Doubles
    """(N,) phase of walking, rad; one step is pi."""
    walking: Doubles
    """(N,) 0 standing to 1 walking."""
    hands: dict[str, Hand]


class Manner:
    """How one worker carries out gestures: own spots, tempo and reach, kept all session."""

    def __init__(self, habits: Habits, rng: np.random.Generator) -> None:
        self.lead, self.help = ("left", "right") if habits.left_handed else ("right", "left")
        self.tempo = float(rng.lognormal(0, 0.15))
        self.vigour = float(rng.lognormal(0, 0.25))
        self.places = {name: rng.normal(0, [0.07, 0.05, 0.12]) for name in PLACES}
        self.spots = {name: rng.normal(0, 0.04, (2, 3)) for name in GESTURES}
        self.rolls = {name: rng.normal(0, 0.27, 2) for name in GESTURES}
        self.beats = {name: float(rng.lognormal(0, 0.2)) for name in GESTURES}
        self.shakes = {name: rng.lognormal(0, [0.3, 0.12]) for name in GESTURES}
        self.lean = float(rng.normal(0.04, 0.06))
        self.other_hand = {name: bool(rng.random() < 0.1) for name in GESTURES}


@dataclass
class _Track:
    """Key frames of one quantity; times must rise."""

    time_s: list[float] = field(default_factory=list)
    value: list[Doubles] = field(default_factory=list)

    def add(self, time_s: float, value: Doubles | Sequence[float]) -> None:
        floor = self.time_s[-1] + 0.02 if self.time_s else time_s
        self.time_s.append(max(time_s, floor))
        self.value.append(np.asarray(value, np.float64))

    def at(self, grid_s: Doubles) -> Doubles:
        """Return (N, D) the minimum-jerk course through the key frames."""
        times, values = np.array(self.time_s), np.stack(self.value)
        i = np.clip(np.searchsorted(times, grid_s, "right") - 1, 0, len(times) - 2)
        u = np.clip((grid_s - times[i]) / (times[i + 1] - times[i]), 0, 1)
        blend = (u**3 * (10 - 15 * u + 6 * u**2))[:, None]
        course: Doubles = values[i] + (values[i + 1] - values[i]) * blend
        return course


def move(acts: Sequence[Act], habits: Habits, manner: Manner, rng: np.random.Generator) -> Paths:
    """Return the paths of a script, from 0 s to its last act's end."""
    ticks = int(acts[-1].end_s * TICK_HZ)
    time_s = np.arange(ticks) / TICK_HZ
    trunk, lean = _Track(), _Track()
    hands = {side: _Track() for side in SIDES}
    shake = {side: np.zeros((ticks, 3)) for side in SIDES}
    free = np.zeros(ticks)
    pose, place = np.array(PLACES["bench"]), "bench"
    trunk.add(-1.0, pose)
    lean.add(-1.0, [0.1])
    for track in hands.values():
        track.add(-1.0, [0.24, 0.06, 0.86, 0.0])
    for act in acts:
        gesture = GESTURES[act.label]
        busy_s = act.start_s
        if gesture.place != place or gesture.place == "door":
            pose, busy_s = _walk(trunk, pose, place, act, manner, rng)
            place = gesture.place
        lean.add(act.start_s, lean.value[-1])
        lean.add(max(busy_s, act.start_s + 0.4), [gesture.lean + manner.lean + rng.normal(0, 0.04)])
        _handle(hands, gesture, act, busy_s, manner, rng)
        _shake(shake, time_s, gesture, act, busy_s, manner, rng)
        if act.label == "Walk About":
            free[int(act.start_s * TICK_HZ) : int(act.end_s * TICK_HZ)] = 1.0
    course = trunk.at(time_s) + _wobble(time_s, 1.3, [0.015, 0.015, 0.05], rng)
    gait, walking = _gait(course[:, :2])
    swing = np.outer(walking * (0.03 + 0.12 * free) * np.sin(gait), [0, 1, 0])
    paths: dict[str, Hand] = {}
    for side, sign in zip(SIDES, (1, -1), strict=True):
        track_at = hands[side].at(time_s)
        noise = _wobble(time_s, 0.35, [0.008, 0.008, 0.008, 0.05], rng)
        point = track_at[:, :3] + noise[:, :3] + shake[side] + sign * swing
        paths[side] = Hand(point, track_at[:, 3] + noise[:, 3])
    bend = lean.at(time_s)[:, 0]
    return Paths(time_s, course[:, :2], course[:, 2], bend, gait, walking, paths)


def _walk(
    trunk: _Track, pose: Doubles, place: str, act: Act, manner: Manner, rng: np.random.Generator
) -> tuple[Doubles, float]:
    """Add the way to an act's place; return the new pose and the arrival time."""
    goal_name = GESTURES[act.label].place
    goal = np.array(PLACES[goal_name]) + manner.places[goal_name]
    goal += rng.normal(0, [0.03, 0.025, 0.06])
    goal[2] = pose[2] + (goal[2] - pose[2] + np.pi) % (2 * np.pi) - np.pi
    length_s = act.end_s - act.start_s
    arrival_s = act.start_s + min(0.9 * travel_s(place, goal_name) + 0.2, 0.7 * length_s)
    trunk.add(act.start_s, pose)
    trunk.add(arrival_s, goal)
    if goal_name == "door":
        while arrival_s < act.end_s - 5:
            arrival_s += float(rng.uniform(2.0, 5.0))
            goal = goal + rng.normal(0, [0.8, 0.5, 0.7])
            goal[0] = max(goal[0], 3.6)
            trunk.add(arrival_s, goal)
    return goal, arrival_s


def _handle(
    hands: dict[str, _Track],
    gesture: Gesture,
    act: Act,
    busy_s: float,
    manner: Manner,
    rng: np.random.Generator,
) -> None:
    """Add the key frames of both hands for one act."""
    lead, other = manner.lead, manner.help
    if manner.other_hand[act.label] or rng.random() < 0.05:
        lead, other = other, lead
    beat_s = gesture.beat_s * manner.beats[act.label] * manner.tempo * (0.6 if act.fumbles else 1)
    busy_end_s = act.end_s - act.pause_s
    spread_m = 0.08 if act.fumbles else 0.025
    courses = ((lead, gesture.lead, gesture.roll), (other, gesture.help or gesture.lead, 0.0))
    for k, (side, points, roll) in enumerate(courses):
        count = max(len(points), round((busy_end_s - busy_s) / beat_s))
        edges = np.sort(np.linspace(busy_s, busy_end_s, count + 1)[1:])
        edges[:-1] += rng.normal(0, 0.08, count - 1) * (busy_end_s - busy_s) / count
        for i, edge_s in enumerate(edges):
            goal = _point(points[i % len(points)], side) + manner.spots[act.label][k]
            goal += rng.normal(0, spread_m, 3)
            turn = roll + manner.rolls[act.label][k] + rng.normal(0, 0.08)
            dwell_s = float(rng.uniform(0.05, 0.35)) * beat_s
            arrival_s = max(float(edge_s) - dwell_s, hands[side].time_s[-1] + QUICKEST_S)
            if arrival_s <= edge_s:
                hands[side].add(arrival_s, [*goal, turn])
                hands[side].add(float(edge_s), [*goal, turn])
        if act.pause_s:
            hands[side].add(act.end_s, hands[side].value[-1])


def _point(point: Point, side: str) -> Doubles:
    """Return a right hand's point as it is for ``side``."""
    x, y, z = point
    return np.array([x if side == "right" else -x, y, z])


def _shake(
    shake: dict[str, Doubles],
    time_s: Doubles,
    gesture: Gesture,
    act: Act,
    busy_s: float,
    manner: Manner,
    rng: np.random.Generator,
) -> None:
    """Lay the gesture's shake over one act, swelling and fading with it."""
    first, last = (int(t * TICK_HZ) for t in (busy_s, act.end_s - act.pause_s))
    if last - first < TICK_HZ // 4:
        return
    now_s = time_s[first:last] - busy_s
    size, rate = manner.shakes[act.label]
    rate_hz = gesture.shake_hz * rate / manner.tempo * rng.lognormal(0, 0.08)
    envelope = np.sin(np.pi * np.linspace(0, 1, last - first)) ** 2
    phase = 2 * np.pi * (rate_hz * now_s[:, None] + rng.random(3))
    wave = envelope[:, None] * np.sin(phase) * gesture.shake * size * manner.vigour
    if act.fumbles:
        wave += (
            envelope[:, None] * 0.012 * np.sin(2 * np.pi * (3.7 * now_s[:, None] + rng.random(3)))
        )
    shake[manner.lead][first:last] += wave
    shake[manner.help][first:last] += 0.35 * wave


def _wobble(
    time_s: Doubles, every_s: float, size: Sequence[float], rng: np.random.Generator
) -> Doubles:
    """Return (N, D) the small aimless movements nobody is free of."""
    count = int(time_s[-1] / every_s) + 3
    track = _Track()
    for k in range(count):
        track.add((k - 1) * every_s, rng.normal(0, size))
    return track.at(time_s)


def _gait(ground: Doubles) -> tuple[Doubles, Doubles]:
    """Return the walking phase and (N,) how much of a walk it is, from the way covered."""
    way_m = np.linalg.norm(np.diff(ground, axis=0, prepend=ground[:1]), axis=1)
    speed = way_m * TICK_HZ
    kernel = np.hanning(31) / np.hanning(31).sum()
    smooth = np.convolve(speed, kernel, "same")
    return np.pi * np.cumsum(way_m) / STEP_M, np.clip(smooth / 0.8 - 0.25, 0, 1)
