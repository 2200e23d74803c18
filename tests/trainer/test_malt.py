"""MALT: what attention keeps, what memories hold, and that nothing knows what is to come."""

from dataclasses import replace
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer.malt import Malt, kept, memories  # noqa: E402
from trainer.malt_config import MaltConfig  # noqa: E402
from trainer.malt_stream import MaltHead, MaltStep  # noqa: E402

pytestmark = pytest.mark.torch
SMALL = MaltConfig(width=16, heads=2, long=8, stride=3, short=6, top=5, dropout=0.0)


def network(**changes):
    torch.manual_seed(0)
    return Malt(replace(SMALL, **changes)).eval()


def test_it_has_the_published_number_of_weights():
    """58,884,118 with two heads from 3072 features and a classifier of 22 labels."""
    with torch.device("meta"):
        net = Malt(MaltConfig(width=1024, heads=16, long=512, short=32, top=370))
        heads = [
            torch.nn.Linear(3072, 1024),
            torch.nn.Linear(3072, 1024),
            torch.nn.Linear(1024, 22),
        ]
    parts = [net, *heads]
    assert sum(w.numel() for part in parts for w in part.parameters()) == 58_884_118
    with torch.device("meta"):
        each = Malt(
            MaltConfig(width=1024, heads=16, long=512, short=32, top=370, one_decoder=False)
        )
    extra = sum(w.numel() for w in each.parameters()) - sum(w.numel() for w in net.parameters())
    assert extra == 10_502_144 + 2 * 1024  # a unit and a norm


def test_a_query_keeps_its_strongest_keys_and_the_others_learn_nothing():
    scores = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = kept(scores, torch.ones(8, dtype=torch.bool), 5)
    assert ((weights > 0).sum(-1) == 5).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))
    least = scores.topk(5, -1).values[..., -1:]
    assert torch.equal(weights > 0, scores >= least)
    (weights * torch.randn_like(weights)).sum().backward()
    assert torch.equal(scores.grad != 0, weights > 0)


def test_as_strong_keys_as_the_last_stay_and_too_few_are_all_kept():
    assert (kept(torch.tensor([[3.0, 1, 1, 1]]), torch.tensor(True), 2) > 0).all()
    allowed = torch.tensor([True, False, True, False])
    weights = kept(torch.tensor([[1.0, 9, 1, 9]]), allowed, 3)
    assert weights.tolist() == [[0.5, 0, 0.5, 0]]


def test_a_query_without_any_key_finds_nothing():
    assert kept(torch.ones(1, 4), torch.zeros(4, dtype=torch.bool), 2).tolist() == [[0, 0, 0, 0]]


def test_the_short_memory_ends_at_the_step_and_the_long_one_is_older():
    x = torch.arange(60.0)[:, None]
    long, long_full, short, short_full = memories(x[None], torch.tensor([3, 40]), SMALL)
    assert short[0, :, 0].tolist() == [0, 0, 0, 1, 2, 3]
    assert short_full[0].tolist() == [False, False, True, True, True, True]
    assert not long_full[0].any()
    assert short[1, :, 0].tolist() == [35, 36, 37, 38, 39, 40]
    assert long[1, :, 0].tolist() == [12, 15, 18, 21, 24, 27, 30, 33]  # every third, 34 the newest
    assert long_full[1].all()


def test_a_place_of_the_long_memory_is_the_same_step_until_it_is_forgotten():
    x = torch.arange(60.0)[:, None]
    held = [
        set(long[0][full[0]][:, 0].tolist())
        for t in range(60)
        for long, full, _, _ in [memories(x[None], torch.tensor([t]), SMALL)]
    ]
    for before, after in pairwise(held):
        assert len(after - before) <= 1
        assert all(step % 3 == 0 for step in after)


@pytest.mark.parametrize("branches", [1, 2, 3, 4])
@pytest.mark.parametrize("one_decoder", [True, False])
def test_any_number_of_branches_names_every_step_of_the_short_memory(branches, one_decoder):
    net = network(branches=branches, one_decoder=one_decoder)
    said = net(*memories(torch.randn(1, 50, 16), torch.tensor([2, 30, 49]), net.config))
    assert said.now.shape == (3, 6, 16)
    assert [one.shape for one in said.branches] == [(3, 6, 16)] * branches
    assert torch.isfinite(said.now).all()
    said.now.sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name


def test_no_step_knows_what_comes_after_it():
    net, x = network(), torch.randn(50, 16)
    ends = torch.tensor([30])
    other = x.clone()
    other[29:] += 1
    before, after = (net(*memories(one[None], ends, net.config)) for one in (x, other))
    assert torch.equal(before.now[:, :4], after.now[:, :4])  # steps 25 to 28
    assert not torch.allclose(before.now[:, 4:], after.now[:, 4:])
    for mine, theirs in zip(before.branches, after.branches, strict=True):
        assert torch.equal(mine, theirs), "the long memory alone"


def test_a_memory_that_is_empty_has_no_influence_whatever_stands_in_it():
    net = network()
    long, long_full, short, short_full = memories(torch.randn(1, 50, 16), torch.tensor([10]), SMALL)
    said = net(long, long_full, short, short_full)
    noisy = torch.where(long_full[..., None], long, torch.randn_like(long))
    again = net(noisy, long_full, short, short_full)
    torch.testing.assert_close(said.now, again.now)
    assert long_full.sum() == 2


def test_a_width_that_its_heads_do_not_divide_is_told():
    with pytest.raises(ValueError, match="found width 10, expected a multiple of 4"):
        MaltConfig(width=10)
    with pytest.raises(ValueError, match="top is 0, expected 1 or more"):
        MaltConfig(top=0)


# --- one step at a time ---


@pytest.mark.parametrize(
    "changes",
    [{}, {"branches": 1}, {"branches": 3}, {"one_decoder": False}, {"stride": 1, "top": 8}],
)
def test_step_by_step_from_a_cold_start_is_as_read_anew_at_every_step(changes):
    """In double precision: in single, another of two keys that are as strong may be dropped."""
    head = MaltHead(network(**changes)).eval().double()
    step = MaltStep(head).eval()
    x = torch.randn(3, 60 if changes else 2000, 16, dtype=torch.float64)
    with torch.no_grad():
        anew = head(x)
        state, said = torch.zeros(3, step.config.state_size, dtype=torch.float64), []
        for t in range(x.shape[1]):
            now, state = step(x[:, t], state)
            said.append(now)
    torch.testing.assert_close(torch.stack(said, 1), anew, atol=1e-9, rtol=0)


def test_stations_that_share_a_call_do_not_share_a_memory():
    step = MaltStep(MaltHead(network()).eval()).eval()
    x = torch.randn(2, 40, 16)
    with torch.no_grad():
        state = torch.zeros(2, step.config.state_size)
        for t in range(40):
            if t == 10:  # the second begins anew
                state[1] = 0
            both, state = step(x[:, t], state)
        alone = torch.zeros(1, step.config.state_size)
        for t in range(10, 40):
            one, alone = step(x[1:, t], alone)
    torch.testing.assert_close(both[1:], one)
