"""Teachers by name.

``solosense-trainer fit sigformer-sphere-imu-camera-iot-pairs12`` looks up one of these.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from trainer.home_recipes import FOLDS, sphere, sphere_split
from trainer.recipe_parts import BOX_CHANNELS, IMU_CHANNELS, Block, Recipe, UnknownRecipe
from trainer.recipes import ATR_PLACES, openpack, openpack_u0209, recipe
from trainer.teacher_loss import LossWeights
from trainer.teacher_recipes import TeacherRecipe

LEFT_OUT = {
    f"left{out}": (rest[:5], rest[5:], (out,))
    for out in range(1, 9)
    for rest in [tuple(n for n in range(1, 9) if n != out)]
}
"""SPHERE, one recording left out at a time; the last two of the others validate."""
ABLATION_FOLDS = ("pairs12", "pairs34")  # of the two others one's validation chose the design
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
        "mask-attention-alone": {"tell": False},
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

TCN_OPTIONS = {"width": 88}  # as many weights as `small`, within a quarter
TCN_LOSS = LossWeights(smoothing=0.15)
"""As in its paper, and best on validation; SigFormer's paper has none, and it gains nothing."""
OPENPACK_OPTIONS = {"widen_steps": 3}
"""A scan lasts a second, what it belongs to some seconds: a device counts as in use around it."""

REVERSED = 0.5
"""SPHERE's wrist unit was worn either way: its mean is (+.4, -.4) g in recordings 1, 3 and 4, and
(-.3, +.5) g in 2 and 5 to 8, half a turn about z."""


def _fitting(one: TeacherRecipe) -> TeacherRecipe:
    """Return the recipe with the options and loss that its model has on its data."""
    if one.model == "tcn":
        return replace(one, options=TCN_OPTIONS, loss=TCN_LOSS)
    if one.model == "sigformer" and one.source.data == "openpack":
        return replace(one, options=OPENPACK_OPTIONS)
    return one


def _sphere_source(sensors: str, fold: str) -> Recipe:
    split = sphere_split({**FOLDS, **LEFT_OUT}[fold])
    source = sphere(sensors)
    name = f"sphere-{sensors}-{fold}"
    return replace(source, name=name, split=split, delay_steps=0, reversed_share=REVERSED)


ALL_OF_OPENPACK = 4000
"""Updates of ``small`` on a split of many sessions: some 35 passes over 23 hours. Not tuned."""
MODELS = ("sigformer", "tcn", "trees", "majority")


def sphere_teacher(model: str, sensors: str, fold: str) -> TeacherRecipe:
    """Return a teacher of one fold, of "pairs" or with one recording left out."""
    found = TeacherRecipe(
        name=f"{model}-sphere-{sensors}-{fold}", source=_sphere_source(sensors, fold), model=model
    )
    return _fitting(found)


def any_sensor(fold: str) -> TeacherRecipe:
    """Return the teacher of a fold that is to serve every set of sensors, and is judged on each."""
    whole = sphere_teacher("sigformer", "imu-camera-iot", fold)
    sets = tuple(tuple(s.split("-")) for s in SENSORS if "radio" not in s)
    return replace(whole, name=f"sigformer-sphere-any-{fold}", modality_dropout=0.5, shown=sets)


U0209_SENSORS = ("imu", "imu-scanner", "imu-scanner-printer")


def openpack_teacher(model: str, sensors: str) -> TeacherRecipe:
    """Return a teacher of OpenPack's single-session protocol; the printer's log is a leak."""
    names = sensors.split("-")
    source = openpack_u0209("imu-iot" if len(names) > 1 else "imu")
    devices = tuple(one for one in source.devices if one.placement in names)
    name = f"openpack-u0209-{sensors}"
    found = TeacherRecipe(
        name=f"{model}-{name}",
        source=replace(source, name=name, devices=devices, delay_steps=0),
        model=model,
        updates=200,
        check_every=20,
    )
    return _fitting(found)


def published() -> TeacherRecipe:
    """Return SigFormer as published: size, inputs, schedule; OpenPack's challenge split.

    Inputs and schedule are those of the released configuration: acceleration of four units, key
    points and box apart, scanner and printer (a leak), windows of 50 s, no augmentation, 200 passes
    of some 102 batches. Where paper and released code differ, it is the paper's; the variant
    ``released`` is the code's. Readings are standardised here, as everywhere.
    """
    source = openpack("challenge-2022", ("imu", "camera", "scanner", "printer"))
    acceleration = tuple(f"{place}.{name}" for place in ATR_PLACES for name in IMU_CHANNELS[:3])
    (imu, camera) = source.inputs
    box = tuple(f"bench.{name}" for name in BOX_CHANNELS)
    points = tuple(name for name in camera.channels if name.endswith(("_x", "_y")))
    source = replace(
        source,
        name="openpack-challenge-2022-published",
        inputs=(
            replace(imu, channels=acceleration),
            replace(camera, name="key_points", channels=points),
            Block("box", camera.rate_hz, box, camera.max_gap_us),
        ),
        delay_steps=0, noise=0.0, drop_rows=0.0, scale=0.0, rotate_rad=0.0, class_weight_power=0.0,
    )  # fmt: skip
    return TeacherRecipe(
        name="sigformer-published", source=source, size="paper", input_widths={"box": 200},
        window=50, batch=16, updates=200 * 102, check_every=102, warm_up=50 / 200,
        learning_rate=1e-4, optimizer="adam", weight_decay=1e-4, schedule="paper", ema=0.0,
    )  # fmt: skip


def sized(recipe: TeacherRecipe, size: str) -> TeacherRecipe:
    """Return a SigFormer at another size."""
    return replace(recipe, name=f"{recipe.name}-{size}", size=size)


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
    folds = (*FOLDS, *LEFT_OUT)
    found = [sphere_teacher(m, s, f) for m in MODELS for s in SENSORS for f in folds]
    found += [any_sensor(fold) for fold in FOLDS]
    found += [openpack_teacher(m, s) for m in MODELS for s in U0209_SENSORS]
    found += [varied(published(), variant) for variant in ("whole", "released")]
    found += [varied(r, v) for r in (*ablated("sphere"), *ablated("openpack")) for v in VARIANTS]
    return {recipe.name: recipe for recipe in found}


def ablated(data: str) -> tuple[TeacherRecipe, ...]:
    """Return the whole teachers of which the ablation leaves something out."""
    if data == "openpack":
        return (openpack_teacher("sigformer", "imu-scanner"),)
    return tuple(sphere_teacher("sigformer", "imu-camera-iot", fold) for fold in ABLATION_FOLDS)


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
    if data.startswith("sphere-"):
        folds = ", ".join(f"-{fold}" for fold in (*FOLDS, *LEFT_OUT))
        raise UnknownRecipe(
            f"teacher {name!r} is unknown, expected {model}-sphere-, sensors of"
            f" {', '.join(SENSORS)}, and a fold behind it: {folds}"
        )
    found = TeacherRecipe(name=name, source=replace(recipe(data), delay_steps=0), model=model)
    if found.source.data == "openpack":
        updates = ALL_OF_OPENPACK if "u0209" not in data else 200
        found = replace(found, updates=updates, check_every=updates // 10)
    return _fitting(found)
