"""Students of every size: as many weights as is said, and all of them reach a board."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")

from tests.trainer.test_command_line import trainer  # noqa: E402
from trainer.recipe_parts import Recipe  # noqa: E402
from trainer.recipes import recipe  # noqa: E402
from trainer.student import Student, StudentConfig  # noqa: E402
from trainer.student_sizes import SIZES, sized  # noqa: E402

pytestmark = pytest.mark.torch
LABELS = {"virtual": (10, 20), "openpack": (11,), "sphere": (20,), "openhab": (11,)}
ONE_KIND = (
    "virtual-imu", "virtual-camera", "virtual-iot", "sphere-imu", "sphere-camera", "sphere-iot",
    "ralt-session1", "openpack-challenge-2022-imu", "openpack-challenge-2022-camera",
)  # fmt: skip


def student(one: Recipe) -> Student:
    torch.manual_seed(0)
    config = StudentConfig(
        inputs=tuple((b.name, b.rate_hz, len(b.channels)) for b in one.inputs),
        levels=tuple(zip(one.levels, LABELS[one.data], strict=True)),
        devices=len(one.devices),
        width=one.width, hidden=one.hidden, layers=one.layers, guided=one.guided,
    )  # fmt: skip
    return Student(config).eval()


@pytest.mark.parametrize("size", SIZES)
def test_a_size_has_as_many_weights_as_it_says(size):
    least, most = SIZES[size].weights
    for name in ONE_KIND:
        assert least <= student(sized(recipe(name), size)).parameter_count <= most, name
    together = replace(sized(recipe("sphere-imu-camera-iot"), size), guided=True)
    assert least <= student(together).parameter_count <= 4 / 3 * most


def test_sizes_do_not_overlap_and_a_recipes_own_lies_among_them():
    bounds = [bound for size in SIZES.values() for bound in size.weights]
    assert bounds == sorted(bounds)
    for name in ONE_KIND:
        assert SIZES["nano"].weights[1] < student(recipe(name)).parameter_count < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["virtual-imu", "virtual-camera", "virtual-iot"])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_every_sensor_reaches_a_board(size, name, tmp_path):
    pytest.importorskip("litert_torch", reason="export needs litert-torch")
    from tests.trainer.test_export import engine
    from trainer.export import TOLERANCES, check, reference, to_onnx, to_tflite

    model = student(sized(recipe(name), size))
    rng = np.random.default_rng(0)
    steps = {
        tensor: (rng.random((8, *shape)) < 0.5).astype(np.float32)
        for tensor, shape in model.config.input_shapes.items()
        if tensor != "state"
    }
    expected = reference(model, steps)
    for write, kind, scheme in (
        (to_tflite, "tflite", "int8-dynamic"),
        (to_onnx, "onnx", "float32"),
    ):
        file = tmp_path / f"model.{kind}"
        write(model, file, scheme)
        check(engine(file, 1, model.config), expected, TOLERANCES[scheme], f"{name} {size}")


@pytest.mark.slow
def test_fit_takes_size_and_guidance_and_export_finds_them_again(tmp_path):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    done = trainer("fit", "virtual-iot", "--out", run, "--updates", 1, "--size", "nano", "--guided")
    assert done.returncode == 0, done.stderr
    said = json.loads((run / "history.json").read_text())["recipe"]
    assert (said["width"], said["hidden"], said["guided"], said["updates"]) == (16, 48, True, 1)
    done = trainer("export", "virtual-iot", "--from", run, "--out", bundle)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["state_size"], manifest["recipe"]["hidden"]) == (48, 48)
    assert manifest["recipe"]["updates"] == 1


def test_a_size_that_there_is_not_is_refused_with_those_there_are(tmp_path):
    done = trainer("fit", "virtual-iot", "--out", tmp_path, "--size", "huge")
    assert done.returncode == 2
    assert "--size is 'huge', expected one of nano, small, base, large" in done.stderr


def test_malt_is_as_wide_as_its_student():
    malt = sized(recipe("virtual-imu-malt"), "small").malt
    assert malt is not None
    assert malt.width == SIZES["small"].hidden
    student(sized(recipe("virtual-imu-malt"), "small"))
