"""Tables hold what is there: of these recipes, over these seeds."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer import tables
from trainer.teacher_loss import LossWeights
from trainer.teacher_recipes import settings
from trainer.teacher_scores import FIGURES

pytestmark = pytest.mark.torch
(LINE,) = (one for one in tables.lines("sphere-sensors") if one.name == "sigformer imu")


def leave(folder, recipe, seed, value, sensors="imu", **changes):
    row = {"sensors": sensors, **dict.fromkeys(FIGURES, value)}
    said = {"recipe": recipe.name, "seed": seed, "rows": [row], "settings": settings(recipe)}
    said["settings"].update(changes)
    path = tables.result_file(recipe, seed, folder)
    path.write_text(json.dumps(said))
    return path


def test_a_line_is_the_mean_of_its_folds_and_the_spread_of_its_seeds(tmp_path):
    for seed in range(3):
        for fold, recipe in enumerate(LINE.recipes):
            leave(tmp_path, recipe, seed, 0.1 * fold + 0.01 * seed)
    (row,) = tables.summary([LINE], tmp_path)
    assert (row["line"], row["seeds"]) == ("sigformer imu", 3)
    assert row["macro_f1"] == "0.160 ± 0.010"  # of .15, .16, .17


def test_a_seed_that_lacks_a_fold_is_not_counted(tmp_path):
    for recipe in LINE.recipes:
        leave(tmp_path, recipe, 0, 0.5)
    leave(tmp_path, LINE.recipes[0], 1, 0.9)
    (row,) = tables.summary([LINE], tmp_path)
    assert (row["seeds"], row["macro_f1"]) == (1, "0.500")
    assert [(r.name, s) for r, s in tables.todo([LINE], [0, 1], tmp_path)] == [
        (recipe.name, 1) for recipe in LINE.recipes[1:]
    ]


def test_what_was_run_with_other_settings_is_left_out_and_run_again(tmp_path):
    recipe = LINE.recipes[0]
    path = leave(tmp_path, recipe, 0, 0.5, learning_rate=7.0)
    assert tables.result(recipe, path) is None
    assert tables.stale([LINE], tmp_path) == [path]
    assert (recipe, 0) in tables.todo([LINE], [0], tmp_path)
    assert list(tables.summary([LINE], tmp_path)) == []


def test_a_setting_that_came_later_leaves_results_as_they_are(tmp_path):
    recipe = LINE.recipes[0]
    path = leave(tmp_path, recipe, 0, 0.5)
    said = json.loads(path.read_text())
    del said["settings"]["optimizer"]
    path.write_text(json.dumps(said))
    assert tables.result(recipe, path) is not None


def test_a_setting_that_came_later_and_is_used_leaves_out_what_was_run_before(tmp_path):
    recipe = LINE.recipes[0]
    path = leave(tmp_path, recipe, 0, 0.5)
    said = json.loads(path.read_text())
    del said["settings"]["loss"]["smoothing"]
    path.write_text(json.dumps(said))
    assert tables.result(recipe, path) is not None
    smoothed = replace(recipe, loss=LossWeights(smoothing=0.1))
    assert tables.result(smoothed, path) is None


@pytest.mark.parametrize("table", tables.TABLES)
def test_every_committed_result_is_of_the_settings_of_today(table, request):
    results = request.config.rootpath / "trainer/results/teachers"
    assert tables.stale(tables.lines(table), results) == []
