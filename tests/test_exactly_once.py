"""A board that is killed again and again writes the rows of one that never was."""

import random
import signal
import threading
import time
from pathlib import Path

import pytest

from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from tests import live

pytestmark = [pytest.mark.broker, pytest.mark.slow]
RECORDING = open_recording("virtual:seed=303,boxes=2")
SPEED = 20.0
QUEUE = "max_queued_messages 100000\n"


def rows(folder: Path, kills: list[float], more: str = QUEUE) -> tuple[list[tuple], live.Board]:
    """Return the rows of a replay during which the board is killed at these seconds."""
    folder.mkdir()
    bundles = [live.BUNDLES / name for name in ("imu", "iot")]
    with (
        live.mosquitto(folder, more=more) as port,
        live.board(folder, port, RECORDING, bundles) as one,
    ):
        over = threading.Event()

        def play() -> None:
            with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
                said = messages(RECORDING, live.SITE, live.NODE, live.STATION, "b")
                publisher.publish(said, SPEED)
                publisher.settle()
            over.set()

        thread = threading.Thread(target=play)
        thread.start()
        start_s = time.monotonic()
        for at_s in kills:
            over.wait(max(start_s + at_s - time.monotonic(), 0))
            one.process.send_signal(signal.SIGKILL)
            one.process.wait(10)
            one.start()
        thread.join(240)
        assert over.is_set(), one.said
        assert one.stop() == 0
        return one.segments(), one


def test_a_board_that_is_killed_writes_the_same_rows(tmp_path):
    golden, _ = rows(tmp_path / "golden", [])
    rng = random.Random(5)
    length_s = (RECORDING.span_us()[1] - RECORDING.span_us()[0]) / 1e6 / SPEED
    kills = sorted(rng.uniform(0.5, length_s) for _ in range(4))
    found, one = rows(tmp_path / "killed", kills)
    assert "going on from where the last run was cut off" in one.said
    assert len(golden) > 30
    assert found == golden
    lost = one.query("SELECT sum(lost), sum(late), sum(rejected), max(session) FROM device_states")
    assert lost == [(0, 0, 0, 1)]
    assert one.query("SELECT count(*) FROM checkpoints") == [(0,)]
    assert one.query("SELECT count(*) FROM outbox") == [(0,)]
