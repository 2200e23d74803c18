"""A teacher in its folder: a run's checkpoint, then weights, manifest draft and history.

Weights are known by their sum, so that what was damaged or broken off is told and not judged.
"""

import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load, save as packed
from torch import nn

from edge.bundle import Manifest
from trainer.calibration import Bend
from trainer.teacher_recipes import TeacherRecipe, build, settings

CHECKPOINT, WEIGHTS, DRAFT, HISTORY = (
    "checkpoint.pt", "weights.safetensors", "draft.json", "history.json",
)  # fmt: skip
UNREADABLE = (
    OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, AttributeError,
    zipfile.BadZipFile, pickle.UnpicklingError, msgspec.MsgspecError, SafetensorError,
)  # fmt: skip
"""What reading a file that is no longer as it was written raises."""


class TeachError(Exception):
    """A run can not start or go on; the text names found and expected."""


@dataclass(frozen=True)
class Taught:
    """A trained teacher and the manifest that says how to feed it."""

    model: nn.Module
    manifest: Manifest
    best_update: int
    validation_f1: float
    """Per-second macro-F1 of the first level's arg-max on the validation recordings."""
    bends: Mapping[str, Bend] = field(default_factory=dict)
    """By level, what of its probabilities names labels best on validation, see ``calibration``."""


@dataclass(frozen=True)
class History:
    """What is written beside the weights."""

    recipe: TeacherRecipe
    seed: int
    best_update: int
    validation_f1: float
    bends: dict[str, Bend]
    parameters: int
    weights_sha256: str


def in_short(error: BaseException) -> str:
    """Return an error's kind and the first line of what it says."""
    return f"{type(error).__name__} {str(error).partition(chr(10))[0]}".strip()


def is_teacher(folder: Path) -> bool:
    """Return whether a folder is what ``fit`` wrote of a teacher, ended or not."""
    if (folder / CHECKPOINT).exists():
        return True
    try:
        history: Any = json.loads((folder / HISTORY).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(history, dict) and "model" in history.get("recipe", ())


def made(folder: Path) -> None:
    """Make a run's folder.

    Raises:
        TeachError: it can not be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TeachError(f"{folder}: {error}, expected a folder that can be written") from error


def save(taught: Taught, recipe: TeacherRecipe, seed: int, folder: Path) -> None:
    """Write weights, manifest draft and history to ``folder``."""
    made(folder)
    weights = packed(taught.model.state_dict())
    (folder / WEIGHTS).write_bytes(weights)
    (folder / DRAFT).write_bytes(msgspec.json.format(msgspec.json.encode(taught.manifest)))
    history = {
        "recipe": settings(recipe),
        "seed": seed,
        "best_update": taught.best_update,
        "validation_f1": round(taught.validation_f1, 5),
        "bends": taught.bends,
        "parameters": sum(w.numel() for w in taught.model.parameters()),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    (folder / HISTORY).write_bytes(msgspec.json.format(msgspec.json.encode(history)))


def read(folder: Path) -> tuple[Taught, History]:
    """Return what ``save`` wrote.

    Raises:
        TeachError: the folder holds no teacher, or one that was damaged or broken off.
    """
    if (folder / CHECKPOINT).is_file() and not (folder / HISTORY).is_file():
        raise TeachError(f"{folder}: holds a teacher's run that was broken off; `fit` goes on")
    path = folder / DRAFT
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        path = folder / HISTORY
        history = msgspec.json.decode(path.read_bytes(), type=History)
        labels = {level.name: len(level.labels) for level in manifest.levels}
        if labels != {name: len(bend.prior) for name, bend in history.bends.items()}:
            raise ValueError("bends of other labels than the manifest's")
        model = build(history.recipe, manifest)
        path = folder / WEIGHTS
        weights = path.read_bytes()
        if hashlib.sha256(weights).hexdigest() != history.weights_sha256:
            raise ValueError("other weights than the history's")
        model.load_state_dict(load(weights))
    except UNREADABLE as error:
        raise TeachError(
            f"{path}: found {in_short(error)}, expected a teacher as `fit` wrote it; `fit` into"
            " the same folder completes it"
        ) from error
    best = history.best_update, history.validation_f1
    return Taught(model.eval(), manifest, *best, history.bends), history
