"""What inertial units are like, learnt without labels: a start for any student that reads them.

The weights of a student's encoder of inertial units and of its recurrent layers are taught to say
of every step what was measured in it and will be in the next: of each channel the mean, the spread
and the change from row to row. Stretches of whole steps, and many rows of other steps, are hidden
from it, so that it has to know how people move. No label is looked at, and recordings need none.

Masked reconstruction of wrist acceleration: Haresamudram et al., ISWC 2020; what differs is that
the network is causal, so a hidden step is told from what came before, and that statistics are
told and not rows, which can not be.

Legend: B sequences, T steps, R rows, C channels, Q = 3C numbers told of a step.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save
from torch import Tensor

from edge.bundle import Manifest
from edge.windows import WindowError
from sensor_adapters.recording import RecordingError
from trainer import datasets, prepared
from trainer.augment import augment
from trainer.datasets import Examples
from trainer.loader import Crops
from trainer.one_cycle import one_cycle
from trainer.own_labels import open_labelled
from trainer.recipe_parts import Recipe
from trainer.recipes import license_of
from trainer.starting_weights import PARTS
from trainer.student import CLIP, Student, StudentConfig

LEVEL = "statistics"
"""What the student names here in place of labels: 2Q numbers, of this step and of the next."""
HIDDEN_STEPS = 0.3
"""About the share of steps that are hidden whole, in stretches of 1 to 8."""
HIDDEN_ROWS = 0.5
"""Share of rows hidden in half of the other steps."""
FLOOR = 0.02  # of a spread, in deviations: its logarithm shall not tell one stillness from another
KEPT_BACK = 0.1
"""Share at each recording's end that is not learnt from, to measure on."""
WARM_STEPS = 8


@dataclass(frozen=True)
class Pretrained:
    """Weights for students, and what went into them."""

    weights: dict[str, Tensor]
    """By their names in a student: encoder of inertial units, fuse, gru."""
    said: dict[str, Any]
    """Recordings, channels, size, schedule, what came of it: for the JSON file."""


@dataclass(frozen=True)
class Unlabelled:
    """Recordings as a student's inertial input sees them."""

    manifest: Manifest
    """With mean and deviation of all of them."""
    parts: list[Examples]
    """In the channels' own units, without targets."""


def inertial(recipe: Recipe) -> Recipe:
    """Return a recipe that looks at nothing but its inertial units.

    Raises:
        RecordingError: it has none.
    """
    blocks = tuple(block for block in recipe.inputs if block.name == "imu")
    if not blocks:
        found = ", ".join(block.name for block in recipe.inputs) or "devices alone"
        raise RecordingError(f"{recipe.name}: found {found}, expected an input of inertial units")
    return replace(recipe, inputs=blocks, devices=(), levels=(), modality=("imu",))


def read(recipe: Recipe, names: Sequence[str]) -> Unlabelled:
    """Return recordings of any data set, cut as ``recipe`` reads its inertial units.

    A place at which a recording has no unit is not observed there.

    Raises:
        RecordingError: one can not be used, or has no unit at any of the places.
    """
    recipe = inertial(recipe)
    recordings = [open_labelled(name) for name in names]
    places = {channel.rpartition(".")[0] for channel in recipe.inputs[0].channels}
    for name, recording in zip(names, recordings, strict=True):
        there = {recording.devices[s.device].placement for s in recording.samples if len(s)}
        if not places & there:
            raise RecordingError(
                f"{name}: found {', '.join(sorted(there))}, expected a unit at"
                f" {' or '.join(sorted(places))}"
            )
    draft = datasets.unscaled(recipe, (), recordings, whole=False)
    try:
        parts = [
            prepared.examples(name, draft, recording=recording)
            for name, recording in zip(names, recordings, strict=True)
        ]
    except WindowError as error:
        raise RecordingError(str(error)) from error
    return Unlabelled(datasets.standardised(draft, parts), parts)


def statistics(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is to be told of each step, and whether it is known, both (B, T, Q).

    Mean, logarithm of the deviation and of the mean change from a row to the next, by channel.

    Args:
        values: (B, T, R, C) standardised, 0 where not observed.
        observed: (B, T, R, C) 1 where observed.
    """
    values = values.clamp(-CLIP, CLIP) * observed
    number = observed.sum(2)  # (B, T, C)
    mean = values.sum(2) / number.clamp(min=1)
    square = (values - mean.unsqueeze(2)).square() * observed
    spread = (square.sum(2) / number.clamp(min=1)).sqrt()
    both = observed[:, :, 1:] * observed[:, :, :-1]
    change = (values[:, :, 1:] - values[:, :, :-1]).abs() * both
    change = change.sum(2) / both.sum(2).clamp(min=1)
    told = torch.cat([mean, (spread + FLOOR).log(), (change + FLOOR).log()], -1)
    enough = (number >= values.shape[2] / 2).float()
    return told, enough.repeat(1, 1, 3)


def hidden(observed: Tensor, rng: torch.Generator) -> Tensor:
    """Return (B, T, R, 1): 0 where steps or rows are hidden from the student.

    Args:
        observed: (B, T, R, C); its shape is all that counts.
        rng: of the draw.
    """
    shape = observed.shape[:2]
    begins = torch.rand(shape, generator=rng) < HIDDEN_STEPS / 4.5  # stretches of 4.5 on average
    length = torch.randint(1, 9, shape, generator=rng)
    steps = torch.zeros(shape, dtype=torch.bool)
    for later in range(8):
        reaches = begins & (length > later)
        steps[:, later:] |= reaches[:, : shape[1] - later]
    thinned = torch.rand((*shape, 1), generator=rng) < 0.5
    rows = torch.rand(observed.shape[:3], generator=rng) < HIDDEN_ROWS
    return (~(steps.unsqueeze(-1) | (thinned & rows))).float().unsqueeze(-1)


def pretrain(
    recipe: Recipe, data: Unlabelled, seed: int, updates: int,
    say: Callable[[str], None] = lambda _: None,
) -> Pretrained:  # fmt: skip
    """Return weights learnt from recordings without labels.

    Args:
        recipe: whose size, variations and schedule are used.
        data: of ``read``, for the same recipe.
        seed: of weights, crops and variations.
        updates: how many.
        say: told how it goes.
    """
    recipe = inertial(recipe)
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    (block,) = data.manifest.inputs
    rows, channels = data.parts[0].tensors[block.name].shape[1:]
    config = StudentConfig(
        inputs=((block.name, rows, channels),), levels=((LEVEL, 6 * channels),),
        width=recipe.width, hidden=recipe.hidden, layers=recipe.layers, dropout=0.1,
    )  # fmt: skip
    student = Student(config)
    learnt = [_span(one, 0, len(one) - _back(one)) for one in data.parts]
    kept_back = [_span(one, len(one) - _back(one), len(one)) for one in data.parts]
    ease = _ease(learnt, data.manifest)
    crops = Crops(
        learnt, data.manifest, crop_steps=recipe.crop_steps, batch=recipe.batch, seed=seed
    )
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = one_cycle(optimizer, recipe.learning_rate, updates)
    still = replace(recipe, noise=0.0, drop_rows=0.0)
    for update in range(1, updates + 1):
        student.train()
        inputs, _ = crops.batch(update)
        inputs = augment(inputs, data.manifest, still, rng)
        value = _error(student, inputs, ease, recipe.noise, rng).mean()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if update % max(updates // 10, 1) == 0 or update == updates:
            say(f"update {update}/{updates} error {value.item():.3f}")
    now, following = _explained(student.eval(), kept_back, data.manifest, ease, seed)
    say(f"of what was kept back: explains {now:.3f} of a step, {following:.3f} of the next")
    weights = {
        name: weight.detach().clone().contiguous()
        for name, weight in student.state_dict().items()
        if name.split(".")[0] in PARTS
    }
    return Pretrained(weights, _said(recipe, data, seed, updates, now, following))


def write(found: Pretrained, file: Path) -> None:
    """Write weights to ``file`` (safetensors) and what went into them beside it, as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = save(found.weights)
    file.write_bytes(data)
    said = {**found.said, "sha256": hashlib.sha256(data).hexdigest()}
    file.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(said)))


def _back(one: Examples) -> int:
    """Return how many steps at its end are kept back."""
    return max(round(KEPT_BACK * len(one)), 2)


def _span(one: Examples, first: int, end: int) -> Examples:
    tensors = {name: array[first:end] for name, array in one.tensors.items()}
    return replace(one, first=one.first + first, tensors=tensors, target={})


Ease = tuple[Tensor, Tensor]
"""(Q,) mean and deviation of the statistics, so that each counts alike."""


def _ease(parts: list[Examples], manifest: Manifest) -> Ease:
    told, known = zip(*(_told(one, manifest) for one in parts), strict=True)
    values, weight = torch.cat(told, 1)[0], torch.cat(known, 1)[0]  # (T, Q)
    number = weight.sum(0).clamp(min=1)
    mean = (values * weight).sum(0) / number
    variance = ((values - mean).square() * weight).sum(0) / number
    return mean, variance.sqrt().clamp(min=1e-3)


def _whole(one: Examples, manifest: Manifest) -> dict[str, Tensor]:
    """Return a recording's inputs, (1, T, R, C), standardised."""
    tensors = prepared.scaled(one, manifest).tensors
    return {name: torch.from_numpy(array)[None] for name, array in tensors.items()}


def _told(one: Examples, manifest: Manifest) -> tuple[Tensor, Tensor]:
    inputs, name = _whole(one, manifest), manifest.inputs[0].name
    return statistics(inputs[name], inputs[f"{name}_observed"])


def _error(
    student: Student, inputs: dict[str, Tensor], ease: Ease, noise: float, rng: torch.Generator
) -> Tensor:
    """Return (2,) mean squared error of this step's statistics and of the next's.

    1 is what saying the mean of all steps costs.
    """
    ((name, _, _),) = student.config.inputs
    values, observed = inputs[name], inputs[f"{name}_observed"]
    told, known = statistics(values, observed)
    told = (told - ease[0]) / ease[1]
    shown = observed * hidden(observed, rng)
    noisy = (values + noise * torch.randn(values.shape, generator=rng)) * shown
    said = student({name: noisy, f"{name}_observed": shown}).logits[LEVEL]
    now, following = said.chunk(2, -1)  # (B, T, Q) each
    begin = min(WARM_STEPS, said.shape[1] - 2)
    pairs = ((now[:, begin:], begin), (following[:, begin:-1], begin + 1))
    errors = [
        ((x - told[:, at:]).square() * known[:, at:]).sum() / known[:, at:].sum().clamp(min=1)
        for x, at in pairs
    ]
    return torch.stack(errors)


def _explained(
    student: Student, parts: list[Examples], manifest: Manifest, ease: Ease, seed: int
) -> tuple[float, float]:
    """Return which share of the variance of what was kept back is told, of this step and the next.

    Steps and rows are hidden as in training; the mean of the recordings learnt from is share 0.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        errors = [_error(student, _whole(one, manifest), ease, 0.0, rng) for one in parts]
        blank = [_blank(one, manifest, ease) for one in parts]
    now, following = (1 - torch.stack(errors).mean(0) / torch.stack(blank).mean()).tolist()
    return round(now, 4), round(following, 4)


def _blank(one: Examples, manifest: Manifest, ease: Ease) -> Tensor:
    told, known = _told(one, manifest)
    return (((told - ease[0]) / ease[1]).square() * known).sum() / known.sum().clamp(min=1)


def _said(
    recipe: Recipe, data: Unlabelled, seed: int, updates: int, now: float, following: float
) -> dict[str, Any]:
    (block,) = data.manifest.inputs
    return {
        "recipe": recipe.name,
        "recordings": [
            {"name": one.recording.name, "subject": one.recording.subject, "steps": len(one)}
            for one in data.parts
        ],
        "input": msgspec.to_builtins(block),
        "step_us": data.manifest.step_us,
        "width": recipe.width,
        "hidden": recipe.hidden,
        "layers": recipe.layers,
        "seed": seed,
        "updates": updates,
        "explained_of_a_step": now,
        "explained_of_the_next": following,
        "data_license": "; ".join(
            dict.fromkeys(license_of(e.recording.layout) for e in data.parts)
        ),
    }
