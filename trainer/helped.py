"""What a student takes from elsewhere beside its own labels, as its recipe says."""

from collections.abc import Callable
from pathlib import Path

from trainer.fit import Data
from trainer.own_start import with_start
from trainer.recipe_parts import Recipe
from trainer.source_answers import with_source
from trainer.teacher_answers import distilled


def helped(
    recipe: Recipe, data: Data, folder: Path | None, device: str,
    say: Callable[[str], None] = lambda _: None,
) -> Data:  # fmt: skip
    """Return a student's data with a teacher's answers, a source's keys and values, a start.

    Raises:
        RecordingError: a recording can not be used, or not by all that the recipe names.
        ValueError: student and source do not go together.
    """
    data = distilled(recipe, data, folder, device, say)
    data = with_source(recipe, data, folder, device, say)
    return with_start(recipe, data, folder, say)
