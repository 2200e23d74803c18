"""The first thing a stranger sees."""

import contextlib
import json
import sqlite3
import subprocess
import sys

import pytest

from sensor_adapters.recordings import open_recording
from tests import live
from trainer import demo


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


def test_a_recording_that_is_not_there_is_said_and_ends_with_2(tmp_path):
    command = [sys.executable, "-m", "trainer.demo", "--recording", str(tmp_path / "nowhere")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        cwd=live.ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_of_ones_own_in_it_is_not_cleared(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, "-m", "trainer.demo", "--recording", "virtual:seed=303,boxes=1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=live.ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "found thesis.txt, expected a new folder or an earlier run's" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_earlier_runs_files_are_cleared_and_nothing_else_is_taken_for_them(tmp_path):
    for name in demo.WRITTEN:
        (tmp_path / name).write_text("an earlier run")
    demo.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / demo.DB).mkdir()
    with pytest.raises(demo.FolderInUse, match=demo.DB):
        demo.clear(tmp_path)


def test_what_the_devices_lost_is_in_the_report_though_their_session_has_ended(tmp_path, capsys):
    recording = open_recording("virtual:seed=303,boxes=1")
    health = demo.run(recording, [live.BUNDLES / "iot"], tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / demo.DB)) as log, log:
        log.execute("UPDATE device_states SET lost = 3, late = 5 WHERE device = 'scanner'")
    demo.report(recording, tmp_path / demo.DB, health, 1.0)
    said = capsys.readouterr().out
    assert "lost 3, late readings 5" in said
    assert "what takes longest?" in said


def test_the_board_writes_json_for_machines():
    command = [sys.executable, "-m", "sensor_adapters", "list", "--json"]
    done = subprocess.run(command, cwd=live.ROOT, capture_output=True, text=True, check=True)
    assert {row["adapter"] for row in json.loads(done.stdout)} >= {"imu", "pose", "state", "event"}
