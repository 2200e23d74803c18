"""Named experiments: data, split, model and schedule. One plain function a family.

``solosense-trainer fit virtual-imu`` looks up ``virtual("imu")``. A recipe is frozen, small, and
saved beside the weights it made.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge.bundle import MaskDevice
from sensor_adapters.samples import US_PER_S

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
    """``virtual``, ``openpack`` or ``sphere``."""
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


def openpack_u0209(modality: str) -> Recipe:
    """Return the recipe of the single-session protocol: boxes 1-12, 13-15, 16-20."""
    places = ("right_wrist", "left_wrist", "right_upper_arm", "left_upper_arm")

    def boxes(which: str) -> tuple[str, ...]:
        return (f"U0209/S0500:boxes={which}",)

    return Recipe(
        name=f"openpack-u0209-{modality}",
        data="openpack",
        modality=tuple(modality.split("-")),
        split=Split(boxes("1-12"), boxes("13-15"), boxes("16-20")),
        levels=("operation",),
        inputs=(_imu(places),) if "imu" in modality else (),
        devices=(_event("scanner"), _event("printer")) if "iot" in modality else (),
        updates=400,
        check_every=20,
        data_license="CC BY-NC-SA 4.0 (OpenPack, Yoshimura et al. 2024): not for redistribution",
    )


SPHERE_ROOMS = (
    "bath", "bed1", "bed2", "hall", "kitchen", "living", "stairs", "study", "toilet",
)  # fmt: skip


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


_FAMILIES: dict[str, tuple[Callable[[str], Recipe], tuple[str, ...]]] = {
    "virtual": (virtual, ("imu", "camera", "iot")),
    "openpack-u0209": (openpack_u0209, ("imu", "iot", "imu-iot")),
    "sphere": (sphere, ("imu", "camera", "iot", "imu-iot", "camera-iot", "imu-camera-iot")),
}


def names() -> list[str]:
    """Return the names of all recipes."""
    return [f"{family}-{m}" for family, (_, all_) in _FAMILIES.items() for m in all_]


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
    raise UnknownRecipe(f"recipe {name!r} is unknown, expected one of {', '.join(names())}")
