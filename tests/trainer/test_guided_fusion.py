"""Streams are guided where a device is in use, and nowhere else."""

from itertools import product

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from trainer.attention import Nearness, attend  # noqa: E402
from trainer.guided_fusion import (  # noqa: E402
    GuidedFusionLayer,
    SparseGuidedFusion,
    moved,
    widened,
)

pytestmark = pytest.mark.torch
B, T, E, D, HEADS = 2, 9, 3, 16, 4
USED = [(0, 2, 0), (0, 2, 1), (0, 3, 1), (1, 5, 2)]  # window, step, device


def fusion(reading, seed=0):
    torch.manual_seed(seed)
    one = SparseGuidedFusion(D, HEADS, 0.0, reading).eval()
    for weight in one.parameters():
        nn.init.normal_(weight, std=0.5)
    return one


def layer(reading, streams=2, **options):
    torch.manual_seed(0)
    options |= {"streams": streams, "reading": reading, "guided": True}
    return GuidedFusionLayer(D, HEADS, 32, 0.0, 0.0, **options).eval()


@pytest.fixture
def stream():
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def other():
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def guide():
    return torch.randn(B, T, E, D, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def mask():
    out = torch.zeros(B, T, E)
    for at in USED:
        out[at] = 1
    return out


def everything():
    return torch.ones(B, T, dtype=torch.bool)


def plain(one, x, guide):
    """Return what torch's own attention says, with the weights of a fusion."""
    cross = one.cross
    theirs = nn.MultiheadAttention(D, HEADS, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(
            torch.cat([cross.to_q.weight, cross.to_k.weight, cross.to_v.weight])
        )
        theirs.out_proj.weight.copy_(cross.out.weight)
    keys = one.norm(x)
    asked = one.norm_guide(guide)
    return sum(theirs(asked[:, :, e], keys, keys, need_weights=False)[0] for e in range(E))


# --- where no device is in use ---


@pytest.mark.parametrize("reading", ["B", "C", "shuffled"])
def test_without_any_device_in_use_the_fusion_is_the_identity(stream, guide, reading):
    found = fusion(reading)(stream, guide, torch.zeros(B, T, E), everything())
    assert torch.equal(found, stream)


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("reading", ["B", "C", "shuffled"])
def test_without_any_device_in_use_a_layer_guides_nothing(stream, other, guide, reading, streams):
    one = layer(reading, streams)
    given, seen = [stream, other][:streams], [everything()] * streams
    found = one._guided(given, guide, torch.zeros(B, T, E), seen)
    assert all(torch.equal(x, y) for x, y in zip(found, given, strict=True))
    whole = one(given, guide, torch.zeros(B, T, E), seen)
    alone = one(given, None, None, seen)
    assert all(torch.equal(x, y) for x, y in zip(whole, alone, strict=True))


@pytest.mark.parametrize("tell", [False, True])
def test_a_step_without_a_device_is_left_alone_beside_one_with(stream, other, guide, mask, tell):
    found = layer("B", tell=tell)._guided([stream, other], guide, mask, [everything()] * 2)
    idle = ~mask.any(-1)
    for x, before in zip(found, (stream, other), strict=True):
        assert torch.equal(x[idle], before[idle])
        assert (x[~idle] != before[~idle]).any(-1).all()


def test_guidance_where_no_device_is_in_use_changes_nothing(stream, other, guide, mask):
    garbage = torch.where(mask.unsqueeze(-1) > 0, guide, 1e6 * torch.randn_like(guide))
    one = fusion("B")
    assert torch.equal(
        one(stream, guide, mask, everything()), one(stream, garbage, mask, everything())
    )
    whole = layer("B")
    ours, theirs = (
        whole([stream, other], said, mask, [everything()] * 2) for said in (guide, garbage)
    )
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


def test_guidance_where_a_device_is_in_use_changes_that_step_alone(stream, guide, mask):
    turned = guide.clone()
    turned[0, 2, 1] += 1
    one = fusion("B")
    differs = one(stream, guide, mask, None) != one(stream, turned, mask, None)
    assert differs.any(-1).nonzero().tolist() == [[0, 2]]


# --- where devices are in use ---


@pytest.mark.parametrize("reading", ["A", "B", "C", "off", "shuffled"])
def test_with_every_device_in_use_all_readings_are_plain_cross_attention(stream, guide, reading):
    one = fusion(reading)
    found = one(stream, guide, torch.ones(B, T, E), everything())
    assert (found - stream - plain(one, stream, guide)).abs().max() < 1e-4


def test_reading_b_adds_plain_attention_at_the_steps_of_the_mask(stream, guide, mask):
    one = fusion("B")
    asked, keys = one.norm_guide(guide), one.norm(stream)
    expected = stream.clone()
    for b, t, e in USED:
        expected[b, t] += one.cross(asked[b : b + 1, t : t + 1, e], keys[b : b + 1])[0, 0]
    assert (one(stream, guide, mask, None) - expected).abs().max() < 1e-5


def test_under_reading_a_a_step_without_a_device_looks_at_everything_alike(stream, guide):
    one = fusion("A")
    found = one(stream, guide, torch.zeros(B, T, E), None)
    mean = one.cross.out(one.cross.to_v(one.norm(stream)).mean(1, keepdim=True))  # (B, 1, D)
    assert (found - stream - E * mean).abs().max() < 1e-5


def test_under_reading_c_nobody_looks_outside_the_mask(stream, guide, mask):
    one = fusion("C")
    used = mask.any(-1)
    turned = torch.where(used.unsqueeze(-1), stream, 1e3 * torch.randn_like(stream))
    ours, theirs = one(stream, guide, mask, None), one(turned, guide, mask, None)
    assert torch.equal(ours[used], theirs[used])
    # a device looks at its own steps only: window 1 has but one key, and its value is the answer
    value = one.cross.out(one.cross.to_v(one.norm(stream[1, 5])))
    assert (ours[1] - stream[1] - value).abs().max() < 1e-5


@pytest.mark.parametrize("reading", ["A", "B", "C", "off", "shuffled"])
def test_nobody_looks_at_steps_of_a_stream_that_were_not_observed(stream, guide, mask, reading):
    seen = everything()
    seen[:, [1, 3, 4]] = False
    turned = torch.where(seen.unsqueeze(-1), stream, 1e3 * torch.randn_like(stream))
    one = fusion(reading)
    ours, theirs = one(stream, guide, mask, seen), one(turned, guide, mask, seen)
    assert torch.equal(ours[seen], theirs[seen])
    assert not torch.equal(one(stream, guide, torch.ones(B, T, E), None)[seen], ours[seen])


def test_a_stream_that_was_not_observed_leaves_the_other_alone(stream, other):
    one = layer("B")
    nothing = torch.zeros(B, T, dtype=torch.bool)
    seen = [everything(), nothing]
    ours = one([stream, other], None, None, seen)[0]
    theirs = one([stream, torch.randn_like(other)], None, None, seen)[0]
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, one([stream, other], None, None, [everything()] * 2)[0])


def test_the_released_layer_follows_its_published_steps(stream, other, guide):
    one = layer(None)
    said = guide.sum(2)
    x, y = functional.silu(stream + said), functional.silu(other + said)
    x = one.norm_guidance(one.guidance[0](said, x) + x)
    y = one.norm_guidance(one.guidance[1](said, y) + y)
    x, y = one.norm_between(one.between[0](x, y) + x), one.norm_between(one.between[1](y, x) + y)
    expected = [
        one.norm_forward(one.forwards[0](x) + x), one.norm_forward(one.forwards[1](y) + y),
    ]  # fmt: skip
    for mask in (torch.zeros(B, T, E), torch.ones(B, T, E)):  # it knows no mask
        found = one([stream, other], guide, mask, [everything()] * 2)
        assert all((a - b).abs().max() < 1e-5 for a, b in zip(found, expected, strict=True))


# --- numbers, whatever is masked ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reading", ["A", "B", "C", "off", "shuffled"])
def test_empty_masks_give_numbers_and_gradients(stream, guide, reading, dtype):
    one = fusion(reading).to(dtype)
    x, said = stream.to(dtype).requires_grad_(), guide.to(dtype).requires_grad_()
    empty = torch.zeros(B, T, E, dtype=dtype)
    nothing = torch.zeros(B, T, dtype=torch.bool)
    found = one(x, said, empty, nothing)
    found.sum().backward()
    assert torch.equal(found, x), "what was not observed tells nothing"
    for tensor in (x, said, *one.parameters()):
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_is_torchs_own_where_something_is_seen_and_zero_elsewhere(with_bias):
    torch.manual_seed(0)
    q = torch.randn(B, HEADS, 4, 8)
    k, v = torch.randn(2, B, HEADS, T, 8)
    keys = torch.rand(B, 4, T) < 0.5
    keys[0, 1], keys[1, 2] = False, False
    bias = torch.randn(HEADS, 4, T) if with_bias else None
    found = attend(q, k, v, keys, bias=bias)
    for b, h, t in product(range(B), range(HEADS), range(4)):
        score = (k[b, h] @ q[b, h, t]) / 8**0.5 + (0 if bias is None else bias[h, t])
        if not keys[b, t].any():
            assert not found[b, h, t].any()
            continue
        weight = score[keys[b, t]].softmax(0)
        assert (found[b, h, t] - weight @ v[b, h, keys[b, t]]).abs().max() < 1e-5


def test_nearness_takes_from_what_is_far_the_same_before_and_behind():
    near = Nearness(2)
    bias = near(3, 3)
    expected = torch.tensor([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]])
    assert (bias[0] + expected / 2).abs().max() < 1e-6
    assert (bias[1] + expected / 4).abs().max() < 1e-6
    assert torch.equal(near(6, 3, each=2)[:, ::2], bias), "queries of one step are equally near"


# --- masks ---


def test_a_use_is_widened_at_both_ends_and_each_device_by_itself(mask):
    wide = widened(mask, 1)
    assert wide[0, :, 0].nonzero().flatten().tolist() == [1, 2, 3]
    assert wide[0, :, 1].nonzero().flatten().tolist() == [1, 2, 3, 4]
    assert wide[1, :, 2].nonzero().flatten().tolist() == [4, 5, 6]
    assert wide.sum() == 10
    assert torch.equal(widened(mask, 0), mask)
    assert widened(mask, 50)[0, :, :2].all()


def test_states_moved_in_time_keep_their_runs_and_what_else_was_said_then(mask):
    states = torch.stack([mask, torch.rand_like(mask)])
    still = moved(states, training=False)
    assert torch.equal(still, moved(states, training=False))
    assert torch.equal(still, states.roll(mask.shape[1] // 2, 2))
    torch.manual_seed(1)
    first, second = moved(states, training=True), moved(states, training=True)
    assert not torch.equal(first, second)
    for b in range(B):
        turns = [states[:, b].roll(lag, 1) for lag in range(mask.shape[1])]
        assert any(torch.equal(first[:, b], turn) for turn in turns)
        assert not torch.equal(first[:, b], states[:, b])
