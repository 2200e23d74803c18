"""Tables of networks of clips: the methods side by side, over splits by person and seeds.

One JSON file a run; what is there is not run again. Nothing is selected on the test part: networks
are taken at the end of their schedule.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from trainer import clip_export, phone_watch, utd_mhad
from trainer.clip_fit import fit_clips, said_of
from trainer.clip_recipes import ClipRecipe, clip_recipe, settings, unchanged
from trainer.clip_sources import Sources
from trainer.clips import Clips
from trainer.frame_scores import macro_f1
from trainer.guard import guarded

READERS: dict[str, Callable[[Path], Clips]] = {
    "utd_mhad": utd_mhad.read, "phone_watch": phone_watch.read,
}  # fmt: skip
FOLDS = {
    "utd_mhad": ("odd-to-even", "even-to-odd"), "phone_watch": ("third1", "third2", "third3"),
}  # fmt: skip
ROUNDED = "rounded"
"""Name of what a result says of the files in 8 bits."""
RUNTIMES = ("LiteRT int8", "ONNX int8")


@dataclass(frozen=True)
class Fold:
    """Who is tested; all others train."""

    name: str
    test: tuple[str, ...]


def folds(data: str, clips: Clips) -> tuple[Fold, ...]:
    """Return the folds of a data set: UTD-MHAD's two sides, three thirds of the people else."""
    names = FOLDS[data]
    if data == "utd_mhad":
        return tuple(Fold(*one) for one in zip(names, reversed(utd_mhad.SIDES), strict=True))
    people = sorted({clip.subject for clip in clips.clips})
    return tuple(Fold(name, tuple(people[i :: len(names)])) for i, name in enumerate(names))


def result_file(recipe: ClipRecipe, fold: str, seed: int, results: Path) -> Path:
    """Return where a run's result lies."""
    return results / f"{recipe.name}-{fold}-seed{seed}.json"


def result(recipe: ClipRecipe, fold: str, seed: int, results: Path) -> dict[str, Any] | None:
    """Return a run's result; None where there is none, or one of other settings."""
    try:
        found: dict[str, Any] = json.loads(result_file(recipe, fold, seed, results).read_text())
    except FileNotFoundError:
        return None
    return found if unchanged(found["settings"], recipe) else None


def run(
    recipe: ClipRecipe, sources: Sources, train: Clips, test: Clips, seed: int,
    rounded: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return what a recipe reaches on a test part; ``rounded`` as it is exported in 8 bits, too."""
    said: list[str] = []
    used = guarded(recipe, train, seed, said.append).recipe if recipe.guarded else recipe
    net = fit_clips(used, train, seed, sources.told(used))
    best = said_of(net, recipe, test).logits.argmax(-1).numpy()
    true = test.label
    return {
        "recipe": recipe.name,
        "seed": seed,
        "parameters": net.parameter_count,
        "macro_f1": round(macro_f1(true, best, test.labels).macro, 4),
        "accuracy": round(float((true == best).mean()), 4),
        **({"guard": said} if said else {}),
        **({ROUNDED: clip_export.rounded(net, recipe, train, test)} if rounded else {}),
        "settings": settings(recipe),
    }


@cache
def _clips(data: str, folder: Path) -> Clips:
    return READERS[data](folder)


def _job(
    data: str,
    folder: Path,
    names: tuple[tuple[str, str], ...],
    fold: Fold,
    seed: int,
    results: Path,
    rounded: bool = False,
) -> list[str]:
    """Run all that is missing of one fold and seed; return what was reached."""
    torch.set_num_threads(1)
    clips = _clips(data, folder)
    people = sorted({clip.subject for clip in clips.clips})
    train = clips.of([p for p in people if p not in fold.test])
    test, sources, said = clips.of(fold.test), Sources(train, seed), []
    for sensor, method in names:
        recipe = clip_recipe(data, sensor, method)
        known = result(recipe, fold.name, seed, results)
        if known is not None and (ROUNDED in known or not rounded):
            continue
        found = run(recipe, sources, train, test, seed, rounded)
        path = result_file(recipe, fold.name, seed, results)
        path.write_text(json.dumps(found, indent=1) + "\n")
        said += [*found.get("guard", ()), f"{path.stem}: macro-F1 {found['macro_f1']:.3f}"]
    return said


def fill(
    data: str, folder: Path, names: Sequence[tuple[str, str]], seeds: Sequence[int], results: Path,
    jobs: int, say: Callable[[str], None], *, rounded: bool = False,
) -> None:  # fmt: skip
    """Run what is missing, a fold and seed a process, so that its sources are taught once.

    ``rounded``: what was not exported in 8 bits is missing, too.
    """
    results.mkdir(parents=True, exist_ok=True)
    all_ = folds(data, _clips(data, folder))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        waiting = [
            pool.submit(_job, data, folder, tuple(names), fold, seed, results, rounded)
            for seed in seeds
            for fold in all_
        ]
        for done in as_completed(waiting):
            for line in done.result():
                say(line)


def summary(
    data: str, names: Sequence[tuple[str, str]], seeds: Sequence[int], results: Path,
    control: str = "alone",
) -> Iterator[dict[str, str]]:  # fmt: skip
    """Give a line a method: mean and spread over all runs, and against the control, run by run."""
    for sensor, method in names:
        runs = _runs(clip_recipe(data, sensor, method), seeds, results)
        own = _figures(runs)
        if not own:
            continue
        base = _figures(_runs(clip_recipe(data, sensor, control), seeds, results))
        both = [100 * (own[key] - base[key]) for key in own if key in base]
        yield {
            "sensor": sensor,
            "method": method,
            "runs": str(len(own)),
            "macro_f1": _spread([100 * f1 for f1 in own.values()]),
            "against_alone": _against(both) if method != control and both else "",
            **{f"{name}_loss": _lost(list(runs.values()), name) for name in RUNTIMES},
        }


Runs = dict[tuple[str, int], dict[str, Any]]
"""Results by fold and seed."""


def _figures(runs: Runs) -> dict[tuple[str, int], float]:
    return {key: float(one["macro_f1"]) for key, one in runs.items()}


def _lost(runs: Sequence[dict[str, Any]], runtime: str) -> str:
    """Return the mean macro-F1 that 8 bits cost in a runtime, of the runs that were exported."""
    lost = [one["macro_f1"] - one[ROUNDED][runtime]["macro_f1"] for one in runs if ROUNDED in one]
    return f"{100 * mean(lost):+.2f}" if lost else ""


def _runs(recipe: ClipRecipe, seeds: Sequence[int], results: Path) -> Runs:
    """Return what there is, whatever the fold."""
    found: Runs = {}
    for seed in seeds:
        for path in results.glob(f"{recipe.name}-*-seed{seed}.json"):
            fold = path.stem.removeprefix(f"{recipe.name}-").removesuffix(f"-seed{seed}")
            if fold not in FOLDS[recipe.data]:
                continue  # of a method whose name goes on
            one = result(recipe, fold, seed, results)
            if one is not None:
                found[fold, seed] = one
    return found


def _spread(figures: Sequence[float]) -> str:
    return (
        f"{mean(figures):.1f} ± {stdev(figures):.1f}" if len(figures) > 1 else f"{figures[0]:.1f}"
    )


def _against(figures: Sequence[float]) -> str:
    """Return mean, standard error and how often it is above 0."""
    if len(figures) < 2:
        return "".join(f"{figure:+.1f}" for figure in figures)
    error = stdev(figures) / len(figures) ** 0.5
    above = sum(figure > 0 for figure in figures)
    return f"{mean(figures):+.1f} ± {error:.1f} ({above} of {len(figures)})"
