"""What packing actions look like: where the worker stands and what the hands do.

Metres and radians. Places are in the station's frame: x to the right along the bench, y from
the worker to the bench, z up from the floor. Hand points are in the body's frame: x right,
y ahead, z up from the floor, written for a right-handed worker. Made up by the project after
the action list of OpenPack (Yoshimura et al., PerCom 2024); nothing here was measured.
"""

from dataclasses import dataclass

import numpy as np

Point = tuple[float, float, float]

PLACES: dict[str, tuple[float, float, float]] = {
    "bench": (0.0, 0.0, 0.0),
    "tray": (-0.35, 0.0, 0.25),
    "printer": (0.38, 0.0, -0.25),
    "shelf": (1.3, -0.3, -np.pi / 2),
    "cardboard": (-1.2, -0.3, np.pi / 2),
    "back_table": (0.2, -1.2, np.pi),
    "door": (4.4, -1.6, -2.0),
}
"""Name to x, y and facing; facing 0 looks at the bench, and rises to the left."""

REST: Point = (0.24, 0.06, 0.86)
HOLD: Point = (0.16, 0.28, 1.10)
SHEET: Point = (0.12, 0.33, 1.02)
PEN: Point = (0.29, 0.38, 1.05)
SIDE: Point = (0.21, 0.33, 1.12)


@dataclass(frozen=True)
class Gesture:
    """One action as a movement: points visited in turn and a shake laid over them."""

    place: str
    lead: tuple[Point, ...]
    """Points of the leading hand, repeated while the action lasts."""
    help: tuple[Point, ...] | None = None
    """Points of the other hand, x to its own side; ``None``: as the leading hand, mirrored."""
    beat_s: float = 0.7
    """From one point to the next."""
    shake: Point = (0.0, 0.0, 0.0)
    """Amplitude of the leading hand's shake along x, y, z."""
    shake_hz: float = 2.5
    roll: float = 0.0
    """Turn of the leading forearm about its own axis."""
    lean: float = 0.08
    """Forward bend of the trunk."""


GESTURES: dict[str, Gesture] = {
    "Pick Up Sheet": Gesture("tray", ((0.1, 0.4, 1.03), HOLD), (HOLD,)),
    "Pick Up Item from Box": Gesture(
        "shelf", ((0.1, 0.48, 0.88), (0.06, 0.28, 1.1)), (HOLD,), 0.8, lean=0.3
    ),
    "Walk to Work Bench": Gesture("bench", (HOLD,), beat_s=1.5),
    "Remove Item Label": Gesture(
        "bench", ((0.05, 0.3, 1.1), (0.12, 0.25, 1.16)), ((0.08, 0.3, 1.08),), 0.8,
        (0.012, 0.01, 0.01), 3.0, 0.4,
    ),
    "Attach to Order Sheet": Gesture(
        "bench", ((0.18, 0.36, 1.0), (0.06, 0.3, 1.07)), ((0.1, 0.32, 1.03),), 0.8,
        (0.008, 0.006, 0.012), 2.0,
    ),
    "Hold Pen": Gesture("bench", (PEN, SHEET), (SHEET,), 0.6),
    "Write Check Mark": Gesture(
        "bench", (SHEET,), (SHEET,), 0.8, (0.012, 0.012, 0.003), 2.6, 0.6, 0.12
    ),
    "Put Item Small Bag (Relocate Item Label)": Gesture(
        "bench", ((0.06, 0.3, 1.14), (0.1, 0.32, 1.02)), ((0.1, 0.3, 1.06),), 0.8
    ),
    "Pick Cardboard": Gesture("cardboard", ((0.2, 0.42, 0.85), SIDE), beat_s=0.9, lean=0.25),
    "Bend Flap (Assemble Box)": Gesture(
        "bench", (SIDE, (0.1, 0.32, 1.1), (0.17, 0.42, 1.15)), beat_s=0.6
    ),
    "Attach Tape (Assemble Box)": Gesture(
        "bench", ((0.03, 0.44, 1.18), (0.04, 0.22, 1.18)), ((0.18, 0.34, 1.12),), 0.9,
        (0.0, 0.012, 0.006), 4.0, -0.4,
    ),
    "Turn Over Box": Gesture("bench", (SIDE, (0.22, 0.38, 1.28)), beat_s=0.7, roll=0.8),
    "Pick Up Assembled Box": Gesture("bench", ((0.21, 0.3, 1.2), SIDE), beat_s=0.8),
    "Insert Item into Box": Gesture(
        "bench", ((0.3, 0.28, 1.04), (0.1, 0.34, 1.32), (0.06, 0.4, 1.04)),
        ((0.1, 0.34, 1.16),), 0.55,
    ),
    "Air Cushion": Gesture("bench", ((0.3, 0.2, 1.26), (0.07, 0.38, 1.14)), (SIDE,), 0.7),
    "Separate Air Cushion": Gesture(
        "bench", ((0.1, 0.32, 1.2), (0.24, 0.3, 1.2)), None, 0.5, (0.01, 0.005, 0.01), 3.5
    ),
    "Attach Box Label": Gesture(
        "bench", ((0.32, 0.3, 1.36), (0.1, 0.3, 1.2)), (SIDE,), 0.9, (0.028, 0.006, 0.012), 2.2
    ),
    "Pick Up HT": Gesture("bench", (PEN, (0.14, 0.28, 1.16)), (HOLD,), 0.6, roll=0.3),
    "Scan Order Sheet (handheld terminal)": Gesture(
        "bench", ((0.12, 0.3, 1.15),), ((0.12, 0.34, 1.03),), 0.9, roll=0.5
    ),
    "Scan Box": Gesture("bench", ((0.14, 0.3, 1.22),), (SIDE,), 0.9, roll=0.5),
    "Scan Item": Gesture("bench", ((0.1, 0.32, 1.18), (0.1, 0.3, 1.24)), (HOLD,), 0.8, roll=0.5),
    "Hold Scanner": Gesture("bench", ((0.3, 0.4, 1.05), (0.18, 0.3, 1.18)), (HOLD,), 0.6),
    "Scan Printer": Gesture("printer", ((0.12, 0.42, 1.14),), (HOLD,), 0.9, roll=0.5),
    "Pick Up Shipping Label": Gesture("printer", ((0.14, 0.42, 1.1), HOLD), (HOLD,), 0.8),
    "Attach Shipping Label": Gesture(
        "bench", ((0.12, 0.28, 1.2), (0.08, 0.33, 1.2)), (SIDE,), 0.9, (0.03, 0.008, 0.006), 1.9
    ),
    "Pick Up Packed Box": Gesture("bench", ((0.22, 0.34, 1.04), SIDE), beat_s=0.8, lean=0.18),
    "Put Packed Box (Put on Back Table)": Gesture(
        "back_table", (SIDE, (0.22, 0.44, 0.9)), beat_s=0.9, lean=0.25
    ),
    "Pick Up Pen": Gesture("bench", (PEN, SHEET), (SHEET,), 0.6),
    "Write Sign": Gesture(
        "bench", (SHEET,), (SHEET,), 0.8, (0.018, 0.01, 0.004), 3.2, 0.6, 0.12
    ),
    "Push Order Sheet into Tray": Gesture(
        "tray", ((0.1, 0.3, 1.06), (0.1, 0.48, 1.0)), (REST,), 0.8, lean=0.15
    ),
    "Stand Idle": Gesture("bench", (REST,), beat_s=2.0),
    "Walk About": Gesture("door", (REST, HOLD), (REST,), 3.0),
}  # fmt: skip
"""Action to movement, in the names of ``openpack_labels.ACTIONS``."""

GESTURES |= {
    "Bend Flap (Close Box)": GESTURES["Bend Flap (Assemble Box)"],
    "Attach Tape (Close Box)": GESTURES["Attach Tape (Assemble Box)"],
    "Scan Order Sheet (white scanner)": GESTURES["Scan Order Sheet (handheld terminal)"],
}


def travel_s(start: str, end: str) -> float:
    """Return how long a worker takes from one place to another at an easy pace."""
    if start == end:
        return 0.0
    (x0, y0, f0), (x1, y1, f1) = PLACES[start], PLACES[end]
    turn = abs((f1 - f0 + np.pi) % (2 * np.pi) - np.pi)
    return float(np.hypot(x1 - x0, y1 - y0) / 1.3 + 0.15 * turn)
