"""Classes and boundaries ask each other, early and late, as published or as released."""

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_teachers import model  # noqa: E402
from trainer.bottleneck import Bottleneck, Recurrent  # noqa: E402
from trainer.mutual_branches import Interact  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def fused():
    return torch.randn(2, 16, 24, generator=torch.Generator().manual_seed(0))


def branches(interaction):
    return model(interaction=interaction).branches


def told(one, u, f):
    return one.recurrent(one.norm(f)), one.recurrent(one.norm(u))


def assert_close(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-5


def test_published_the_one_who_asks_goes_on_with_the_answer(fused):
    one = branches("paper")
    u = one.boundary_early(fused)
    f = one.first(one.class_early(fused), u)  # early: classes ask boundaries
    u, f = one.boundary_late(u), one.class_middle(f)
    u = one.second(u, f)  # late: boundaries ask classes
    assert_close(one(fused), told(one, u, one.class_late(f)))


def test_released_the_answer_takes_the_place_of_the_one_who_was_asked(fused):
    one = branches("released")
    f, u = one.class_early(fused), one.boundary_early(fused)
    u = one.boundary_late(one.first(f, u))
    f = one.second(u, one.class_middle(f))
    assert_close(one(fused), told(one, u, one.class_late(f)))


def test_without_interaction_the_branches_go_their_ways(fused):
    one = branches("off")
    f = one.class_late(one.class_middle(one.class_early(fused)))
    u = one.boundary_late(one.boundary_early(fused))
    assert_close(one(fused), told(one, u, f))


def test_an_answer_keeps_what_the_asker_knew_and_is_normed(fused):
    torch.manual_seed(0)
    one = Interact(24, 4, 32, 0.0, 0.0).eval()
    other = torch.randn_like(fused)
    asked = one.norm(one.cross(fused, other) + fused)
    assert_close([one(fused, other)], [one.norm_forward(one.forwards(asked) + asked)])
    assert not torch.equal(one(fused, other), one(other, fused))


# --- what a stream says by itself ---


def test_a_stream_learns_its_own_classes_and_the_mean_of_three_boundary_curves(fused):
    torch.manual_seed(0)
    one = Bottleneck(24, 5, 12, 1, 0.0, 0.0, 8).eval()
    x, logits, boundary = one(fused)
    assert_close([logits], [one.classes(one.recurrent(fused))])
    assert_close([x], [fused + one.back(logits.softmax(-1))])
    curve = one.boundary(x.transpose(1, 2))
    clear = one.clearer[0](curve.sigmoid())
    clearest = one.clearer[1](clear.sigmoid())
    assert_close([boundary], [((curve + clear + clearest) / 3)[:, 0]])


def test_a_skip_shows_heads_what_was_read_beside_what_was_told(fused):
    torch.manual_seed(0)
    one = Recurrent(24, 12, 1, 0.0, skip=True)
    found = one(fused)
    assert found.shape == (2, 16, one.width) == (2, 16, 48)
    assert torch.equal(found[..., 24:], fused)
