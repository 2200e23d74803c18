"""As what another sensor's student, frozen, reads the training recordings: D-CAT's source.

The source learns from the same training recordings, by its own sensors and the labels alone; what
it says is computed once and kept beside the prepared arrays.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from edge.bundle import Arrays
from trainer import fit, prepared
from trainer.datasets import Examples
from trainer.fit import Data, Fitted
from trainer.recipe_parts import Recipe, off_default
from trainer.recipes import recipe as recipe_of

FORMAT = 1


def with_source(
    recipe: Recipe, data: Data, folder: Path | None, device: str,
    say: Callable[[str], None] = lambda _: None,
) -> Data:  # fmt: skip
    """Return a student's data with its source's keys and values, if its recipe names a source.

    Raises:
        RecordingError: a recording can not be used.
        ValueError: the two differ in hidden size or step, so nothing can be compared.
    """
    if not recipe.source:
        return data
    source = replace(recipe_of(recipe.source), split=replace(recipe.split, test=()))
    mine, theirs = ((one.hidden, one.step_us) for one in (recipe, source))
    if mine != theirs:
        raise ValueError(
            f"{recipe.name}: its source {source.name} has {theirs[0]} hidden units and steps of"
            f" {theirs[1]} us, expected {mine[0]} and {mine[1]}"
        )
    seen = fit.prepare(source, folder)
    said = _said(source, seen, recipe.teacher_seed, device, say)
    train = [
        replace(one, source=_at(one, other, arrays))
        for one, other, arrays in zip(data.train, seen.train, said, strict=True)
    ]
    return replace(data, train=train)


def keys_values(fitted: Fitted, tensors: Arrays) -> Arrays:
    """Return (T, H) ``keys`` and ``values`` of one whole recording, the student frozen."""
    assert fitted.beside is not None
    fitted.student.eval()
    with torch.no_grad():
        hidden = fitted.student({n: torch.from_numpy(a)[None] for n, a in tensors.items()}).hidden
        attention = fitted.beside.attention
        return {
            "keys": attention.key(hidden)[0].numpy(),
            "values": attention.value(hidden)[0].numpy(),
        }


def _said(
    source: Recipe, seen: Data, seed: int, device: str, say: Callable[[str], None]
) -> list[Arrays]:  # fmt: skip
    content = [(e.recording.name, len(e), e.first) for e in (*seen.train, *seen.validation)]
    what = msgspec.json.encode((FORMAT, off_default(source), seed, seen.manifest, content))
    key = hashlib.sha256(what).hexdigest()[:32]
    path = prepared.cache_folder() / f"source-{key}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return [
                {n: kept[f"{n}{i}"] for n in ("keys", "values")} for i in range(len(seen.train))
            ]
    say(f"{source.name}: teaching the source")
    fitted = fit.fit(source, seen, seed, device=device, with_attention=True)
    said = [keys_values(fitted, one.tensors) for one in seen.train]
    flat = {f"{name}{i}": array for i, one in enumerate(said) for name, array in one.items()}
    new = path.with_name(f"{path.name}.{os.getpid()}.npz")
    np.savez_compressed(new, allow_pickle=False, **flat)
    os.replace(new, path)
    return said


def _at(one: Examples, other: Examples, said: Arrays) -> Arrays:
    """Return a source's rows at the steps of a student's rows; zeros where it has none."""
    rows = np.arange(len(one)) + one.first - other.first
    known = (rows >= 0) & (rows < len(other))
    out = {n: np.zeros((len(one), array.shape[1]), np.float32) for n, array in said.items()}
    for name, array in said.items():
        out[name][known] = array[rows[known]]
    return out
