"""Teachers by name: which data, which model at which size, how it is taught.

``solosense-trainer fit sigformer-sphere-imu-camera-iot-pairs12`` looks up one of these. A teacher
sees the future of its window, so it speaks of each step itself (``delay_steps`` 0); boards run
students.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

from edge.bundle import Manifest
from trainer.recipes import Recipe, Split, UnknownRecipe, openpack_u0209, recipe, sphere
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


def build(recipe: TeacherRecipe, manifest: Manifest) -> nn.Module:
    """Return the untrained model that reads what a manifest says."""
    width = INPUT_WIDTHS[recipe.size]
    inputs = tuple(
        DenseInput(
            one.name, "motion" if one.name in MOTION else "spatial",
            one.rate_hz * manifest.step_us // 1_000_000, len(one.channels), width,
        )
        for one in manifest.inputs
    )  # fmt: skip
    said = {
        "inputs": inputs,
        "devices": len(manifest.devices),
        "levels": tuple((level.name, len(level.labels)) for level in manifest.levels),
        "window": recipe.window,
    }
    if recipe.model == "tcn":
        return Tcn(TcnConfig(**{**said, **recipe.options}))
    return SigFormer(SigFormerConfig(**{**said, **SIZES[recipe.size], **recipe.options}))


FOLDS = {
    "pairs12": ((3, 4, 5, 6), (7, 8), (1, 2)),
    "pairs34": ((1, 2, 5, 6), (7, 8), (3, 4)),
    "pairs56": ((1, 2, 3, 4), (7, 8), (5, 6)),
    "pairs78": ((1, 2, 3, 4), (5, 6), (7, 8)),
}
"""SPHERE's "pairs": train, validation (the last two of the six training recordings), test."""
SENSORS = (
    "imu", "camera", "iot", "imu-iot", "camera-iot", "imu-camera", "imu-camera-iot",
    "imu-camera-iot-radio",
)  # fmt: skip
VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "whole": {},
        "no-inner-losses": {},
        "no-bottleneck": {"bottleneck": False},
        "mask-off": {"reading": "off"},
        "mask-A": {"reading": "A"},
        "mask-C": {"reading": "C"},
        "mask-per-device": {"per_device": True},
        "mask-shuffled": {"reading": "shuffled"},
        "no-interaction": {"interaction": "off"},
        "published-layers": {"layers": "transformer"},
        "published-filter": {"boundary_threshold": 0.85},
        "no-refinement": {"refine": "off"},
        "released-refinement": {"refine": "classes", "refine_strength": 0.1},
        "released": {
            "released": True, "interaction": "released", "refine": "classes",
            "refine_strength": 0.1, "layers": "transformer", "near": False, "skip": False,
            "residual_start": 1.0, "position_std": 1.0, "embed": "linear",
        },
    }
)  # fmt: skip
"""What the ablation leaves out or does otherwise; ``whole`` is reading B with everything."""
ABLATED = (
    "sphere-imu-camera-iot-pairs12", "sphere-imu-camera-iot-pairs34", "openpack-u0209-imu-scanner",
)  # fmt: skip


REVERSED = 0.5
"""SPHERE's wrist unit was worn either way: its mean is (+.4, -.4) g in recordings 1, 3 and 4, and
(-.3, +.5) g in 2 and 5 to 8, half a turn about z."""


def _sphere_source(sensors: str, fold: str) -> Recipe:
    parts = FOLDS[fold]
    split = Split(*(tuple(f"{n:05d}" for n in part) for part in parts))
    source = sphere(sensors)
    name = f"sphere-{sensors}-{fold}"
    return replace(source, name=name, split=split, delay_steps=0, reversed_share=REVERSED)


TCN_OPTIONS = {"width": 88}  # as many weights as `small`, within a quarter
MODELS = ("sigformer", "tcn", "trees", "majority")


def sphere_teacher(model: str, sensors: str, fold: str) -> TeacherRecipe:
    """Return a teacher of one fold of "pairs"."""
    found = TeacherRecipe(
        name=f"{model}-sphere-{sensors}-{fold}", source=_sphere_source(sensors, fold), model=model
    )
    return replace(found, options=TCN_OPTIONS) if model == "tcn" else found


def any_sensor(fold: str) -> TeacherRecipe:
    """Return the teacher of a fold that is to serve every set of sensors, and is judged on each."""
    whole = sphere_teacher("sigformer", "imu-camera-iot", fold)
    sets = tuple(tuple(s.split("-")) for s in SENSORS if "radio" not in s)
    return replace(whole, name=f"sigformer-sphere-any-{fold}", modality_dropout=0.5, shown=sets)


OPENPACK_SENSORS = ("imu", "imu-scanner", "imu-scanner-printer")


def openpack_teacher(model: str, sensors: str) -> TeacherRecipe:
    """Return a teacher of OpenPack's single-session protocol; the printer's log is a leak."""
    names = sensors.split("-")
    source = openpack_u0209("imu-iot" if len(names) > 1 else "imu")
    devices = tuple(one for one in source.devices if one.placement in names)
    name = f"openpack-u0209-{sensors}"
    return TeacherRecipe(
        name=f"{model}-{name}",
        source=replace(source, name=name, devices=devices, delay_steps=0),
        model=model,
        updates=200,
        check_every=20,
        options={} if model != "sigformer" else {"widen_steps": 3},
    )


def varied(recipe: TeacherRecipe, variant: str) -> TeacherRecipe:
    """Return a recipe with one of the ``VARIANTS``."""
    if variant == "whole":
        return recipe
    options = {**recipe.options, **VARIANTS[variant]}
    loss = recipe.loss
    if variant == "released":
        loss = replace(loss, inner_of_mean=True)
    if variant == "no-inner-losses":
        loss = replace(loss, inner=0.0, inner_boundary=0.0)
    return replace(recipe, name=f"{recipe.name}-{variant}", options=options, loss=loss)


def teachers() -> dict[str, TeacherRecipe]:
    """Return all teachers by name."""
    found = [sphere_teacher(m, s, f) for m in MODELS for s in SENSORS for f in FOLDS]
    found += [any_sensor(fold) for fold in FOLDS]
    found += [openpack_teacher(m, s) for m in MODELS for s in OPENPACK_SENSORS]
    varying = [r for r in found if r.name.endswith(ABLATED) and r.model == "sigformer"]
    found += [varied(r, variant) for r in varying for variant in VARIANTS if variant != "whole"]
    return {recipe.name: recipe for recipe in found}


def teacher(name: str) -> TeacherRecipe:
    """Return the teacher of that name: one of ``teachers``, or a model on any recipe's data.

    ``sigformer-own-imu-iot`` is a SigFormer on what ``own-imu-iot`` reads.

    Raises:
        UnknownRecipe: there is no such data.
    """
    known = teachers().get(name)
    if known is not None:
        return known
    model, _, data = name.partition("-")
    if model not in ("sigformer", "tcn"):
        raise UnknownRecipe(f"teacher {name!r} is unknown, expected sigformer-… or tcn-…")
    source = replace(recipe(data), delay_steps=0)
    options = TCN_OPTIONS if model == "tcn" else {}
    return TeacherRecipe(name=name, source=source, model=model, options=options)
