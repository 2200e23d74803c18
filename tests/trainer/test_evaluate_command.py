"""`evaluate` and `score` print a table, and write JSON and pictures where they are asked to."""

import json
import os
import subprocess
import sys

import pytest

from edge.records import ModelRecord, SegmentRecord
from edge.segments import Segment
from edge.sqlite_log import SqliteLog
from sensor_adapters.recordings import open_recording
from tests import live
from trainer.truth import true_stretches

RECORDING = "virtual:seed=300,boxes=2"
PNG = b"\x89PNG\r\n\x1a\n"


def trainer(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainer", *map(str, arguments)]
    return subprocess.run(
        command, cwd=live.ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"COLUMNS": "160"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Return what the command left behind, of a shipped bundle: the process, and its folder."""
    folder = tmp_path_factory.mktemp("evaluated")
    wanted = ("--json", folder / "scores.json", "--picture", folder / "pictures")
    return trainer("evaluate", live.BUNDLES / "imu", RECORDING, *wanted), folder


def test_evaluate_prints_its_table_whatever_it_writes(evaluated):
    done, _ = evaluated
    assert done.returncode == 0, done.stderr
    assert "macro F1" in done.stdout
    assert "boundary F1" in done.stdout
    assert [line.split()[:2] for line in done.stdout.splitlines() if " imu " in line] == [
        ["imu", "operation"],
        ["imu", "action"],
    ]


def test_evaluate_writes_all_scores_and_those_of_each_label(evaluated):
    _, folder = evaluated
    rows = json.loads((folder / "scores.json").read_text())
    assert [row["level"] for row in rows] == ["operation", "action"]
    truth = open_recording(RECORDING)
    for row in rows:
        assert (row["bundle"], row["recording"]) == ("imu", truth.name)
        figures = ("macro_f1", "weighted_f1", "accuracy", "f1_10", "f1_25", "f1_50", "boundary_f1")
        assert all(0.4 < row[name] <= 1 for name in figures)
        assert 40 < row["edit"] <= 100
        true = {s.label for s in true_stretches(truth, row["level"])}
        assert true <= set(row["per_label"]) == set(row["support"])
        assert sum(row["support"].values()) == row["seconds"]
    operation, action = rows
    assert operation["macro_f1"] > 0.8
    assert operation["macro_f1"] == pytest.approx(sum(operation["per_label"].values()) / 10)
    assert action["true_segments"] > operation["true_segments"]


def test_evaluate_draws_the_timeline_and_the_confusion_of_each_level(evaluated):
    pytest.importorskip("matplotlib", reason="pictures need the trainer's dependencies")
    from matplotlib.image import imread

    from trainer.pictures import colours

    done, folder = evaluated
    drawn = sorted((folder / "pictures").iterdir())
    assert [path.name for path in drawn] == [
        f"virtual-seed300-{level}-imu-{kind}.png"
        for level in ("action", "operation")
        for kind in ("confusion", "timeline")
    ]
    assert all(str(path) in done.stderr for path in drawn)
    assert all(path.read_bytes()[:8] == PNG and path.stat().st_size > 10_000 for path in drawn)
    truth = open_recording(RECORDING)
    pixels = imread(folder / "pictures" / "virtual-seed300-operation-imu-timeline.png")[..., :3]
    for colour in colours(s.label for s in true_stretches(truth, "operation")).values():
        assert (abs(pixels - colour).max(axis=2) < 0.01).mean() > 0.005


def test_json_to_a_dash_is_printed_instead_of_the_table():
    done = trainer("evaluate", live.BUNDLES / "iot", RECORDING, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert [row["level"] for row in json.loads(done.stdout)] == ["operation", "action"]


def test_a_file_that_can_not_be_written_is_refused(tmp_path):
    done = trainer(
        "evaluate", live.BUNDLES / "iot", RECORDING, "--json", tmp_path / "none" / "x.json"
    )
    assert done.returncode == 2
    assert "none/x.json" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def log(tmp_path):
    """Return a log in which one model was right and another called everything Picking."""
    truth = open_recording(RECORDING)
    said = true_stretches(truth, "operation")
    db = tmp_path / "log.db"
    written = SqliteLog(db)
    written.write(
        ModelRecord(name, "0" * 64, name, "litert", '{"levels": []}', 1) for name in ("good", "bad")
    )
    records = []
    for s in said:
        for name, label in (("good", s.label), ("bad", "Picking")):
            segment = Segment("operation", label, "", s.start_us, s.end_us, 0.9, 1.0, "closed")
            records.append(SegmentRecord("bench-1", name, name, 1, segment, s.end_us + 1))
    written.write(records)
    written.close()
    return db


def test_score_writes_a_row_and_a_confusion_a_model_and_one_timeline(log, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need the trainer's dependencies")
    to, pictures = tmp_path / "scores.json", tmp_path / "pictures"
    done = trainer("score", RECORDING, "--db", log, "--json", to, "--picture", pictures)
    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout
    rows = {row["bundle"]: row for row in json.loads(to.read_text())}
    assert (rows["good"]["macro_f1"], rows["good"]["boundary_f1"]) == (1, 1)
    assert rows["bad"]["per_label"]["Scan Label"] == 0
    assert sorted(path.name for path in pictures.iterdir()) == [
        "virtual-seed300-operation-bad-confusion.png",
        "virtual-seed300-operation-bad-good-timeline.png",
        "virtual-seed300-operation-good-confusion.png",
    ]
