"""A packing worker's day as a script: operations, their actions, and what goes wrong.

Operation and action names are OpenPack's; operation lengths spread around the medians of one
of its untrained workers. Habits belong to the worker, accidents to the moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sensor_adapters.gestures import GESTURES, travel_s

OPERATION_S: dict[str, float] = {
    "Picking": 7.0,
    "Relocate Item Label": 5.7,
    "Assemble Box": 11.8,
    "Insert Items": 5.2,
    "Close Box": 8.7,
    "Attach Box Label": 3.1,
    "Scan Label": 9.4,
    "Attach Shipping Label": 6.1,
    "Put on Back Table": 3.2,
    "Fill out Order": 4.8,
}
"""Median duration in seconds at three items; the order is the usual order of work."""
OPERATIONS = tuple(OPERATION_S)
PER_ITEM = ("Picking", "Relocate Item Label", "Insert Items", "Scan Label")
SWAPS = ((1, 2), (5, 6), (8, 9), (7, 9))
SKIPPED = ("Relocate Item Label", "Attach Box Label", "Fill out Order")
REPEATED = ("Close Box", "Scan Label", "Relocate Item Label", "Fill out Order")


@dataclass(frozen=True)
class Habits:
    """What stays with a worker from box to box; probabilities unless a unit is named."""

    pace: float
    """Factor on every duration."""
    operation_pace: dict[str, float]
    left_handed: bool
    usual_swap: tuple[int, int] | None
    """Two operations this worker always does the other way round."""
    slips: float
    """Factor on the probability of mistakes."""
    uses_small_bags: float
    uses_cushions: float
    ticks_items: float
    turns_box: float


@dataclass(frozen=True)
class Act:
    """One action from ``start_s`` to ``end_s``, seconds from the session's start."""

    label: str
    operation: str | None
    """``None``: not part of the work; such stretches carry no truth."""
    box: int | None
    turn: int
    """Counts the operations done; all acts of one operation share it."""
    start_s: float
    end_s: float
    fumbles: bool = False
    pause_s: float = 0.0
    """The hands rest for this long at the end."""


def draw_habits(rng: np.random.Generator) -> Habits:
    """Return one worker's habits."""
    usual = SWAPS[int(rng.integers(len(SWAPS)))]
    return Habits(
        pace=float(rng.lognormal(0.1, 0.16)),
        operation_pace={name: float(rng.lognormal(0, 0.15)) for name in OPERATIONS},
        left_handed=bool(rng.random() < 0.12),
        usual_swap=usual if rng.random() < 0.25 else None,
        slips=float(rng.lognormal(0, 0.5)),
        uses_small_bags=float(rng.beta(0.6, 1.2)),
        uses_cushions=float(rng.beta(0.8, 0.8)),
        ticks_items=float(rng.beta(1.5, 0.8)),
        turns_box=float(rng.beta(1.2, 0.8)),
    )


def script(habits: Habits, boxes: int, rng: np.random.Generator) -> list[Act]:
    """Return the session's actions, end to end without gaps, idle at both ends."""
    acts = [Act("Stand Idle", None, None, 0, 0.0, float(rng.uniform(2, 5)))]
    turn = 0
    for box in range(1, boxes + 1):
        items = int(rng.integers(1, 6))
        for operation in _order(habits, rng):
            turn += 1
            acts += _operation(operation, box, turn, items, habits, acts[-1], rng)
            if rng.random() < 0.012 * habits.slips:
                acts += _away(turn, acts[-1].end_s, rng)
    end_s = acts[-1].end_s
    return [*acts, Act("Stand Idle", None, None, turn + 1, end_s, end_s + float(rng.uniform(3, 6)))]


def _order(habits: Habits, rng: np.random.Generator) -> list[str]:
    """Return the operations of one box as this worker does them this time."""
    order = list(OPERATIONS)
    swap = habits.usual_swap
    if rng.random() < 0.08 * habits.slips:
        swap = SWAPS[int(rng.integers(len(SWAPS)))]
    if swap is not None:
        order[swap[0]], order[swap[1]] = order[swap[1]], order[swap[0]]
    if rng.random() < 0.06 * habits.slips:
        order.remove(SKIPPED[int(rng.integers(len(SKIPPED)))])
    if rng.random() < 0.06 * habits.slips:
        again = REPEATED[int(rng.integers(len(REPEATED)))]
        if again in order:
            order.insert(min(len(order), order.index(again) + int(rng.integers(1, 3))), again)
    return order


def _operation(
    operation: str,
    box: int,
    turn: int,
    items: int,
    habits: Habits,
    before: Act,
    rng: np.random.Generator,
) -> list[Act]:
    """Return one operation's acts, starting where ``before`` ends."""
    steps = list(_steps(operation, items, habits, rng))
    total_s = OPERATION_S[operation] * habits.pace * habits.operation_pace[operation]
    total_s *= rng.lognormal(0, 0.2) * (0.55 + 0.15 * items if operation in PER_ITEM else 1.0)
    weights = np.array([weight for _, weight in steps]) * rng.lognormal(0, 0.2, len(steps))
    shares_s = total_s * weights / weights.sum()
    acts: list[Act] = []
    place, start_s = GESTURES[before.label].place, before.end_s
    for (label, _), share_s in zip(steps, shares_s, strict=True):
        fumbles = bool(rng.random() < 0.04 * habits.slips)
        pause_s = float(rng.uniform(0.8, 4.0)) if rng.random() < 0.025 * habits.slips else 0.0
        goal = GESTURES[label].place
        length_s = max(float(share_s) * (1.6 if fumbles else 1.0), 0.45 + travel_s(place, goal))
        end_s = start_s + length_s + pause_s
        acts.append(Act(label, operation, box, turn, start_s, end_s, fumbles, pause_s))
        place, start_s = goal, end_s
    return acts


def _away(turn: int, start_s: float, rng: np.random.Generator) -> list[Act]:
    """Return a stretch in which the worker leaves, or stands about, and does no work."""
    end_s = start_s + float(rng.uniform(5, 40))
    label = "Walk About" if end_s - start_s > 9 and rng.random() < 0.8 else "Stand Idle"
    return [Act(label, None, None, turn, start_s, end_s)]


def _steps(
    operation: str, items: int, habits: Habits, rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """Yield the actions of one operation with their share of its time."""
    if operation == "Picking":
        yield "Pick Up Sheet", 1.2
        yield from [("Pick Up Item from Box", 1.2)] * items
        yield "Walk to Work Bench", 1.5
    elif operation == "Relocate Item Label":
        for _ in range(1 + items // 2):
            yield "Remove Item Label", 1.0
            yield "Attach to Order Sheet", 1.0
        if rng.random() < habits.ticks_items:
            yield "Hold Pen", 0.6
            yield "Write Check Mark", 1.0
        if rng.random() < habits.uses_small_bags:
            yield "Put Item Small Bag (Relocate Item Label)", 1.0
    elif operation == "Assemble Box":
        yield "Pick Cardboard", 2.5
        yield "Bend Flap (Assemble Box)", 3.0
        yield "Attach Tape (Assemble Box)", 3.0
        if rng.random() < habits.turns_box:
            yield "Turn Over Box", 1.0
        yield "Pick Up Assembled Box", 1.0
    elif operation == "Insert Items":
        yield from [("Insert Item into Box", 1.0)] * items
        if rng.random() < habits.uses_cushions:
            if rng.random() < 0.5:
                yield "Separate Air Cushion", 1.0
            yield "Air Cushion", 1.0
    elif operation == "Close Box":
        yield "Bend Flap (Close Box)", 3.5
        yield "Attach Tape (Close Box)", 4.5
    elif operation == "Scan Label":
        yield "Pick Up HT", 1.0
        yield "Scan Order Sheet (handheld terminal)", 1.2
        yield "Scan Box", 1.2
        yield from [("Scan Item", 1.0)] * items
        yield "Hold Scanner", 0.9
        yield "Scan Order Sheet (white scanner)", 1.0
        yield "Scan Printer", 1.3
    else:
        yield from _FIXED[operation]


_FIXED: dict[str, tuple[tuple[str, float], ...]] = {
    "Attach Box Label": (("Attach Box Label", 1.0),),
    "Attach Shipping Label": (("Pick Up Shipping Label", 1.0), ("Attach Shipping Label", 1.8)),
    "Put on Back Table": (
        ("Pick Up Packed Box", 1.0), ("Put Packed Box (Put on Back Table)", 1.6),
    ),
    "Fill out Order": (
        ("Pick Up Pen", 1.0), ("Write Sign", 1.4), ("Push Order Sheet into Tray", 1.2),
    ),
}  # fmt: skip
