"""The training loop: crops of recordings, one causal student, the best moment on validation."""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from edge.bundle import Arrays, Level, Manifest
from trainer import prepared
from trainer.augment import augment
from trainer.datasets import Examples
from trainer.decoding import Said
from trainer.distill import soft_label_loss
from trainer.frame_scores import macro_f1
from trainer.one_cycle import one_cycle
from trainer.recipe_parts import Recipe
from trainer.starting_weights import Start
from trainer.stream_dcat import Beside, transfer_loss
from trainer.student import Answers, Student, StudentConfig, reading

SMALLEST = 1e-4
"""Floor of a teacher's probability: below it, it does not know how unlikely."""
WEIGHTS, DRAFT, HISTORY = "weights.safetensors", "draft.json", "history.json"


class FitError(Exception):
    """A student can not be trained or kept; the text says found and expected."""


@dataclass(frozen=True)
class Fitted:
    """A trained student and the manifest that says how to feed it (no decoders, no files)."""

    student: Student
    manifest: Manifest
    best_update: int
    validation_f1: float
    """Per-second macro-F1 of the first level's arg-max on the validation recordings."""
    beside: Beside | None = None
    """The block of self-attention that stood beside it for D-CAT; not saved."""


@dataclass(frozen=True)
class Data:
    """Both parts that training may see, cut and standardised."""

    manifest: Manifest
    train: list[Examples]
    validation: list[Examples]
    start: Start | None = None
    """Weights to begin with, as far as they fit."""


def prepare(recipe: Recipe, folder: Path | None) -> Data:
    """Return a recipe's training and validation recordings in memory, cut now or before.

    Raises:
        RecordingError: one is missing or does not fit the recipe, or the cache can not be written.
    """
    return Data(*prepared.prepare(recipe, folder).scaled())


def student_config(recipe: Recipe, manifest: Manifest) -> StudentConfig:
    """Return the student that reads what a manifest says."""
    return replace(
        reading(manifest),
        width=recipe.width,
        hidden=recipe.hidden,
        layers=recipe.layers,
        tcn_layers=recipe.tcn_layers,
        malt=recipe.malt,
        dropout=recipe.dropout,
        guided=recipe.guided,
    )


@dataclass(frozen=True)
class Batch:
    """Crops of recordings, zeros behind short ones."""

    inputs: dict[str, Tensor]
    """(B, T, …) by tensor name."""
    targets: dict[str, Tensor]
    """(B, T, K) by level."""
    soft: dict[str, Tensor]
    """The same, as a teacher says; empty without one."""
    source: dict[str, Tensor]
    """(B, T, D) of D-CAT's source; empty without one."""

    def to(self, device: str) -> "Batch":
        """Return the batch on a device."""
        stores = (self.inputs, self.targets, self.soft, self.source)
        return Batch(*({n: x.to(device) for n, x in store.items()} for store in stores))


def drawn(parts: list[Examples], recipe: Recipe, rng: np.random.Generator) -> Batch:
    """Return random crops."""
    weights = np.array([len(e) for e in parts], np.float64)
    picks = rng.choice(len(parts), recipe.batch, p=weights / weights.sum())
    stores: list[dict[str, list[np.ndarray]]] = [{}, {}, {}, {}]
    for pick in picks:
        one = parts[pick]
        start = int(rng.integers(0, max(len(one) - recipe.crop_steps, 0) + 1))
        parted = (one.tensors, one.target, one.soft, one.source)
        for store, arrays in zip(stores, parted, strict=True):
            for name, array in arrays.items():
                crop = array[start : start + recipe.crop_steps]
                short = recipe.crop_steps - len(crop)
                pad = [(0, short)] + [(0, 0)] * (crop.ndim - 1)
                store.setdefault(name, []).append(np.pad(crop, pad) if short else crop)
    return Batch(
        *({name: torch.from_numpy(np.stack(rows)) for name, rows in s.items()} for s in stores)
    )


def class_weights(parts: list[Examples], level: Level, power: float) -> Tensor:
    """Return (K,) loss weights: label share to minus ``power``, mean 1 over the labels seen."""
    share = np.sum([e.target[level.name].sum(0, dtype=np.float64) for e in parts], axis=0)
    weight = np.where(share > 0, np.maximum(share, 1.0) ** -power, 0.0)
    return torch.tensor(weight * (share > 0).sum() / weight.sum(), dtype=torch.float32)


def loss(
    answers: Answers, targets: dict[str, Tensor], weights: dict[str, Tensor], recipe: Recipe
) -> Tensor:
    """Return soft cross entropy per level, and binary cross entropy of the boundary.

    What MALT's branches foresee of a step is to be its label as well.

    A boundary is a scored step whose most likely label is not that of the step before.
    """
    total = torch.zeros(())
    said = [(1.0, answers.logits), *((recipe.foreseen_weight, one) for one in answers.foreseen)]
    for weight, levels in said:
        for index, (name, logits) in enumerate(levels.items()):
            target = targets[name][:, recipe.warm_steps :]  # (B, T, K)
            logits = logits[:, recipe.warm_steps :]
            weighted = target * weights[name]
            entropy = -(weighted * functional.log_softmax(logits, -1)).sum(-1)
            scale = weight * (recipe.action_weight if index else 1.0)
            total = total + scale * entropy.sum() / weighted.sum().clamp(min=1)
    first = targets[next(iter(answers.logits))]
    scored = first.sum(-1) > 0
    label = first.argmax(-1)
    begins = (label[:, 1:] != label[:, :-1]).float()
    both = (scored[:, 1:] & scored[:, :-1]).float()
    entropy = functional.binary_cross_entropy_with_logits(
        answers.boundary[:, 1:], begins, reduction="none"
    )
    return total + recipe.boundary_weight * (entropy * both).sum() / both.sum().clamp(min=1)


def soft_loss(answers: Answers, soft: dict[str, Tensor], recipe: Recipe) -> Tensor:
    """Return what the student's answers cost beside a teacher's, by level as ``loss`` weighs them.

    Every step of which the teacher speaks counts, labelled or not.
    """
    total = torch.zeros(())
    for index, (name, logits) in enumerate(answers.logits.items()):
        if name not in soft:
            continue
        said = soft[name][:, recipe.warm_steps :]  # (B, T, K)
        spoken = said.sum(-1) > 0
        if spoken.any():
            scale = recipe.action_weight if index else 1.0
            mine, teacher = logits[:, recipe.warm_steps :][spoken], said[spoken]
            log_p = teacher.clamp(min=SMALLEST).log()
            total = total + scale * soft_label_loss(mine, log_p, recipe.soft_temperature)
    return recipe.soft_weight * total


def answered(student: Student, tensors: Arrays) -> dict[str, Said]:
    """Return what is said by level of one whole recording, the state carried from its first step.

    Levels share the boundary.
    """
    student.eval()
    with torch.no_grad():
        answers = student({n: torch.from_numpy(a)[None] for n, a in tensors.items()})
    boundary = answers.boundary[0].sigmoid().numpy()
    return {
        n: Said(logits[0].softmax(-1).numpy(), boundary) for n, logits in answers.logits.items()
    }


def probabilities(student: Student, tensors: Arrays) -> Arrays:
    """Return (T, K) by level for one whole recording, the state carried from its first step."""
    return {name: said.probabilities for name, said in answered(student, tensors).items()}


def macro_f1_of(parts: list[Examples], found: list[np.ndarray], level: Level) -> float:
    """Return the per-second macro-F1 of the arg-max of (T, K) probabilities of recordings."""
    true, best = [], []
    for one, p in zip(parts, found, strict=True):
        target = one.target[level.name]
        scored = target.sum(1) > 0
        true.append(target[scored].argmax(1))
        best.append(p[scored].argmax(1))
    return macro_f1(np.concatenate(true), np.concatenate(best), level.labels).macro


def validation_f1(student: Student, parts: list[Examples], level: Level) -> float:
    """Return the per-second macro-F1 of one level's arg-max over recordings."""
    found = [probabilities(student, one.tensors)[level.name] for one in parts]
    return macro_f1_of(parts, found, level)


def fit(
    recipe: Recipe,
    data: Data,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
    device: str = "cpu",
    *,
    with_attention: bool = False,
) -> Fitted:
    """Return a trained student, its best moment chosen on the validation recordings.

    ``with_attention`` teaches it as a source of D-CAT: the block beside it learns as well.

    Raises:
        StartError: nothing of the weights to begin with fits.
        FitError: the loss became something that is no number.
    """
    torch.manual_seed(seed)
    rng, torch_rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    student = Student(student_config(recipe, data.manifest)).to(device)
    if data.start is not None:
        found = data.start.into(student)
        say(f"{data.start.source}: took {', '.join(found.taken)}")
        for part in found.left:
            say(f"{data.start.source}: left {part}")
        data = replace(data, manifest=_begun_with(data.manifest, data.start))
    learners = nn.ModuleList([student])
    beside = None
    if with_attention or recipe.source:
        labels = len(data.manifest.levels[0].labels)
        learners.append(beside := Beside(recipe.hidden, labels).to(device))
    optimizer = torch.optim.AdamW(
        learners.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    manifest = msgspec.structs.replace(data.manifest, state_size=student.config.state_size)
    schedule = one_cycle(optimizer, recipe.learning_rate, recipe.updates)
    weights = {
        level.name: class_weights(data.train, level, recipe.class_weight_power).to(device)
        for level in data.manifest.levels
    }
    best, best_f1, best_update = copy.deepcopy(learners.state_dict()), -1.0, 0
    start_s, mean_loss = time.monotonic(), 0.0
    for update in range(1, recipe.updates + 1):
        learners.train()
        batch = drawn(data.train, recipe, rng)
        varied = augment(batch.inputs, data.manifest, recipe, torch_rng)
        batch = replace(batch, inputs=varied).to(device)
        answers = student(batch.inputs)
        value = loss(answers, batch.targets, weights, recipe)
        if batch.soft:
            value = value + soft_loss(answers, batch.soft, recipe)
        if beside is not None:
            target = batch.targets[data.manifest.levels[0].name]
            value = value + transfer_loss(beside, answers.hidden, target, batch.source, recipe, rng)
        if not torch.isfinite(value):
            raise FitError(
                f"{recipe.name}: the loss is {value.item()} at update {update}, expected a number:"
                f" a learning rate of {recipe.learning_rate:g} may be too high"
            )
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(learners.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean_loss += value.item() / recipe.check_every
        if update % recipe.check_every and update != recipe.updates:
            continue
        f1 = validation_f1(student.cpu(), data.validation, data.manifest.levels[0])
        student.to(device)
        if f1 > best_f1:
            best, best_f1, best_update = copy.deepcopy(learners.state_dict()), f1, update
        left_s = (time.monotonic() - start_s) / update * (recipe.updates - update)
        say(
            f"update {update}/{recipe.updates} loss {mean_loss:.3f} validation F1 {f1:.3f}"
            f" (best {best_f1:.3f} at {best_update}), {left_s:.0f} s left"
        )
        mean_loss = 0.0
    learners.cpu().load_state_dict(best)
    learners.eval()
    return Fitted(student, manifest, best_update, best_f1, beside)


def _begun_with(manifest: Manifest, start: Start) -> Manifest:
    """Return a manifest that says under what licence the weights to begin with were learnt."""
    mine, theirs = manifest.data_license, start.data_license
    both = mine if theirs in mine else f"{mine}; begun with weights of: {theirs}"
    return msgspec.structs.replace(manifest, data_license=both)


def save(
    fitted: Fitted, recipe: Recipe, seed: int, folder: Path, start: Start | None = None
) -> None:
    """Write weights, manifest draft and history to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(fitted.student.state_dict(), folder / WEIGHTS)
    (folder / DRAFT).write_bytes(msgspec.json.format(msgspec.json.encode(fitted.manifest)))
    history = {
        "recipe": asdict(recipe),
        "seed": seed,
        "best_update": fitted.best_update,
        "validation_f1": round(fitted.validation_f1, 5),
        "parameters": fitted.student.parameter_count,
    }
    if start is not None:
        history["started_from"] = {"file": start.source, "sha256": start.sha256}
    encoded = msgspec.json.encode(history, enc_hook=str)
    (folder / HISTORY).write_bytes(msgspec.json.format(encoded))


def refuse_other(folder: Path, recipe: Recipe, seed: int) -> None:
    """Refuse a folder that holds another student.

    Raises:
        FitError: it holds one of another recipe or seed.
    """
    try:
        history = msgspec.json.decode((folder / HISTORY).read_bytes())
        found = f"{history['recipe']['name']} seed {history['seed']}"
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return
    wanted = msgspec.json.decode(msgspec.json.encode(asdict(recipe), enc_hook=str))
    given = f"{recipe.name} seed {seed}"
    if found == given and history["recipe"] != wanted:
        found = f"{found} with other settings"
    if found != given:
        raise FitError(f"{folder}: holds {found}, expected another folder for {given}")


def load(folder: Path, recipe: Recipe) -> Fitted:
    """Return what ``save`` wrote."""
    manifest = msgspec.json.decode((folder / DRAFT).read_bytes(), type=Manifest)
    history = msgspec.json.decode((folder / HISTORY).read_bytes())
    student = Student(student_config(recipe, manifest))
    student.load_state_dict(load_file(folder / WEIGHTS))
    return Fitted(student.eval(), manifest, history["best_update"], history["validation_f1"])
