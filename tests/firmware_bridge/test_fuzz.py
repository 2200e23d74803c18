"""Whatever a line makes of a board's bytes: no frame that was not sent, no error, bounded memory.

SOLOSENSE_FUZZ_MB says how much is tried; 2 where it is not set.
"""

import os
import tracemalloc

import numpy as np
import pytest

from firmware_bridge.board import Board, Host
from firmware_bridge.config import Lines
from firmware_bridge.frames import Deframer, Frame
from firmware_bridge.lines import LineReader
from firmware_bridge.messages import MessageError
from firmware_bridge.readings import Readings, Target
from firmware_bridge.virtual_board import SCHEMAS, VirtualBoard
from sensor_adapters import event, imu, state

S = 1_000_000
MEGABYTES = int(os.environ.get("SOLOSENSE_FUZZ_MB", "2"))
TARGETS = {one.name: Target("pack-1", one.name) for one in SCHEMAS}
ADAPTERS = {"imu": imu, "event": event, "state": state}


def mutated(data: bytes, chance: np.random.Generator) -> bytes:
    """Return bytes as a bad line gives them: bits turned, bytes lost, doubled, and put in."""
    raw = np.frombuffer(data, np.uint8).copy()
    hit = chance.random(len(raw)) < chance.choice([0, 1e-4, 3e-3])
    raw[hit] ^= (1 << chance.integers(0, 8, int(hit.sum()))).astype(np.uint8)
    pieces = np.split(raw, np.sort(chance.integers(0, len(raw), chance.integers(0, 6))))
    found = [one.tobytes() for one in pieces for _ in range(chance.choice([0, 1, 1, 1, 1, 2]))]
    if chance.random() < 0.1:
        found.insert(0, chance.bytes(int(chance.integers(1, 5000))))
    return b"".join(found)


@pytest.mark.slow
@pytest.mark.fault("F41", "F42")
def test_a_bad_line_never_makes_a_frame_that_was_not_sent():
    chance, virtual = np.random.default_rng(6), VirtualBoard()
    board, readings = Board(), Readings(TARGETS, "b")
    plain = Deframer({number: one.seed for number, one in enumerate(SCHEMAS)})
    now_us, tried, came = 0, 0, 0
    sent: set[Frame] = set()
    tracemalloc.start()
    while tried < MEGABYTES * 1_000_000:
        now_us += S
        due = board.due(Host(now_us, 0))
        data = virtual.told(due, now_us + 300) + b"".join(virtual.says(now_us))
        sent = set(plain.feed(data)) | {f for f in sent if now_us - f.time_us < 60 * S}
        bad = mutated(data, chance)
        tried += len(bad)
        for placed in board.heard(bad, Host(now_us + 900, 0)):
            assert placed.frame in sent
            try:
                outgoing = readings.of(placed)
            except MessageError:
                continue
            for one in outgoing + readings.due(Host(now_us + 900, 0)):
                ADAPTERS[one.kind].decode(one.target.device, one.payload)
                came += 1
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3_000_000
    assert came > 1000
    assert board.deframer.counts.wrong + board.deframer.counts.torn > 100


@pytest.mark.slow
def test_a_bad_line_of_text_is_left_out():
    chance = np.random.default_rng(7)
    names = tuple(one.name for one in imu.stream.channels)
    reader = LineReader(Lines(device="w", columns=names), Target("pack-1", "w"), "b")
    now_us, tried = 0, 0
    while tried < MEGABYTES * 200_000:
        now_us += S
        rows = chance.standard_normal((20, 6))
        text = "".join(",".join(f"{v:.3f}" for v in row) + "\r\n" for row in rows).encode()
        bad = mutated(text, chance)
        tried += len(bad)
        for outgoing in reader.heard(bad, Host(now_us, 0)):
            imu.decode("w", outgoing.payload)
    assert reader.counts["no numbers"] > 10
    assert len(reader._rest) <= 512
