"""What a teacher says of recordings that it never saw, and what a student makes of it."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from sensor_adapters.recording import RecordingError  # noqa: E402
from trainer import fit, named_teachers, teach  # noqa: E402
from trainer.home_recipes import FOLDS  # noqa: E402
from trainer.recipe_parts import Split  # noqa: E402
from trainer.recipes import recipe, virtual  # noqa: E402
from trainer.student import Answers  # noqa: E402
from trainer.teacher_answers import Spoken, distilled, with_answers  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = tuple(f"virtual:seed={seed},boxes=1" for seed in (1, 2, 3))
STUDENT = replace(
    virtual("iot"), split=Split(NAMES[:2], NAMES[2:], ()), teacher="sigformer-virtual-imu",
    updates=2, check_every=1, batch=2, crop_steps=20, width=8, hidden=8,
)  # fmt: skip


@pytest.fixture
def taught(monkeypatch, tmp_path):
    """Have teachers taught for two updates; return the recordings that each learnt from."""
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path))
    known, found = teach.teach, []
    make = named_teachers.teacher

    def small(name):
        return replace(make(name), updates=2, check_every=1, batch=2, window=16)

    def noted(one, parts, *rest):
        found.append([example.recording.name for example in parts.train])
        return known(one, parts, *rest)

    monkeypatch.setattr(named_teachers, "teacher", small)
    monkeypatch.setattr(teach, "teach", noted)
    return found


def answers(data):
    return [example.soft for example in data.train]


def test_nobody_speaks_of_a_recording_that_it_learnt_from_and_is_asked_once(taught):
    plain = fit.prepare(STUDENT, None)
    data = distilled(STUDENT, plain, None, "cpu")
    names = [example.recording.name for example in plain.train]
    assert taught == [[names[1]], [names[0]]]
    for example in data.train:
        assert set(example.soft) == {"operation", "action"}
        for name, said in example.soft.items():
            assert said.shape == example.target[name].shape
            spoken = said.sum(1) > 0
            assert spoken.mean() > 0.9
            assert said[spoken].sum(1) == pytest.approx(1, abs=1e-3)
    again = distilled(STUDENT, plain, None, "cpu")
    assert len(taught) == 2, "kept"
    for one, other in zip(answers(data), answers(again), strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    distilled(replace(STUDENT, teacher_seed=1), plain, None, "cpu")
    assert len(taught) == 4, "another seed, another teacher"
    assert data.validation == plain.validation


def test_what_a_teacher_says_changes_what_a_student_learns(taught):
    plain = fit.prepare(STUDENT, None)
    data = distilled(STUDENT, plain, None, "cpu")
    alone, told = (
        torch.cat([w.flatten() for w in fit.fit(STUDENT, one, 5).student.state_dict().values()])
        for one in (plain, data)
    )
    assert not torch.equal(alone, told)


def test_one_recording_alone_has_nobody_to_speak_of_it(taught):
    one = replace(STUDENT, split=Split(NAMES[:1], NAMES[2:], ()))
    with pytest.raises(RecordingError, match="found one training recording, virtual:seed=1"):
        distilled(one, fit.prepare(one, None), None, "cpu")


def test_a_recipe_without_a_teacher_is_left_as_it_is(taught):
    one = replace(STUDENT, teacher="")
    data = fit.prepare(one, None)
    assert distilled(one, data, None, "cpu") is data
    assert taught == []


def test_an_answer_stands_where_the_student_speaks_of_its_step(taught):
    data = fit.prepare(STUDENT, None)
    one, level = data.train[0], data.manifest.levels[0]
    said = np.zeros((len(one), 2), np.float32)
    said[:, 0] = np.arange(len(one))
    spoken = Spoken(one.first, {level.name: (level.labels[1], "unheard of")}, {level.name: said})
    found = with_answers(one, data.manifest, spoken).soft
    assert set(found) == {level.name}
    assert data.manifest.delay_steps == 1
    assert found[level.name][:5, 1].tolist() == [0, 0, 1, 2, 3]
    assert not found[level.name][:, [0, *range(2, len(level.labels))]].any()


def test_a_teacher_s_answers_cost_by_hand():
    logits = torch.zeros(1, 3, 2)
    said = torch.tensor([[[0.8, 0.2], [0.0, 0.0], [0.8, 0.2]]])
    one = replace(STUDENT, warm_steps=1, soft_weight=0.5, soft_temperature=1.0)
    found = fit.soft_loss(
        Answers({"a": logits}, torch.zeros(1, 3), torch.zeros(1, 1), logits), {"a": said}, one
    )
    expected = 0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5)
    assert found == pytest.approx(0.5 * expected, rel=1e-5)
    silent = {"a": torch.zeros(1, 3, 2)}
    nothing = fit.soft_loss(
        Answers({"a": logits}, torch.zeros(1, 3), torch.zeros(1, 1), logits), silent, one
    )
    assert nothing == 0


@pytest.mark.parametrize("fold", FOLDS)
def test_a_fold_of_sphere_has_students_and_distilled_ones(fold):
    alone, told = (recipe(f"sphere-imu-iot-{fold}{end}") for end in ("", "-distilled"))
    assert alone.split == told.split == named_teachers.teacher(told.teacher).source.split
    assert (alone.teacher, told.teacher) == ("", f"sigformer-sphere-imu-camera-iot-{fold}")
    assert alone.modality == ("imu", "iot")
