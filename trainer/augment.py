"""Training sequences made a little different each time: noise, gain, rotation, hidden rows.

Legend: B sequences, T steps, R rows, C channels.
"""

import torch
from torch import Tensor

from edge.bundle import Manifest
from trainer.recipe_parts import Recipe

HALF_TURN = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))


def augment(
    inputs: dict[str, Tensor], manifest: Manifest, recipe: Recipe, rng: torch.Generator
) -> dict[str, Tensor]:
    """Return (B, T, R, C) inputs with a recipe's variations; device states pass unchanged."""
    out = dict(inputs)
    for block in manifest.inputs:
        values, observed = inputs[block.name], inputs[f"{block.name}_observed"]
        if block.name == "imu" and (recipe.rotate_rad or recipe.reversed_share):
            values = _rotate(values, manifest, recipe, rng)
        shape = (values.shape[0], 1, 1, values.shape[-1])
        values = values * (1 + recipe.scale * torch.randn(shape, generator=rng))
        values = values + recipe.noise * torch.randn(values.shape, generator=rng)
        observed = observed * _shown(observed, recipe.drop_rows, rng)
        out[block.name], out[f"{block.name}_observed"] = values * observed, observed
    return out


def some_modalities(
    inputs: dict[str, Tensor], share: float, rng: torch.Generator
) -> dict[str, Tensor]:
    """Return (B, ...) inputs of which a share of the sequences shows some modalities only.

    Which ones is drawn anew for each such sequence, every set but the empty one alike; what is not
    shown is as if it had never been observed.
    """
    names = [name for name in inputs if not name.endswith("_observed")]
    if not share or len(names) < 2:
        return inputs
    batch = len(inputs[names[0]])
    sets = torch.randint(1, 1 << len(names), (batch,), generator=rng)
    everything = torch.rand(batch, generator=rng) >= share
    out = {}
    for bit, name in enumerate(names):
        shown = (everything | (sets >> bit & 1).bool()).float()
        for key in (name, f"{name}_observed"):
            out[key] = inputs[key] * shown.view(-1, *(1,) * (inputs[key].dim() - 1))
    return out


def _rotate(values: Tensor, manifest: Manifest, recipe: Recipe, rng: torch.Generator) -> Tensor:
    """Return readings as of units strapped on otherwise, one turn a unit and sequence.

    A little turned about any axis; a share of them the other way round, half a turn about z, which
    points away from the skin.
    """
    block = next(b for b in manifest.inputs if b.name == "imu")
    mean = torch.tensor(block.mean, dtype=torch.float32)
    std = torch.tensor(block.std, dtype=torch.float32)
    raw = values * std + mean
    parts = list(raw.split(3, dim=-1))  # (B, T, R, 3) each: acc and gyr of each unit
    places = [c.rpartition(".")[0] for c in block.channels[::3]]
    turn: dict[str, Tensor] = {}
    for index, place in enumerate(places):
        if place not in turn:
            axis = recipe.rotate_rad * torch.randn((len(values), 3), generator=rng)
            zero = torch.zeros(len(values))
            x, y, z = axis.unbind(1)
            skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
            turn[place] = torch.linalg.matrix_exp(skew)  # (B, 3, 3)
            if recipe.reversed_share:
                reverse = torch.rand((len(values), 1, 1), generator=rng) < recipe.reversed_share
                turn[place] = torch.where(reverse, turn[place] @ HALF_TURN, turn[place])
        parts[index] = torch.einsum("bij,btrj->btri", turn[place], parts[index])
    return (torch.cat(parts, -1) - mean) / std


def _shown(observed: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Return (B, T, 1, 1): 0 over one stretch of 1 to 8 steps in a share of the sequences."""
    batch, steps = observed.shape[:2]
    start = torch.randint(0, steps, (batch, 1), generator=rng)
    length = torch.randint(1, 9, (batch, 1), generator=rng)
    length = length * (torch.rand((batch, 1), generator=rng) < share)
    at = torch.arange(steps)[None]
    return 1 - ((at >= start) & (at < start + length)).float()[..., None, None]
