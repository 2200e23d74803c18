"""Recipes of people at home: SPHERE's recordings, and a house's devices alone (RALT)."""

from dataclasses import replace

from sensor_adapters.samples import US_PER_S
from trainer.recipe_parts import (
    BOX_3D_CHANNELS,
    BOX_CHANNELS,
    IMU_CHANNELS,
    Block,
    Recipe,
    Split,
    imu_block,
    level_device,
)

FOLDS = {
    "pairs12": ((3, 4, 5, 6), (7, 8), (1, 2)),
    "pairs34": ((1, 2, 5, 6), (7, 8), (3, 4)),
    "pairs56": ((1, 2, 3, 4), (7, 8), (5, 6)),
    "pairs78": ((1, 2, 3, 4), (5, 6), (7, 8)),
}
"""SPHERE's "pairs": train, validation (the last two of the six training recordings), test."""
SPHERE_SENSORS = (
    "imu", "camera", "iot", "imu-iot", "camera-iot", "imu-camera", "imu-camera-iot", "imu-radio",
    "imu-camera-iot-radio",
)  # fmt: skip
DISTILLED = "-distilled"
"""Ends the name of a recipe that learns from a teacher of all sensors as well."""
DCAT = "-dcat"
"""Ends the name of a recipe that learns keys and values from a student of another sensor."""
PRETRAINED = "-pretrained"
"""Ends the name of a recipe of inertial units that learns without labels first."""
DCAT_SOURCES = {"imu": "camera", "camera": "imu", "iot": "imu"}
"""By sensor, the best of the others alone."""
SPHERE_ROOMS = (
    "bath", "bed1", "bed2", "hall", "kitchen", "living", "stairs", "study", "toilet",
)  # fmt: skip

SPHERE_RADIO = tuple(f"ap_{place}.rssi" for place in ("kitchen", "upstairs"))


def sphere(modality: str) -> Recipe:
    """Return the recipe of some sensors; it tests on recordings 7 and 8."""
    parts = modality.split("-")
    camera = tuple(
        f"{room}.{name}"
        for room in ("hallway", "living_room", "kitchen")
        for name in ("person", *BOX_CHANNELS, *BOX_3D_CHANNELS)
    )
    inputs = {
        "imu": imu_block(("right_wrist",), IMU_CHANNELS[:3], rate=20),
        "camera": Block("camera", 10, camera, max_gap_us=300_000),
        "radio": Block("radio", 5, SPHERE_RADIO, max_gap_us=2_000_000),
    }
    devices = tuple(level_device(f"pir_{room}") for room in SPHERE_ROOMS)

    return Recipe(
        name=f"sphere-{modality}",
        data="sphere",
        modality=tuple(parts),
        split=sphere_split(FOLDS["pairs78"]),
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


def sphere_split(parts: tuple[tuple[int, ...], ...]) -> Split:
    """Return training, validation and test part of recordings by number."""
    return Split(*(tuple(f"{number:05d}" for number in part) for part in parts))


def sphere_named(name: str) -> Recipe | None:
    """Return what ``sphere-<sensors>-<fold>[-distilled|-dcat|-pretrained]`` names, or None."""
    ending = next((one for one in (DISTILLED, DCAT, PRETRAINED) if name.endswith(one)), "")
    sensors, _, fold = name.removeprefix("sphere-").removesuffix(ending).rpartition("-")
    if not name.startswith("sphere-") or sensors not in SPHERE_SENSORS or fold not in FOLDS:
        return None
    found = replace(
        sphere(sensors), name=name, split=sphere_split(FOLDS[fold]),
        reversed_share=0.5 if "imu" in sensors.split("-") else 0.0,
    )  # fmt: skip
    if ending == DISTILLED:
        teacher = f"sigformer-sphere-imu-camera-iot-{fold}"
        return replace(found, teacher=teacher, soft_weight=0.3, soft_temperature=1.0)
    if ending == DCAT:
        source = DCAT_SOURCES.get(sensors)
        return replace(found, source=f"sphere-{source}-{fold}") if source else None
    if ending == PRETRAINED:
        return replace(found, pretrain_updates=700) if "imu" in sensors.split("-") else None
    return found


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
        devices=tuple(level_device(item) for item in RALT_ITEMS),
        updates=400,
        dropout=0.5,
        data_license="RALT (Smith et al. 2020), no licence stated: not for redistribution",
    )
