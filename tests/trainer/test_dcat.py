"""D-CAT's loss: what it is blind to, what it sees, and where its gradient goes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer.dcat import (  # noqa: E402
    DcatOptions,
    KeysValues,
    Normalisation,
    alignment_loss,
    partners,
    products,
)

pytestmark = pytest.mark.torch
WAYS: tuple[Normalisation, ...] = ("fro", "n", "sqrt_d", "none")


def said(seed, batch=3, tokens=7, width=4):
    rng = torch.Generator().manual_seed(seed)
    return KeysValues(
        torch.randn(batch, tokens, width, generator=rng),
        torch.randn(batch, tokens, width, generator=rng),
    )


def distance(target, source, **options):
    chosen = DcatOptions(**options)
    return float(alignment_loss(products(target, chosen), products(source, chosen)))


def turned(one, rotation):
    return KeysValues(one.keys @ rotation, one.values @ rotation)


def rotation(seed, width=4):
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(width, width, generator=rng)).Q


def test_two_by_hand():
    # K^T V is ((1, 0), (0, 0)) here and ((0, 0), (0, 2)) there
    one = KeysValues(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0]]]))
    other = KeysValues(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.0, 2.0]]]))
    assert distance(one, other, normalisation="none") == pytest.approx(5**0.5)
    assert distance(one, other, normalisation="fro") == pytest.approx(2**0.5)
    assert distance(one, other, normalisation="sqrt_d") == pytest.approx((5 / 2) ** 0.5)


@pytest.mark.parametrize("way", WAYS)
def test_what_has_the_same_keys_and_values_is_at_no_distance(way):
    assert distance(said(0), said(0), normalisation=way) == pytest.approx(0, abs=1e-6)
    assert distance(said(0), said(1), normalisation=way) > 0.1


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_tokens_does_not_matter(way):
    one = said(0)
    order = torch.tensor([3, 1, 6, 0, 5, 2, 4])
    shuffled = KeysValues(one.keys[:, order], one.values[:, order])
    expected = distance(one, said(1), normalisation=way)
    assert distance(shuffled, said(1), normalisation=way) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("way", ["fro", "n"])
def test_the_number_of_tokens_does_not_matter(way):
    one = said(0)
    twice = KeysValues(one.keys.repeat(1, 2, 1), one.values.repeat(1, 2, 1))
    expected = distance(one, said(1), normalisation=way)
    assert distance(twice, said(1), normalisation=way) == pytest.approx(expected, rel=1e-5)


def test_it_compares_sequences_of_different_rates():
    assert 0 < distance(said(0, tokens=32), said(1, tokens=16)) <= 2


def test_a_change_of_basis_is_nothing_if_both_make_it_and_something_if_one_does():
    expected = distance(said(0), said(1))
    both = rotation(5)
    assert distance(turned(said(0), both), turned(said(1), both)) == pytest.approx(
        expected, rel=1e-4
    )
    apart = distance(turned(said(0), rotation(5)), said(0))
    assert apart > 0.1, "the target has to learn the source's basis"


def test_a_head_compares_its_own_part():
    chosen = DcatOptions(heads=2, normalisation="none")
    one = said(0)
    found = products(one, chosen)
    assert found.shape == (3, 2, 2, 2)
    second = KeysValues(one.keys[..., 2:], one.values[..., 2:])
    torch.testing.assert_close(found[:, 1:], products(second, DcatOptions(normalisation="none")))


def test_a_batch_as_a_whole_is_compared_by_its_sum():
    one = said(0)
    flat = KeysValues(one.keys.flatten(0, 1)[None], one.values.flatten(0, 1)[None])
    for way in WAYS:
        whole = products(one, DcatOptions(normalisation=way, per_sample=False))
        torch.testing.assert_close(whole, products(flat, DcatOptions(normalisation=way)))


def test_the_gradient_goes_to_the_target_alone():
    target, source = said(0), said(1)
    for x in (*target, *source):
        x.requires_grad_()
    alignment_loss(products(target, DcatOptions()), products(source, DcatOptions())).backward()
    assert all(x.grad is not None and x.grad.any() for x in target)
    assert all(x.grad is None for x in source)


def test_at_no_distance_the_gradient_is_a_number():
    target = said(0)
    target.keys.requires_grad_()
    alignment_loss(products(target, DcatOptions()), products(said(0), DcatOptions())).backward()
    assert target.keys.grad.isfinite().all()


def test_one_source_for_all_is_a_control():
    target = products(said(0), DcatOptions())
    mean = products(said(1), DcatOptions()).mean(0, keepdim=True)
    expected = torch.stack([alignment_loss(one[None], mean) for one in target]).mean()
    torch.testing.assert_close(alignment_loss(target, mean), expected)


# --- pairs ---


def test_the_same_sample_is_the_one_of_the_same_place():
    found = partners([4, 2, 4], [4, 2, 4], "same_sample", np.random.default_rng(0))
    assert found.tolist() == [0, 1, 2]


def test_the_same_sample_needs_as_many_of_both():
    with pytest.raises(ValueError, match="found 2 source samples for 3"):
        partners([4, 2, 4], [4, 2], "same_sample", np.random.default_rng(0))


def test_the_same_class_is_any_sample_of_it():
    there = np.array([7, 7, 9, 7])
    found = partners([9, 7] * 50, there, "same_class", np.random.default_rng(0))
    assert there[found].tolist() == [9, 7] * 50
    assert set(found.tolist()) == {0, 1, 2, 3}


def test_a_class_that_the_source_lacks_is_named():
    with pytest.raises(ValueError, match="no source sample of class 5"):
        partners([7, 5], [7, 9], "same_class", np.random.default_rng(0))


def test_random_pairs_are_of_any_class():
    found = partners([1] * 200, [1, 2, 3, 4], "random", np.random.default_rng(0))
    assert np.bincount(found).min() > 20
