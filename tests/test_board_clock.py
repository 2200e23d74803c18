"""A board that starts in 1970, in its own process: its rows are set right once its clock is."""

import json
import os
import shutil
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from tests import live
from tests.edge.models import S

pytestmark = [pytest.mark.broker, pytest.mark.slow]
RECORDING = open_recording("virtual:seed=304,boxes=1")
SAID = [
    one
    for one in messages(RECORDING, live.SITE, live.NODE, live.STATION, "b1")
    if "/status/" not in one.topic
]
SYNCED, UNSYNCED = 0, 5  # adjtimex(2)
NS = 1_000_000_000


class Clock:
    """A clock for one process, which can be set while it runs."""

    def __init__(self, folder: Path) -> None:
        gcc = shutil.which("gcc")
        if gcc is None:
            pytest.skip("no gcc on this machine, expected one for a clock of our own")
        made, self._file = folder / "clock.so", folder / "clock"
        source = Path(__file__).parent / "edge" / "c" / "clock.c"
        subprocess.run(
            [gcc, "-shared", "-fPIC", "-Wall", "-Werror", source, "-o", made, "-ldl"], check=True
        )
        self.set(0, SYNCED)
        self.environment = os.environ | {
            "LD_PRELOAD": str(made), "SOLOSENSE_TEST_CLOCK": str(self._file),
        }  # fmt: skip

    def set(self, behind_us: int, status: int) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("<qq", -behind_us * 1000, status))
        self.behind_us = behind_us

    def now_us(self) -> int:
        return time.time_ns() // 1000 - self.behind_us


def moved(sent: Sent, by_us: int) -> Sent:
    """Return a message as its device had sent it that much later."""
    body = json.loads(sent.payload)
    return replace(sent, payload=json.dumps(body | {"t0": body["t0"] + by_us}).encode())


def rows(one: live.Board) -> list[tuple]:
    return one.query(
        "SELECT s.session, s.level, s.label, s.start_us, s.end_us, s.state, r.clock FROM segments s"
        " JOIN segments_readable r USING (id) ORDER BY s.session, s.level, s.start_us"
    )


@pytest.mark.fault("F25")
def test_rows_of_a_board_that_starts_in_1970_are_set_right(tmp_path):
    clock = Clock(tmp_path)
    began_us, ended_us = RECORDING.span_us()
    half_us = (began_us + ended_us) // 2
    clock.set(time.time_ns() // 1000 // S * S - 7200 * S, UNSYNCED)  # two hours into 1970
    with (
        live.mosquitto(tmp_path, more="max_queued_messages 100000\n") as port,
        live.board(
            tmp_path, port, RECORDING, [live.BUNDLES / "imu"], environment=clock.environment
        ) as one,
        Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher,
    ):

        def play(from_us: int, to_us: int) -> int:
            """Send a stretch as if it ended now, by the board's clock; return the shift."""
            shift_us = (clock.now_us() - to_us) // S * S
            publisher.publish((moved(m, shift_us) for m in SAID if from_us <= m.at_us < to_us), 0)
            assert publisher.settle() is not None
            return shift_us

        first_us = play(began_us, half_us)
        before = rows(one)
        assert before
        assert {row[-1] for row in before} == {"unsynced"}
        assert max(row[4] for row in before) < 86_400 * S
        behind_us = clock.behind_us
        clock.set(0, SYNCED)
        play(half_us, ended_us)
        assert one.stop() == 0
        after = rows(one)
        assert "the board's clock was set by" in one.said
        assert "rows moved" in one.said
    old = [row for row in after if row[0] == 1]
    new = [row for row in after if row[0] == 2]
    assert new, (
        one.said,
        one.query("SELECT * FROM device_states"),
        one.query("SELECT * FROM gaps"),
    )
    assert {row[-1] for row in old} == {"repaired"}
    assert {row[-1] for row in new} == {"synced"}
    ended = {row[:4] for row in before if row[5] == "closed"}
    assert ended
    there = {(*row[:3], round((row[3] - behind_us) / S)) for row in old}
    assert {(*row[:3], round(row[3] / S)) for row in ended} <= there
    assert min(row[3] for row in old) == pytest.approx(began_us + first_us + behind_us, abs=30 * S)
