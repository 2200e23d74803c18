"""Writing a bundle never harms what else lies in a folder."""

from pathlib import Path

import pytest

from trainer import bundling

pytestmark = pytest.mark.torch


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path):
    for name in ("manifest.json", "model.tflite", "thesis.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        bundling._clear(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_an_older_bundle_gives_way(tmp_path: Path):
    for name in ("manifest.json", "model.tflite", "model.onnx", "reference.npz"):
        (tmp_path / name).write_text("old")
    bundling._clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
