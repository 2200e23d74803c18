"""What stands in for a student's GRU answers the same over a recording and one step at a time."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer import bundle_table, bundling, fit  # noqa: E402
from trainer.malt_config import MaltConfig  # noqa: E402
from trainer.recipe_parts import Split  # noqa: E402
from trainer.recipes import virtual  # noqa: E402
from trainer.student import Student, StudentConfig, StudentStep  # noqa: E402

pytestmark = pytest.mark.torch
MALT = MaltConfig(width=16, heads=2, long=8, stride=3, short=6, top=5)
HEADS: dict[str, dict[str, Any]] = {"gru": {}, "tcn": {"tcn_layers": 3}, "malt": {"malt": MALT}}
NAMES = tuple(f"virtual:seed={seed},boxes=2" for seed in (1, 2))
RECIPE = replace(
    virtual("imu"), split=Split(NAMES, NAMES[1:], ()), width=8, hidden=16, batch=8, crop_steps=40,
    updates=40, check_every=10, learning_rate=1e-2, dropout=0.0,
)  # fmt: skip


def student(head, **changes):
    torch.manual_seed(0)
    given = {
        "inputs": (("imu", 10, 3),), "levels": (("operation", 4), ("action", 3)), "devices": 2,
        "width": 8, "hidden": 16, **HEADS[head], **changes,
    }  # fmt: skip
    return Student(StudentConfig(**given)).eval()


def inputs(steps, stations=2):
    rng = torch.Generator().manual_seed(1)
    return {
        "imu": torch.randn(stations, steps, 10, 3, generator=rng),
        "imu_observed": torch.ones(stations, steps, 10, 3),
        "in_use": torch.randint(0, 2, (stations, steps, 2), generator=rng).float(),
        "in_use_observed": torch.ones(stations, steps, 2),
    }


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("guided", [False, True])
def test_a_board_hears_step_by_step_what_the_trainer_heard(head, guided):
    one = student(head, guided=guided)
    step, given = StudentStep(one), inputs(80)
    state = torch.zeros(2, one.config.state_size)
    with torch.no_grad():
        whole = one(given)
        for t in range(80):
            answer = step(*(given[n][:, t] for n in one.config.input_names[:-1]), state)
            *labels, boundary, state = answer
            for name, p in zip(("operation", "action"), labels, strict=True):
                torch.testing.assert_close(
                    p, whole.logits[name][:, t].softmax(-1), atol=1e-4, rtol=0
                )
            torch.testing.assert_close(
                boundary[:, 0], whole.boundary[:, t].sigmoid(), atol=1e-4, rtol=0
            )


@pytest.mark.parametrize("head", ["tcn", "malt"])
def test_a_head_learns(head, monkeypatch, tmp_path):
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path))
    recipe = replace(RECIPE, tcn_layers=3) if head == "tcn" else replace(RECIPE, malt=MALT)
    data = fit.prepare(recipe, None)
    said: list[str] = []
    once = fit.fit(recipe, data, 0, said.append).student.state_dict()
    first, *_, last = (float(line.split()[3]) for line in said)
    assert last < 0.95 * first
    again = fit.fit(recipe, data, 0).student.state_dict()
    assert all(torch.equal(again[name], once[name]) for name in once)


def test_what_is_foreseen_is_learnt_beside_and_says_nothing_of_its_own_step():
    one, given = student("malt").train(), inputs(40)
    torch.manual_seed(3)
    said = one(given)
    assert len(said.foreseen) == 2
    assert said.foreseen[0]["action"].shape == (2, 40, 3)
    assert not one.eval()(given).foreseen
    later = {name: x.clone() for name, x in given.items()}
    later["in_use"][:, 39] = 1 - later["in_use"][:, 39]
    one.train()
    for part in one.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    torch.manual_seed(3)
    before = one(given)
    torch.manual_seed(3)
    after = one(later)
    for mine, theirs in zip(before.foreseen, after.foreseen, strict=True):
        assert torch.equal(mine["action"], theirs["action"])
    assert not torch.equal(before.logits["action"][:, 39], after.logits["action"][:, 39])


@pytest.mark.parametrize("head", ["tcn", "malt"])
def test_only_a_gru_reads_on_from_a_state(head):
    one = student(head)
    with pytest.raises(ValueError, match="found a state, expected none"):
        one(inputs(5), torch.zeros(2, one.config.state_size))


def test_only_one_thing_can_stand_in_for_a_gru_and_it_must_be_as_wide():
    with pytest.raises(ValueError, match="found MALT and a TCN, expected one of them"):
        student("malt", tcn_layers=2)
    with pytest.raises(ValueError, match="found MALT of width 16, expected 24"):
        student("malt", hidden=24)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["tcn", "malt"])
def test_a_bundle_answers_as_the_trainer_does_and_knows_its_shape(head, monkeypatch, tmp_path):
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path / "cache"))
    recipe = replace(RECIPE, **HEADS[head])
    data = fit.prepare(recipe, None)
    fitted = fit.fit(recipe, data, 0)
    bundle = bundling.make(fitted, recipe, data, 0, tmp_path / "bundle", head)  # or it is refused
    assert bundle_table.shape_of(bundle.manifest) == replace(fitted.student.config, dropout=0.1)
    expected = {"tcn": 16 * 2 * (1 + 2 + 4), "malt": MALT.state_size}[head]
    assert bundle.manifest.state_size == expected


def test_a_manifest_knows_the_shape_of_malt(monkeypatch, tmp_path):
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path))
    recipe = replace(RECIPE, malt=MALT)
    manifest = fit.prepare(recipe, None).manifest
    said = msgspec.structs.replace(manifest, recipe=bundling._plain(recipe, 0))
    assert bundle_table.shape_of(said) == replace(fit.student_config(recipe, manifest), dropout=0.1)


def test_a_loss_that_is_no_number_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path))
    wild = replace(RECIPE, learning_rate=1e30)
    with pytest.raises(fit.FitError, match=r"the loss is nan at update \d+, expected a number"):
        fit.fit(wild, fit.prepare(wild, None), 0)
