"""The table of students holds what is there, whole lines only, against alone and the teacher."""

import json

import pytest

pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer import student_summary, student_tables, tables
from trainer.recipe_parts import plain_off_default
from trainer.recipes import recipe
from trainer.teacher_recipes import settings
from trainer.teacher_scores import FIGURES

pytestmark = pytest.mark.torch
LINES = student_tables.lines("sphere")


def line(sensor, method):
    (found,) = (one for one in LINES if (one.sensor, one.method) == (sensor, method))
    return found


def leave(folder, name, seed, value, float_value=None, validation=None, **changes):
    rows = [
        {"model": "LiteRT int8", "macro_f1": value, "f1_50": value / 2},
        {"model": "LiteRT float32", "macro_f1": value if float_value is None else float_value},
    ]
    validation = {"argmax_macro_f1": 0.5 if validation is None else validation}
    said = {
        "rows": rows,
        "validation_macro_f1": validation,
        "settings": plain_off_default(recipe(name)) | changes,
    }
    (folder / f"{name}-seed{seed}.json").write_text(json.dumps(said))


def leave_teacher(folder, seed, value):
    (whole,) = (
        one for one in tables.lines("sphere-sensors") if one.name == student_summary.TEACHER
    )
    for one in whole.recipes:
        row = {"sensors": "imu+camera+iot", **dict.fromkeys(FIGURES, value)}
        said = {"recipe": one.name, "seed": seed, "rows": [row], "settings": settings(one)}
        tables.result_file(one, seed, folder).write_text(json.dumps(said))


def test_every_sensor_is_there_alone_with_dcat_distilled_and_the_wrist_pretrained():
    assert [(one.sensor, one.method) for one in LINES] == [
        (sensor, method)
        for sensor in ("imu", "camera", "iot")
        for method in ("alone", "D-CAT", "distilled", "pretrained")
        if (sensor, method) not in (("camera", "pretrained"), ("iot", "pretrained"))
    ] + [("imu-camera-iot", "alone")]
    for one in LINES:
        parts = [recipe(name).split.test for name in one.recipes]
        assert sorted(number for part in parts for number in part) == [
            f"{number:05d}" for number in range(1, 9)
        ]


def test_the_share_of_the_gap_is_counted_seed_by_seed(tmp_path):
    for seed in (0, 1):
        for fold, name in enumerate(line("imu", "alone").recipes):
            leave(tmp_path, name, seed, 0.2 + 0.1 * fold + 0.01 * seed)  # .35 and .36
        for name in line("imu", "distilled").recipes:
            leave(tmp_path, name, seed, 0.4 + 0.01 * seed, float_value=0.404 + 0.01 * seed)
        leave_teacher(tmp_path, seed, 0.45 + 0.01 * seed)
    alone, told, _, teacher = student_summary.summary(LINES, [0, 1], tmp_path, tmp_path)
    assert (alone["macro_f1"], alone["against_alone"], alone["of_gap"]) == ("0.355 ± 0.007", "", "")
    assert told["against_alone"] == "+0.050 ± 0.000"
    assert told["of_gap"] == "+50%"
    assert told["validation"] == "0.500"
    assert told["int8_loss"] == "+0.0040"
    assert teacher["macro_f1"] == "0.455 ± 0.007"


def test_the_guard_takes_of_each_fold_what_is_best_on_validation(tmp_path):
    for fold, (name, other) in enumerate(
        zip(line("iot", "alone").recipes, line("iot", "distilled").recipes, strict=True)
    ):
        leave(tmp_path, name, 0, 0.2, validation=0.5)
        leave(tmp_path, other, 0, 0.4, validation=0.6 if fold < 3 else 0.4)
    *_, guarded = student_summary.summary(LINES, [0], tmp_path, tmp_path)
    assert (guarded["method"], guarded["macro_f1"]) == ("guarded", "0.350")
    assert (guarded["against_alone"], guarded["validation"]) == ("+0.150", "0.575")


def test_baselines_of_the_runs_alone_stand_first(tmp_path):
    one = line("iot", "alone")
    for name in one.recipes:
        leave(tmp_path, name, 0, 0.2)
        path = tmp_path / f"{name}-seed0.json"
        said = json.loads(path.read_text())
        said["rows"].append({"model": "boosted trees", "macro_f1": 0.1, "f1_50": 0.05})
        path.write_text(json.dumps(said))
    trees, alone = student_summary.summary([one], [0], tmp_path, tmp_path)
    assert (trees["method"], trees["macro_f1"], trees["against_alone"]) == (
        "boosted trees", "0.100", "",
    )  # fmt: skip
    assert alone["method"] == "alone"


def test_a_seed_that_lacks_a_fold_is_not_counted(tmp_path):
    one = line("iot", "alone")
    for name in one.recipes:
        leave(tmp_path, name, 0, 0.2)
    leave(tmp_path, one.recipes[0], 1, 0.9)
    (row,) = student_summary.summary([one], [0, 1], tmp_path, tmp_path)
    assert (row["seeds"], row["macro_f1"]) == ("1", "0.200")


def test_what_was_run_with_other_settings_is_left_out(tmp_path):
    name = line("iot", "distilled").recipes[0]
    leave(tmp_path, name, 0, 0.2, soft_weight=7.0)
    assert student_tables.result(recipe(name), 0, tmp_path) is None
    leave(tmp_path, name, 0, 0.2)
    assert student_tables.result(recipe(name), 0, tmp_path) is not None
