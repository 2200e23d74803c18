"""What a recipe is made of: data, split, inputs, devices, and how a student is taught.

A recipe is frozen, small, and saved beside the weights it made.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

import msgspec

from edge.bundle import MaskDevice
from sensor_adapters.samples import US_PER_S
from trainer.malt_config import MaltConfig

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
    tcn_layers: int = 0
    """Dilated convolutions over the past, so many, in place of the GRU."""
    malt: MaltConfig | None = None
    """MALT in place of the GRU."""
    foreseen_weight: float = 0.4
    """Of what MALT's branches foresee, beside what is named."""
    guided: bool = False
    """Remember what was seen while each device was in use (``trainer.guided_memory``)."""
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
    teacher: str = ""
    """Name of a teacher of all sensors whose answers, out of fold, are learnt as well."""
    soft_weight: float = 1.0
    """Of what the teacher says beside the truth."""
    soft_temperature: float = 2.0
    teacher_seed: int = 100
    """Of teachers and sources; the same ones speak to students of all seeds."""
    source: str = ""
    """Name of a recipe of another sensor whose student, frozen, is the source of D-CAT."""
    dcat_weight: float = 1.0
    dcat_pairing: Literal["same_sample", "same_class", "random"] = "same_sample"
    pretrain_updates: int = 0
    """Updates on its training recordings without labels, before the first with (``pretrain``)."""
    data_license: str = "Apache-2.0 (simulated)"


def off_default(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of a recipe that are not at their defaults, by name."""
    return {
        one.name: getattr(recipe, one.name)
        for one in fields(recipe)
        if one.default is MISSING or getattr(recipe, one.name) != one.default
    }


def plain_off_default(recipe: Recipe) -> dict[str, Any]:
    """Return ``off_default`` as the JSON values that a result holds."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(off_default(recipe)))
    return plain


def imu_block(
    places: tuple[str, ...], names: tuple[str, ...] = IMU_CHANNELS, rate: int = 30
) -> Block:
    """Return an input of inertial units at some places."""
    channels = tuple(f"{place}.{name}" for place in places for name in names)
    return Block("imu", rate, channels, max_gap_us=250_000)


def event_device(placement: str, hold_s: float = 1.0, silence_s: float = 30.0) -> MaskDevice:
    """Return a device that says when something happened, in use for a while then."""
    return MaskDevice(
        placement=placement,
        kind="event",
        hold_us=round(hold_s * US_PER_S),
        max_silence_us=round(silence_s * US_PER_S),
    )


def level_device(placement: str, silence_s: float = 30.0) -> MaskDevice:
    """Return a device that is in use or is not."""
    return MaskDevice(
        placement=placement, kind="level", hold_us=0, max_silence_us=round(silence_s * US_PER_S)
    )


class UnknownRecipe(KeyError):
    """No recipe has that name."""

    def __str__(self) -> str:
        return str(self.args[0])
