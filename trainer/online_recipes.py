"""What may stand in the place of a recipe's GRU.

``sphere-imu-pairs12-malt`` is a recipe with MALT in it, ``sphere-imu-pairs12-tcn`` with a causal
TCN. MALT is there whole and with one of its parts left out, as in its paper's own experiments.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from trainer.malt_config import MaltConfig
from trainer.recipe_parts import Recipe

_WHOLE = MaltConfig()
_MALT = {"hidden": _WHOLE.width}
HEADS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "gru": {},
        "tcn": {"tcn_layers": 4},
        "malt": {**_MALT, "malt": _WHOLE},
        "malt-all-keys": {**_MALT, "malt": replace(_WHOLE, top=_WHOLE.long)},
        "malt-one-branch": {**_MALT, "malt": replace(_WHOLE, branches=1)},
        "malt-own-decoders": {**_MALT, "malt": replace(_WHOLE, one_decoder=False)},
        "malt-unforeseeing": {**_MALT, "malt": _WHOLE, "foreseen_weight": 0.0},
        "malt-512s": {
            **_MALT,
            "malt": replace(_WHOLE, stride=8),
            "crop_steps": 320,
            "batch": 8,
        },
    }
)
"""By the ending of a recipe's name; ``gru`` is the recipe as it is, and no ending."""
ENDINGS = tuple(f"-{head}" for head in HEADS if head != "gru")


def with_head(recipe: Recipe, head: str) -> Recipe:
    """Return a recipe with one of the ``HEADS``."""
    if head == "gru":
        return recipe
    return replace(recipe, name=f"{recipe.name}-{head}", **HEADS[head])


def split_head(name: str) -> tuple[str, str]:
    """Return the name of a recipe as it is, and its head.

    >>> split_head("sphere-imu-pairs12-malt-all-keys"), split_head("virtual-imu")
    (('sphere-imu-pairs12', 'malt-all-keys'), ('virtual-imu', 'gru'))
    """
    ending = max((one for one in ENDINGS if name.endswith(one)), key=len, default="")
    return name.removesuffix(ending), ending.removeprefix("-") or "gru"
