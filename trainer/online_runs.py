"""What online detectors say of recordings: taught, and heard step by step in the order of time.

Beside students and MALT stands SigFormer, which sees the future of its window: as it is, and with
the same weights shown nothing later than the step it speaks of.

Legend: T steps, K labels.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.bundle import Arrays, Manifest
from trainer import datasets, fit, prepared, salads, score_detectors, teach
from trainer.datasets import Examples
from trainer.decoding import Said
from trainer.named_teachers import teacher
from trainer.processes import joined
from trainer.recipes import recipe as recipe_of
from trainer.whole_recordings import causal_probabilities, probabilities

TEACHER = "sigformer-"
"""Begins the name of a run of SigFormer."""
SALADS = "salads-"
"""Begins the name of a run over 50 Salads' streams of scores: ``salads-malt-fold1``."""
SCORES_ALONE = "scores"
"""The streams themselves, no detector."""
CAUSAL = "-causal"
"""Ends the name of a SigFormer that is shown nothing later than the step it speaks of."""


@dataclass(frozen=True)
class Part:
    """Recordings of a split, and what is said of them."""

    examples: list[Examples]
    said: list[Said]


@dataclass(frozen=True)
class Run:
    """A model taught, and what it says."""

    manifest: Manifest
    train: list[Examples]
    validation: Part
    test: Part
    parameters: int
    fit_s: float
    causal: bool
    """Was nothing later than a step, and the delay it is allowed, seen when it spoke of it?"""


def taught(name: str, data: Path | None, seed: int) -> dict[str, Run]:
    """Return what a model says of its validation and test recordings, by the name of the run.

    A SigFormer makes two runs, one of them causal.
    """
    if name.startswith(SALADS):
        return _salads(name, data, seed)
    return _teacher(name, data, seed) if name.startswith(TEACHER) else _student(name, data, seed)


def _student(name: str, data: Path | None, seed: int) -> dict[str, Run]:
    recipe = recipe_of(name)
    parts = fit.prepare(recipe, data)
    start_s = time.monotonic()
    fitted = fit.fit(recipe, parts, seed)
    level = fitted.manifest.levels[0].name
    test = [
        datasets.examples(one, fitted.manifest)
        for one in datasets.load(recipe, data, recipe.split.test)
    ]
    validation, judged = (
        Part(some, [fit.answered(fitted.student, one.tensors)[level] for one in some])
        for some in (parts.validation, test)
    )
    parameters, fit_s = fitted.student.parameter_count, time.monotonic() - start_s
    run = Run(fitted.manifest, parts.train, validation, judged, parameters, fit_s, causal=True)
    return {name: run}


def _teacher(name: str, data: Path | None, seed: int) -> dict[str, Run]:
    recipe = teacher(name.removesuffix(CAUSAL))
    parts = prepared.prepare(recipe.source, data)
    start_s = time.monotonic()
    with joined("cpu") as alone:
        model = teach.teach(recipe, parts, seed, alone).model
    fit_s = time.monotonic() - start_s
    manifest, train, validation = parts.scaled()
    level = manifest.levels[0].name
    test = [
        datasets.examples(one, manifest)
        for one in datasets.load(recipe.source, data, recipe.source.split.test)
    ]

    def whole(tensors: Arrays) -> Arrays:
        return probabilities(model, tensors, recipe)

    def causal(tensors: Arrays) -> Arrays:
        return causal_probabilities(model, tensors, recipe)

    ways: dict[str, Callable[[Arrays], Arrays]] = {"": whole, CAUSAL: causal}
    runs = {}
    for ending, way in ways.items():
        before, judged = (
            Part(some, [Said(way(one.tensors)[level]) for one in some])
            for some in (validation, test)
        )
        parameters = sum(w.numel() for w in model.parameters())
        runs[recipe.name + ending] = Run(
            manifest, train, before, judged, parameters, fit_s, causal=bool(ending)
        )
    return runs


def salads_run(name: str) -> tuple[str, int]:
    """Return model and fold of a run over streams of scores.

    >>> salads_run("salads-malt-fold2")
    ('malt', 2)
    """
    model, _, fold = name.removeprefix(SALADS).partition("-fold")
    return model, int(fold)


def _salads(name: str, data: Path | None, seed: int) -> dict[str, Run]:
    assert data is not None
    model, fold = salads_run(name)
    train, *parts = salads.split(data, fold)
    manifest = salads.manifest(data)
    labels = manifest.levels[0].labels
    if model == SCORES_ALONE:
        plain = [Part(some, [_likely(one) for one in some]) for some in parts]
        return {name: Run(manifest, train, plain[0], plain[1], 0, 0.0, causal=True)}
    net, fit_s = score_detectors.fitted(model, train, parts[0], labels, seed)
    heard = [Part(some, [score_detectors.said(net, one) for one in some]) for some in parts]
    count = score_detectors.parameter_count(net)
    return {name: Run(manifest, train, heard[0], heard[1], count, fit_s, causal=True)}


def _likely(one: Examples) -> Said:
    """Return the scores themselves as probabilities: what a detector has to beat."""
    scores = np.exp(one.tensors["scores"])
    return Said(scores / scores.sum(1, keepdims=True))


def is_kept(path: Path, made_of: str) -> bool:
    """Return whether what was said is there, of a model and data that this text tells."""
    if not path.is_file():
        return False
    with np.load(path, allow_pickle=False) as kept:
        return "made_of" in kept and str(kept["made_of"]) == made_of


def write(run: Run, path: Path, made_of: str) -> None:
    """Keep what was said, for decoders to come, and what the model was made of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"parameters": np.array(run.parameters), "fit_s": np.array(run.fit_s)}
    arrays["made_of"] = np.array(made_of)
    for name, part in (("validation", run.validation), ("test", run.test)):
        for number, one in enumerate(part.said):
            arrays[f"{name}{number}"] = one.probabilities
            if one.boundary is not None:
                arrays[f"{name}{number}.boundary"] = one.boundary
    new = path.with_suffix(".new.npz")
    np.savez_compressed(new, allow_pickle=False, **arrays)
    new.replace(path)


def read(name: str, data: Path | None, path: Path) -> Run:
    """Return a run of which ``write`` kept what was said; nothing is taught."""
    if name.startswith(SALADS):
        assert data is not None
        manifest = salads.manifest(data)
        train, validation, test = salads.split(data, salads_run(name)[1])
        return _read(path, manifest, (train, validation, test), causal=True)
    if name.startswith(TEACHER):
        recipe = teacher(name.removesuffix(CAUSAL)).source
    else:
        recipe = recipe_of(name)
    manifest, train, validation = prepared.prepare(recipe, data).scaled()
    test = [
        datasets.examples(one, manifest) for one in datasets.load(recipe, data, recipe.split.test)
    ]
    causal = not name.startswith(TEACHER) or name.endswith(CAUSAL)
    return _read(path, manifest, (train, validation, test), causal=causal)


def _read(
    path: Path, manifest: Manifest, parts: tuple[list[Examples], list[Examples], list[Examples]],
    *, causal: bool,
) -> Run:  # fmt: skip
    train, validation, test = parts
    with np.load(path) as kept:

        def part(name: str, some: list[Examples]) -> Part:
            names = [f"{name}{number}" for number in range(len(some))]
            return Part(some, [Said(kept[n], kept.get(f"{n}.boundary")) for n in names])

        return Run(
            manifest, train, part("validation", validation), part("test", test),
            int(kept["parameters"]), float(kept["fit_s"]), causal=causal,
        )  # fmt: skip
