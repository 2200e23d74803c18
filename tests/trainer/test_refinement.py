"""Scores are pooled over time, up to where a segment surely begins."""

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer.refinement import pooled_over_classes, pooled_over_time  # noqa: E402

pytestmark = pytest.mark.torch
STEPS, LABELS = 50, 11


def impulse(t, k=3):
    scores = torch.zeros(1, STEPS, LABELS)
    scores[0, t, k] = 1
    return scores


def begins(*steps):
    boundary = torch.zeros(1, STEPS)
    boundary[0, list(steps)] = 1
    return boundary


def test_an_impulse_spreads_over_time_only():
    found = pooled_over_time(impulse(10), begins(), 7, 10.0)[0]
    assert found[:, 3].nonzero().flatten().tolist() == [7, 8, 9, 10, 11, 12, 13]
    assert found[7:14, 3].tolist() == pytest.approx([1 / 7] * 7)
    assert not found[:, [k for k in range(LABELS) if k != 3]].any()


def test_an_impulse_does_not_pass_a_sure_boundary():
    found = pooled_over_time(impulse(10), begins(12), 7, 10.0)[0, :, 3]
    assert found[10] == pytest.approx(1 / 5, rel=1e-3), "of steps 7 to 11"
    assert found[11] == pytest.approx(1 / 4, rel=1e-3), "of steps 8 to 11"
    assert found[12:].max() < 1e-4, "the segment that begins at 12"


def test_the_step_of_a_boundary_belongs_to_what_follows():
    found = pooled_over_time(impulse(12), begins(12), 7, 10.0)[0, :, 3]
    assert found[:12].max() < 1e-4
    assert found[12:16].tolist() == pytest.approx([1 / 4, 1 / 5, 1 / 6, 1 / 7], rel=1e-3)


def test_half_a_boundary_lets_some_through():
    found = pooled_over_time(impulse(10), 0.5 * begins(11), 3, 2.0)[0, :, 3]
    # step 11 sees 10 through exp(-1), itself and 12
    assert found[11] == pytest.approx(0.3679 / 2.3679, rel=1e-3)


@pytest.mark.parametrize(("window", "strength"), [(7, 10.0), (99, 0.1), (1, 1.0)])
def test_scores_that_do_not_change_stay(window, strength):
    scores = torch.randn(2, 1, LABELS, generator=torch.Generator().manual_seed(0))
    scores = scores.expand(-1, STEPS, -1)
    boundary = torch.rand(2, STEPS, generator=torch.Generator().manual_seed(1))
    assert (pooled_over_time(scores, boundary, window, strength) - scores).abs().max() < 1e-5


def test_a_window_of_one_step_changes_nothing():
    assert torch.equal(pooled_over_time(impulse(10), begins(4), 1, 10.0), impulse(10))


def packing(seed):
    """Return the true labels of a window in which a segment lasts 3 to 11 steps."""
    rng = torch.Generator().manual_seed(seed)
    label: list[int] = []
    last = -1
    while len(label) < STEPS:
        new = int(torch.randint(LABELS - 1, (), generator=rng))
        if new != last:
            label += [new] * int(torch.randint(3, 12, (), generator=rng))
            last = new
    return torch.tensor(label[:STEPS])


def right(scores, label, boundary, window, strength):
    return (pooled_over_time(scores, boundary, window, strength).argmax(-1) == label).float().mean()


@pytest.fixture
def label():
    return torch.stack([packing(seed) for seed in range(40)])


@pytest.fixture
def boundary(label):
    return torch.cat([torch.zeros(len(label), 1), label.diff(dim=1).ne(0).float()], 1)


def test_the_released_strength_spoils_perfect_scores_and_ours_keeps_them(label, boundary):
    perfect = torch.nn.functional.one_hot(label, LABELS).float()
    # measured on OpenPack's real segments 1.00 -> 0.36, as the walls let 9 tenths through
    assert right(perfect, label, boundary, 99, 0.1) < 0.5
    assert right(perfect, label, boundary, 7, 10.0) == 1


def test_pooling_between_boundaries_mends_noisy_scores(label, boundary):
    noise = torch.randn(*label.shape, LABELS, generator=torch.Generator().manual_seed(0))
    noisy = torch.nn.functional.one_hot(label, LABELS) * 2 + noise
    before = right(noisy, label, boundary, 1, 10.0)
    assert 0.5 < before < 0.8
    assert right(noisy, label, boundary, 7, 10.0) > 0.9
    assert right(noisy, label, torch.zeros_like(boundary), 7, 10.0) < 0.9, "walls matter"


def test_the_released_code_pools_over_class_ids_and_not_over_time():
    found = pooled_over_classes(impulse(10), 0.1)[0]
    assert found[10, 3:7].tolist() == pytest.approx([0.762, 0.103, 0.014, 0.0019], abs=5e-4)
    assert found[10, :3].tolist() == pytest.approx([0.0019, 0.014, 0.103], abs=5e-4)
    assert not found[[t for t in range(STEPS) if t != 10]].any()


def test_pooling_over_class_ids_hardly_changes_what_is_best(label):
    noise = torch.randn(*label.shape, LABELS, generator=torch.Generator().manual_seed(0))
    noisy = torch.nn.functional.one_hot(label, LABELS) * 2 + noise
    same = pooled_over_classes(noisy, 0.1).argmax(-1) == noisy.argmax(-1)
    assert same.float().mean() > 0.85


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_keep_their_type_and_gradients_stay_finite(dtype):
    scores = impulse(10).to(dtype).requires_grad_()
    boundary = begins(12).to(dtype).requires_grad_()
    for found in (pooled_over_time(scores, boundary, 7, 10.0), pooled_over_classes(scores, 0.1)):
        assert found.dtype == dtype
        found.square().sum().backward()
    assert scores.grad.isfinite().all()
    assert boundary.grad.isfinite().all()
