"""A teacher's folder is read back as it was written, or what is wrong with it is told."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_teachers import MANIFEST, PARTS, RECIPE  # noqa: E402
from trainer import saved_teacher, teach  # noqa: E402
from trainer.fit import Data  # noqa: E402
from trainer.judged_teacher import with_bends  # noqa: E402
from trainer.processes import Processes  # noqa: E402
from trainer.recipes import recipe  # noqa: E402
from trainer.saved_teacher import TeachError  # noqa: E402
from trainer.teacher_recipes import SIZES, build, settings  # noqa: E402

pytestmark = pytest.mark.torch
ALONE = Processes(0, 1, torch.device("cpu"))
SHORT = replace(RECIPE, updates=2, check_every=1, accumulate=1)


def taught(folder=None):
    """Return a teacher after two updates."""
    found = teach.teach(SHORT, PARTS, 5, ALONE, folder)
    return with_bends(found, Data(*PARTS.scaled()), SHORT, ALONE.device)


def run():
    return teach.Run(SHORT, PARTS, 5, ALONE)


def weights(model):
    return torch.cat([x.detach().flatten() for x in model.state_dict().values()])


def count(model):
    return sum(x.numel() for x in model.parameters())


def test_a_taught_teacher_is_read_back_as_it_was(tmp_path):
    first = taught(tmp_path)
    saved_teacher.save(first, SHORT, 5, tmp_path)
    again, history = saved_teacher.read(tmp_path)
    assert torch.equal(weights(again.model), weights(first.model))
    assert (again.best_update, again.manifest) == (first.best_update, MANIFEST)
    assert again.bends == first.bends
    assert set(again.bends) == {level.name for level in MANIFEST.levels}
    assert settings(history.recipe) == settings(SHORT)
    assert list(tmp_path.glob("events.*")), "what TensorBoard shows"


def test_a_saved_teacher_stays_what_it_was_when_its_size_means_something_else(
    tmp_path, monkeypatch
):
    first = taught()
    saved_teacher.save(first, SHORT, 5, tmp_path)
    other = {**SIZES, SHORT.size: {**SIZES[SHORT.size], "skip": False, "boundary_width": 5}}
    monkeypatch.setattr("trainer.teacher_recipes.SIZES", other)
    assert count(build(SHORT, MANIFEST)) != count(first.model)
    assert torch.equal(weights(saved_teacher.read(tmp_path)[0].model), weights(first.model))


def cut_short(path):
    path.write_bytes(path.read_bytes()[:1000])


def with_a_flipped_byte(path):
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def of_something_else(path):
    torch.save(["a list"], path)


@pytest.mark.parametrize("damaged", [cut_short, with_a_flipped_byte, of_something_else])
def test_a_damaged_checkpoint_is_told_not_trained_on(tmp_path, damaged):
    run().save(tmp_path)
    damaged(tmp_path / "checkpoint.pt")
    with pytest.raises(TeachError, match="expected a checkpoint that `fit` wrote"):
        run().resume(tmp_path)


@pytest.mark.parametrize("name", ["draft.json", "history.json", "weights.safetensors"])
@pytest.mark.parametrize("damaged", [cut_short, with_a_flipped_byte, of_something_else])
def test_a_damaged_teacher_is_told_not_judged(tmp_path, name, damaged):
    saved_teacher.save(taught(), SHORT, 5, tmp_path)
    path = tmp_path / name
    if name == "weights.safetensors" or damaged is not with_a_flipped_byte:
        damaged(path)
    else:  # one digit of the JSON, so that it is still JSON
        path.write_text(path.read_text().replace('"best_update": 2', '"best_update": "2"')
                        .replace('"step_us": 1000000', '"step_us": "x"')
                        .replace('"best_update": 1', '"best_update": "1"'))  # fmt: skip
    with pytest.raises(TeachError, match=f"{name}: found .*expected a teacher as `fit`"):
        saved_teacher.read(tmp_path)


def test_a_run_broken_off_is_told_as_one(tmp_path):
    run().save(tmp_path)
    with pytest.raises(TeachError, match="broken off; `fit` goes on"):
        saved_teacher.read(tmp_path)


def test_a_folder_without_a_teacher_is_refused(tmp_path):
    with pytest.raises(TeachError, match=r"draft\.json.*expected a teacher as `fit` wrote"):
        saved_teacher.read(tmp_path)


def test_what_fit_wrote_of_a_student_is_no_teacher(tmp_path):
    history = tmp_path / "history.json"
    history.write_text(json.dumps({"recipe": vars(recipe("virtual-iot"))}, default=str))
    assert not saved_teacher.is_teacher(tmp_path)
    history.write_text(json.dumps({"recipe": settings(SHORT)}))
    assert saved_teacher.is_teacher(tmp_path)
