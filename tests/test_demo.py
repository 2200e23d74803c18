"""The first thing a stranger sees."""

import json
import subprocess
import sys

from tests import live


def test_the_demo_streams_a_shift_and_shows_what_each_sensor_made_of_it(tmp_path):
    command = [sys.executable, "-m", "trainer.demo", "--recording", "virtual:seed=303,boxes=2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        cwd=live.ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("imu", "camera", "iot", "lost 0", "refused 0", "last ten segments", "SELECT"):
        assert name in done.stdout
    assert (tmp_path / "run" / "solosense.db").exists()


def test_a_recording_that_is_not_there_is_said_and_ends_with_1(tmp_path):
    command = [sys.executable, "-m", "trainer.demo", "--recording", str(tmp_path / "nowhere")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        cwd=live.ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_board_writes_json_for_machines():
    command = [sys.executable, "-m", "sensor_adapters", "list", "--json"]
    done = subprocess.run(command, cwd=live.ROOT, capture_output=True, text=True, check=True)
    assert {row["adapter"] for row in json.loads(done.stdout)} >= {"imu", "pose", "state", "event"}
