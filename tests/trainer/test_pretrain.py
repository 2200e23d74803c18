"""Weights learnt without labels: what is told, what is hidden, and who may start from them."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")

from safetensors.torch import save  # noqa: E402

from sensor_adapters.recording import RecordingError  # noqa: E402
from tests.trainer.test_command_line import trainer  # noqa: E402
from trainer import fit, own_start, pretrain, starting_weights  # noqa: E402
from trainer.one_cycle import one_cycle  # noqa: E402
from trainer.recipe_parts import IMU_CHANNELS, Split, UnknownRecipe, imu_block  # noqa: E402
from trainer.recipes import recipe, virtual  # noqa: E402
from trainer.starting_weights import StartError  # noqa: E402
from trainer.student import Student, StudentConfig  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = tuple(f"virtual:seed={seed},boxes=3" for seed in (1, 2))
RECIPE = replace(
    virtual("imu"), split=Split(NAMES, NAMES[1:], ()), inputs=(imu_block(("right_wrist",)),),
    width=8, hidden=16, batch=8, crop_steps=40, updates=2, check_every=1, warm_steps=2,
    learning_rate=5e-3,
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("SOLOSENSE_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def read(cache):
    return pretrain.read(RECIPE, NAMES)


@pytest.fixture(scope="module")
def found(read):
    return pretrain.pretrain(RECIPE, read, 0, 120)


@pytest.fixture(scope="module")
def start(found, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "wrist.safetensors"
    pretrain.write(found, file)
    return starting_weights.read(file)


def test_recordings_are_read_without_labels(read):
    assert read.manifest.levels == ()
    assert [part.target for part in read.parts] == [{}, {}]
    assert [part.recording.truth for part in read.parts] == [(), ()]


def test_a_step_is_told_by_mean_spread_and_change_of_what_was_observed():
    values = torch.tensor([1.0, 3.0, 3.0, 100.0]).view(1, 1, 4, 1)
    observed = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 4, 1)
    told, known = pretrain.statistics(values, observed)
    spread, change = np.std([1, 3, 3]), np.mean([2, 0])
    floor = pretrain.FLOOR
    expected = [7 / 3, np.log(spread + floor), np.log(change + floor)]
    assert told.flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert known.flatten().tolist() == [1, 1, 1]
    assert not pretrain.statistics(values, 0 * observed)[1].any()


def test_about_a_third_of_the_steps_is_hidden_whole_and_rows_of_others():
    shown = pretrain.hidden(torch.ones(64, 200, 20, 3), torch.Generator().manual_seed(0))
    whole = shown.sum((2, 3)) == 0
    assert 0.2 < whole.float().mean() < 0.4
    some = (shown.sum((2, 3)) < 20) & ~whole
    assert 0.4 < some.float().mean() / (~whole).float().mean() < 0.6


def test_what_was_kept_back_is_told_better_than_by_the_mean(found):
    assert found.said["explained_of_a_step"] > 0.1


def test_the_same_seed_gives_the_same_weights(read):
    once, again, other = (pretrain.pretrain(RECIPE, read, seed, 2).weights for seed in (3, 3, 4))
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not all(torch.equal(once[name], other[name]) for name in once)


def test_a_student_of_the_same_unit_takes_all_but_what_is_said_of_labels(start, found, cache):
    said: list[str] = []
    data = fit.prepare(RECIPE, None)
    fit.fit(RECIPE, replace(data, start=start), 0, said.append)
    assert said[0].endswith("wrist.safetensors: took encoders.imu, fuse, gru")
    student = Student(fit.student_config(RECIPE, data.manifest))
    assert start.into(student).left == ()
    for name, weight in student.state_dict().items():
        if name.split(".")[0] in ("encoders", "fuse", "gru"):
            assert torch.equal(weight, found.weights[name])
        else:
            assert name not in found.weights


def student(**changes):
    given = {
        "inputs": (("imu", 30, 6),), "levels": (("a", 3),), "width": 8, "hidden": 16, **changes
    }  # fmt: skip
    return Student(StudentConfig(**given))


def test_a_student_that_has_devices_as_well_takes_the_encoder_and_is_told_of_the_rest(start):
    taken = start.into(student(devices=2))
    assert taken.taken == ("encoders.imu",)
    assert taken.left == (
        "fuse (fuse.weight is 16×24, the student's 16×32)",
        "gru (reads what fuse makes)",
    )


def test_a_student_of_another_unit_takes_what_follows_the_encoder(start):
    taken = start.into(student(inputs=(("imu", 30, 12),)))
    assert taken.taken == ("fuse", "gru")
    assert taken.left[0].startswith("encoders.imu (encoders.imu.near.weight is 8×12×5, ")


def test_where_nothing_fits_nothing_starts(start):
    for other in (student(width=9, hidden=17), student(inputs=(), devices=3)):
        with pytest.raises(StartError, match=r"wrist\.safetensors: found encoders\.imu \("):
            start.into(other)


@pytest.mark.parametrize("content", [None, b"", b"what is this", bytes(8)])
def test_a_file_that_holds_no_weights_is_named(tmp_path, content):
    file = tmp_path / "weights.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError, match=r"weights\.safetensors: .*, expected weights that"):
        starting_weights.read(file)


def test_devices_alone_have_nothing_to_learn_from():
    with pytest.raises(RecordingError, match="found devices alone, expected an input of inertial"):
        pretrain.read(virtual("iot"), NAMES)


def test_a_recording_without_a_unit_at_the_place_is_refused():
    ankle = replace(RECIPE, inputs=(imu_block(("ankle",)),))
    with pytest.raises(RecordingError, match=r"seed=1.*expected a unit at ankle"):
        pretrain.read(ankle, NAMES)


@pytest.mark.slow
def test_the_commands_pretrain_and_start_from_it(tmp_path):
    file, run = tmp_path / "wrist.safetensors", tmp_path / "run"
    done = trainer(
        "pretrain", "virtual-imu", NAMES[0], "--only-named", "--out", file, "--updates", 2,
        "--size", "nano",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(file.with_suffix(".json").read_text())
    assert [one["name"] for one in said["recordings"]] == ["virtual-seed1"]
    fitted = ("fit", "virtual-imu", "--out", run, "--updates", 1, "--start-from", file)
    done = trainer(*fitted, "--size", "nano")
    assert done.returncode == 0, done.stderr
    assert "took encoders.imu, fuse, gru" in done.stderr
    history = json.loads((run / "history.json").read_text())
    assert history["started_from"] == {"file": str(file), "sha256": said["sha256"]}
    done = trainer("fit", "virtual-imu", "--out", tmp_path / "other", *fitted[4:])
    assert done.returncode == 2
    assert "expected a part that fits the student" in done.stderr


def test_a_recipe_that_starts_so_learns_its_start_once_from_its_own_training_part(cache):
    recipe = replace(RECIPE, pretrain_updates=3)
    data = fit.prepare(recipe, None)
    said: list[str] = []
    first = own_start.with_start(recipe, data, None, said.append)
    assert said[0] == "virtual-imu: learns without labels first"
    said.clear()
    again = own_start.with_start(recipe, data, None, said.append)
    assert said == []
    longer = own_start.with_start(replace(recipe, pretrain_updates=4), data, None)
    assert first.start
    assert again.start
    assert longer.start
    assert again.start.sha256 == first.start.sha256 != longer.start.sha256
    fitted = fit.fit(replace(recipe, updates=1), first, 0, said.append)
    assert said[0] == "learnt without labels: took encoders.imu, fuse, gru"
    assert fitted.student.parameter_count > 0


def test_without_it_nothing_is_learnt_first(cache):
    data = fit.prepare(RECIPE, None)
    assert own_start.with_start(RECIPE, data, None) is data


def test_there_is_such_a_recipe_for_inertial_units_alone():
    assert recipe("sphere-imu-iot-pairs12-pretrained").pretrain_updates > 0
    with pytest.raises(UnknownRecipe):
        recipe("sphere-camera-pairs12-pretrained")


def test_a_recording_with_one_unit_of_two_is_learnt_from_alone(cache, data):
    """SPHERE's people wear one at the right wrist; the recipe reads both."""
    both = replace(RECIPE, inputs=(imu_block(("left_wrist", "right_wrist"), IMU_CHANNELS[:3]),))
    found = pretrain.read(both, [str(data / "sphere" / "train" / "00001")])
    seen = found.parts[0].tensors["imu_observed"]
    assert not seen[..., :3].any()
    assert seen[..., 3:].mean() > 0.5


def test_weights_say_under_what_licence_they_were_learnt_and_so_do_those_begun_with_them(
    cache, start, tmp_path
):
    assert start.data_license == "Apache-2.0 (simulated)"
    data = fit.prepare(replace(RECIPE, updates=1), None)
    mine = fit.fit(replace(RECIPE, updates=1), replace(data, start=start), 0).manifest
    assert mine.data_license == "Apache-2.0 (simulated)"
    other = replace(start, data_license="for research")
    theirs = fit.fit(replace(RECIPE, updates=1), replace(data, start=other), 0).manifest
    assert theirs.data_license == "Apache-2.0 (simulated); begun with weights of: for research"
    (tmp_path / "bare.safetensors").write_bytes(save(start.weights))
    assert starting_weights.read(tmp_path / "bare.safetensors").data_license == "data not stated"


def test_weights_that_are_no_numbers_are_refused(start, tmp_path):
    file = tmp_path / "nan.safetensors"
    name, weight = next(iter(start.weights.items()))
    file.write_bytes(save({**start.weights, name: torch.full_like(weight, torch.nan)}))
    with pytest.raises(StartError, match=f"found {name} with values that are no numbers"):
        starting_weights.read(file)


@pytest.mark.parametrize("updates", [1, 2, 3, 5, 10, 11, 19, 20])
def test_any_number_of_updates_has_a_schedule(updates):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    schedule = one_cycle(optimizer, 0.1, updates)
    for _ in range(updates):
        assert 0 <= optimizer.param_groups[0]["lr"] <= 0.1
        optimizer.step()
        schedule.step()


def test_what_can_not_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    for command in (
        ("fit", "virtual-imu", "--out", tmp_path / "file"),
        ("pretrain", "virtual-imu", "--out", tmp_path / "file" / "p.safetensors"),
    ):
        ended = trainer(*command)
        assert ended.returncode == 2
        assert "expected a folder that can be written" in " ".join(ended.stderr.split())
