"""What a taught teacher says of a recording, and of what parts it is made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensor_adapters.recording import Recording
from trainer import baselines, datasets, teach
from trainer.metrics import evaluate_stretches
from trainer.stretches import Stretch
from trainer.truth import ScoreError
from trainer.whole_recordings import probabilities


def is_teacher(folder: Path) -> bool:
    """Return whether a folder is what ``fit`` wrote of a teacher."""
    try:
        history: Any = json.loads((folder / teach.HISTORY).read_text())
    except (OSError, ValueError):
        return False
    return "source" in history["recipe"]


def judged_teacher(
    folder: Path, recording: Recording
) -> tuple[dict[str, Any], tuple[str, Mapping[str, list[Stretch]], tuple[str, ...]]]:
    """Return a teacher's scores on a recording, and what is drawn of it: level, segments, labels.

    Raises:
        ScoreError: the recording has no truth of its level, or the folder holds no teacher.
    """
    try:
        taught, recipe = teach.load(folder)
    except teach.TeachError as error:
        raise ScoreError(str(error)) from error
    level = taught.manifest.levels[0]
    one = datasets.examples(recording, taught.manifest)
    best = probabilities(taught.model, one.tensors, recipe)[level.name].argmax(1)
    found = baselines.stretches_of(best, one.first, taught.manifest.step_us, level.labels)
    scores = evaluate_stretches(found, recording, level.name).as_dict()
    named = {"bundle": recipe.name, "recording": recording.name, "segments": len(found)}
    return {**named, **scores}, (level.name, {recipe.name: found}, level.labels)
