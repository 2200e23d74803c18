"""What makes a network of clips: data, sensor, training, and what it takes from another sensor.

The methods that are compared share data, network, schedule and seeds; they differ in what stands
beside the cross entropy.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from trainer.clip_inputs import PLAIN, ClipAugmentation
from trainer.dcat import DcatOptions

Control = Literal["", "mean", "noise"]


@dataclass(frozen=True)
class Soft:
    """A teacher's soft labels beside the truth."""

    teachers: tuple[str, ...]
    """Sensors; their networks' log-probabilities are added."""
    weight: float = 1.0
    temperature: float = 2.0
    out_of_fold: bool = True
    """Of each person's clips by networks that never saw that person."""
    standardised: bool = False
    """Logits of teacher and student with mean 0 and deviation 1."""
    gated: bool = False
    """Only where teacher and student order the labels alike (Kendall's tau above 0)."""


@dataclass(frozen=True)
class ClipRecipe:
    """Everything that makes a network of clips, split and seed aside."""

    name: str
    data: str
    """``utd_mhad`` or ``phone_watch``."""
    sensor: str
    """The one that is there at inference."""
    source: str = ""
    """The one it may learn from."""
    channels: Literal["readings", "motion"] = "readings"
    """Of inertial units: what they say, or what is made of it as well."""
    rows: int = 128
    width: int = 96
    residual: bool = False
    recurrent: bool = False
    peaks: bool = False
    """See ``clip_net``."""
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    clip: float = 5.0
    mixup: float = 0.0
    """Both parameters of the Beta distribution from which shares are drawn; 0 mixes nothing."""
    augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
    dcat: DcatOptions | None = None
    control: Control = ""
    """D-CAT's controls: the mean of all source matrices, or a random one, for every sample."""
    other_place: bool = False
    """Does D-CAT's source know the clips of other placements of the wearable sensor alone?"""
    soft: Soft | None = None
    guarded: bool = False
    """Is what is taken from the source left out where it loses on held-out training people?"""


_IN_SAMPLE = {"soft": ("source",), "out_of_fold": False, "temperature": 4.0}
_MOTION = {"channels": "motion", "augmentation": ClipAugmentation(warp=0.05)}
_RECURRENT = {**_MOTION, "residual": True, "recurrent": True, "peaks": True}
METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "plain": {"augmentation": PLAIN},
        "augmented": {},
        "alone": {"epochs": 150, "mixup": 0.4},
        "dcat-same-sample": {"dcat": DcatOptions(pairing="same_sample")},
        "dcat-same-class": {"dcat": DcatOptions(pairing="same_class")},
        "dcat-random": {"dcat": DcatOptions(pairing="random")},
        "dcat-mean": {"dcat": DcatOptions(), "control": "mean"},
        "dcat-noise": {"dcat": DcatOptions(), "control": "noise"},
        "dcat-other-place": {"dcat": DcatOptions(pairing="same_sample"), "other_place": True},
        "soft": _IN_SAMPLE,
        "soft-out-of-fold": {"soft": ("source", "own")},
        "soft-guarded": {**_IN_SAMPLE, "guarded": True},
        "dcat-guarded": {"dcat": DcatOptions(pairing="same_class"), "guarded": True},
        "motion": _MOTION,
        "recurrent": _RECURRENT,
        "recurrent-out-of-fold": {**_RECURRENT, "soft": ("source", "own")},
        "recurrent-dcat-same-sample": {**_RECURRENT, "dcat": DcatOptions(pairing="same_sample")},
        "recurrent-dcat-noise": {**_RECURRENT, "dcat": DcatOptions(), "control": "noise"},
    }
)  # fmt: skip
"""What stands beside the cross entropy, or differs otherwise. From ``alone`` on, all are as
``alone``: the strong recipe of one sensor, varied, mixed and taught for long."""

PAIRS = {
    "utd_mhad": ("imu", "skeleton"),
    "phone_watch": ("phone", "watch"),
}


FEWER_EPOCHS = {"utd_mhad": 1, "phone_watch": 5}
"""So many times fewer, for so many times more clips: as many updates."""


def methods_of(sensor: str) -> list[str]:
    """Return the methods that a sensor can have.

    A skeleton's channels are always made of it; phones and watches sit at one place each.
    """
    not_of = {"skeleton": "channels", "phone": "other_place", "watch": "other_place"}
    return [method for method, given in METHODS.items() if not_of.get(sensor) not in given]


def clip_recipe(data: str, sensor: str, method: str) -> ClipRecipe:
    """Return a recipe of one of the ``METHODS``.

    Raises:
        KeyError: there is no such data, sensor or method; the text lists those there are.
    """
    if data not in PAIRS or sensor not in PAIRS[data] or method not in METHODS:
        raise KeyError(
            f"found clips {data!r}, {sensor!r}, {method!r}, expected of {PAIRS}, {list(METHODS)}"
        )
    (source,) = (one for one in PAIRS[data] if one != sensor)
    chosen = dict(METHODS[method])
    if method not in ("plain", "augmented"):
        chosen = {**METHODS["alone"], **chosen}
    wanted = chosen.pop("soft", None)
    if wanted:
        names = tuple({"source": source, "own": sensor}[one] for one in wanted)
        options = {n: chosen.pop(n) for n in ("out_of_fold", "temperature") if n in chosen}
        chosen["soft"] = Soft(names, **options)
    rows = 64 if sensor == "skeleton" else 128 if data == "utd_mhad" else 100
    base = ClipRecipe(f"{data}-{sensor}-{method}", data, sensor, source, rows=rows)
    made = replace(base, **chosen)
    return replace(made, epochs=made.epochs // FEWER_EPOCHS[data])


def unchanged(said: Mapping[str, Any], recipe: ClipRecipe) -> bool:
    """Return whether settings that were saved are a recipe's; what is new was at its default."""
    plain = settings(ClipRecipe(recipe.name, recipe.data, recipe.sensor))
    return {**plain, **said} == settings(recipe)


def settings(recipe: ClipRecipe) -> dict[str, Any]:
    """Return all that makes a network as JSON values."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(asdict(recipe)))
    return plain
