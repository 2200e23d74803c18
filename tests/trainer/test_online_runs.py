"""A teacher shown no future sees none; recipes with another head; what each costs."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_teachers import MANIFEST, RECIPE, recording  # noqa: E402
from trainer import head_costs, online_runs, online_tables  # noqa: E402
from trainer.online_recipes import HEADS  # noqa: E402
from trainer.recipe_parts import Split, UnknownRecipe  # noqa: E402
from trainer.recipes import recipe  # noqa: E402
from trainer.teacher_recipes import build  # noqa: E402
from trainer.whole_recordings import causal_probabilities, probabilities  # noqa: E402

pytestmark = pytest.mark.torch


def test_a_teacher_that_is_shown_nothing_later_does_not_change_its_mind_of_the_past():
    torch.manual_seed(0)
    model = build(RECIPE, MANIFEST).eval()
    tensors = recording(1).tensors
    later = {name: np.where(np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) >= 25, 1 - x, x)
             for name, x in tensors.items()}  # fmt: skip
    before, after = (causal_probabilities(model, x, RECIPE)["operation"] for x in (tensors, later))
    assert len(before) == len(recording(1))
    np.testing.assert_array_equal(before[:25], after[:25])
    assert np.abs(before[25:] - after[25:]).max() > 1e-3
    whole, other = (probabilities(model, x, RECIPE)["operation"] for x in (tensors, later))
    assert np.abs(whole[20:25] - other[20:25]).max() > 1e-4  # as it is, it does


def test_every_head_stands_behind_any_recipes_name():
    for head in HEADS:
        name = "sphere-imu-pairs12" + ("" if head == "gru" else f"-{head}")
        found = recipe(name)
        assert found.name == name
        assert (found.malt is not None, bool(found.tcn_layers)) == (
            head.startswith("malt"), head == "tcn",
        )  # fmt: skip
    whole = recipe("sphere-imu-pairs12-malt-all-keys").malt
    assert whole is not None
    assert whole.top == whole.long == 64
    assert recipe("sphere-imu-pairs12-malt-unforeseeing").foreseen_weight == 0


@pytest.mark.parametrize(
    "name",
    [
        "virtual-imu-tcn-4hz", "virtual-imu-4hz-4hz", "virtual-imu-tcn-malt",
        "sphere-imu-pairs12-distilled-4hz", "sphere-imu-pairs12-dcat-4hz",
    ],
)  # fmt: skip
def test_endings_stand_once_and_in_order_and_not_where_they_can_not_be(name):
    with pytest.raises(UnknownRecipe, match=f"recipe '{name}' is unknown"):
        recipe(name)


@pytest.mark.slow
def test_a_student_is_heard_taught_or_as_it_was_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path / "cache"))
    names = tuple(f"virtual:seed={seed},boxes=2" for seed in (1, 2))
    small = replace(
        recipe("virtual-imu"), split=Split(names, names[1:], names[:1]), width=8, hidden=16,
        batch=8, crop_steps=40, updates=40, check_every=20, learning_rate=1e-2, dropout=0.0,
    )  # fmt: skip
    monkeypatch.setattr(online_runs, "recipe_of", lambda _: small)
    (run,) = online_runs.taught("virtual-imu", None, 0).values()
    online_runs.write(run, tmp_path / "run.npz", "")
    again = online_runs.read("virtual-imu", None, tmp_path / "run.npz")
    figures = online_tables.judged(run)
    assert online_tables.judged(again) == figures
    viterbi = figures["decoders"]["viterbi 5 s"]
    # a step is answered a step later, and the label is shown at its end
    assert viterbi["onset_s"] >= 1.0
    assert viterbi["commit_s"] > figures["decoders"]["viterbi 0 s"]["commit_s"]
    assert 0 < figures["map"] <= 1


@pytest.mark.slow
def test_costs_tell_malt_as_boards_run_it_from_malt_computed_anew(monkeypatch):
    monkeypatch.setattr(head_costs, "ROUNDS", 1)
    monkeypatch.setattr(head_costs, "LEAST_S", 0.005)
    found = head_costs.rows(recipe("virtual-imu"), ["gru", "malt"], (1, 3), lambda _: None)
    assert [row["head"] for row in found] == [
        "gru", "malt", head_costs.BETWEEN, head_costs.RECOMPUTED,
    ]  # fmt: skip
    by_head = {row["head"]: row for row in found}
    assert by_head[head_costs.BETWEEN]["kB"] < by_head["malt"]["kB"]
    assert all(row[name] > 0 for row in found for name in ("us_1", "us_3", "us_one_by_one"))
