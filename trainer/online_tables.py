"""Tables of online detectors: as right as they are soon, and which decoder makes the segments.

One JSON file a run, and in a folder of work what the model said, so that decoders can be judged
again without teaching. A result that is there is not run again.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

from edge.bundle import Decoder
from trainer import online_runs, score_detectors, tables
from trainer.metrics import evaluate_recordings
from trainer.named_teachers import teacher
from trainer.online_decoders import ways, winner
from trainer.online_recipes import HEADS
from trainer.online_runs import CAUSAL, SALADS, SCORES_ALONE, TEACHER, Part, Run
from trainer.online_scores import average_precisions, heard, promptness, start_precision
from trainer.recipe_parts import plain_off_default
from trainer.recipes import recipe as recipe_of
from trainer.stretches import is_null
from trainer.teacher_recipes import settings as teacher_settings
from trainer.truth import best_label, true_stretches

BASES = {
    "sphere": ("sphere-imu-pairs12", "sphere-imu-pairs34"),
    "openpack": ("openpack-u0209-imu",),
}
"""Recipes of a table: folds, whose figures are averaged."""
SALADS_FOLDS = (1, 2, 3, 4)
LINES = ("sigformer", f"sigformer{CAUSAL}", *HEADS)


@dataclass(frozen=True)
class Line:
    """A model over folds."""

    name: str
    runs: tuple[str, ...]


def lines(table: str) -> tuple[Line, ...]:
    """Return the lines of ``sphere``, ``openpack`` or ``salads``.

    Raises:
        KeyError: there is no such table.
    """
    if table == "salads":
        return tuple(
            Line(model, tuple(f"{SALADS}{model}-fold{fold}" for fold in SALADS_FOLDS))
            for model in (SCORES_ALONE, *score_detectors.MODELS)
        )
    return tuple(Line(one, tuple(_run(base, one) for base in BASES[table])) for one in LINES)


def _run(base: str, line: str) -> str:
    if line.startswith("sigformer"):
        return f"{TEACHER}{base}{line.removeprefix('sigformer')}"
    return base if line == "gru" else f"{base}-{line}"


def settings(run: str) -> dict[str, Any]:
    """Return what made a run, as the JSON values that its result holds."""
    if run.startswith(SALADS):
        return score_detectors.settings(online_runs.salads_run(run)[0])
    if run.startswith(TEACHER):
        return teacher_settings(teacher(run.removesuffix(CAUSAL)))
    return plain_off_default(recipe_of(run))


def result(run: str, seed: int, results: Path) -> dict[str, Any] | None:
    """Return a run's result; None where there is none, or one of other settings."""
    try:
        found: dict[str, Any] = json.loads((results / f"{run}-seed{seed}.json").read_text())
    except FileNotFoundError:
        return None
    return found if found.get("settings") == settings(run) else None


def judged(run: Run) -> dict[str, Any]:
    """Return all figures of a run on its test recordings, decoders chosen on validation."""
    level, step_us = run.manifest.levels[0], run.manifest.step_us
    part = run.test
    p = np.concatenate([one.probabilities for one in part.said])
    label = np.concatenate([best_label(one.target[level.name]) for one in part.examples])
    acts = [k for k, name in enumerate(level.labels) if not is_null(name)]
    found = ways(level, step_us, run.train, run.validation.examples, run.validation.said)
    return {
        "parameters": run.parameters,
        "fit_s": round(run.fit_s, 1),
        "map": _round(float(np.nanmean(average_precisions(p, label)[acts]))),
        "mcap": _round(float(np.nanmean(average_precisions(p, label, calibrated=True)[acts]))),
        "chosen": winner(found),
        "decoders": {
            name: {
                "validation_quality": _round(quality.mean),
                "lag_s": spec.lag_steps * step_us / 1e6,
                **_figures(run, part, spec),
            }
            for name, (spec, quality) in found.items()
        },
    }


def _figures(run: Run, part: Part, spec: Decoder) -> dict[str, float | None]:
    level, manifest = run.manifest.levels[0], run.manifest
    known = []
    for one, said in zip(part.examples, part.said, strict=True):
        boundary = np.full(len(one), np.nan) if said.boundary is None else said.boundary
        first = one.first - manifest.delay_steps
        played = heard(
            level, spec, said.probabilities, boundary, first, manifest.step_us, manifest.delay_steps
        )
        known.append((played, true_stretches(one.recording, level.name)))
    pairs = [(h.stretches, e.recording) for (h, _), e in zip(known, part.examples, strict=True)]
    scores = evaluate_recordings(pairs, level.name).as_dict()
    kept = ("macro_f1", "accuracy", "edit", "f1_10", "f1_25", "f1_50", "boundary_f1")
    found = {name: float(scores[name]) for name in kept}
    found["start_map"] = start_precision(known)
    if run.causal:
        found |= asdict(promptness(known))
    return {name: _round(value) for name, value in found.items()}


def _round(value: float) -> float | None:
    """Return a figure as JSON has it; None for what is not a number."""
    return None if math.isnan(value) else round(float(value), 4)


def fill(
    table: Sequence[Line], seeds: Sequence[int], data: Path | None, results: Path, work: Path,
    jobs: int, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Run what is missing, ``jobs`` at a time."""
    results.mkdir(parents=True, exist_ok=True)
    missing = dict.fromkeys(
        (run.removesuffix(CAUSAL), seed)
        for seed in seeds
        for line in table
        for run in line.runs
        if result(run, seed, results) is None
    )
    say(f"{len(missing)} runs to go")
    with ProcessPoolExecutor(jobs, get_context("spawn"), tables.begin) as pool:
        waiting = [pool.submit(_one, run, seed, data, results, work) for run, seed in missing]
        for number, done in enumerate(as_completed(waiting), 1):
            say(f"{number}/{len(waiting)} {done.result()}")


def _one(name: str, seed: int, data: Path | None, results: Path, work: Path) -> str:
    torch.set_num_threads(1)
    both = [name, name + CAUSAL] if name.startswith(TEACHER) else [name]
    kept = {one: work / f"{one}-seed{seed}.npz" for one in both}
    made_of = {one: json.dumps([settings(one), str(data)], sort_keys=True) for one in both}
    if all(online_runs.is_kept(path, made_of[one]) for one, path in kept.items()):
        runs = {one: online_runs.read(one, data, path) for one, path in kept.items()}
    else:
        runs = online_runs.taught(name, data, seed)
        for one, run in runs.items():
            online_runs.write(run, kept[one], made_of[one])
    for one, run in runs.items():
        figures = {"run": one, "seed": seed, **judged(run), "settings": settings(one)}
        path = results / f"{one}-seed{seed}.json"
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(figures, indent=1) + "\n")
        os.replace(new, path)
    return f"{name}-seed{seed}: mAP {figures['map']:.3f} in {figures['fit_s']:.0f} s"


DECODER_FIGURES = (
    "macro_f1", "edit", "f1_10", "f1_25", "f1_50", "start_map", "onset_s", "onset_p95_s", "missed",
    "commit_s", "commit_p95_s", "false_alarms_per_min", "revisions_per_segment",
)  # fmt: skip
DIGITS = {"edit": 1, "onset_s": 1, "onset_p95_s": 1, "commit_s": 1, "commit_p95_s": 1}


def summary(table: Sequence[Line], seeds: Sequence[int], results: Path) -> Iterator[dict[str, str]]:
    """Give a row a model: mean and spread over seeds of the means over folds, decoder as chosen."""
    for line in table:
        found = _whole(line, seeds, results)
        if not found:
            continue
        chosen = sorted({one["chosen"] for some in found for one in some})
        row = {
            "model": line.name,
            "seeds": str(len(found)),
            "parameters": str(found[0][0]["parameters"]),
            "decoder": ", ".join(chosen),
        }
        for name in ("map", "mcap"):
            row[name] = _spread(name, [[one[name] for one in some] for some in found])
        for name in DECODER_FIGURES:
            values = [[one["decoders"][one["chosen"]].get(name) for one in some] for some in found]
            row[name] = _spread(name, values)
        yield row


def decoder_summary(line: Line, seeds: Sequence[int], results: Path) -> Iterator[dict[str, str]]:
    """Give a row a way to decode what one model says."""
    found = _whole(line, seeds, results)
    for way in found[0][0]["decoders"] if found else ():
        row = {"decoder": way, "seeds": str(len(found))}
        for name in ("validation_quality", *DECODER_FIGURES):
            row[name] = _spread(
                name, [[one["decoders"][way].get(name) for one in some] for some in found]
            )
        yield row


def curves(
    table: Sequence[Line], seeds: Sequence[int], results: Path
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return by model and way to decode: delay to the commit in s, segmental F1 at a half.

    Both the mean over seeds and folds. What sees the future has no delay, and no curve.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for line in table:
        rows = [one for some in _whole(line, seeds, results) for one in some]
        for way in rows[0]["decoders"] if rows else ():
            figures = [one["decoders"][way] for one in rows]
            if all(one.get("commit_s") is not None for one in figures):
                delay, f1 = (mean(one[name] for one in figures) for name in ("commit_s", "f1_50"))
                found.setdefault(line.name, {})[way] = delay, f1
    return found


def _whole(line: Line, seeds: Sequence[int], results: Path) -> list[list[dict[str, Any]]]:
    """Return the results of the seeds that have all folds."""
    found = [[result(run, seed, results) for run in line.runs] for seed in seeds]
    return [[one for one in some if one is not None] for some in found if None not in some]


def _spread(name: str, values: Sequence[Sequence[float | None]]) -> str:
    """Return mean and spread over seeds of the folds' means; empty where one has no figure."""
    known = [[v for v in some if v is not None] for some in values]
    if any(len(some) < len(all_) for some, all_ in zip(known, values, strict=True)):
        return ""
    digits = DIGITS.get(name, 3)
    over = [mean(some) for some in known]
    spread = f" ± {stdev(over):.{digits}f}" if len(over) > 1 else ""
    return f"{mean(over):.{digits}f}{spread}"
