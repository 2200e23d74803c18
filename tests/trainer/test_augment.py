"""Training windows may be shown to a teacher without some of their sensors."""

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_teachers import windows  # noqa: E402
from trainer.augment import some_modalities  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = ("imu", "camera", "in_use")


def drawn(inputs, share, seed=0):
    return some_modalities(inputs, share, torch.Generator().manual_seed(seed))


def shown(inputs):
    """Return (B, 3) whether a window has readings of a modality."""
    return torch.stack([inputs[f"{n}_observed"].flatten(1).any(1) for n in NAMES], 1)


@pytest.fixture
def many():
    return windows(batch=700)


def test_a_share_of_nothing_changes_nothing(many):
    found = drawn(many, 0.0)
    assert all(torch.equal(found[n], many[n]) for n in many)


def test_a_window_always_shows_something_and_every_set_comes_up(many):
    sets = {tuple(row) for row in shown(drawn(many, 1.0)).tolist()}
    assert len(sets) == 7
    assert (False, False, False) not in sets


def test_all_sets_are_drawn_alike(many):
    counts = torch.unique(shown(drawn(many, 1.0)), dim=0, return_counts=True)[1]
    assert counts.min() > 60, "of 700 in 7 sets"


def test_half_of_the_windows_are_left_whole(many):
    found = shown(drawn(many, 0.5))
    # a seventh of the others draws the whole set
    assert found.all(1).float().mean() == pytest.approx(0.5 + 0.5 / 7, abs=0.06)


def test_what_is_hidden_is_hidden_with_its_mask_and_the_rest_is_untouched(many):
    found = drawn(many, 1.0)
    seen = shown(found)
    for column, name in enumerate(NAMES):
        for key in (name, f"{name}_observed"):
            gone = ~seen[:, column]
            assert not found[key][gone].any()
            assert torch.equal(found[key][~gone], many[key][~gone])


def test_a_single_modality_is_never_hidden(many):
    alone = {n: many[n] for n in ("imu", "imu_observed")}
    assert torch.equal(drawn(alone, 1.0)["imu"], many["imu"])


def test_the_draw_depends_on_the_seed_alone(many):
    assert torch.equal(shown(drawn(many, 1.0)), shown(drawn(many, 1.0)))
    assert not torch.equal(shown(drawn(many, 1.0)), shown(drawn(many, 1.0, seed=1)))
