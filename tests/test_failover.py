"""Sensors die and return under a real board: the rows are those of the evaluation."""

import subprocess
import sys

import pytest

from edge import bundle as bundles
from edge.engine import open_engine
from sensor_adapters.outages import drawn, without
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import site_toml
from tests import live
from trainer import offline
from trainer.score import score_log

pytestmark = pytest.mark.broker
NAMES = ("imu", "camera", "iot")
TOGETHER = ">".join(NAMES)


@pytest.fixture(scope="module")
def recording():
    whole = open_recording("virtual:seed=301,boxes=4")
    dead = drawn(whole, 0.4, seed=2, mean_s=20)
    assert set(dead) == set(NAMES)
    assert all(dead.values())
    return without(whole, dead)


@pytest.mark.parametrize("speed", [0, 20])
def test_what_a_board_logs_of_dying_sensors_is_what_the_evaluation_says(tmp_path, recording, speed):
    loaded = [bundles.load(live.BUNDLES / name) for name in NAMES]
    models = [(one.manifest, open_engine(one)) for one in loaded]
    segments, switches, gaps = offline.one_voice(models, recording)
    folders = [live.BUNDLES / name for name in NAMES]
    with (
        live.mosquitto(tmp_path) as port,
        live.board(tmp_path, port, recording, folders, failover=True) as board,
    ):
        live.play(recording, port, speed)
        rows = board.segments()
        assert [row[3:9] + row[10:] for row in rows] == [
            (s.level, s.label, s.parent, s.start_us, s.end_us, s.confidence, s.state)
            for s in segments
        ]
        assert [row[1:3] for row in rows] == [(TOGETHER, s.modality) for s in segments]
        assert any("," in s.modality for s in segments), "some were carried over"
        assert board.query("SELECT at_us, before, after FROM switches ORDER BY at_us") == [
            (s.at_us, s.before, s.after) for s in switches
        ]
        assert len(switches) > 5
        lasting = {g.start_us: g.end_us for g in gaps}
        found = board.query("SELECT bundle, start_us, end_us FROM gaps ORDER BY start_us")
        assert found == [(TOGETHER, *gap) for gap in sorted(lasting.items())]
        overlaps = board.query(
            "SELECT count(*) FROM segments AS a JOIN segments AS b ON a.level = b.level"
            " AND a.start_us < b.start_us AND a.end_us > b.start_us"
        )
        assert overlaps == [(0,)]
        (score,) = score_log(board.db, recording, "operation")
        assert score.scores.macro_f1 > 0.6
        assert board.stop() == 0


def test_one_bundle_has_nobody_to_take_turns_with(tmp_path, recording):
    site = tmp_path / "site.toml"
    folders = [str(live.BUNDLES / "imu")]
    text = site_toml(recording, folders, "127.0.0.1:1", "log.db", "a", "b", "c", failover=True)
    site.write_text(text)
    command = [sys.executable, "-m", "edge", "check", str(site)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=live.ROOT)
    assert told.returncode == 2
    assert "stations.c.failover is true, expected false, or several bundles" in told.stderr
