"""D-CAT on streams: what a frozen source gives a student, and that it is gone afterwards."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer import fit  # noqa: E402
from trainer.home_recipes import FOLDS, SPHERE_SENSORS  # noqa: E402
from trainer.recipe_parts import Split, UnknownRecipe  # noqa: E402
from trainer.recipes import recipe, virtual  # noqa: E402
from trainer.source_answers import keys_values, with_source  # noqa: E402
from trainer.stream_dcat import STRETCH_STEPS, Beside, stretches, transfer_loss  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = tuple(f"virtual:seed={seed},boxes=1" for seed in (1, 2, 3))
STUDENT = replace(
    virtual("iot"), split=Split(NAMES[:2], NAMES[2:], ()), source="virtual-imu",
    updates=3, check_every=1, batch=2, crop_steps=40, hidden=8, width=8,
)  # fmt: skip


@pytest.fixture
def small_source(monkeypatch, tmp_path):
    """Have the source taught for two updates only; return how often one is taught."""
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path))
    taught, known = [], fit.fit

    def noted(one, *rest, **options):
        taught.append(one.name)
        return known(replace(one, updates=2, check_every=1, batch=2), *rest, **options)

    from trainer import source_answers

    monkeypatch.setattr(
        source_answers, "recipe_of", lambda name: replace(recipe(name), hidden=8, width=8)
    )
    monkeypatch.setattr(fit, "fit", noted)
    return taught


def test_a_source_is_taught_once_and_read_at_the_students_own_steps(small_source):
    plain = fit.prepare(STUDENT, None)
    data = with_source(STUDENT, plain, None, "cpu")
    with_source(STUDENT, plain, None, "cpu")
    assert small_source == ["virtual-imu"]
    for one, bare in zip(data.train, plain.train, strict=True):
        assert one.tensors is bare.tensors
        for name in ("keys", "values"):
            assert one.source[name].shape == (len(one), 8)
            assert np.abs(one.source[name]).sum(1).astype(bool).mean() > 0.9
    assert data.validation == plain.validation
    with_source(replace(STUDENT, teacher_seed=1), plain, None, "cpu")
    assert len(small_source) == 2, "another seed, another source"


def test_nothing_of_a_source_changes_while_it_speaks(small_source):
    plain = fit.prepare(replace(STUDENT, source=""), None)
    fitted = fit.fit(STUDENT, plain, 0, with_attention=True)
    assert fitted.beside is not None
    before = {n: w.clone() for n, w in fitted.beside.state_dict().items()}
    said = keys_values(fitted, plain.train[0].tensors)
    again = keys_values(fitted, plain.train[0].tensors)
    assert all(np.array_equal(said[name], again[name]) for name in said)
    assert all(torch.equal(w, before[n]) for n, w in fitted.beside.state_dict().items())


def test_a_student_ships_without_what_stood_beside_it(small_source):
    data = with_source(STUDENT, fit.prepare(STUDENT, None), None, "cpu")
    told, alone = fit.fit(STUDENT, data, 0), fit.fit(replace(STUDENT, source=""), data, 0)
    names = [set(one.student.state_dict()) for one in (told, alone)]
    assert names[0] == names[1]
    assert told.student.parameter_count == alone.student.parameter_count
    weights = [torch.cat([w.flatten() for w in one.student.parameters()]) for one in (told, alone)]
    assert not torch.equal(*weights), "and yet it learnt something else"


def test_a_source_of_another_size_can_not_be_compared(small_source):
    other = replace(STUDENT, hidden=16)
    with pytest.raises(ValueError, match=r"has 8 hidden units .* expected 16"):
        with_source(other, fit.prepare(other, None), None, "cpu")


def test_a_stretch_is_of_one_crop_and_whole():
    steps = torch.arange(2 * 40).reshape(2, 40, 1)
    cut = stretches(steps)
    assert cut.shape == (4, STRETCH_STEPS, 1)
    assert cut[:, 0, 0].tolist() == [0, 16, 40, 56]


def test_a_source_that_reads_alike_costs_nothing_more_and_gets_no_gradient():
    torch.manual_seed(0)
    beside = Beside(8, 3).eval()
    hidden = torch.randn(2, 32, 8, requires_grad=True)
    target = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 32)), 3).float()
    rng = np.random.default_rng(0)
    plain = transfer_loss(beside, hidden, target, {}, STUDENT, rng)
    same = {
        "keys": beside.attention.key(hidden).detach(),
        "values": beside.attention.value(hidden).detach(),
    }
    assert transfer_loss(beside, hidden, target, same, STUDENT, rng).item() == pytest.approx(
        plain.item(), abs=1e-5
    )
    other = {name: torch.randn(2, 32, 8, requires_grad=True) for name in same}
    loss = transfer_loss(beside, hidden, target, other, STUDENT, rng)
    assert loss > plain
    loss.backward()
    assert hidden.grad is not None
    assert all(x.grad is None for x in other.values())


def test_stretches_without_truth_do_not_count():
    beside = Beside(8, 3).eval()
    rng = np.random.default_rng(0)
    hidden, nothing = torch.randn(1, 32, 8), torch.zeros(1, 32, 3)
    assert transfer_loss(beside, hidden, nothing, {}, STUDENT, rng) == 0


@pytest.mark.parametrize("sensor", ["imu", "camera", "iot"])
def test_every_fold_of_every_single_sensor_has_a_source(sensor):
    for fold in FOLDS:
        one = recipe(f"sphere-{sensor}-{fold}-dcat")
        assert recipe(one.source).split == one.split
        assert set(recipe(one.source).modality).isdisjoint(one.modality)


def test_several_sensors_have_no_other_sensor_to_learn_from():
    several = next(name for name in SPHERE_SENSORS if "-" in name)
    with pytest.raises(UnknownRecipe):
        recipe(f"sphere-{several}-pairs12-dcat")
