"""The trainer's command line: tables that hide nothing, refusals that say what was found."""

import json
import os
import subprocess
import sys

import pytest

from tests import live
from trainer.recipes import names


def trainer(*arguments: object, columns: int = 80) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainer", *map(str, arguments)]
    return subprocess.run(
        command, cwd=live.ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"COLUMNS": str(columns)},
    )  # fmt: skip


def test_a_narrow_terminal_does_not_cut_the_names_of_the_recipes():
    done = trainer("recipes", columns=60)
    assert done.returncode == 0, done.stderr
    assert [name for name in names() if f" {name} " not in done.stdout] == []
    assert "…" not in done.stdout.replace(" … ", "")


@pytest.mark.torch
def test_only_a_fit_of_the_same_recipe_is_exported(tmp_path):
    export = ("export", "virtual-imu", "--from", tmp_path, "--out", tmp_path / "bundle")
    done = trainer(*export)
    assert done.returncode == 2
    assert "found no history.json in it, expected a folder that `fit` wrote" in done.stderr
    (tmp_path / "history.json").write_text(json.dumps({"recipe": {"name": "virtual-iot"}}))
    done = trainer(*export)
    assert done.returncode == 2
    assert "found a fit of virtual-iot, expected one of virtual-imu" in done.stderr
    assert not (tmp_path / "bundle").exists()


@pytest.mark.torch
def test_a_folder_that_holds_another_student_is_left_as_it_is(tmp_path):
    history = json.dumps({"recipe": {"name": "virtual-iot"}, "seed": 3})
    (tmp_path / "history.json").write_text(history)
    done = trainer("fit", "virtual-imu", "--out", tmp_path, "--updates", 1)
    assert done.returncode == 2
    assert "holds virtual-iot seed 3, expected another folder for virtual-imu seed 0" in (
        " ".join(done.stderr.split())
    )
    assert (tmp_path / "history.json").read_text() == history
    other = json.dumps({"recipe": {"name": "virtual-imu", "width": 16}, "seed": 0})
    (tmp_path / "history.json").write_text(other)
    done = trainer("fit", "virtual-imu", "--out", tmp_path, "--updates", 1)
    assert "holds virtual-imu seed 0 with other settings" in " ".join(done.stderr.split())
