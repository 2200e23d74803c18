"""How fast frames are read and written, beside a serial line at its fastest usual rate."""

import time
from typing import Any

import numpy as np

from firmware_bridge.board import Board, Host
from firmware_bridge.frames import Deframer, Frame, Type, encode
from firmware_bridge.readings import Readings, Target
from firmware_bridge.virtual_board import DT_US, ROWS, SCHEMAS, VirtualBoard
from sensor_adapters.samples import US_PER_S

BAUD = 921_600
LINE_BYTES_PER_S = BAUD / 10
"""Eight bits, a start and a stop."""
PIECE = 4096


def measure(frames: int) -> list[dict[str, Any]]:
    """Return a row a way: frames and bytes a second, and how many times the line that is.

    Raises:
        AssertionError: a frame did not come back as it was.
    """
    chance = np.random.default_rng(0)
    sizes = chance.integers(0, 200, frames)
    some = [
        Frame(Type.EVENT, n % 256, n % 65_536, n, chance.bytes(int(size)))
        for n, size in enumerate(sizes)
    ]
    start_s = time.process_time()
    wire = [encode(one) for one in some]
    rows = [_row("write", len(wire), sum(map(len, wire)), time.process_time() - start_s)]
    data = b"".join(wire)
    deframer = Deframer()
    start_s, number = time.process_time(), 0
    for at in range(0, len(data), PIECE):
        for frame in deframer.feed(data[at : at + PIECE]):
            assert frame == some[number], f"frame {number} is another"
            number += 1
    assert number == frames, f"{number} frames came back, expected {frames}"
    rows.append(_row("read", frames, len(data), time.process_time() - start_s))
    rows.append(_whole(min(frames, 20_000)))
    return rows


def _whole(frames: int) -> dict[str, Any]:
    """Measure all that is done with a board's bytes, up to the payload for MQTT."""
    virtual, board = VirtualBoard(), Board()
    readings = Readings({SCHEMAS[0].name: Target("pack-1", "imu-rw")}, "bench")
    for number in range(3):
        asked_us = number * US_PER_S
        answer = virtual.told(board.due(Host(asked_us, 0)), asked_us + 500)
        board.heard(answer, Host(asked_us + 900, 0))
    data = b"".join(virtual.says(frames * ROWS * DT_US))
    start_s, came = time.process_time(), 0
    for at in range(0, len(data), PIECE):
        now = Host(3 * US_PER_S + at, 0)
        for placed in board.heard(data[at : at + PIECE], now):
            readings.of(placed)
            came += placed.schema.name == SCHEMAS[0].name
        readings.due(now)
    return _row("to MQTT payloads", came, len(data), time.process_time() - start_s)


def _row(way: str, frames: int, size: int, spent_s: float) -> dict[str, Any]:
    return {
        "way": way,
        "frames": frames,
        "frames_per_s": round(frames / spent_s),
        "MB_per_s": round(size / spent_s / 1e6, 2),
        f"times {BAUD} baud": round(size / spent_s / LINE_BYTES_PER_S, 1),
    }
