"""The guard: what is taken from another sensor is left out where it loses, and it is said.

Transfer can harm: from a source that is weak, or that knows its training clips by heart. Whether it
does is not known from training; it is asked of training people who are held out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from trainer.clip_fit import fit_clips, said_of
from trainer.clip_recipes import ClipRecipe
from trainer.clip_sources import Sources
from trainer.clips import Clips
from trainer.frame_scores import macro_f1


@dataclass(frozen=True)
class Verdict:
    """What the guard found."""

    recipe: ClipRecipe
    """The one to teach by."""
    alone: float
    """Mean macro-F1 on held-out people, nothing taken from another sensor."""
    transferred: float
    """The same with it."""

    @property
    def is_kept(self) -> bool:
        """Is something taken from another sensor?"""
        return self.recipe.soft is not None or self.recipe.dcat is not None


def guarded(
    recipe: ClipRecipe, clips: Clips, seed: int, say: Callable[[str], None], held_out: int = 2
) -> Verdict:
    """Return the recipe, or the recipe without transfer if that does better on held-out people.

    Args:
        recipe: with a source.
        clips: the training part, of more than ``held_out`` people.
        seed: of the networks.
        say: is told what was found.
        held_out: so many people are held out, one after the other.

    Raises:
        ValueError: there are too few people.
    """
    people = sorted({clip.subject for clip in clips.clips})
    if len(people) <= held_out:
        raise ValueError(
            f"guard: found {len(people)} people, expected more than the {held_out} held out"
        )
    plain = replace(recipe, soft=None, dcat=None)
    figures = {plain: 0.0, recipe: 0.0}
    for person in people[:held_out]:
        rest = clips.of([one for one in people if one != person])
        test, sources = clips.of([person]), Sources(rest, seed)
        for one in figures:
            net = fit_clips(one, rest, seed, sources.told(one))
            best = said_of(net, one, test).logits.argmax(-1).numpy()
            figures[one] += macro_f1(test.label, best, test.labels).macro / held_out
    kept = figures[recipe] >= figures[plain]
    word = "kept" if kept else "switched off"
    say(
        f"{recipe.name}: transfer is {word}: macro-F1 {figures[recipe]:.3f} with it,"
        f" {figures[plain]:.3f} without, on {held_out} held-out people of the training part"
    )
    return Verdict(recipe if kept else plain, figures[plain], figures[recipe])
