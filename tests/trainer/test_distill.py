"""What a student learns from a teacher, worked by hand."""

from math import log

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer import distill  # noqa: E402

pytestmark = pytest.mark.torch


def odds(*shares):
    """Return (N, 2) logits that say a share of the first label."""
    p = torch.tensor(shares)
    return torch.stack([p.log(), (1 - p).log()], -1)


def features(seed, count=5, width=4):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def kl(p, q):
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def test_soft_labels_cost_their_divergence():
    found = distill.soft_label_loss(odds(0.5, 0.9), odds(0.8, 0.9), 1.0)
    assert found == pytest.approx(kl(0.8, 0.5) / 2)


def test_a_temperature_flattens_both_and_keeps_the_size_of_the_gradient():
    student = odds(0.5).requires_grad_()
    found = distill.soft_label_loss(student, odds(0.8), 2.0)
    share = 0.8**0.5 / (0.8**0.5 + 0.2**0.5)
    assert found.item() == pytest.approx(4 * kl(share, 0.5), rel=1e-5)


def test_samples_without_weight_do_not_count():
    found = distill.soft_label_loss(odds(0.5, 0.1), odds(0.8, 0.9), 1.0, torch.tensor([1.0, 0.0]))
    assert found == pytest.approx(kl(0.8, 0.5))
    none = distill.soft_label_loss(odds(0.5), odds(0.8), 1.0, torch.zeros(1))
    assert none == 0


def test_standardised_logits_of_a_louder_teacher_are_the_same():
    logits = features(0)
    torch.testing.assert_close(
        distill.standardised(logits), distill.standardised(7 * logits + 3), rtol=1e-4, atol=1e-4
    )
    assert distill.standardised(logits).square().mean(-1) == pytest.approx(1.0, abs=1e-4)
    assert distill.standardised(torch.ones(2, 3)).isfinite().all()


def test_correlation_is_blind_to_a_scale_and_sees_an_order():
    same = distill.correlation_loss(features(0), features(0))
    assert same == pytest.approx(0, abs=1e-5)
    assert distill.correlation_loss(odds(0.9, 0.2), odds(0.6, 0.4)) == pytest.approx(0, abs=1e-5)
    assert distill.correlation_loss(odds(0.9, 0.2), odds(0.4, 0.6)) == pytest.approx(4, abs=1e-5)


def test_agreement_is_kendalls_tau():
    one = torch.tensor([[3.0, 2.0, 1.0]])
    assert distill.agreement(one, torch.tensor([[9.0, 5.0, 2.0]])) == pytest.approx(1)
    assert distill.agreement(one, torch.tensor([[1.0, 2.0, 3.0]])) == pytest.approx(-1)
    assert distill.agreement(one, torch.tensor([[3.0, 1.0, 2.0]])) == pytest.approx(1 / 3)


def test_without_the_truth_the_other_labels_stay_in_order():
    logits = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    found = distill.without_truth(logits, torch.tensor([1, 0]))
    assert found.tolist() == [[1.0, 3.0], [5.0, 6.0]]


def test_relations_are_blind_to_scale_and_rotation():
    teacher = features(1)
    rotation = torch.linalg.qr(features(2, 4)).Q
    moved = 3 * teacher @ rotation + 5
    assert distill.relation_loss(moved, teacher) == pytest.approx(0, abs=1e-6)
    assert distill.relation_loss(features(3), teacher) > 0.01


def test_features_are_compared_by_their_direction():
    one = torch.tensor([[2.0, 0.0]])
    assert distill.feature_loss(one, torch.tensor([[5.0, 0.0]])) == pytest.approx(0, abs=1e-6)
    assert distill.feature_loss(one, torch.tensor([[0.0, 1.0]])) == pytest.approx(2)


def test_tokens_are_compared_at_the_same_moments():
    at = torch.linspace(0, 1, 9)[None, :, None]
    slow, fast = (torch.cat([x, 1 - x], -1) for x in (at[:, ::2], at))
    assert distill.per_time_loss(fast, slow) == pytest.approx(0, abs=1e-6)
    assert distill.per_time_loss(fast, slow.flip(1)) > 0.1


def test_a_student_that_is_like_the_queue_as_its_teacher_is_costs_least():
    teacher, queue = features(1, 3), features(2, 7)
    options = {"teacher_temperature": 0.1, "student_temperature": 0.1}
    right = distill.queue_loss(teacher, teacher, queue, **options)
    wrong = distill.queue_loss(teacher.flip(0), teacher, queue, **options)
    assert right < wrong
    kept = torch.nn.functional.normalize(torch.cat([teacher, queue]), dim=-1)
    p = (kept[:3] @ kept.T / 0.1).softmax(-1)
    assert right == pytest.approx(float(-(p * p.log()).sum(-1).mean()), rel=1e-4)


def test_a_prototype_draws_its_own_label():
    prototypes = torch.eye(3)
    near = distill.prototype_loss(torch.eye(3), torch.arange(3), prototypes)
    far = distill.prototype_loss(torch.eye(3), torch.tensor([1, 2, 0]), prototypes)
    assert near < 1e-3 < far


def test_boundaries_follow_the_teachers_where_they_are_scored():
    student, teacher = torch.zeros(1, 3), torch.tensor([[0.0, 50.0, 50.0]])
    scored = torch.tensor([[True, True, False]])
    found = distill.soft_boundary_loss(student, teacher, scored)
    assert found == pytest.approx(log(2))
    assert distill.soft_boundary_loss(student, teacher, torch.zeros(1, 3, dtype=torch.bool)) == 0


def losses():
    one, other = features(0, 4, 3), features(1, 4, 3)
    tokens, more = features(2, 6).view(1, 6, 4), features(3, 9).view(1, 9, 4)
    label = torch.tensor([0, 1, 2, 0])
    everywhere = torch.ones(4, 3, dtype=torch.bool)
    return (
        {
            "soft": lambda s, t: distill.soft_label_loss(s, t, 2.0),
            "correlation": distill.correlation_loss,
            "relation": distill.relation_loss,
            "feature": distill.feature_loss,
            "queue": lambda s, t: distill.queue_loss(s, t, features(5, 7, 3)),
            "prototype": lambda s, t: distill.prototype_loss(s, label, t[:3]),
            "boundary": lambda s, t: distill.soft_boundary_loss(s, t, everywhere),
        },
        (one, other),
        (tokens, more),
    )


@pytest.mark.parametrize("name", losses()[0])
def test_the_teacher_learns_nothing(name):
    all_, (student, teacher), _ = losses()
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    all_[name](student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.isfinite().all()
    assert student.grad.any()


def test_the_teacher_of_every_moment_learns_nothing():
    _, _, (student, teacher) = losses()
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    distill.per_time_loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.any()
