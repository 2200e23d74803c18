"""What a taught teacher names best, and what it says of a recording."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sensor_adapters.recording import Recording
from trainer import baselines, datasets, saved_teacher
from trainer.calibration import prior
from trainer.fit import Data
from trainer.metrics import evaluate_stretches
from trainer.saved_teacher import Taught
from trainer.stretches import Drawing
from trainer.teacher_recipes import TeacherRecipe
from trainer.teacher_scores import label_bend
from trainer.truth import ScoreError
from trainer.whole_recordings import probabilities


def with_bends(taught: Taught, data: Data, recipe: TeacherRecipe, device: torch.device) -> Taught:
    """Return the teacher with what names the labels of each level best on validation."""
    known = [
        probabilities(taught.model, one.tensors, recipe, device=device) for one in data.validation
    ]
    bends = {
        level.name: label_bend(
            data.validation, [p[level.name] for p in known], level,
            prior([one.target[level.name] for one in data.train]),
        )
        for level in taught.manifest.levels
    }  # fmt: skip
    return replace(taught, bends=bends)


def judged(folder: Path, recording: Recording) -> tuple[list[dict[str, Any]], list[Drawing]]:
    """Return a teacher's scores on a recording, a row a level, and what is drawn of each.

    Raises:
        ScoreError: the recording has no truth of a level, or the folder holds no teacher.
    """
    try:
        taught, history = saved_teacher.read(folder)
    except saved_teacher.TeachError as error:
        raise ScoreError(str(error)) from error
    one = datasets.examples(recording, taught.manifest)
    recipe = history.recipe
    said = probabilities(taught.model, one.tensors, recipe)
    rows: list[dict[str, Any]] = []
    drawings: list[Drawing] = []
    for level in taught.manifest.levels:
        best = taught.bends[level.name].of(said[level.name]).argmax(1)
        found = baselines.stretches_of(best, one.first, taught.manifest.step_us, level.labels)
        scores = evaluate_stretches(found, recording, level.name).as_dict()
        named = {"bundle": recipe.name, "seed": history.seed, "recording": recording.name}
        rows.append({**named, "segments": len(found), **scores})
        drawings.append((level.name, {recipe.name: found}, level.labels))
    if rows:
        rows[0]["notes"] = list(recording.notes)
    return rows, drawings
