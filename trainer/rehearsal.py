"""A rehearsal of failing sensors: what failover saves, against the best single model.

Modalities die at random and independently, as ``sensor_adapters.outages`` draws them; each model
alone and all of them with one voice see the same recording. The board's own lanes, engines and
decoders are used, so what stands here is what a board would log.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from edge.bundle import Manifest
from edge.engine import Engine
from edge.segments import Segment
from sensor_adapters.outages import drawn, without
from sensor_adapters.recording import Recording
from trainer import offline
from trainer.metrics import evaluate_stretches
from trainer.stretches import Stretch

Model = tuple[Manifest, Engine]


@dataclass(frozen=True)
class Rehearsal:
    """What became of one recording."""

    recording: str
    dead: float
    """Share of the time that each modality was to be dead."""
    seed: int
    all_alive: float
    """Macro-F1 of the models with one voice, nothing dead."""
    failover: float
    """Macro-F1 of the models with one voice."""
    single: dict[str, float]
    """Macro-F1 of each model alone."""
    switches: int
    gaps: int
    overlaps: int
    """Rows that overlap another of their level; there must be none."""

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON values, the best single model named."""
        best = max(self.single, key=lambda name: self.single[name])
        return {**asdict(self), "best_single": best, "best_single_f1": self.single[best]}


def rehearse(
    models: Sequence[Model], recording: Recording, shares: Sequence[float], seeds: Sequence[int],
    mean_s: float | None = None,
) -> Iterator[Rehearsal]:  # fmt: skip
    """Give a rehearsal for every share and seed; the level is the models' first.

    Raises:
        RelayError: the models can not share one voice.
        ScoreError: the recording has no truth of the level.
    """
    level = models[0][0].levels[0].name
    whole, _, _ = offline.one_voice(models, recording)
    all_alive = _f1(whole, recording, level)
    for share in shares:
        for seed in seeds:
            part = without(recording, drawn(recording, share, seed, mean_s))
            segments, switches, gaps = offline.one_voice(models, part)
            single = {
                manifest.name: _f1(offline.segments(manifest, engine, part), recording, level)
                for manifest, engine in models
            }
            yield Rehearsal(
                recording.name, share, seed, all_alive, _f1(segments, recording, level), single,
                len(switches), len({gap.start_us for gap in gaps}), _overlaps(segments),
            )  # fmt: skip


def _f1(segments: Sequence[Segment], recording: Recording, level: str) -> float:
    mine = [Stretch(s.label, s.start_us, s.end_us) for s in segments if s.level == level]
    return round(evaluate_stretches(mine, recording, level).macro_f1, 4)


def _overlaps(segments: Sequence[Segment]) -> int:
    """Return how many segments begin before the one before them, of their level, has ended."""
    ordered = sorted(segments, key=lambda s: (s.level, s.start_us))
    return sum(a.level == b.level and b.start_us < a.end_us for a, b in pairwise(ordered))
