"""Writing a bundle never harms what else lies in a folder; its ranges come from all of training."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the trainer's dependencies")

from edge.bundle import load
from sensor_adapters.recording import Recording
from trainer import bundling
from trainer.datasets import Examples

pytestmark = pytest.mark.torch


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path):
    for name in ("manifest.json", "model.tflite", "thesis.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        bundling._checked(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_an_older_bundle_gives_way(tmp_path: Path):
    shipped = Path(__file__).parents[2] / "bundles" / "iot"
    for name in ("manifest.json", "model.tflite", "model.onnx", "reference.npz"):
        (tmp_path / name).write_text("old")
    bundling._checked(tmp_path)
    bundling._place(load(shipped), tmp_path)
    assert load(tmp_path).manifest == load(shipped).manifest


def test_the_ranges_of_8_bits_come_from_several_recordings():
    """A device that one recording never sees in use is seen in another."""

    def recording(length: int, mark: float) -> Examples:
        used = np.full((length, 1), mark, np.float32)
        return Examples(Recording("made-up", "", "", (), {}), 0, {"in_use": used}, {})

    parts = [recording(length, mark) for mark, length in enumerate((500, 30, 450, 900))]
    found = bundling.calibration_of(parts)["in_use"]
    assert found.shape == (3, bundling.CALIBRATION_STEPS, 1)  # one is too short
    assert sorted(set(found.ravel().tolist())) == [0, 2, 3]
    many = [recording(500, mark) for mark in range(30)]
    assert len(bundling.calibration_of(many)["in_use"]) == 8
    assert bundling.calibration_of(parts[1:2])["in_use"].shape == (1, 30, 1)
