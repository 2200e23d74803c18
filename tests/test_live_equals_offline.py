"""What stands in SQLite after a live run is what the offline evaluation says, row for row."""

import pytest

from edge import bundle as bundles
from edge.engine import open_engine
from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from tests import live
from trainer import offline
from trainer.metrics import evaluate_stretches
from trainer.score import score_log
from trainer.stretches import Stretch

pytestmark = pytest.mark.broker
NAMES = ("imu", "camera", "iot")


@pytest.fixture(scope="module")
def recording():
    return open_recording("virtual:seed=301,boxes=4")


@pytest.fixture(scope="module")
def truth_offline(recording):
    """Return segments as rows, and macro-F1, by bundle, from the offline evaluation."""
    rows, f1 = [], {}
    for name in NAMES:
        loaded = bundles.load(live.BUNDLES / name)
        found = offline.segments(loaded.manifest, open_engine(loaded), recording)
        modality = "+".join(loaded.manifest.modality)
        rows += [
            (live.STATION, name, modality, s.level, s.label, s.parent, s.start_us, s.end_us,
             s.confidence, s.observed, s.state)
            for s in found
        ]  # fmt: skip
        mine = [Stretch(s.label, s.start_us, s.end_us) for s in found if s.level == "operation"]
        f1[name] = evaluate_stretches(mine, recording, "operation").macro_f1
    return sorted(rows, key=lambda row: (row[1], row[3], row[6])), f1


@pytest.mark.parametrize("speed", [0, 20])
def test_the_rows_of_a_replay_are_those_of_the_offline_evaluation(
    tmp_path, recording, truth_offline, speed
):
    expected, f1 = truth_offline
    folders = [live.BUNDLES / name for name in NAMES]
    with (
        live.mosquitto(tmp_path) as port,
        live.board(tmp_path, port, recording, folders) as board,
    ):
        health = live.play(recording, port, speed)
        assert board.segments() == expected
        assert health["refused"] == 0
        assert all(d["lost"] == 0 and d["late"] == 0 for d in health["devices"].values())
        scores = {
            row.bundle: row.scores.macro_f1 for row in score_log(board.db, recording, "operation")
        }
        assert scores == f1
        assert board.stop() == 0


def test_a_second_replay_is_a_second_session_with_the_same_rows(tmp_path, recording):
    with (
        live.mosquitto(tmp_path) as port,
        live.board(tmp_path, port, recording, [live.BUNDLES / "iot"]) as board,
    ):
        live.play(recording, port)
        once = board.segments()
        live.play(recording, port)
        columns = "level, label, start_us, end_us, confidence, state"
        first, second = (
            board.query(f"SELECT {columns} FROM segments WHERE session = {n} ORDER BY 1, 3")
            for n in (1, 2)
        )
        assert len(once) == len(first) > 20
        assert first == second


@pytest.mark.fault("F51")
def test_a_board_that_is_stopped_in_the_middle_ends_its_segments_as_interrupted(
    tmp_path, recording
):
    start_us, _ = recording.span_us()
    half = recording.between(start_us, start_us + 60_000_000)
    with (
        live.mosquitto(tmp_path) as port,
        live.board(tmp_path, port, half, [live.BUNDLES / "imu"]) as board,
        Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher,
    ):
        sent = messages(half, live.SITE, live.NODE, live.STATION, "b")
        publisher.publish((m for m in sent if b'"stopped"' not in m.payload), 0)
        publisher.settle()
        assert board.query("SELECT count(*) FROM segments WHERE state = 'open'")[0][0] > 0
        assert board.stop() == 0
        left = board.query("SELECT level, state FROM segments WHERE state <> 'closed'")
        assert sorted(left) == [("action", "interrupted"), ("operation", "interrupted")]
