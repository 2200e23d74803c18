"""Weights that a student starts from, learnt without labels from its own training recordings.

They are the same for students of all seeds, and kept beside the prepared arrays.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from trainer import prepared, pretrain, starting_weights
from trainer.fit import Data
from trainer.recipe_parts import Recipe, off_default

FORMAT = 1


def with_start(
    recipe: Recipe, data: Data, folder: Path | None, say: Callable[[str], None] = lambda _: None
) -> Data:
    """Return a student's data with the weights to start from, if its recipe has it so.

    Raises:
        RecordingError: the recipe has no inertial units, or a recording can not be used.
    """
    if not recipe.pretrain_updates:
        return data
    own = pretrain.inertial(recipe)
    parts = prepared.prepare(replace(recipe, split=replace(recipe.split, test=())), folder)
    inputs = tuple(block for block in parts.manifest.inputs if block.name == own.inputs[0].name)
    tensors = [name for block in inputs for name in (block.name, f"{block.name}_observed")]
    manifest = msgspec.structs.replace(parts.manifest, inputs=inputs, devices=(), levels=())
    unlabelled = [
        replace(one, tensors={name: one.tensors[name] for name in tensors}, target={})
        for one in parts.train
    ]
    content = [(e.recording.name, len(e), e.first) for e in unlabelled]
    what = msgspec.json.encode((FORMAT, off_default(own), manifest, content))
    key = hashlib.sha256(what).hexdigest()[:32]
    path = prepared.cache_folder() / f"start-{key}.safetensors"
    if not path.is_file():
        say(f"{recipe.name}: learns without labels first")
        found = pretrain.pretrain(
            recipe, pretrain.Unlabelled(manifest, unlabelled), recipe.teacher_seed,
            recipe.pretrain_updates, say,
        )  # fmt: skip
        new = path.with_name(f"{key}.{os.getpid()}.safetensors")
        pretrain.write(found, new)
        os.replace(new.with_suffix(".json"), path.with_suffix(".json"))
        os.replace(new, path)
    start = replace(starting_weights.read(path), source="learnt without labels")
    return replace(data, start=start)
