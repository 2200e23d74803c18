"""Transfer that harms is switched off, on training people alone, and said."""

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_clips import PEOPLE, clips  # noqa: E402
from trainer.clip_fit import Told  # noqa: E402
from trainer.clip_recipes import ClipRecipe, Soft, clip_recipe  # noqa: E402
from trainer.clip_sources import Sources  # noqa: E402
from trainer.guard import guarded  # noqa: E402

pytestmark = pytest.mark.torch
CLIPS = clips()
SMALL: dict[str, Any] = {
    "epochs": 20, "width": 16, "rows": 64, "batch": 16, "learning_rate": 0.01
}  # fmt: skip


def recipe() -> ClipRecipe:
    soft = Soft(("skeleton",), weight=50.0, temperature=1.0)
    return replace(clip_recipe("utd_mhad", "imu", "soft"), **SMALL, soft=soft)


def teach(monkeypatch, shift):
    """Have the source say the true label, or the next one, of every training clip."""

    def told(self, one):
        if one.soft is None:
            return Told()
        label = torch.from_numpy((self._clips.label + shift) % 3)
        return Told(30 * torch.nn.functional.one_hot(label, 3).float())

    monkeypatch.setattr(Sources, "told", told)


def test_a_source_that_lies_is_switched_off_and_it_is_said(monkeypatch):
    teach(monkeypatch, 1)
    said: list[str] = []
    verdict = guarded(recipe(), CLIPS, 0, said.append)
    assert not verdict.is_kept
    assert verdict.recipe == replace(recipe(), soft=None)
    assert verdict.transferred < verdict.alone
    assert said[0].startswith("utd_mhad-imu-soft: transfer is switched off: macro-F1 0.")


def test_a_source_that_helps_or_does_no_harm_is_kept(monkeypatch):
    teach(monkeypatch, 0)
    said: list[str] = []
    verdict = guarded(replace(recipe(), epochs=30), CLIPS, 0, said.append)
    assert verdict.is_kept
    assert "transfer is kept" in said[0]


def test_nobody_but_the_training_people_is_asked(monkeypatch):
    teach(monkeypatch, 0)
    seen: set[str] = set()
    known = type(CLIPS).of

    def of(self, subjects):
        seen.update(subjects)
        return known(self, subjects)

    monkeypatch.setattr(type(CLIPS), "of", of)
    guarded(replace(recipe(), epochs=1), known(CLIPS, PEOPLE[:3]), 0, lambda _: None)
    assert seen == set(PEOPLE[:3])


def test_one_person_can_not_be_held_out_of_one():
    with pytest.raises(ValueError, match="found 1 people, expected more than the 2 held out"):
        guarded(recipe(), CLIPS.of(PEOPLE[:1]), 0, lambda _: None)
