"""The guard of students of streams: what is taken from elsewhere is left out where it loses.

``guard`` is that of clips, which holds people out one after the other. A student of streams has
validation recordings, of which neither it nor its teacher learnt: they decide.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from trainer import fit
from trainer.fit import Data, Fitted
from trainer.recipe_parts import Recipe


@dataclass(frozen=True)
class Verdict:
    """What the guard found, and the student that it keeps."""

    recipe: Recipe
    fitted: Fitted
    is_kept: bool
    """Is something taken from elsewhere?"""
    helped_f1: float
    """Validation macro-F1 with what the recipe takes from elsewhere."""
    alone_f1: float
    """The same without it."""

    def __str__(self) -> str:
        """Say it in one line."""
        word = "kept" if self.is_kept else "switched off"
        return (
            f"{self.recipe.name}: transfer is {word}: validation macro-F1 {self.helped_f1:.4f} with"
            f" it, {self.alone_f1:.4f} without"
        )


def takes(recipe: Recipe) -> bool:
    """Return whether a recipe takes something from elsewhere: teacher, source or start."""
    return bool(recipe.teacher or recipe.source or recipe.pretrain_updates)


def alone(recipe: Recipe) -> Recipe:
    """Return a recipe that takes nothing from elsewhere."""
    return replace(recipe, teacher="", source="", pretrain_updates=0)


def guarded(
    recipe: Recipe, data: Data, seed: int, say: Callable[[str], None] = lambda _: None,
    device: str = "cpu",
) -> Verdict:  # fmt: skip
    """Return the student as its recipe has it, or alone if that is better on validation.

    Args:
        recipe: that takes something from elsewhere.
        data: with it.
        seed: of both.
        say: is told how it goes, and what was found.
        device: to learn on.

    Raises:
        ValueError: the recipe takes nothing.
        StartError: nothing of the weights to begin with fits.
    """
    if not takes(recipe) and data.start is None:
        raise ValueError(f"{recipe.name}: takes nothing from elsewhere, there is nothing to judge")
    bare = replace(data, train=[replace(one, soft={}, source={}) for one in data.train], start=None)
    helped = fit.fit(recipe, data, seed, say, device)
    plain = fit.fit(alone(recipe), bare, seed, say, device)
    kept = helped.validation_f1 >= plain.validation_f1
    verdict = Verdict(
        recipe if kept else alone(recipe), helped if kept else plain, kept,
        helped.validation_f1, plain.validation_f1,
    )  # fmt: skip
    say(str(verdict))
    return verdict
