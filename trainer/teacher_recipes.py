"""What makes a teacher: which data, which model at which size, how it is taught.

A teacher sees the future of its window, so it speaks of each step itself (``delay_steps`` 0);
boards run students.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from torch import nn

from edge.bundle import Manifest
from trainer.recipe_parts import Recipe
from trainer.sigformer import DenseInput, SigFormer, SigFormerConfig
from trainer.tcn import Tcn, TcnConfig
from trainer.teacher_loss import LossWeights

SIZES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {},  # the defaults of SigFormerConfig are the published sizes
        "base": {
            "width": 256, "heads": 8, "head_width": 32, "expansion": 2, "groups": 8,
            "feed_forward": 512, "encoder_layers": 3, "fusion_layers": 4, "device_width": 32,
            "recurrent_layers": 1, "recurrent_hidden": 192, "boundary_width": 64,
            "position_std": 0.02, "embed": "rows", "residual_start": 0.0, "near": True,
            "skip": True,
        },
        "small": {
            "width": 64, "heads": 4, "head_width": 16, "expansion": 1, "groups": 8,
            "feed_forward": 128, "encoder_layers": 1, "fusion_layers": 1, "device_width": 16,
            "branch_layers": (1, 0, 1, 1, 0), "recurrent_layers": 1, "recurrent_hidden": 32,
            "boundary_width": 16, "position_std": 0.02, "embed": "rows", "attention_dropout": 0.0,
            "residual_start": 0.0, "near": True, "skip": True, "layers": "dilated",
            "boundary_threshold": 0.0,
        },
    }
)  # fmt: skip
"""What differs from the published sizes, which are the defaults of ``SigFormerConfig``.

``base`` keeps the published layers; ``small`` is for few recordings and a CPU: dilated convolutions
in place of attention within a stream (the attention of the fusion and of the branches stays).
"""
MOTION = ("imu", "e4")
INPUT_WIDTHS = {"paper": 300, "base": 128, "small": 64}
_CONFIGS: Mapping[str, Any] = MappingProxyType({"sigformer": SigFormerConfig, "tcn": TcnConfig})


@dataclass(frozen=True)
class TeacherRecipe:
    """Everything that makes a teacher, its seed aside."""

    name: str
    source: Recipe
    """Data, split, inputs, devices, label levels, augmentation."""
    model: str = "sigformer"
    """``sigformer``, ``tcn``, ``trees`` or ``majority``."""
    size: str = "small"
    """``small``, ``base`` or ``paper``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``SigFormerConfig`` or ``TcnConfig`` that differ from the size's."""
    loss: LossWeights = field(default_factory=LossWeights)
    window: int = 96
    """Steps the model looks at at once."""
    updates: int = 400
    check_every: int = 40
    patience: int = 0
    """Looks at validation without a better one after which it stops; 0 never does."""
    batch: int = 8
    accumulate: int = 1
    """Batches whose gradients are averaged before an update."""
    learning_rate: float = 2e-3
    optimizer: Literal["adamw", "adam"] = "adamw"
    """How weights decay: apart from the gradient, or as part of it."""
    weight_decay: float = 1e-2
    warm_up: float = 0.1
    """Share of the updates in which the learning rate rises."""
    schedule: Literal["cosine", "paper"] = "cosine"
    clip: float = 1.0
    ema: float = 0.99
    """Of the weights that are judged and kept; 0 keeps the last."""
    modality_dropout: float = 0.0
    """Share of windows of which only a random part of the modalities is shown."""
    shown: tuple[tuple[str, ...], ...] = ()
    """Sets of modalities it is judged on; none is all of its own."""
    input_widths: Mapping[str, int] = field(default_factory=dict)
    """Of the encoders of inputs that differ from the size's."""


def build(recipe: TeacherRecipe, manifest: Manifest) -> nn.Module:
    """Return the untrained model that reads what a manifest says."""
    inputs = tuple(
        DenseInput(
            one.name, "motion" if one.name in MOTION else "spatial",
            one.rate_hz * manifest.step_us // 1_000_000, len(one.channels),
            recipe.input_widths.get(one.name, INPUT_WIDTHS[recipe.size]),
        )
        for one in manifest.inputs
    )  # fmt: skip
    said: dict[str, Any] = {
        "inputs": inputs,
        "devices": len(manifest.devices),
        "levels": tuple((level.name, len(level.labels)) for level in manifest.levels),
    }
    if recipe.model == "tcn":
        return Tcn(TcnConfig(**said, **recipe.options))
    options = {**SIZES[recipe.size], **recipe.options}
    return SigFormer(SigFormerConfig(**said, window=recipe.window, **options))


def settings(recipe: TeacherRecipe) -> dict[str, Any]:
    """Return all that makes a teacher as JSON values, every option of its model spelt out.

    What is saved of a run is this, so that it stays what it was when a size's options change.
    """
    options: dict[str, Any] = dict(recipe.options)
    if recipe.model in _CONFIGS:
        config = fields(_CONFIGS[recipe.model])
        own = {one.name: one.default for one in config if one.default is not MISSING}
        own.pop("window", None)
        size = SIZES[recipe.size] if recipe.model == "sigformer" else {}
        options = {**own, **size, **options}
    said = asdict(replace(recipe, options=options))
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(said))
    return plain


def unchanged(said: Mapping[str, Any], recipe: TeacherRecipe) -> bool:
    """Return whether settings that were saved are a recipe's.

    What came into being since then was at its default, which changes nothing.
    """
    defaults = {f.name: f.default for f in fields(Recipe) if f.default is not MISSING}
    plain = TeacherRecipe(
        recipe.name, replace(recipe.source, **defaults), recipe.model, recipe.size
    )
    return difference(_filled(said, settings(plain)), settings(recipe)) is None


def _filled(said: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said and, where nothing was, the defaults."""
    out = {**defaults, **said}
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(said.get(name), Mapping):
            out[name] = _filled(said[name], value)
    return out


def difference(
    found: Mapping[str, Any], expected: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
    """Return the first setting that is not as expected: name, found, expected.

    >>> difference({"options": {"width": 8}}, {"options": {"width": 9}})
    ('options.width', 8, 9)
    """
    for name, value in expected.items():
        had = found.get(name)
        if isinstance(value, Mapping) and isinstance(had, Mapping):
            if inner := difference(had, value):
                return f"{name}.{inner[0]}", *inner[1:]
        elif had != value:
            return name, had, value
    return None
