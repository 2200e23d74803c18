"""How right a model was on whole recordings: by second, by segment, by boundary."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sensor_adapters.recording import Recording
from sensor_adapters.samples import Int64s
from trainer.frame_scores import macro_f1, predicted_per_second
from trainer.segment_scores import OVERLAPS, Matches, boundary_matches, edit_score, matches
from trainer.stretches import Stretch, is_null, on_scored_time
from trainer.truth import ScoreError, best_label, true_stretches, truth_per_second

OFFICIAL_LEVEL = "operation"


@dataclass(frozen=True)
class Scores:
    """What is reported of one level."""

    level: str
    seconds: int
    """Scored."""
    accuracy: float
    macro_f1: float
    weighted_f1: float
    edit: float
    """0..100; of several recordings the mean."""
    segment_f1: dict[int, float]
    """0..1 by overlap in per cent; of several recordings over all their segments."""
    boundary_f1: float
    """0..1, found within a second; of several recordings over all their boundaries."""
    true_segments: int
    predicted_segments: int
    """Where truth is known."""
    per_label: dict[str, float]
    """F1 of each label that counts."""
    support: dict[str, int]
    """Seconds in which each is true."""

    def as_dict(self) -> dict[str, Any]:
        """Return it flat and ready for JSON; ``f1_10`` and so on are the segments'."""
        flat: dict[str, Any] = asdict(self)
        del flat["segment_f1"]
        return flat | {f"f1_{overlap}": f1 for overlap, f1 in self.segment_f1.items()}


Judged = tuple[Sequence[Stretch], Recording]
"""What was predicted of a recording."""


def evaluate_stretches(stretches: Sequence[Stretch], recording: Recording, level: str) -> Scores:
    """Return how right the stretches of one level of one recording are.

    Of level ``operation`` the published labels count, or, where there are none, those that are
    true at all; of other levels all that are true or predicted.

    Raises:
        ScoreError: the recording has no truth of this level.
    """
    return evaluate_recordings([(stretches, recording)], level)


def evaluate_recordings(judged: Sequence[Judged], level: str) -> Scores:
    """Return the scores of several recordings, their seconds and segments put together.

    Raises:
        ScoreError: there is no recording, or one has no truth of this level.
    """
    seconds = labelled_seconds(judged, level)
    by_second = macro_f1(
        seconds.true,
        seconds.predicted,
        seconds.labels,
        seconds.official if level == OFFICIAL_LEVEL else None,
    )
    pairs = [_on_scored_time(one, level) for one in judged]
    by_overlap = {
        overlap: sum((matches(*pair, overlap / 100) for pair in pairs), Matches(0, 0, 0))
        for overlap in OVERLAPS
    }
    return Scores(
        level=level,
        seconds=int((seconds.true >= 0).sum()),
        accuracy=by_second.accuracy,
        macro_f1=by_second.macro,
        weighted_f1=by_second.weighted,
        edit=float(np.mean([edit_score(*pair) for pair in pairs])),
        segment_f1={overlap: one.f1 for overlap, one in by_overlap.items()},
        boundary_f1=sum((boundary_matches(*pair) for pair in pairs), Matches(0, 0, 0)).f1,
        true_segments=by_overlap[OVERLAPS[0]].true,
        predicted_segments=by_overlap[OVERLAPS[0]].predicted,
        per_label=by_second.per_label,
        support=by_second.support,
    )


@dataclass(frozen=True)
class Seconds:
    """The N seconds of recordings one after the other, as indices into ``labels``."""

    labels: tuple[str, ...]
    """Those of the truth, then those that are only predicted; never Null."""
    official: tuple[str, ...]
    """Those of the truth alone."""
    true: Int64s
    """(N,); -1 is not scored."""
    predicted: Int64s
    """(N,); -1 is no prediction, or Null."""


def labelled_seconds(judged: Sequence[Judged], level: str) -> Seconds:
    """Return what was true and what was predicted in every second of the recordings.

    Raises:
        ScoreError: there is no recording, or one has no truth of this level.
    """
    if not judged:
        raise ScoreError("found no recording to score, expected at least one")
    truths = [truth_per_second(recording, level) for _, recording in judged]
    official = dict.fromkeys(label for _, labels, _ in truths for label in labels)
    said = dict.fromkeys(s.label for stretches, _ in judged for s in stretches)
    names = [*official, *(label for label in said if label not in official and not is_null(label))]
    true, predicted = [], []
    for (stretches, _), (time_us, labels, target) in zip(judged, truths, strict=True):
        own = np.array([names.index(label) for label in labels] + [-1])
        true.append(own[best_label(target)])
        predicted.append(predicted_per_second(stretches, time_us, names))
    return Seconds(tuple(names), tuple(official), np.concatenate(true), np.concatenate(predicted))


def _on_scored_time(one: Judged, level: str) -> tuple[list[Stretch], list[Stretch]]:
    """Return truth and prediction, both on the clock of what is scored."""
    stretches, recording = one
    truth = true_stretches(recording, level)
    return on_scored_time(truth, truth), on_scored_time(stretches, truth)
