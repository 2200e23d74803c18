"""50 Salads as streams of scores: what a frame-wise classifier says of each label, step by step.

Stein and McKenna (UbiComp 2013); the scores are those of Lea et al. (ECCV 2016), out of fold, about
0.9 steps a second. A step counts as a second here.

A folder with ``mid_scores.npz`` (``<video>/S`` (T, K) scores, ``<video>/Y`` (T,) labels),
``classes.txt`` (K names) and ``test.foldN.txt`` (videos).
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from edge.bundle import Level, Manifest
from sensor_adapters.recording import Recording, RecordingError, StepLabels
from sensor_adapters.samples import US_PER_S
from trainer import datasets
from trainer.datasets import Examples
from trainer.recipes import recipe

LEVEL = "activity"
SCORES = "mid_scores.npz"
VALIDATES = 2
"""People of the training part whose videos validate."""


@cache
def read(folder: Path) -> dict[str, Examples]:
    """Return the videos by name; ``scores`` (T, K) is their one tensor.

    Raises:
        RecordingError: a file is missing, or labels and scores do not fit.
    """
    labels = names(folder)
    try:
        with np.load(folder / SCORES, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except (OSError, ValueError) as error:
        raise RecordingError(f"{folder / SCORES}: {error}, expected 50 Salads' scores") from error
    found = {}
    for name in sorted(one.removesuffix("/S") for one in arrays if one.endswith("/S")):
        scores, label = arrays[f"{name}/S"].astype(np.float32), arrays[f"{name}/Y"].astype(int)
        if scores.shape != (len(label), len(labels)):
            raise RecordingError(
                f"{folder / SCORES}: {name} has scores {scores.shape}, expected"
                f" {(len(label), len(labels))}"
            )
        target = np.eye(len(labels), dtype=np.float32)[label]
        seconds = np.arange(len(label), dtype=np.int64) * US_PER_S
        truth = (StepLabels(LEVEL, seconds, labels, target),)
        person = name.rsplit("-", 1)[0]
        recording = Recording(name, "salads", person, (), {}, step_labels=truth)
        found[name] = Examples(recording, 0, {"scores": scores}, {LEVEL: target})
    return found


def names(folder: Path) -> tuple[str, ...]:
    """Return the labels; the background is none, and is called Null as everywhere."""
    found = _lines(folder / "classes.txt")
    return tuple("Null" if name == "background" else name for name in found)


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except OSError as error:
        raise RecordingError(f"{path}: {error}, expected a name a line") from error


def split(folder: Path, fold: int) -> tuple[list[Examples], list[Examples], list[Examples]]:
    """Return training, validation and test part of a standard fold.

    The last people of the training part, in order of their names, validate.

    Raises:
        RecordingError: a file is missing.
    """
    videos = read(folder)
    tested = _lines(folder / f"test.fold{fold}.txt")
    if strange := sorted(set(tested) - set(videos)):
        raise RecordingError(
            f"{folder / f'test.fold{fold}.txt'}: found {strange[0]}, expected one of"
            f" {', '.join(videos)}"
        )
    others = [one for name, one in videos.items() if name not in tested]
    people = sorted({one.recording.subject for one in others})[-VALIDATES:]
    return (
        [one for one in others if one.recording.subject not in people],
        [one for one in others if one.recording.subject in people],
        [one for name, one in videos.items() if name in tested],
    )


def manifest(folder: Path) -> Manifest:
    """Return what a detector of these streams names, and how often."""
    labels = names(folder)
    bare = replace(
        recipe("virtual-iot"), name="salads", inputs=(), devices=(), delay_steps=0, step_us=US_PER_S
    )
    return datasets.unscaled(bare, (Level(name=LEVEL, labels=labels),), [])
