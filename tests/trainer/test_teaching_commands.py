"""`solosense-trainer` with teachers, as people call it."""

import json
import os
import signal
import subprocess
import sys

import pytest

NAME = "sigformer-openpack-u0209-imu-scanner"


def trainer(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *map(str, args)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def test_a_teacher_is_taught_taken_up_and_judged(data, tmp_path):
    openpack, run = data / "openpack/v1.0.0", tmp_path / "run"
    boxes = openpack / "U0209/S0500:boxes=16-20"
    first = trainer("fit", NAME, "--data", openpack, "--out", run, "--updates", 2)
    assert "after update 2" in first.stdout
    again = trainer("fit", NAME, "--data", openpack, "--out", run, "--updates", 2)
    assert "goes on from update 2" in again.stderr
    other = trainer("fit", NAME, "--data", openpack, "--out", run, "--updates", 3, code=2)
    assert "found updates 2, expected 3" in other.stderr
    assert any(path.name.startswith("events.out") for path in run.iterdir())
    trainer("evaluate", run, boxes, "--json", tmp_path / "s.json", "--picture", tmp_path / "p")
    (scores,) = json.loads((tmp_path / "s.json").read_text())
    assert scores["bundle"] == NAME
    assert scores["seconds"] == 319
    assert len(list((tmp_path / "p").iterdir())) == 2
    told = trainer("evaluate", run, boxes, "--engine", "onnx", code=2).stderr
    assert "expected --engine with a bundle only" in " ".join(told.split())


def test_all_levels_of_a_teacher_are_judged_by_what_names_them_best_on_validation(data, tmp_path):
    openpack, run = data / "openpack/v1.0.0", tmp_path / "run"
    name = "tcn-openpack-u0209-imu-actions"
    trainer("fit", name, "--data", openpack, "--out", run, "--updates", 40,
            "--patience", 3, "--accumulate", 1)  # fmt: skip
    boxes = openpack / "U0209/S0500:boxes=16-20"

    def scores():
        rows = json.loads(trainer("evaluate", run, boxes, "--json", "-").stdout)
        return {row["level"]: row["macro_f1"] for row in rows}

    chosen = scores()
    assert list(chosen) == ["operation", "action"]
    history = json.loads((run / "history.json").read_text())
    assert (history["recipe"]["patience"], history["recipe"]["updates"]) == (3, 40)
    history["bends"]["operation"].update(power=1.0, prior=[1e-6] * 9 + [1.0])
    (run / "history.json").write_text(json.dumps(history))
    bent = scores()
    assert bent["action"] == chosen["action"]
    assert bent["operation"] < 0.05 < chosen["operation"]


def test_a_teachers_recordings_are_listed_as_a_students_are(data):
    told = trainer("inventory", NAME, "--data", data / "openpack/v1.0.0").stdout
    assert "3 of 3 recordings can be used" in told


def test_the_published_size_is_told_part_by_part_without_data():
    told = trainer("parts", "sigformer-openpack-challenge-2022-imu-camera-scanner-printer",
                   "--size", "paper").stdout  # fmt: skip
    rows = [row.split() for row in told.splitlines()]
    counts = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
    assert counts["branches"] > 590e6
    assert counts["all"] == sum(count for part, count in counts.items() if part != "all")


def test_what_teaching_costs_is_measured_on_noise_where_there_is_no_data():
    rows = json.loads(trainer("bench", "tcn-openpack-u0209-imu", "--updates", 2, "--json").stdout)
    assert [row["way"] for row in rows] == ["prepared"]
    assert all(row["updates_per_s"] > 0 and row["memory_MB"] > 50 for row in rows)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("fit", "sigformer-nothing", "--out", "x"), "recipe 'nothing' is unknown"),
        (("fit", NAME, "--out", "x", "--size", "huge"), "expected one of paper, base, small"),
        (("ablate", "everything"), "expected one of sphere-sensors"),
        (("parts", "virtual-imu"), "expected a name that begins sigformer- or tcn-"),
        (("parts", "tcn-virtual-imu", "--size", "base"), "has one size, expected --size with a"),
        (("fit", NAME, "--out", "x", "--device", "gpu"), "--device is 'gpu', expected cpu or cuda"),
        (("fit", "virtual-imu", "--out", "x", "--device", "gpu"), "expected cpu or cuda"),
        (("ablate", "sphere-parts", "--only", "zzz"), "expected how a line begins: whole,"),
        (("ablate", "sphere-parts", "--seeds", "0-"), "expected two numbers, as 0-2"),
        (("fit", "virtual-imu", "--out", "x", "--patience", 1), "is a student's recipe, expected"),
        (("fit", "tcn-sphere-imu", "--out", "x"), "a fold behind it: -pairs12"),
    ],
)
def test_what_is_not_known_is_told_with_what_is(args, told):
    assert told in " ".join(trainer(*args, code=2).stderr.split())


def test_a_table_without_results_says_how_to_make_some(tmp_path):
    told = trainer("ablate", "sphere-parts", "--results", tmp_path, code=2).stderr
    assert "--data" in told


def test_a_broken_result_is_named(tmp_path):
    (tmp_path / "majority-sphere-iot-pairs12-seed0.json").write_text("{")
    told = trainer("ablate", "sphere-sensors", "--results", tmp_path, code=2).stderr
    assert "majority-sphere-iot-pairs12-seed0.json: " in told
    assert "expected a result of `ablate`" in " ".join(told.split())


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_a_table_ends_all_of_it_at_once(data, tmp_path, end):
    args = ("ablate", "sphere-sensors", "--only", "majority", "--jobs", "2", "--data",
            data / "sphere/train", "--results", tmp_path)  # fmt: skip
    # whoever began these tests in the background may have had Ctrl-C ignored
    listening = "import signal; signal.signal(2, signal.default_int_handler)"
    started = subprocess.Popen(
        [sys.executable, "-c", f"{listening}; from trainer.__main__ import main; main()",
         *map(str, args)],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert started.stderr is not None
    with started.stderr:
        assert "4 runs to go" in started.stderr.readline()
        assert started.stderr.readline().startswith("1/4 ")
        os.kill(started.pid, end)
        started.stderr.read()  # to the end: of all that hold it open, workers too
    assert started.wait() != 0
    assert len(list(tmp_path.glob("*.json"))) < 4


def test_a_student_does_not_take_a_teachers_folder(tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    told = trainer("fit", "virtual-imu", "--out", tmp_path, code=2).stderr
    assert "holds a teacher" in told


def test_a_table_runs_what_is_missing_and_keeps_what_is_there(data, tmp_path):
    args = ("ablate", "openpack-sensors", "--only", "trees imu-scanner-printer", "--seeds", "0",
            "--jobs", 1, "--results", tmp_path, "--json")  # fmt: skip
    first = trainer(*args, "--data", data / "openpack/v1.0.0")
    assert "1 runs to go" in first.stderr
    again = trainer(*args, "--data", data / "openpack/v1.0.0")
    assert "0 runs to go" in again.stderr
    rows = json.loads(first.stdout)
    assert rows == json.loads(again.stdout)
    assert [row["line"] for row in rows] == ["trees imu-scanner-printer"]
    assert 0.5 < float(rows[0]["macro_f1"]) < 0.95
