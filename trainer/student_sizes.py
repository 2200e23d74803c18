"""A family of students from 20 thousand to a million weights, for boards small and large."""

from dataclasses import dataclass, replace

from trainer.recipe_parts import Recipe


@dataclass(frozen=True)
class Size:
    """What of a recipe makes a student large or small."""

    width: int
    hidden: int
    layers: int
    weights: tuple[int, int]
    """Between how many a student of one kind of sensor has; two or three kinds have up to a third
    more, as each has an encoder of its own."""


SIZES = {
    "nano": Size(width=16, hidden=48, layers=1, weights=(15_000, 30_000)),
    "small": Size(width=32, hidden=112, layers=1, weights=(80_000, 115_000)),
    "base": Size(width=64, hidden=192, layers=1, weights=(235_000, 335_000)),
    "large": Size(width=96, hidden=264, layers=2, weights=(850_000, 1_050_000)),
}
"""By name. A recipe's own size lies between ``small`` and ``base``."""


def sized(recipe: Recipe, name: str) -> Recipe:
    """Return a student's recipe at one of ``SIZES``, all else as it is."""
    size = SIZES[name]
    malt = replace(recipe.malt, width=size.hidden) if recipe.malt else None
    return replace(recipe, width=size.width, hidden=size.hidden, layers=size.layers, malt=malt)
