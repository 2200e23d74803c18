"""What a teacher is punished for, worked by hand."""

from math import exp, log

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer.sigformer import TeacherAnswers  # noqa: E402
from trainer.teacher_loss import (  # noqa: E402
    LossWeights,
    boundary_loss,
    class_loss,
    smoothing_loss,
    teacher_loss,
)

pytestmark = pytest.mark.torch
ONES = torch.ones(2)


def alone(count):
    return count


def labels(*index, of=2):
    """Return (1, T, K) targets; -1 is not scored."""
    rows = torch.zeros(1, len(index), of)
    for t, k in enumerate(index):
        if k >= 0:
            rows[0, t, k] = 1
    return rows


def odds(*shares):
    """Return (1, T, 2) logits that say a share of the first label."""
    p = torch.tensor(shares)
    return torch.stack([p.log(), (1 - p).log()], -1)[None]


def says(logits, boundary, inner_logits=(), inner_boundary=()):
    return TeacherAnswers(logits, boundary, list(inner_logits), list(inner_boundary))


# --- classes ---


def test_two_steps_cost_their_mean_surprise():
    found = class_loss(odds(0.8, 0.4), labels(0, 1), ONES, alone)
    assert found == pytest.approx((-log(0.8) - log(0.6)) / 2)


def test_a_shared_step_costs_by_share():
    target = torch.tensor([[[0.25, 0.75]]])
    found = class_loss(odds(0.8), target, ONES, alone)
    assert found == pytest.approx(-0.25 * log(0.8) - 0.75 * log(0.2))


def test_a_label_of_three_times_the_weight_counts_three_times():
    found = class_loss(odds(0.8, 0.4), labels(0, 1), torch.tensor([1.0, 3.0]), alone)
    assert found == pytest.approx((-log(0.8) - 3 * log(0.6)) / 4)


@pytest.mark.parametrize("wild", [0.5, 1e-6, 1 - 1e-6])
def test_steps_without_truth_do_not_count(wild):
    found = class_loss(odds(0.8, wild, wild), labels(0, -1, -1), ONES, alone)
    assert found == pytest.approx(-log(0.8))


def test_windows_without_any_truth_cost_nothing_and_teach_nothing():
    logits = odds(0.3, 0.9).requires_grad_()
    boundary = torch.randn(1, 2, requires_grad=True)
    answers = says({"a": logits}, boundary, [logits], [boundary])
    loss = teacher_loss(answers, {"a": labels(-1, -1)}, {"a": ONES}, LossWeights())
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()
    assert not boundary.grad.any()


# --- boundaries ---


def test_a_boundary_is_the_first_step_of_another_label():
    # steps 1, 2, 3 count: no, yes, no
    found = boundary_loss(torch.tensor([[9.0, 0.0, 2.0, -1.0]]), labels(0, 0, 1, 1), alone)
    expected = (log(2) + log(1 + exp(-2)) + log(1 + exp(-1))) / 3
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("first", [-50.0, 0.0, 50.0])
def test_the_first_step_of_a_window_is_never_asked(first):
    logits = torch.tensor([[first, 0.0], [first, 0.0]])
    two_windows = torch.cat([labels(0, 0), labels(1, 1)])
    assert boundary_loss(logits, two_windows, alone) == pytest.approx(log(2))


@pytest.mark.parametrize("wild", [-50.0, 50.0])
def test_into_and_out_of_what_is_not_scored_there_is_no_boundary(wild):
    logits = torch.tensor([[0.0, wild, wild, 0.0]])
    assert boundary_loss(logits, labels(0, -1, 1, 1), alone) == pytest.approx(log(2))


def test_a_window_of_one_step_has_no_boundary():
    assert boundary_loss(torch.zeros(3, 1), labels(0).expand(3, -1, -1), alone) == 0


def test_the_likeliest_label_decides_where_a_boundary_is():
    soft = torch.tensor([[[0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]])
    assert boundary_loss(torch.tensor([[0.0, -30, 30]]), soft, alone) < 1e-6


# --- smoothing ---


def test_what_changes_from_step_to_step_costs_the_square_of_the_change():
    # log p: (.8, .2) -> (.4, .6) -> (.4, .6)
    found = smoothing_loss(odds(0.8, 0.4, 0.4), labels(0, 1, 1), alone)
    assert found == pytest.approx((log(2) ** 2 + log(3) ** 2) / 2 / 2)


def test_a_change_beyond_the_limit_costs_no_more():
    # log p: (1, e^-30) -> (e^-30, 1), as good as
    logits = torch.tensor([[[0.0, -30.0], [-30.0, 0.0]]], requires_grad=True)
    loss = smoothing_loss(logits, labels(0, 1), alone)
    loss.backward()
    assert loss.item() == pytest.approx(4**2)
    assert not logits.grad.any()


def test_the_later_step_moves_to_the_earlier_one():
    logits = odds(0.8, 0.4).requires_grad_()
    smoothing_loss(logits, labels(0, 1), alone).backward()
    assert not logits.grad[0, 0].any()
    assert logits.grad[0, 1, 0] < 0 < logits.grad[0, 1, 1], "more of the first label"


@pytest.mark.parametrize("wild", [0.5, 1e-6])
def test_into_and_out_of_what_is_not_scored_nothing_is_smoothed(wild):
    found = smoothing_loss(odds(0.8, wild, 0.8, 0.4), labels(0, -1, 0, 1), alone)
    assert found == pytest.approx((log(2) ** 2 + log(3) ** 2) / 2)
    assert smoothing_loss(odds(0.8, wild), labels(0, -1), alone) == 0


# --- all together ---


def pieces():
    logits, finer, boundary = odds(0.8, 0.4), odds(0.5, 0.7), torch.tensor([[0.0, 1.0]])
    inner = [odds(0.6, 0.3), odds(0.9, 0.2)]
    edges = [torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, -1.0]])]
    answers = says({"operation": logits, "action": finer}, boundary, inner, edges)
    return answers, {"operation": labels(0, 1), "action": labels(1, 1)}


def by_hand(weights):
    """Return the loss of ``pieces``, number by number."""
    outer = (-log(0.8) - log(0.6)) / 2
    finer = (-log(0.5) - log(0.3)) / 2
    inner = ((-log(0.6) - log(0.7)) / 2 + (-log(0.9) - log(0.8)) / 2) / 2
    edge = log(1 + exp(-1))
    edges = (log(1 + exp(-2)) + log(1 + exp(1))) / 2
    return (
        (1 - weights.inner) * outer + weights.inner * inner + weights.finer_level * finer
        + weights.boundary * edge + weights.inner_boundary * edges
    )  # fmt: skip


@pytest.mark.parametrize(
    "weights",
    [LossWeights(), LossWeights(0.0, 0.0, 0.0, 0.0), LossWeights(0.25, 1.0, 3.0, 2.0)],
)
def test_the_parts_add_up_by_their_weights(weights):
    answers, true = pieces()
    found = teacher_loss(answers, true, {"operation": ONES, "action": ONES}, weights)
    assert found == pytest.approx(by_hand(weights))


def test_without_inner_answers_the_outer_ones_count_whole():
    answers, true = pieces()
    bare = says(answers.logits, answers.boundary)
    found = teacher_loss(bare, true, {"operation": ONES, "action": ONES}, LossWeights())
    outer, finer = (-log(0.8) - log(0.6)) / 2, (-log(0.5) - log(0.3)) / 2
    assert found == pytest.approx(outer + 0.5 * finer + 0.2 * log(1 + exp(-1)))


def test_every_class_loss_is_smoothed_and_counts_as_it_does():
    answers, true = pieces()

    def change(p, q):  # of two labels' shares, from step to step
        return (log(p / q) ** 2 + log((1 - p) / (1 - q)) ** 2) / 2

    outer, finer = change(0.8, 0.4), change(0.5, 0.7)
    inner = (change(0.6, 0.3) + change(0.9, 0.2)) / 2
    weights = LossWeights(inner=0.25, finer_level=2.0, smoothing=0.1)
    found = teacher_loss(answers, true, {"operation": ONES, "action": ONES}, weights)
    added = 0.1 * (0.75 * outer + 0.25 * inner + 2.0 * finer)
    assert found == pytest.approx(by_hand(weights) + added)


def test_released_the_inner_loss_is_of_the_inputs_mean():
    answers, true = pieces()
    ones = {"operation": ONES, "action": ONES}
    only_inner = LossWeights(1.0, 0.0, 1.0, 0.0, inner_of_mean=True)
    mean = torch.stack(answers.inner_logits).mean(0)
    expected = class_loss(mean, true["operation"], ONES, alone) + log(1 + exp(-0.5))
    assert teacher_loss(answers, true, ones, only_inner) == pytest.approx(float(expected))
    each = LossWeights(1.0, 0.0, 1.0, 0.0)
    assert teacher_loss(answers, true, ones, each) != pytest.approx(float(expected), abs=1e-3)


def test_inner_answers_without_inner_boundaries_have_a_mean_as_well():
    answers, true = pieces()
    stages = answers._replace(inner_boundary=[])
    weights = LossWeights(inner_of_mean=True)
    assert teacher_loss(stages, true, {"operation": ONES, "action": ONES}, weights).isfinite()


def test_windows_shared_by_processes_cost_what_they_cost_together():
    torch.manual_seed(0)
    whole = torch.randn(4, 6, 2)
    true = torch.nn.functional.one_hot(torch.randint(2, (4, 6)), 2).float()
    true[0, 1:] = 0  # one process has far fewer scored steps than the other
    true[1] = 0
    edge = torch.randn(4, 6)
    weights = {"a": torch.tensor([0.5, 1.5])}

    def loss(rows, total):
        answers = says({"a": whole[rows]}, edge[rows], [2 * whole[rows]], [-edge[rows]])
        return teacher_loss(answers, {"a": true[rows]}, weights, LossWeights(smoothing=0.3), total)

    counts: list[object] = []

    def counted(count):
        counts.append(count)
        return count

    expected = loss(slice(None), counted)
    shares = []
    for rows in (slice(0, 2), slice(2, 4)):
        left = iter(counts)
        shares.append(float(loss(rows, lambda _, left=left: next(left))))
    assert sum(shares) == pytest.approx(float(expected))
