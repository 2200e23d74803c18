"""The pictures of a recording's scores: which there are, and how their files are called."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sensor_adapters.recording import Recording
from trainer import pictures
from trainer.metrics import labelled_seconds
from trainer.stretches import Stretch
from trainer.truth import true_stretches


def draw(
    folder: Path,
    recording: Recording,
    level: str,
    predicted: Mapping[str, Sequence[Stretch]],
    labels: Iterable[str] = (),
) -> list[Path]:
    """Return the pictures drawn of one level of one recording into a folder, PNG.

    One over time, with the truth and below it each of ``predicted``, which are named by model or
    modality; and a confusion matrix for each of them. ``labels`` are all that the level has, as
    far as known: with the same ones a label has the same colour in every recording.

    Raises:
        ScoreError: the recording has no truth of this level.
        OSError: a file can not be written.
    """
    rows = {"true": true_stretches(recording, level), **predicted}
    palette = pictures.colours([*labels, *(s.label for row in rows.values() for s in row)])
    title = f"{recording.name}, {level}"
    file = folder / _file(recording.name, level, *predicted, "timeline")
    drawn = [pictures.draw_timeline(file, rows, palette, title)]
    for name, stretches in predicted.items():
        seconds = labelled_seconds([(stretches, recording)], level)
        file = folder / _file(recording.name, level, name, "confusion")
        drawn.append(
            pictures.draw_confusion(
                file, seconds.true, seconds.predicted, seconds.labels, f"{title}, {name}"
            )
        )
    return drawn


def _file(*parts: str) -> str:
    """Return a name that every file system takes.

    >>> _file("virtual-seed7", "operation", "imu/2", "confusion")
    'virtual-seed7-operation-imu-2-confusion.png'
    """
    return re.sub(r"[^\w.-]+", "-", "-".join(parts)) + ".png"
