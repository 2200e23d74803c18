"""What a teacher of all sensors says of the training recordings, each by one that never saw it.

A teacher knows the recordings it learnt from by heart; what it says of them tells a student little
more than the labels do. So for every training recording one is taught on the others. Answers are
kept beside the prepared arrays: a student of another sensor asks the same ones.

Legend: T steps, K labels.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from edge.bundle import Arrays, Manifest
from sensor_adapters.recording import RecordingError
from trainer import named_teachers, prepared, teach
from trainer.datasets import Examples
from trainer.fit import Data
from trainer.processes import Processes
from trainer.recipe_parts import Recipe, off_default
from trainer.teacher_recipes import TeacherRecipe, settings
from trainer.whole_recordings import probabilities

FORMAT = 1


@dataclass(frozen=True)
class Spoken:
    """What was said of one recording."""

    first: int
    """Step index on the UTC grid of row 0."""
    labels: dict[str, tuple[str, ...]]
    """By level, of the columns."""
    said: Arrays
    """(T, K) probabilities by level."""


def out_of_fold(
    teacher: TeacherRecipe, data: Path | None, seed: int, processes: Processes,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Spoken]:  # fmt: skip
    """Return what teachers say of the training recordings, by the name of each in the split.

    Raises:
        RecordingError: there is only one training recording, or one can not be used.
    """
    names = teacher.source.split.train
    if len(names) < 2:
        raise RecordingError(
            f"{teacher.name}: found one training recording, {', '.join(names)}, expected several:"
            " a teacher is to speak of recordings that it did not learn from"
        )
    return {name: _of(teacher, name, data, seed, processes, say) for name in names}


def _of(
    teacher: TeacherRecipe, name: str, data: Path | None, seed: int, processes: Processes,
    say: Callable[[str], None],
) -> Spoken:  # fmt: skip
    split = teacher.source.split
    others = tuple(one for one in split.train if one != name)
    own = replace(teacher.source, split=replace(split, train=others, test=()))
    asked = replace(own, split=replace(split, train=others, validation=(name,), test=()))
    parts = prepared.prepare(own, data)
    (one,) = prepared.prepare(asked, data).validation  # cut as the others' teacher sees it
    path = prepared.cache_folder() / f"answers-{_key(replace(teacher, source=own), seed, parts)}"
    path = path.with_name(f"{path.name}-{_short(name)}.npz")
    labels = {level.name: level.labels for level in parts.manifest.levels}
    if path.is_file():
        with np.load(path) as kept:
            return Spoken(int(kept["first"]), labels, {level: kept[level] for level in labels})
    say(f"{teacher.name}: teaching one without {name}")
    taught = teach.teach(replace(teacher, source=own), parts, seed, processes)
    tensors = prepared.scaled(one, parts.manifest).tensors
    said = probabilities(taught.model, tensors, teacher, device=processes.device)
    new = path.with_name(f"{path.name}.{os.getpid()}.npz")
    np.savez_compressed(new, allow_pickle=False, first=np.array(one.first), **said)
    os.replace(new, path)
    return Spoken(one.first, labels, said)


def _key(teacher: TeacherRecipe, seed: int, parts: prepared.Parts) -> str:
    """Return the hash of all that decides what is said: recipe, seed, recordings."""
    content = [
        (one.recording.name, len(one), one.first) for one in (*parts.train, *parts.validation)
    ]
    made = settings(teacher)
    made["source"] = off_default(teacher.source)  # a setting that comes later makes nothing stale
    what = (FORMAT, made, seed, parts.manifest, content)
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:32]


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def distilled(
    recipe: Recipe, data: Data, folder: Path | None, device: str,
    say: Callable[[str], None] = lambda _: None,
) -> Data:  # fmt: skip
    """Return a student's data with what its teacher says, if its recipe names one.

    The teacher learns from the student's training recordings, and its moment is chosen on the
    student's validation recordings.

    Raises:
        RecordingError: there is only one training recording, or one can not be used.
    """
    if not recipe.teacher:
        return data
    teacher = named_teachers.teacher(recipe.teacher)
    teacher = replace(teacher, source=replace(teacher.source, split=recipe.split))
    alone = Processes(0, 1, torch.device(device))
    spoken = out_of_fold(teacher, folder, recipe.teacher_seed, alone, say)
    train = [
        with_answers(one, data.manifest, spoken[name])
        for one, name in zip(data.train, recipe.split.train, strict=True)
    ]
    return replace(data, train=train)


def with_answers(
    one: Examples, manifest: Manifest, spoken: Spoken
) -> Examples:  # fmt: skip
    """Return a recording of a student's with what was said of the step that each row speaks of."""
    start = one.first - manifest.delay_steps - spoken.first  # row of the answers for row 0
    rows = np.arange(len(one)) + start
    soft: Arrays = {}
    for level in manifest.levels:
        said = spoken.said.get(level.name)
        if said is None:
            continue
        known = rows[(rows >= 0) & (rows < len(said))]
        out = np.zeros((len(one), len(level.labels)), np.float32)
        columns = _columns(level.labels, spoken.labels[level.name])
        for mine, theirs in columns.items():
            out[known - start, mine] = said[known, theirs]
        soft[level.name] = out
    return replace(one, soft=soft)


def _columns(mine: tuple[str, ...], theirs: tuple[str, ...]) -> Mapping[int, int]:
    """Return the teacher's column of each of the student's labels that the teacher knows."""
    return {i: theirs.index(label) for i, label in enumerate(mine) if label in theirs}
