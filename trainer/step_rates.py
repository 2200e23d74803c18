"""Recipes whose models name steps of a quarter of a second: ``virtual-imu-4hz``.

For actions that last a second or two; operations are named as often, by the same model.
"""

from dataclasses import replace

from sensor_adapters.samples import US_PER_S
from trainer.recipe_parts import Recipe

ENDING = "-4hz"
A_SECOND = 4


def at_4_hz(recipe: Recipe) -> Recipe:
    """Return a recipe of steps of a second with steps of a quarter.

    Each step has whole rows, so rates are rounded up to a multiple of four. The model speaks of a
    step half a second later.
    """
    inputs = tuple(
        replace(block, rate_hz=-(-block.rate_hz // A_SECOND) * A_SECOND) for block in recipe.inputs
    )
    return replace(
        recipe,
        name=recipe.name + ENDING,
        inputs=inputs,
        step_us=US_PER_S // A_SECOND,
        delay_steps=2,
        crop_steps=3 * recipe.crop_steps,
        warm_steps=A_SECOND * recipe.warm_steps,
    )
