"""The student: two forms of one network, causal, blind to what was not observed."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")

from trainer.student import Student, StudentConfig, StudentStep  # noqa: E402

pytestmark = pytest.mark.torch

CONFIG = StudentConfig(
    inputs=(("imu", 30, 6), ("camera", 10, 4)),
    levels=(("operation", 4), ("action", 7)),
    devices=3,
    hidden=32,
    width=16,
    dropout=0.0,
)


def recording(config, batch, steps, seed=0):
    """Return (B, T, ...) inputs in which about a fifth is unobserved and holds 0."""
    torch.manual_seed(seed)
    inputs = {}
    for name, shape in config.input_shapes.items():
        if name.endswith("_observed"):
            value = name.removesuffix("_observed")
            inputs[name] = (torch.rand(batch, steps, *shape) < 0.8).float()
            inputs[value] = inputs[value] * inputs[name]
        elif name == "in_use":
            inputs[name] = (torch.rand(batch, steps, *shape) < 0.3).float()
        elif name != "state":
            inputs[name] = torch.randn(batch, steps, *shape)
    return inputs


def student(config=CONFIG, seed=0):
    torch.manual_seed(seed)
    return Student(config).eval()


def answers(model, inputs, state=None):
    with torch.no_grad():
        return model(inputs, state)


def variants():
    yield "all", CONFIG
    yield "devices alone", StudentConfig((), (("activity", 5),), devices=4, hidden=16, width=8)
    yield "two layers", StudentConfig((("imu", 20, 3),), (("activity", 5),), layers=2, hidden=16)
    yield "guided", replace(CONFIG, guided=True)
    yield "guided, two layers", replace(CONFIG, guided=True, layers=2)
    yield "one row a step", StudentConfig((("camera", 1, 4),), (("activity", 5),), hidden=16)


@pytest.mark.parametrize("config", [pytest.param(c, id=name) for name, c in variants()])
def test_both_forms_say_the_same_over_two_hundred_steps(config):
    model, inputs = student(config), recording(config, batch=3, steps=200)
    whole = answers(model, inputs)
    step, state = StudentStep(model), torch.zeros(3, config.state_size)
    with torch.no_grad():
        for t in range(200):
            *labels, boundary, state = step(
                *(inputs[name][:, t] for name in config.input_names[:-1]), state
            )
            for (level, _), found in zip(config.levels, labels, strict=True):
                expected = torch.softmax(whole.logits[level][:, t], -1)
                assert (found - expected).abs().max() < 1e-5
            expected = torch.sigmoid(whole.boundary[:, t, None])
            assert (boundary - expected).abs().max() < 1e-5
    assert (state - whole.state).abs().max() < 1e-5


def test_the_step_answers_in_the_order_and_shapes_it_announces():
    step = StudentStep(student())
    tensors = [torch.zeros(5, *shape) for shape in CONFIG.input_shapes.values()]
    shapes = [tuple(x.shape) for x in step(*tensors)]
    assert CONFIG.input_names == (
        "imu", "imu_observed", "camera", "camera_observed", "in_use", "in_use_observed", "state",
    )  # fmt: skip
    assert CONFIG.output_names == ("p_operation", "p_action", "boundary", "state")
    assert shapes == [(5, 4), (5, 7), (5, 1), (5, 32)]


def test_the_past_does_not_depend_on_the_future():
    model, inputs = student(), recording(CONFIG, batch=2, steps=40)
    before = answers(model, inputs)
    other = recording(CONFIG, batch=2, steps=40, seed=1)
    changed = {name: torch.cat([x[:, :25], other[name][:, 25:]], 1) for name, x in inputs.items()}
    after = answers(model, changed)
    for level, _ in CONFIG.levels:
        moved = (before.logits[level] - after.logits[level]).abs().amax((0, 2))
        assert moved[:25].max() == 0
        assert moved[25:].min() > 0


def test_what_was_not_observed_cannot_change_the_answer():
    model, inputs = student(), recording(CONFIG, batch=2, steps=20)
    loud = dict(inputs)
    for name in ("imu", "camera", "in_use"):
        loud[name] = inputs[name] + 1000 * (1 - inputs[f"{name}_observed"])
    quiet_answers, loud_answers = answers(model, inputs), answers(model, loud)
    for level, _ in CONFIG.levels:
        assert torch.equal(quiet_answers.logits[level], loud_answers.logits[level])
    assert torch.equal(quiet_answers.boundary, loud_answers.boundary)


def test_not_observed_differs_from_observed_zero():
    model = student()
    silent = {name: torch.zeros(1, 5, *s) for name, s in CONFIG.input_shapes.items()}
    for name in ("imu", "camera", "in_use"):
        still = {**silent, f"{name}_observed": torch.ones_like(silent[f"{name}_observed"])}
        assert not torch.equal(answers(model, still).boundary, answers(model, silent).boundary)


def test_reading_on_from_a_state_equals_reading_in_one_go():
    model, inputs = student(), recording(CONFIG, batch=2, steps=30)
    whole = answers(model, inputs)
    first = answers(model, {name: x[:, :11] for name, x in inputs.items()})
    rest = answers(model, {name: x[:, 11:] for name, x in inputs.items()}, first.state)
    assert (rest.logits["action"] - whole.logits["action"][:, 11:]).abs().max() < 1e-5
    assert (rest.state - whole.state).abs().max() < 1e-5


def test_one_batch_can_be_learnt_by_heart():
    model, inputs = student().train(), recording(CONFIG, batch=4, steps=25)
    labels = {level: torch.randint(count, (4, 25)) for level, count in CONFIG.levels}
    starts = (torch.rand(4, 25) < 0.2).float()
    descent = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        said = model(inputs)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(said.boundary, starts)
        for level, truth in labels.items():
            loss = loss + torch.nn.functional.cross_entropy(
                said.logits[level].flatten(0, 1), truth.flatten()
            )
        descent.zero_grad()
        loss.backward()
        descent.step()
    said = answers(model.eval(), inputs)
    for level, truth in labels.items():
        assert (said.logits[level].argmax(-1) == truth).float().mean() > 0.98
    assert ((said.boundary > 0).float() == starts).float().mean() > 0.98


def test_four_imus_fit_in_a_hundred_and_twenty_thousand_weights():
    config = StudentConfig((("imu", 30, 24),), (("operation", 11), ("action", 20)))
    assert student(config).parameter_count == 118_144


def test_a_student_without_inputs_is_refused():
    with pytest.raises(ValueError, match="no inputs and no devices"):
        StudentConfig(inputs=(), levels=(("action", 3),))


def test_an_input_called_like_another_tensor_is_refused():
    with pytest.raises(ValueError, match=r"must differ, found \['state'\] twice"):
        StudentConfig(inputs=(("state", 10, 3),), levels=(("action", 3),))
