"""Named experiments: data, split, model and schedule. One plain function a family.

``solosense-trainer fit virtual-imu`` looks up ``virtual("imu")``. A recipe is frozen, small, and
saved beside the weights it made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from edge.bundle import MaskDevice
from sensor_adapters.pose import KEY_POINTS
from sensor_adapters.samples import US_PER_S
from trainer import openpack_splits
from trainer.openpack_splits import UnknownSplit

IMU_CHANNELS = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z")
BOX_CHANNELS = ("box_cx", "box_cy", "box_w", "box_h")
BOX_3D_CHANNELS = ("centre_x", "centre_y", "centre_z", "size_x", "size_y", "size_z")
UPPER_BODY = (
    "nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hip", "right_hip",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One sampled input: which channels of which places, at what rate."""

    name: str
    rate_hz: int
    channels: tuple[str, ...]
    max_gap_us: int


@dataclass(frozen=True)
class Split:
    """Recording names below the data folder, or of the simulation."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """Everything that makes a model, its seed aside."""

    name: str
    data: str
    """``virtual``, ``openpack``, ``sphere``, ``openhab`` or ``own``."""
    modality: tuple[str, ...]
    split: Split
    levels: tuple[str, ...]
    inputs: tuple[Block, ...] = ()
    devices: tuple[MaskDevice, ...] = ()
    step_us: int = US_PER_S
    delay_steps: int = 1
    """How much later than a step the model speaks of it."""
    reset_after_us: int = 30 * US_PER_S
    width: int = 48
    hidden: int = 96
    layers: int = 1
    dropout: float = 0.3
    updates: int = 1200
    check_every: int = 40
    """Updates between two looks at the validation recordings."""
    crop_steps: int = 160
    """Length of a training sequence."""
    warm_steps: int = 8
    """Steps at its start that only bring the state up."""
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    boundary_weight: float = 0.2
    action_weight: float = 0.5
    """Weight of each label level after the first."""
    noise: float = 0.1
    """Standard deviation added to standardised readings."""
    drop_rows: float = 0.15
    """Share of training sequences in which a stretch of rows is hidden."""
    scale: float = 0.1
    """Standard deviation of a factor on each channel of a sequence."""
    rotate_rad: float = 0.3
    """Standard deviation of a rotation of each inertial unit, for sequences of it."""
    reversed_share: float = 0.0
    """Share of sequences in which a unit is as if strapped on the other way round."""
    class_weight_power: float = 0.5
    """Losses are weighted by label share to minus this power; 0 leaves them alone."""
    data_license: str = "Apache-2.0 (simulated)"


def _imu(places: tuple[str, ...], names: tuple[str, ...] = IMU_CHANNELS, rate: int = 30) -> Block:
    channels = tuple(f"{place}.{name}" for place in places for name in names)
    return Block("imu", rate, channels, max_gap_us=250_000)


def _event(placement: str, hold_s: float = 1.0, silence_s: float = 30.0) -> MaskDevice:
    return MaskDevice(
        placement=placement,
        kind="event",
        hold_us=round(hold_s * US_PER_S),
        max_silence_us=round(silence_s * US_PER_S),
    )


def _level(placement: str, silence_s: float = 30.0) -> MaskDevice:
    return MaskDevice(
        placement=placement, kind="level", hold_us=0, max_silence_us=round(silence_s * US_PER_S)
    )


def virtual(modality: str) -> Recipe:
    """Return the recipe of one shipped bundle: one sensor of the virtual packing station."""
    camera = tuple(f"bench.{n}" for n in ("person", *BOX_CHANNELS)) + tuple(
        f"bench.{point}_{part}" for point in UPPER_BODY for part in ("x", "y")
    )
    inputs = {
        "imu": (_imu(("right_wrist", "left_wrist")),),
        "camera": (Block("camera", 10, camera, max_gap_us=300_000),),
        "iot": (),
    }[modality]
    devices = tuple(
        [_event(p) for p in ("scanner", "printer")]
        + [_level(p) for p in ("tape", "pen", "shelf", "back_table")]
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
        "imu": _imu(ATR_PLACES),
        "e4": replace(_imu(E4_PLACES, IMU_CHANNELS[:3], rate=32), name="e4"),
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
        devices=tuple(_event(one) for one in ("scanner", "printer") if one in sensors),
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


SPHERE_ROOMS = (
    "bath", "bed1", "bed2", "hall", "kitchen", "living", "stairs", "study", "toilet",
)  # fmt: skip

SPHERE_RADIO = tuple(f"ap_{place}.rssi" for place in ("kitchen", "upstairs"))


def sphere(modality: str) -> Recipe:
    """Return the recipe of the fold of "pairs" that tests on recordings 7 and 8."""
    parts = modality.split("-")
    camera = tuple(
        f"{room}.{name}"
        for room in ("hallway", "living_room", "kitchen")
        for name in ("person", *BOX_CHANNELS, *BOX_3D_CHANNELS)
    )
    inputs = {
        "imu": _imu(("right_wrist",), IMU_CHANNELS[:3], rate=20),
        "camera": Block("camera", 10, camera, max_gap_us=300_000),
        "radio": Block("radio", 5, SPHERE_RADIO, max_gap_us=2_000_000),
    }
    devices = tuple(_level(f"pir_{room}") for room in SPHERE_ROOMS)

    def recordings(first: int, last: int) -> tuple[str, ...]:
        return tuple(f"{number:05d}" for number in range(first, last + 1))

    return Recipe(
        name=f"sphere-{modality}",
        data="sphere",
        modality=tuple(parts),
        split=Split(recordings(1, 4), recordings(5, 6), recordings(7, 8)),
        levels=("activity",),
        inputs=tuple(block for name, block in inputs.items() if name in parts),
        devices=devices if "iot" in parts else (),
        # out of a camera's sight for minutes is how people live; the longest stretch in training
        # recordings is under 15 minutes
        reset_after_us=900 * US_PER_S,
        updates=500,
        width=64,
        hidden=128,
        dropout=0.5,
        learning_rate=4e-3,
        rotate_rad=0.1,  # posture is told by where gravity points
        data_license="SPHERE Challenge 2016, for research: not for redistribution",
    )


RALT_FILE = "openhab_events.csv"
RALT_SESSIONS = 7
RALT_ITEMS = (
    "BdRm_Motion_1", "BdRm_Motion_2", "BdRm_Tch_1", "BdRm_Tch_2", "BdRm_Tch_3", "BdRm_Tch_4",
    "BdRm_Tch_5", "BhRm_Motion_1", "BhRm_Motion_2", "BhRm_Tch_3", "BhRm_light", "DgRm_Motion_1",
    "DgRm_Motion_2", "Hall_Motion", "Ktch_B1_Cupboard", "Ktch_B1_Draw", "Ktch_B2_Cupboard",
    "Ktch_Motion_1", "Ktch_Motion_2", "Ktch_T1_Cupboard", "Ktch_T2_Cupboard", "Ktch_T3_Cupboard",
    "Ktch_T4_Cupboard", "LgRm_Tch_1", "LgRm_Tch_2", "LgRm_Tch_4", "LgRm_Tch_5",
)  # fmt: skip
"""Motion, touch, cupboards, a drawer and a light; blinds and power are no on and off."""


def ralt(fold: str) -> Recipe:
    """Return the recipe of a house's devices alone; ``session3`` tests on the third session.

    The session before it, or the last, validates.
    """
    test = int(fold.removeprefix("session"))
    validation = (test - 2) % RALT_SESSIONS + 1
    train = [n for n in range(1, RALT_SESSIONS + 1) if n not in (test, validation)]

    def sessions(*numbers: int) -> tuple[str, ...]:
        return tuple(f"{RALT_FILE}:session={number}" for number in numbers)

    return Recipe(
        name=f"ralt-{fold}",
        data="openhab",
        modality=("iot",),
        split=Split(sessions(*train), sessions(validation), sessions(test)),
        levels=("activity",),
        devices=tuple(_level(item) for item in RALT_ITEMS),
        updates=400,
        dropout=0.5,
        data_license="RALT (Smith et al. 2020), no licence stated: not for redistribution",
    )


_ANY = tuple(
    "-".join(some) for n in range(1, 4) for some in combinations(OWN_SENSORS, n)
)  # imu, camera, iot, and every two, and all three
_FAMILIES: dict[str, tuple[Callable[[str], Recipe], tuple[str, ...]]] = {
    "virtual": (virtual, ("imu", "camera", "iot")),
    "openpack-u0209": (openpack_u0209, ("imu", "iot", "imu-iot")),
    "sphere": (
        sphere,
        (
            "imu", "camera", "iot", "imu-iot", "camera-iot", "imu-camera", "imu-camera-iot",
            "imu-radio", "imu-camera-iot-radio",
        ),
    ),
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


def names() -> list[str]:
    """Return the names of recipes: all of them, but of OpenPack's published splits a choice."""
    listed = [f"{family}-{m}" for family, (_, all_) in _FAMILIES.items() for m in all_]
    return listed + [f"openpack-{name}" for name in _OPENPACK_SHOWN]


class UnknownRecipe(KeyError):
    """No recipe has that name."""

    def __str__(self) -> str:
        return str(self.args[0])


def recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UnknownRecipe: there is none; the text lists those there are.
    """
    for family, (make, modalities) in _FAMILIES.items():
        modality = name.removeprefix(f"{family}-")
        if modality != name and modality in modalities:
            return make(modality)
    if found := _openpack_named(name):
        return found
    raise UnknownRecipe(
        f"recipe {name!r} is unknown, expected one of {', '.join(names())}, or"
        f" openpack-<split>-<sensors>[{ACTIONS}] with a split of"
        f" {', '.join(openpack_splits.PUBLISHED)} and sensors of {', '.join(OPENPACK_SENSORS)},"
        " joined by - in this order"
    )
