"""Recordings to training arrays, cut by the board's own timeline, masks and windows."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from edge.bundle import Arrays, Input, Level, Manifest
from edge.timeline import Timeline
from edge.windows import cut
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.samples import US_PER_S
from trainer.own_labels import open_labelled
from trainer.recipe_parts import Block, Recipe
from trainer.truth import truth_per_second, truth_per_step

WHOLE_US = 1 << 61  # a lateness under which no reading of a recording is late

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """One recording as a model sees it, with what it should say."""

    recording: Recording
    first: int
    """Step index on the UTC grid of row 0."""
    tensors: Arrays
    """(T, R, C) and (T, E) by tensor name, standardised, no state."""
    target: Arrays
    """(T, K) by level: share of each label in the step that the model speaks of at row t, which
    is ``delay_steps`` earlier; a row of zeros is not scored.
    """
    soft: Arrays = field(default_factory=dict)
    """(T, K) by level: what a teacher says of that step; a row of zeros: nothing."""
    source: Arrays = field(default_factory=dict)
    """(T, D) ``keys`` and ``values``: as what D-CAT's source reads that step."""

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))


def load(recipe: Recipe, data: Path | None, names: tuple[str, ...]) -> list[Recording]:
    """Return the recordings of one part of a recipe's split.

    Raises:
        RecordingError: one is missing or damaged, or no data folder was given.
    """
    if recipe.data == "virtual":
        return [open_labelled(name) for name in names]
    if data is None:
        raise RecordingError(
            f"{recipe.name}: found no --data, expected the folder that holds {names[0]}"
        )
    return [open_labelled(os.fspath(data / name)) for name in names]


def timeline_of(recording: Recording, step_us: int, delay_steps: int) -> Timeline:
    """Return the whole recording on one timeline, all its steps and a model's delay complete."""
    timeline = Timeline(WHOLE_US)
    for samples in recording.samples:
        if len(samples):
            timeline.push(recording.devices[samples.device].placement, samples)
    timeline.complete((timeline.newest_us // step_us + 1 + delay_steps) * step_us)
    return timeline


def levels_of(recipe: Recipe, recordings: list[Recording]) -> tuple[Level, ...]:
    """Return the label levels that training recordings show, with parents."""
    found: list[Level] = []
    for name in recipe.levels:
        labels = list(
            dict.fromkeys(label for r in recordings for label in truth_per_second(r, name)[1])
        )
        parents = _parents(name, found[-1], labels, recordings) if found else ()
        found.append(Level(name=name, labels=tuple(labels), parents=parents))
    return tuple(found)


def _parents(
    name: str, above: Level, labels: list[str], recordings: list[Recording]
) -> tuple[str, ...]:
    """Return the label of the level above in which each label mostly lies."""
    shared: dict[str, Counter[str]] = {label: Counter() for label in labels}
    for recording in recordings:
        outer = [t for t in recording.truth if t.level == above.name]
        for t in recording.truth:
            if t.level == name and t.label in shared:
                for o in outer:
                    common = min(t.end_us, o.end_us) - max(t.start_us, o.start_us)
                    if common > 0:
                        shared[t.label][o.label] += common
    return tuple(
        shared[label].most_common(1)[0][0] if shared[label] else above.labels[0] for label in labels
    )


def unscaled(
    recipe: Recipe, levels: tuple[Level, ...], recordings: list[Recording], *, whole: bool = True
) -> Manifest:
    """Return a manifest that cuts windows in the channels' own units: mean 0, deviation 1.

    ``whole``: some recording must have a device at every place that the recipe names.
    """
    inputs = tuple(_input(block, recordings, whole) for block in recipe.inputs)
    return _manifest(recipe, levels, inputs)


def unseen(recipe: Recipe, labels: int) -> Manifest:
    """Return what a recipe's models read where there are no recordings: any units and labels."""
    levels = tuple(
        Level(name=name, labels=tuple(f"{name} {k}" for k in range(labels)))
        for name in recipe.levels
    )
    inputs = tuple(_unscaled(block, ("1",) * len(block.channels)) for block in recipe.inputs)
    return _manifest(recipe, levels, inputs)


def _manifest(recipe: Recipe, levels: tuple[Level, ...], inputs: tuple[Input, ...]) -> Manifest:
    names = [n for block in inputs for n in (block.name, f"{block.name}_observed")]
    names += ["in_use", "in_use_observed"] if recipe.devices else []
    return Manifest(
        format_version=1,
        name=recipe.name,
        modality=recipe.modality,
        step_us=recipe.step_us,
        inputs=inputs,
        devices=recipe.devices,
        levels=levels,
        decoders=(),
        state_size=recipe.layers * recipe.hidden,
        tensor_inputs=(*names, "state"),
        tensor_outputs=(*(f"p_{level.name}" for level in levels), "boundary", "state"),
        delay_steps=recipe.delay_steps,
        reset_after_us=recipe.reset_after_us,
        quantization={},
        scores={},
        recipe={},
        data_license=recipe.data_license,
        git_revision="",
        sha256={},
        seal="",
    )


def _input(block: Block, recordings: list[Recording], whole: bool) -> Input:
    """Return a block with the units its channels come in."""
    streams = {
        r.devices[s.device].placement: s.stream for r in recordings for s in r.samples if len(s)
    }
    units = []
    places = dict.fromkeys(channel.rpartition(".")[0] for channel in block.channels)
    for channel in block.channels:
        placement, _, name = channel.rpartition(".")
        if placement not in streams and not whole:
            placement = next(place for place in places if place in streams)  # of the same kind
        if placement not in streams:
            raise RecordingError(
                f"{recordings[0].name}: no device sits at {placement!r}, expected by input"
                f" {block.name}; found {', '.join(sorted(streams))}"
            )
        units.append(streams[placement].channels[streams[placement].column(name)].unit)
    return _unscaled(block, tuple(units))


def _unscaled(block: Block, units: tuple[str, ...]) -> Input:
    count = len(block.channels)
    return Input(
        name=block.name,
        rate_hz=block.rate_hz,
        channels=block.channels,
        units=units,
        mean=(0.0,) * count,
        std=(1.0,) * count,
        max_gap_us=block.max_gap_us,
    )


def examples(recording: Recording, manifest: Manifest) -> Examples:
    """Return a recording cut for a model, with its targets."""
    delay = manifest.delay_steps
    timeline = timeline_of(recording, manifest.step_us, delay)
    first = recording.span_us()[0] // manifest.step_us
    steps = timeline.watermark_us // manifest.step_us - first
    tensors = cut(timeline, manifest, first, steps).tensors
    target = {
        level.name: targets(recording, level, first - delay, steps, manifest.step_us)
        for level in manifest.levels
    }
    return Examples(recording, first, tensors, target)


def targets(
    recording: Recording, level: Level, first: int, steps: int, step_us: int
) -> npt.NDArray[np.float32]:
    """Return (T, K) the share of each label in each step, zeros where nothing is known."""
    time_us, labels, share = truth_per_step(recording, level.name, min(step_us, US_PER_S))
    out = np.zeros((steps, len(level.labels)), np.float32)
    known = [(i, level.labels.index(name)) for i, name in enumerate(labels) if name in level.labels]
    row = time_us // step_us - first
    inside = (row >= 0) & (row < steps)
    for source, column in known:
        out[row[inside], column] = share[inside, source]
    return out


def standardised(manifest: Manifest, train: list[Examples]) -> Manifest:
    """Return the manifest with mean and deviation of the observed training rows."""
    inputs = []
    for block in manifest.inputs:
        values = np.concatenate([e.tensors[block.name] for e in train])  # (T, R, C)
        seen = np.concatenate([e.tensors[f"{block.name}_observed"] for e in train])
        number = np.maximum(seen.sum((0, 1), dtype=np.float64), 1)  # (C,)
        mean = values.sum((0, 1), dtype=np.float64) / number
        variance = (np.square(values - mean) * seen).sum((0, 1), dtype=np.float64) / number
        std = np.where(variance > 1e-12, np.sqrt(variance), 1.0)
        inputs.append(
            msgspec.structs.replace(
                block,
                mean=tuple(float(np.float32(m)) for m in mean),
                std=tuple(float(np.float32(s)) for s in std),
            )
        )
    return msgspec.structs.replace(manifest, inputs=tuple(inputs))
