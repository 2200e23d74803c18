"""The plain teacher answers as the other does, and sees only what was observed."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_teachers import CAMERA, IMU, targets, windows  # noqa: E402
from trainer.bench import random_parts  # noqa: E402
from trainer.dilated import DilatedEncoder  # noqa: E402
from trainer.named_teachers import SENSORS, sphere_teacher  # noqa: E402
from trainer.sigformer import DenseInput  # noqa: E402
from trainer.tcn import Tcn, TcnConfig  # noqa: E402
from trainer.teacher_loss import LossWeights, teacher_loss  # noqa: E402
from trainer.teacher_recipes import build  # noqa: E402

pytestmark = pytest.mark.torch
CONFIG = TcnConfig((IMU, CAMERA), 3, (("operation", 4), ("action", 7)), width=16, layers=3)


def tcn(**options):
    torch.manual_seed(0)
    return Tcn(replace(CONFIG, **options)).eval()


def loss_of(one, inputs):
    answers = one(inputs)
    weights = {name: torch.ones(labels) for name, labels in one.config.levels}
    true = targets(one.config, *answers.boundary.shape)
    return teacher_loss(answers, true, weights, LossWeights())


@pytest.mark.parametrize(("inputs", "devices"), [((IMU,), 0), ((), 2), ((IMU, CAMERA), 3)])
def test_any_set_of_sensors_is_answered_for_every_step_and_level(inputs, devices):
    one = tcn(inputs=inputs, devices=devices)
    answers = one(windows(one.config, batch=3, steps=11))
    assert {name: x.shape for name, x in answers.logits.items()} == {
        "operation": (3, 11, 4), "action": (3, 11, 7),
    }  # fmt: skip
    assert answers.boundary.shape == (3, 11)
    assert [x.shape for x in answers.inner_logits] == [(3, 11, 4)] * 2, "the stages before the last"
    assert answers.inner_boundary == []


def test_the_loss_reaches_every_weight():
    one = tcn().train()
    loss_of(one, windows(CONFIG)).backward()
    missed = [n for n, x in one.named_parameters() if x.grad is None or not x.grad.any()]
    assert missed == []


@pytest.mark.parametrize("names", [(), ("imu",), ("imu", "camera", "in_use")])
def test_what_was_not_observed_can_not_change_an_answer(names):
    one, inputs = tcn(), windows(CONFIG)
    inputs |= {f"{n}_observed": torch.zeros_like(inputs[n]) for n in names}
    other = {
        n: x if n.endswith("_observed")
        else torch.where(inputs[f"{n}_observed"] > 0, x, torch.tensor(1e6))
        for n, x in inputs.items()
    }  # fmt: skip
    ours, theirs = one(inputs), one(other)
    assert torch.equal(ours.logits["action"], theirs.logits["action"])
    assert torch.equal(ours.boundary, theirs.boundary)
    assert ours.logits["operation"].isfinite().all()


def test_one_batch_can_be_learnt_by_heart():
    one, inputs = tcn(dropout=0.0).train(), windows(CONFIG)
    optimizer = torch.optim.Adam(one.parameters(), lr=5e-3)
    first = loss_of(one, inputs).item()
    for _ in range(80):
        optimizer.zero_grad()
        loss_of(one, inputs).backward()
        optimizer.step()
    assert loss_of(one, inputs) < 0.2 * first


@pytest.mark.parametrize(("layers", "reach"), [(1, 1), (2, 3), (4, 15)])
def test_layers_double_how_far_a_step_reaches(layers, reach):
    torch.manual_seed(0)
    one = DilatedEncoder(16, layers, 0.0)
    x = torch.randn(1, 41, 16)
    turned = x.clone()
    turned[0, 20] += 10
    differs = (one(x) != one(turned)).any(-1)[0].nonzero().flatten().tolist()
    assert min(differs) >= 20 - reach
    assert max(differs) <= 20 + reach
    assert {20 - reach, 20 + reach} <= set(differs)


@pytest.mark.parametrize("sensors", SENSORS)
def test_the_two_teachers_of_a_table_weigh_about_the_same(sensors):
    recipes = [sphere_teacher(name, sensors, "pairs12") for name in ("tcn", "sigformer")]
    manifest = random_parts(recipes[0], steps=1, labels=20).manifest
    with torch.device("meta"):
        ours, theirs = (build(recipe, manifest).parameter_count for recipe in recipes)
    assert ours == pytest.approx(theirs, rel=0.25)


def test_an_input_of_one_row_a_step_is_read():
    one = tcn(inputs=(DenseInput("radio", "spatial", 1, 2, 8),), devices=0)
    assert one(windows(one.config)).boundary.isfinite().all()
