"""What a student takes from elsewhere is left out where validation says that it loses."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.trainer.test_command_line import trainer  # noqa: E402
from trainer import fit  # noqa: E402
from trainer.fit import Data  # noqa: E402
from trainer.recipe_parts import Split  # noqa: E402
from trainer.recipes import virtual  # noqa: E402
from trainer.stream_guard import alone, guarded  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = tuple(f"virtual:seed={seed},boxes=3" for seed in (1, 2))
STUDENT = replace(
    virtual("iot"), split=Split(NAMES, NAMES[1:], ()), teacher="sigformer-virtual-imu-iot",
    updates=30, check_every=10, batch=8, crop_steps=40, hidden=16, width=8, learning_rate=5e-3,
    soft_weight=20.0, soft_temperature=1.0,
)  # fmt: skip


@pytest.fixture
def plain(monkeypatch, tmp_path) -> Data:
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path))
    return fit.prepare(STUDENT, None)


def told(plain: Data, shift: int) -> Data:
    """Have a teacher say the true label of every step, or the one so many further."""
    train = [
        replace(one, soft={n: np.roll(y, shift, -1) for n, y in one.target.items()})
        for one in plain.train
    ]
    return replace(plain, train=train)


def test_a_teacher_that_lies_is_switched_off_and_the_student_is_the_one_alone(plain):
    said: list[str] = []
    verdict = guarded(STUDENT, told(plain, 1), 0, said.append)
    assert not verdict.is_kept
    assert verdict.recipe == alone(STUDENT)
    assert said[-1].startswith("virtual-iot: transfer is switched off: validation macro-F1 0.")
    one = fit.fit(alone(STUDENT), plain, 0).student.state_dict()
    kept = verdict.fitted.student.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in one.items())


def test_a_teacher_that_tells_the_truth_is_kept_if_it_helps(plain):
    verdict = guarded(STUDENT, told(plain, 0), 0)
    assert verdict.is_kept == (verdict.helped_f1 >= verdict.alone_f1)
    assert verdict.fitted.validation_f1 == max(verdict.helped_f1, verdict.alone_f1)
    assert ("kept" if verdict.is_kept else "switched off") in str(verdict)


def test_where_nothing_is_taken_there_is_nothing_to_judge(plain, tmp_path):
    with pytest.raises(ValueError, match="virtual-iot: takes nothing from elsewhere"):
        guarded(alone(STUDENT), plain, 0)
    ended = trainer("fit", "virtual-iot", "--guard", "--out", str(tmp_path / "out"))
    assert ended.returncode == 2
    assert "nothing for --guard to judge" in ended.stderr
    assert not (tmp_path / "out").exists()
