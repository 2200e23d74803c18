"""Training sequences made a little different: what may change, and what may not."""

from dataclasses import replace

import msgspec
import torch

from edge.bundle import Input
from trainer import datasets
from trainer.augment import augment
from trainer.recipe_parts import Block
from trainer.recipes import recipe

UNIT = ("wrist.acc_x", "wrist.acc_y", "wrist.acc_z")


def spoken(share: float):
    """Return a recipe that does nothing but turn units round, and a manifest in odd units."""
    still = replace(
        recipe("sphere-imu"), noise=0, drop_rows=0, scale=0, rotate_rad=0, reversed_share=share,
        inputs=(Block("imu", 20, UNIT, 250_000),),
    )  # fmt: skip
    block = Input(
        name="imu", rate_hz=20, channels=UNIT, units=("m/s^2",) * 3,
        mean=(1.0, -2.0, 3.0), std=(2.0, 4.0, 5.0), max_gap_us=250_000,
    )  # fmt: skip
    bare = datasets.unscaled(replace(still, inputs=()), (), [])
    return still, msgspec.structs.replace(bare, inputs=(block,))


def test_a_unit_worn_the_other_way_round_is_half_a_turn_about_the_axis_away_from_the_skin():
    still, manifest = spoken(1.0)
    block = manifest.inputs[0]
    mean, std = torch.tensor(block.mean), torch.tensor(block.std)
    acceleration = torch.randn(4, 6, 20, 3) * 9
    inputs = {"imu": (acceleration - mean) / std, "imu_observed": torch.ones(4, 6, 20, 3)}
    turned = augment(inputs, manifest, still, torch.Generator().manual_seed(1))["imu"] * std + mean
    expected = acceleration * torch.tensor([-1.0, -1.0, 1.0])
    torch.testing.assert_close(turned, expected, atol=1e-4, rtol=1e-4)


def test_a_share_of_the_sequences_is_turned_each_as_a_whole():
    still, manifest = spoken(0.5)
    inputs = {"imu": torch.randn(400, 3, 20, 3), "imu_observed": torch.ones(400, 3, 20, 3)}
    out = augment(inputs, manifest, still, torch.Generator().manual_seed(2))["imu"]
    kept = torch.isclose(out, inputs["imu"], atol=1e-4)[..., 0].flatten(1)
    assert ((kept.float().mean(1) < 0.1) | (kept.float().mean(1) > 0.9)).all()
    assert 150 < int(kept.all(1).sum()) < 250
