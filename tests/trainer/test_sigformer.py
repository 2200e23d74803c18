"""The teacher sees every sensor or any of them, and only what was observed."""

import re
from collections import Counter
from dataclasses import replace
from itertools import chain, combinations

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_teachers import (  # noqa: E402
    CAMERA,
    CONFIG,
    IMU,
    RADIO,
    model,
    targets,
    windows,
)
from trainer.bench import random_parts  # noqa: E402
from trainer.named_teachers import (  # noqa: E402
    SENSORS,
    VARIANTS,
    sphere_teacher,
    varied,
)
from trainer.sigformer import DenseInput, SigFormer, SigFormerConfig  # noqa: E402
from trainer.teacher_loss import LossWeights, teacher_loss  # noqa: E402
from trainer.teacher_recipes import SIZES, build  # noqa: E402

pytestmark = pytest.mark.torch
PUBLISHED = SigFormerConfig(
    inputs=(
        DenseInput("imu", "motion", 30, 12, 300),
        DenseInput("key_points", "spatial", 15, 34, 300),
        DenseInput("box", "spatial", 15, 4, 200),
    ),
    devices=2,
    levels=(("operation", 11),),
)  # of OpenPack, as the released configuration has them
SUBSETS = [
    pytest.param(inputs, devices, id="-".join([*(one.name for one in inputs), str(devices)]))
    for inputs in chain.from_iterable(combinations((IMU, CAMERA, RADIO), n) for n in range(4))
    for devices in (0, 1, 3)
    if inputs or devices
]


def count(part):
    return sum(weight.numel() for weight in part.parameters())


def whole(answers):
    inner = (*answers.inner_logits, *answers.inner_boundary)
    return [*answers.logits.values(), answers.boundary, *inner]


def same(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(whole(ours), whole(theirs), strict=True))


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return SigFormer(PUBLISHED)


def loss_of(answers, config, weights=LossWeights()):  # noqa: B008
    batch, steps = answers.boundary.shape
    by_class = {name: torch.ones(labels) for name, labels in config.levels}
    return teacher_loss(answers, targets(config, batch, steps), by_class, weights)


# --- size ---


def test_the_parts_weigh_what_the_released_ones_do(published):
    millions = {name: count(part) / 1e6 for name, part in published.named_children()}
    encoders = [
        (count(part) - part.positions.numel()) / 1e6 for part in published.encoders.values()
    ]
    bottlenecks = [count(part) / 1e6 for part in published.bottlenecks.values()]
    branches = published.branches
    layers = [
        count(layer) / 1e6
        for name, encoder in branches.named_children()
        if name.startswith(("class", "boundary"))
        for layer in encoder.layers
    ]
    assert millions["embeddings"] == pytest.approx(0.27, abs=0.005)
    assert encoders == pytest.approx([19.76, 19.76, 9.81], abs=0.005)
    assert bottlenecks == pytest.approx([5.06, 5.06, 2.26], abs=0.005)
    assert [count(one) / 1e6 for one in published.fusion] == pytest.approx([18.9] * 4, abs=0.05)
    assert layers == pytest.approx([45.85] * 12, abs=0.005)
    # published: 25.9 in two layers each, of which only the last acts
    assert count(branches.first) / 1e6 == pytest.approx(25.9 / 4, abs=0.02)
    assert count(branches.second) == count(branches.first)
    assert count(branches.recurrent) / 1e6 == pytest.approx(29.6, abs=0.05)


def test_the_whole_weighs_what_the_released_model_uses(published):
    # 775 184 333 released, less what gets no gradient there: the second recurrent head, the first
    # layer of both interactions, and a final layer of the fusion (44.1 M in all)
    assert published.parameter_count == pytest.approx(775_184_333 - 44.1e6, rel=1e-3)
    more = {
        "positions of five encoders in the branches": 5 * 50 * 860,
        "a third state of each device": 2 * 30,
        "a constant where an input is not observed": 300 + 300 + 200,
        "norms before the guidance, of streams and devices, not one after": 4 * (4 - 1) * 2 * 860,
    }
    assert published.parameter_count == 731_352_814
    assert published.parameter_count - sum(more.values()) == pytest.approx(731.118e6, rel=1e-5)


@pytest.mark.parametrize(("size", "limit"), [("small", 3e6), ("base", 30e6)])
@pytest.mark.parametrize("sensors", SENSORS)
def test_the_smaller_sizes_stay_small_for_every_set_of_sensors(size, limit, sensors):
    recipe = replace(sphere_teacher("sigformer", sensors, "pairs12"), size=size)
    parts = random_parts(recipe, steps=1, labels=20)
    with torch.device("meta"):
        assert build(recipe, parts.manifest).parameter_count <= limit


# --- shapes ---


@pytest.mark.parametrize(("inputs", "devices"), SUBSETS)
@pytest.mark.parametrize("embed", ["linear", "rows"])
def test_any_set_of_sensors_is_answered_for_every_step_and_level(inputs, devices, embed):
    one = model(inputs=inputs, devices=devices, embed=embed)
    answers = one(windows(one.config, batch=3, steps=11))
    assert {name: x.shape for name, x in answers.logits.items()} == {
        "operation": (3, 11, 4), "action": (3, 11, 7),
    }  # fmt: skip
    assert answers.boundary.shape == (3, 11)
    each = max(len(inputs), 1)  # devices alone are a stream of their own
    assert [x.shape for x in answers.inner_logits] == [(3, 11, 4)] * each
    assert [x.shape for x in answers.inner_boundary] == [(3, 11)] * each


@pytest.mark.parametrize("per_device", [False, True])
@pytest.mark.parametrize("widen_steps", [0, 2])
@pytest.mark.parametrize("reading", ["A", "B", "C", "off", "shuffled", "released"])
def test_every_reading_of_the_mask_answers(reading, widen_steps, per_device):
    said = {"released": True} if reading == "released" else {"reading": reading}
    one = model(**said, per_device=per_device, widen_steps=widen_steps)
    answers = one(windows())
    assert answers.logits["operation"].shape == (2, 16, 4)
    assert all(x.isfinite().all() for x in whole(answers))


def test_a_window_may_be_shorter_than_the_longest_but_not_longer():
    one = model()
    assert one(windows(steps=1)).boundary.shape == (2, 1)
    with pytest.raises(ValueError, match="found a window of 17 steps, expected at most 16"):
        one(windows(steps=17))


def test_a_teacher_without_anything_to_look_at_is_refused():
    with pytest.raises(ValueError, match="found no inputs and no devices"):
        model(inputs=(), devices=0)


def test_a_width_that_heads_can_not_share_is_refused():
    with pytest.raises(ValueError, match="width 24 is no multiple of 5 heads"):
        model(heads=5)


# --- gradients ---


def untouched(one, inputs, weights=LossWeights()):  # noqa: B008
    """Return the names of weights that a loss does not reach."""
    with torch.no_grad():  # away from starts at 0, behind which nothing is reached at first
        for weight in one.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    loss_of(one.train()(inputs), one.config, weights).backward()
    return [n for n, x in one.named_parameters() if x.grad is None or not x.grad.any()]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_reaches_every_weight_of_every_variant(variant):
    torch.manual_seed(0)
    recipe = varied(sphere_teacher("sigformer", "imu-camera-iot", "pairs12"), variant)
    config = replace(CONFIG, **{**SIZES["small"], **recipe.options})
    left = untouched(SigFormer(config), windows(config), recipe.loss)
    if recipe.loss.inner == 0:  # then only what the inner boundaries are made of learns nothing
        inner = re.compile(r"bottlenecks\.\w+\.(boundary|clearer)")
        left = [name for name in left if not inner.match(name)]
    assert left == []


@pytest.mark.parametrize("inputs", [(), (CAMERA,), (IMU, CAMERA, RADIO)], ids=len)
@pytest.mark.parametrize("per_device", [False, True])
@pytest.mark.parametrize("layers", ["transformer", "dilated"])
def test_the_loss_reaches_every_weight_whatever_the_sensors(inputs, per_device, layers):
    said = {"layers": layers, "near": layers == "transformer", "skip": layers == "dilated"}
    one = model(inputs=inputs, per_device=per_device, **said)
    assert untouched(one, windows(one.config)) == []


# --- what was not observed ---


def hidden(inputs, names):
    """Return inputs in which some have no reading at all, though values are there."""
    return {
        key: torch.zeros_like(x) if key in {f"{n}_observed" for n in names} else x
        for key, x in inputs.items()
    }


@pytest.mark.parametrize("garbage", [1e6, -3.0, 1e30])
@pytest.mark.parametrize("embed", ["linear", "rows"])
@pytest.mark.parametrize("names", [(), ("imu",), ("camera", "in_use"), ("imu", "camera", "in_use")])
def test_what_was_not_observed_can_not_change_an_answer(names, embed, garbage):
    one = model(embed=embed)
    inputs = hidden(windows(), names)
    other = {
        key: x if key.endswith("_observed")
        else torch.where(inputs[f"{key}_observed"] > 0, x, torch.tensor(garbage))
        for key, x in inputs.items()
    }  # fmt: skip
    assert any(not torch.equal(inputs[key], other[key]) for key in inputs)
    assert same(one(inputs), one(other))


def test_what_was_observed_changes_the_answer():
    one = model()
    inputs = windows()
    for name in ("imu", "camera"):
        other = inputs | {name: inputs[name] + inputs[f"{name}_observed"]}
        assert not same(one(inputs), one(other))
    for name in ("imu", "camera", "in_use"):
        assert not same(one(inputs), one(hidden(inputs, [name])))


@pytest.mark.parametrize("per_device", [False, True])
def test_devices_that_are_not_in_use_say_nothing_under_reading_b(per_device):
    one = model(per_device=per_device)
    inputs = windows()
    idle = (inputs["in_use"] == 0).all(-1, keepdim=True)
    turned = torch.where(idle, 1 - inputs["in_use_observed"], inputs["in_use_observed"])
    assert not torch.equal(turned, inputs["in_use_observed"])
    assert same(one(inputs), one(inputs | {"in_use_observed": turned}))
    used = inputs | {"in_use_observed": torch.zeros_like(turned)}
    assert not same(one(inputs), one(used))


def test_devices_speak_all_the_time_where_they_are_all_there_is():
    one = model(inputs=())
    inputs = windows(one.config) | {"in_use": torch.zeros(2, 16, 3)}
    assert not same(one(inputs), one(hidden(inputs, ["in_use"])))


def test_the_shuffled_mask_is_as_full_and_elsewhere():
    inputs = windows()
    plain, other = model(), model(reading="shuffled")
    other.eval()
    mask, moved = plain._guidance(inputs)[1], other._guidance(inputs)[1]
    assert torch.equal(mask.sum(1), moved.sum(1))
    assert not torch.equal(mask, moved)
    assert torch.equal(moved, other._guidance(inputs)[1])


def test_the_finer_levels_are_not_pooled_between_boundaries_of_the_first():
    inputs = windows()
    pooled = model(levels=(("operation", 3), ("action", 4)), boundary_threshold=0.0)
    plain = model(levels=(("operation", 3), ("action", 4)), refine="off")
    plain.load_state_dict(pooled.state_dict())
    pooled.eval()
    plain.eval()
    one, other = pooled(inputs).logits, plain(inputs).logits
    assert torch.equal(one["action"], other["action"])
    assert not torch.equal(one["operation"], other["operation"])


# --- never NaN ---


EXTREMES = {
    "nothing observed": ["imu", "camera", "in_use"],
    "no device observed": ["in_use"],
    "only devices observed": ["imu", "camera"],
}
KINDS = [
    *({"reading": reading} for reading in ("A", "B", "C", "off", "shuffled")),
    {"released": True, "interaction": "released", "refine": "classes", "refine_strength": 0.1},
    {"embed": "rows", "near": True, "layers": "dilated", "per_device": True, "reading": "C"},
    {"inputs": ()},
]  # fmt: skip


def assert_finite(one, answers):
    loss_of(answers, one.config).backward()
    assert all(x.isfinite().all() for x in whole(answers))
    assert [n for n, x in one.named_parameters() if not x.grad.isfinite().all()] == []


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "autocast"])
@pytest.mark.parametrize("options", KINDS, ids=lambda o: " ".join(map(str, o.values())))
@pytest.mark.parametrize("extreme", EXTREMES)
def test_a_window_with_nothing_in_it_is_answered_with_numbers(extreme, options, precision):
    one = model(**options).train()
    inputs = hidden(windows(one.config), EXTREMES[extreme])
    inputs["in_use"] = inputs["in_use"] * inputs["in_use_observed"]
    if precision == "bfloat16":
        one, inputs = one.bfloat16(), {n: x.bfloat16() for n, x in inputs.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
        answers = one(inputs)
    assert_finite(one, answers)


@pytest.mark.parametrize("reading", ["A", "B", "C", "shuffled"])
def test_observed_devices_of_which_none_is_in_use_are_answered_with_numbers(reading):
    one = model(reading=reading).train()
    inputs = windows() | {"in_use": torch.zeros(2, 16, 3)}
    assert_finite(one, one(inputs))


# --- refinement ---


@pytest.mark.parametrize(
    ("sure", "threshold", "passes"), [(0.9, 0.85, False), (0.8, 0.85, True), (0.8, 0.0, False)]
)
def test_a_boundary_surer_than_the_threshold_parts_what_is_pooled(sure, threshold, passes):
    logits = torch.zeros(1, 16, 4)
    logits[0, 7, 2] = 1
    boundary = torch.full((1, 16), -20.0)
    boundary[0, 8] = torch.tensor(sure).logit()
    found = model(boundary_threshold=threshold)._refined(logits, boundary)[0, :, 2]
    assert found[4:8].min() > 0.1, "pooled within the segment"
    assert (found[8:11].min() > 0.1) == passes


def test_without_refinement_logits_stay():
    logits, boundary = torch.randn(1, 16, 4), torch.randn(1, 16)
    assert model(refine="off")._refined(logits, boundary) is logits


# --- learning ---


def test_one_batch_can_be_learnt_by_heart():
    torch.manual_seed(0)
    config = replace(CONFIG, **SIZES["small"], dropout=0.0, boundary_dropout=0.0)
    one = SigFormer(config).train()
    inputs, true = windows(config), targets(config)
    optimizer = torch.optim.Adam(one.parameters(), lr=5e-3)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        losses.append(loss_of(one(inputs), config))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]
    answers = one.eval()(inputs)
    scored = true["operation"].any(-1)
    for level in ("operation", "action"):
        right = answers.logits[level].argmax(-1) == true[level].argmax(-1)
        assert right[scored].float().mean() > 0.97
    begins = true["operation"].argmax(-1).diff(dim=1) != 0
    found = answers.boundary[:, 1:] > 0
    assert Counter((found == begins)[scored[:, 1:]].tolist())[False] <= 1
