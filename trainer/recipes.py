"""Named experiments: data, split, model and schedule. One plain function a family.

``solosense-trainer fit virtual-imu`` looks up ``virtual("imu")``. A recipe is frozen, small, and
saved beside the weights it made.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

from sensor_adapters.pose import KEY_POINTS
from trainer import openpack_splits
from trainer.home_recipes import FOLDS, RALT_SESSIONS, SPHERE_SENSORS, ralt, sphere, sphere_named
from trainer.online_recipes import ENDINGS, split_head, with_head
from trainer.openpack_splits import UnknownSplit
from trainer.recipe_parts import (
    BOX_CHANNELS,
    IMU_CHANNELS,
    UPPER_BODY,
    Block,
    Recipe,
    Split,
    UnknownRecipe,
    event_device,
    imu_block,
    level_device,
)
from trainer.step_rates import ENDING, at_4_hz


def virtual(modality: str) -> Recipe:
    """Return the recipe of one shipped bundle: one sensor of the virtual packing station."""
    camera = tuple(f"bench.{n}" for n in ("person", *BOX_CHANNELS)) + tuple(
        f"bench.{point}_{part}" for point in UPPER_BODY for part in ("x", "y")
    )
    inputs = {
        "imu": (imu_block(("right_wrist", "left_wrist")),),
        "camera": (Block("camera", 10, camera, max_gap_us=300_000),),
        "iot": (),
    }[modality]
    devices = tuple(
        [event_device(p) for p in ("scanner", "printer")]
        + [level_device(p) for p in ("tape", "pen", "shelf", "back_table")]
    )

    def seeds(first: int, last: int) -> tuple[str, ...]:
        return tuple(f"virtual:seed={seed}" for seed in range(first, last + 1))

    return Recipe(
        name=f"virtual-{modality}",
        data="virtual",
        modality=(modality,),
        split=Split(seeds(100, 129), seeds(200, 204), seeds(300, 304)),
        levels=("operation", "action"),
        inputs=inputs,
        devices=devices if modality == "iot" else (),
    )


ATR_PLACES = ("right_wrist", "left_wrist", "right_upper_arm", "left_upper_arm")
E4_PLACES = ("e4_right_wrist", "e4_left_wrist")
OPENPACK_SENSORS = ("imu", "e4", "camera", "scanner", "printer")
"""What a recipe of OpenPack may look at, in this order; the printer's log is a leak."""
ACTIONS = "-actions"
"""Ends the name of a recipe that names actions as well."""
OPENPACK_LICENSE = "CC BY-NC-SA 4.0 (OpenPack, Yoshimura et al. 2024): not for redistribution"


def _openpack_inputs(sensors: Sequence[str]) -> tuple[Block, ...]:
    """Return the blocks of OpenPack's sampled sensors: four IMUs, two E4s, the bench's camera."""
    camera = tuple(f"bench.{name}" for name in ("person", *BOX_CHANNELS)) + tuple(
        f"bench.{point}_{axis}" for point in KEY_POINTS for axis in "xy"
    )
    blocks = {
        "imu": imu_block(ATR_PLACES),
        "e4": replace(imu_block(E4_PLACES, IMU_CHANNELS[:3], rate=32), name="e4"),
        "camera": Block("camera", 15, camera, max_gap_us=300_000),
    }
    return tuple(block for name, block in blocks.items() if name in sensors)


def _openpack(name: str, split: Split, sensors: Sequence[str], updates: int) -> Recipe:
    """Return a recipe that looks at these of ``OPENPACK_SENSORS``."""
    kinds = {"imu": "imu", "e4": "imu", "camera": "camera", "scanner": "iot", "printer": "iot"}
    return Recipe(
        name=name,
        data="openpack",
        modality=tuple(dict.fromkeys(kinds[one] for one in sensors)),
        split=split,
        levels=("operation",),
        inputs=_openpack_inputs(sensors),
        devices=tuple(event_device(one) for one in ("scanner", "printer") if one in sensors),
        updates=updates,
        check_every=updates // 20,
        data_license=OPENPACK_LICENSE,
    )


def openpack_u0209(modality: str) -> Recipe:
    """Return the recipe of the single-session protocol: boxes 1-12, 13-15, 16-20.

    ``iot`` stands for scanner and printer.
    """
    sensors = modality.replace("iot", "scanner-printer").split("-")

    def boxes(which: str) -> tuple[str, ...]:
        return (f"U0209/S0500:boxes={which}",)

    split = Split(boxes("1-12"), boxes("13-15"), boxes("16-20"))
    return _openpack(f"openpack-u0209-{modality}", split, sensors, updates=400)


def openpack(split: str, sensors: Sequence[str]) -> Recipe:
    """Return a recipe on a published split, judged on what published figures are of.

    Args:
        split: a name of ``trainer.openpack_splits``.
        sensors: of ``OPENPACK_SENSORS``, in that order.

    Raises:
        UnknownSplit: there is no such split.
    """
    parts = openpack_splits.parts(split)
    name = f"openpack-{split}-{'-'.join(sensors)}"
    return _openpack(name, Split(parts.train, parts.validation, parts.judged), sensors, 2000)


def with_actions(recipe: Recipe) -> Recipe:
    """Return a recipe of OpenPack that names actions as well as operations."""
    return replace(recipe, name=recipe.name + ACTIONS, levels=("operation", "action"))


def _openpack_words(name: str) -> tuple[str, list[str]] | None:
    """Return split and sensors of ``openpack-<split>-<sensors>[-actions]``; None for others."""
    if not name.startswith("openpack-"):
        return None
    words = name.removeprefix("openpack-").removesuffix(ACTIONS).split("-")
    count = len(words)
    while count and words[count - 1] in OPENPACK_SENSORS:
        count -= 1
    split, sensors = "-".join(words[:count]), words[count:]
    if not sensors or sensors != [one for one in OPENPACK_SENSORS if one in sensors]:
        return None
    return split, sensors


def _openpack_named(name: str) -> Recipe | None:
    """Return what ``openpack-<split>-<sensors>[-actions]`` names; None where it is no such name.

    Raises:
        UnknownRecipe: the sensors are right and there is no such split.
    """
    words = _openpack_words(name)
    if words is None:
        return None
    split, sensors = words
    try:
        found = openpack_u0209("-".join(sensors)) if split == "u0209" else openpack(split, sensors)
    except UnknownSplit as error:
        raise UnknownRecipe(f"recipe {name!r} is unknown: {error}") from error
    return with_actions(found) if name.endswith(ACTIONS) else found


def split_notes(name: str) -> tuple[str, ...]:
    """Return what is to be said of the split of a recipe: what is not as published, what leaks.

    >>> split_notes("openpack-benchmark5-u0101-imu")
    ('no validation part is published: U0102, the next person in order',)
    """
    words = _openpack_words(name)
    if words is None or words[0] == "u0209":
        return ()
    return openpack_splits.parts(words[0]).notes


OWN_SENSORS = ("imu", "camera", "iot")


def own(modality: str) -> Recipe:
    """Return the recipe of recordings of one's own, to be filled in from their folder.

    ``trainer.own_recordings.completed`` adds split, inputs, devices and label levels.
    """
    return Recipe(
        name=f"own-{modality}",
        data="own",
        modality=tuple(modality.split("-")),
        split=Split((), (), ()),
        levels=(),
        data_license="of the recordings' owner",
    )


_ANY = tuple(
    "-".join(some) for n in range(1, 4) for some in combinations(OWN_SENSORS, n)
)  # imu, camera, iot, and every two, and all three
_FAMILIES: dict[str, tuple[Callable[[str], Recipe], tuple[str, ...]]] = {
    "virtual": (virtual, ("imu", "camera", "iot")),
    "openpack-u0209": (openpack_u0209, ("imu", "iot", "imu-iot")),
    "sphere": (sphere, SPHERE_SENSORS),
    "ralt": (ralt, tuple(f"session{n}" for n in range(1, RALT_SESSIONS + 1))),
    "own": (own, _ANY),
}  # fmt: skip
_OPENPACK_SHOWN = (
    "debug-imu", "pilot-imu", "challenge-2022-imu", "challenge-2022-camera",
    "challenge-2022-scanner", "challenge-2022-imu-e4", "challenge-2022-imu-scanner",
    "challenge-2022-imu-scanner-printer", "challenge-2022-imu-camera-scanner",
    "challenge-2022-imu-actions", "benchmark2-u0101-imu", "benchmark3-14-imu",
    "benchmark5-u0101-imu",
)  # fmt: skip
"""A choice; any split goes with any sensors, see ``_openpack_named``."""


def license_of(layout: str) -> str:
    """Return under what licence recordings of a layout may be used, as far as it is known."""
    known = {
        "virtual": virtual("imu").data_license,
        "openpack": OPENPACK_LICENSE,
        "sphere": sphere("imu").data_license,
    }
    return known.get(layout, "of the recordings' owner")


def names() -> list[str]:
    """Return the names of recipes: all of them, but of OpenPack's published splits a choice."""
    listed = [f"{family}-{m}" for family, (_, all_) in _FAMILIES.items() for m in all_]
    return listed + [f"openpack-{name}" for name in _OPENPACK_SHOWN]


def recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UnknownRecipe: there is none; the text lists those there are.
    """
    whole, head = split_head(name)
    bare = whole.removesuffix(ENDING)
    found = _named(bare, name)
    if bare != name and (found.teacher or found.source):
        raise UnknownRecipe(
            f"recipe {name!r} is unknown: {bare} learns from another model, step by step, and has"
            f" no {name.removeprefix(bare)}"
        )
    return with_head(at_4_hz(found) if bare != whole else found, head)


def _named(name: str, asked: str) -> Recipe:
    """Return a recipe whose name has no head and no rate behind it.

    Raises:
        UnknownRecipe: there is none; the text lists those there are, and names what was asked for.
    """
    for family, (make, modalities) in _FAMILIES.items():
        modality = name.removeprefix(f"{family}-")
        if modality != name and modality in modalities:
            return make(modality)
    if found := _openpack_named(name) or sphere_named(name):
        return found
    raise UnknownRecipe(
        f"recipe {asked!r} is unknown, expected one of {', '.join(names())}, or"
        " sphere-<sensors>-<fold>[-distilled|-dcat|-pretrained] with a fold of"
        f" {', '.join(FOLDS)}, or"
        f" openpack-<split>-<sensors>[{ACTIONS}] with a split of"
        f" {', '.join(openpack_splits.PUBLISHED)} and sensors of {', '.join(OPENPACK_SENSORS)},"
        f" joined by - in this order; behind any of them {ENDING}, and"
        f" then {', '.join(ENDINGS)}"
    )
