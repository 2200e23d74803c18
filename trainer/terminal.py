"""What all commands of the trainer share: options, how they talk, opening what is named."""

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from sensor_adapters.recording import Recording, RecordingError
from trainer.own_labels import open_labelled
from trainer.recipe_parts import Recipe, UnknownRecipe
from trainer.recipes import recipe as recipe_of, split_notes

# A terminal wraps a long line of a table; rich would cut its names and figures short.
out, err = Console(width=max(180, shutil.get_terminal_size().columns)), Console(stderr=True)

TITLES = {
    "macro_f1": "macro F1", "f1_10": "F1@10", "f1_25": "@25", "f1_50": "@50",
    "boundary_f1": "boundary F1",
}  # fmt: skip

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="See `recipes`.")]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder of the recordings; none for the simulation.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
SkipMissing = Annotated[
    bool, typer.Option("--skip-missing", help="Go on without recordings that can not be used.")
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Seed of weights, crops and augmentation.")
]


def fail(text: str, code: int) -> NoReturn:
    """Say what is wrong on stderr and stop: 2 for a setting, 1 for the world."""
    err.print(f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def checked_device(device: str) -> None:
    """Stop where a device is none, or not there."""
    import torch

    if device not in ("", "cpu", "cuda"):
        fail(f"--device is {device!r}, expected cpu or cuda", 2)
    if device == "cuda" and not torch.cuda.is_available():
        fail("--device is cuda, found no GPU that torch can use", 2)


def opened(name: str) -> Recording:
    """Return the recording, or stop with what is wrong with it."""
    try:
        return open_labelled(name)
    except RecordingError as error:
        fail(str(error), 2)


def writable(folder: Path) -> None:
    """Make a folder for what is to come, or say before the work that it can not be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fail(f"{folder}: {error.strerror}, expected a folder that can be written", 2)


def wanted(name: str) -> Recipe:
    """Return the recipe, or stop with the names there are."""
    try:
        return recipe_of(name)
    except UnknownRecipe as error:
        fail(str(error), 2)


def filled(recipe: Recipe, data: Path | None) -> Recipe:
    """Return a recipe with what it takes from the data folder, said aloud, or stop."""
    for note in split_notes(recipe.name):
        say(f"note: {note}")
    if recipe.data != "own":
        return recipe
    from trainer.own_recordings import completed

    try:
        done = completed(recipe, data)
    except RecordingError as error:
        fail(str(error), 2)
    for note in done.notes:
        say(f"note: {note}")
    return done.recipe


def fitted_recipe(name: str, folder: Path) -> tuple[Recipe, int]:
    """Return recipe and seed as `fit` wrote them, or stop where it was no `fit` of this recipe."""
    import msgspec

    from trainer.fit import HISTORY

    one, file = wanted(name), folder / HISTORY
    try:
        history: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        fail(f"{folder}: found no {file.name} in it, expected a folder that `fit` wrote", 2)
    if history["recipe"]["name"] != one.name:
        found = history["recipe"]["name"]
        fail(f"{folder}: found a fit of {found}, expected one of {one.name}", 2)
    try:
        return msgspec.convert(history["recipe"], Recipe), history["seed"]
    except (msgspec.ValidationError, KeyError) as error:
        fail(f"{file}: {error}, expected what `fit` wrote of itself", 2)


def ready(
    recipe: Recipe, data: Path | None, parts: Sequence[str], skip_missing: bool | None = None
) -> Recipe:
    """Return the recipe once all of its recordings are there, or stop with the whole list.

    ``skip_missing`` is None where a command has no such option.
    """
    from trainer import inventory as inventories

    one = filled(recipe, data)
    try:
        found = inventories.check(one, data, parts)
        if found.missing and not skip_missing:
            for line in found.lines():
                say(line)
            more = "" if skip_missing is None else "; --skip-missing goes on without"
            fail(f"{one.name}: {found.last_line()}{more}", 2)
        if found.missing:
            say(f"note: {found.last_line()}; going on without")
            for entry in found.missing:
                say(f"note: {entry.part} {entry.name}: {'; '.join(entry.problems)}")
        return inventories.without_missing(one, found)
    except RecordingError as error:
        fail(str(error), 2)


def say(text: str) -> None:
    """Tell people something on stderr, on one line."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def show(rows: list[dict[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print these columns as a table for people, or all that is known as JSON for machines."""
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    columns = [name for name in columns if any(name in row for row in rows)]
    for name in columns:
        table.add_column(TITLES.get(name, name.replace("_", " ")), no_wrap=True)
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in columns))
    out.print(table)
    for note in [note for row in rows for note in row.get("notes", ())]:
        out.print(f"note: {note}", markup=False)


def _text(value: Any) -> str:
    """Return a value as a table shows it; models that share one voice one a line.

    >>> _text("wrist>camera").splitlines()
    ['wrist>', 'camera']
    """
    if isinstance(value, float):
        return f"{value:.1f}" if value > 1 else f"{value:.4f}"
    return "" if value is None else str(value).replace(">", ">\n")


def seed_range(text: str) -> list[int]:
    """Return the seeds that ``0-2`` or ``3`` names, or stop."""
    first, _, last = text.partition("-")
    if not re.fullmatch(r"[0-9]+(-[0-9]+)?", text):
        fail(f"--seeds is {text!r}, expected two numbers, as 0-2", 2)
    seeds = list(range(int(first), int(last or first) + 1))
    if not seeds:
        fail(f"--seeds is {text!r}, expected the smaller number first, as 0-2", 2)
    return seeds
