"""The training loop of teachers: exactly resumable, on one process or several.

Batch n is a function of (seed, n) alone, and so are its augmentation and its dropout. What a run
needs to go on is in one file: weights, their running mean, the optimiser and n. A run that is
killed and started again ends, on the CPU, with the weights of one that was not.
"""

import hashlib
import math
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from trainer.augment import augment, some_modalities
from trainer.fit import class_weights
from trainer.loader import Batch, Crops, ahead, pinned
from trainer.prepared import Parts, scaled
from trainer.processes import Processes
from trainer.saved_teacher import CHECKPOINT, UNREADABLE, Taught, TeachError, in_short, made
from trainer.teacher_loss import teacher_loss
from trainer.teacher_recipes import TeacherRecipe, build, difference, settings
from trainer.whole_recordings import validation_f1


@dataclass
class Progress:
    """Where a run stands; all of it is in the checkpoint."""

    update: int = 0
    best_update: int = 0
    best_f1: float = -1.0
    looks_without_better: int = 0


def rate(recipe: TeacherRecipe, update: int) -> float:
    """Return the learning rate of an update, counted from 1.

    ``cosine``: up in a line over ``warm_up`` of the updates, down along half a cosine. ``paper``:
    lr * sqrt(w) * min(u^-1/2, u * w^-3/2), w the updates of the warm-up.
    """
    rise = max(recipe.warm_up * recipe.updates, 1.0)
    if recipe.schedule == "paper":
        return recipe.learning_rate * math.sqrt(rise) * min(update**-0.5, update * rise**-1.5)
    if update <= rise:
        return recipe.learning_rate * update / rise
    done = (update - rise) / max(recipe.updates - rise, 1)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class Run:
    """One teacher being taught: model, running mean of its weights, optimiser, progress."""

    def __init__(
        self, recipe: TeacherRecipe, data: Parts, seed: int, processes: Processes,
        *, compiled: bool = False,
    ) -> None:  # fmt: skip
        if recipe.batch % processes.world:
            raise TeachError(
                f"{recipe.name}: found {processes.world} processes for batches of {recipe.batch},"
                " expected a batch that is a multiple of them"
            )
        torch.manual_seed(seed)
        self.recipe, self.seed, self.processes = recipe, seed, processes
        self.manifest = data.manifest
        self.crops = Crops(
            data.train, data.manifest, crop_steps=recipe.window, batch=recipe.batch, seed=seed
        )
        self.validation = [scaled(one, data.manifest) for one in data.validation]
        self.model = build(recipe, data.manifest).to(processes.device)
        shared = processes.wrapped(self.model)
        self.taught = torch.compile(shared) if compiled else shared
        self.mean = {n: x.detach().clone() for n, x in self.model.state_dict().items()}
        self.best = {n: x.detach().clone() for n, x in self.mean.items()}
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(
            self.model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.progress = Progress()
        self.class_weights = {
            level.name: class_weights(data.train, level, recipe.source.class_weight_power).to(
                processes.device
            )
            for level in data.manifest.levels
        }

    def batch(self, number: int) -> Batch:
        """Return this process's share of batch ``number``, augmented."""
        return self.augmented(number, self.crops.batch(number))  # of all, so all augment alike

    def augmented(self, number: int, batch: Batch) -> Batch:
        """Return this process's share of a batch of crops, augmented as its number says."""
        recipe, p = self.recipe, self.processes
        inputs, targets = batch
        rng = torch.Generator().manual_seed(_mixed(self.seed, number, 0))
        inputs = augment(inputs, self.manifest, recipe.source, rng)
        inputs = some_modalities(inputs, recipe.modality_dropout, rng)
        mine = slice(p.rank, None, p.world)
        inputs = {n: x[mine] for n, x in inputs.items()}
        return pinned((inputs, {n: x[mine] for n, x in targets.items()}))

    def batches(self) -> Iterator[Batch]:
        """Give this process's batches to the end; a GPU's are made ahead, in the background."""
        every = self.recipe.accumulate
        first, last = self.progress.update * every, self.recipe.updates * every
        if self.processes.device.type == "cpu":
            return (self.batch(number) for number in range(first, last))
        return ahead(self.batch, first, last)

    def step(self, batches: Iterator[Batch]) -> float:
        """Do one update and return its loss over all processes."""
        recipe, p = self.recipe, self.processes
        self.model.train()
        update = self.progress.update + 1
        for group in self.optimizer.param_groups:
            group["lr"] = rate(recipe, update)
        self.optimizer.zero_grad()
        value = torch.zeros((), device=p.device)
        for part in range(recipe.accumulate):
            number = self.progress.update * recipe.accumulate + part
            torch.manual_seed(_mixed(self.seed, number, 1 + p.rank))  # of dropout
            inputs, targets = (
                {n: x.to(p.device, non_blocking=True) for n, x in one.items()}
                for one in next(batches)
            )
            with _autocast(p.device):
                answers = self.taught(inputs)
            loss = teacher_loss(answers, targets, self.class_weights, recipe.loss, p.total)
            # each process has the sum over its windows, divided by the count over all: DDP's mean
            # of the gradients is to be their sum
            (loss * p.world / recipe.accumulate).backward()
            value += loss.detach() / recipe.accumulate
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimizer.step()
        self.progress.update = update
        keep = min(recipe.ema, update / (update + 10)) if recipe.ema else 0.0
        for name, x in self.model.state_dict().items():
            if x.is_floating_point():
                self.mean[name].lerp_(x, 1 - keep)
        return p.total(value).item()

    def look(self) -> float:
        """Judge the mean weights on validation; keep them if they are the best so far."""
        last = {n: x.clone() for n, x in self.model.state_dict().items()}
        self.model.load_state_dict(self.mean)
        level = self.manifest.levels[0]
        p = self.processes
        f1 = validation_f1(self.model, self.recipe, self.validation, level, p.device)
        # rounding differs from GPU to GPU: they must agree, or one stops and the others wait for it
        f1 = p.total(torch.tensor(f1, dtype=torch.float64, device=p.device)).item() / p.world
        self.model.load_state_dict(last)
        progress = self.progress
        progress.looks_without_better += 1
        if f1 > progress.best_f1:
            progress.best_f1, progress.best_update = f1, progress.update
            progress.looks_without_better = 0
            self.best = {n: x.clone() for n, x in self.mean.items()}
        return f1

    @property
    def done(self) -> bool:
        """Whether all updates are made, or validation has not got better for long enough."""
        p, recipe = self.progress, self.recipe
        tired = recipe.patience and p.looks_without_better >= recipe.patience
        return p.update >= recipe.updates or bool(tired)

    def described(self) -> dict[str, Any]:
        """Return what decides this run's course, as JSON values."""
        data = hashlib.sha256(msgspec.json.encode(self.manifest))  # means tell the recordings
        return {**settings(self.recipe), "seed": self.seed, "data": data.hexdigest()[:16]}

    def save(self, folder: Path) -> None:
        """Write the checkpoint; a kill leaves the old one or the new one."""
        new = folder / f"{CHECKPOINT}.new"
        torch.save(
            {
                "run": self.described(),
                "model": self.model.state_dict(), "mean": self.mean, "best": self.best,
                "optimizer": self.optimizer.state_dict(), "progress": asdict(self.progress),
            },
            new,
        )  # fmt: skip
        os.replace(new, folder / CHECKPOINT)

    def resume(self, folder: Path) -> bool:
        """Take up where a run of this recipe and seed stopped; return whether there was one.

        Raises:
            TeachError: the folder's checkpoint is of another run, or can not be read.
        """
        path = folder / CHECKPOINT
        if not path.is_file():
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():  # torch.load checks no sums
                    raise ValueError(f"{damaged} is damaged")
            saved = torch.load(path, map_location=self.processes.device, weights_only=True)
            if other := difference(saved["run"], self.described()):
                name, had, expected = other
                raise TeachError(
                    f"{path}: is of another run: found {name} {had}, expected {expected};"
                    " give another folder"
                )
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.mean, self.best = saved["mean"], saved["best"]
            self.progress = Progress(**saved["progress"])
        except UNREADABLE as error:
            raise TeachError(
                f"{path}: found {in_short(error)}, expected a checkpoint that `fit` wrote; give"
                " another folder, or remove it to begin anew"
            ) from error
        return True


def _mixed(*numbers: int) -> int:
    """Return one seed for several numbers; those of neighbours are far apart."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 2)


def _autocast(device: torch.device) -> Any:
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def teach(
    recipe: TeacherRecipe,
    data: Parts,
    seed: int,
    processes: Processes,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    *,
    compiled: bool = False,
) -> Taught:
    """Return a taught teacher, its best moment chosen on the validation recordings.

    With a folder, the run is written there as it goes (checkpoint, TensorBoard events) and taken up
    from there. The model comes back on the processes' device.

    Raises:
        TeachError: the folder holds another run, or not all processes find the same one.
    """
    run = Run(recipe, data, seed, processes, compiled=compiled)
    lead = processes.rank == 0
    if folder is not None:
        made(folder)
        if run.resume(folder):
            say(f"goes on from update {run.progress.update}")
        at = torch.tensor(run.progress.update, device=processes.device)
        if processes.total(at) != processes.world * run.progress.update:
            raise TeachError(
                f"{folder}: this process found update {run.progress.update}, others another;"
                " expected one folder that all machines share"
            )
    board = SummaryWriter(str(folder)) if folder is not None and lead else None
    start_s, first, losses = time.monotonic(), run.progress.update, []
    batches = run.batches()
    while not run.done:
        losses.append(run.step(batches))
        update = run.progress.update
        if update % recipe.check_every and update != recipe.updates:
            continue
        f1 = run.look()
        progress = run.progress
        left_s = (time.monotonic() - start_s) / (update - first) * (recipe.updates - update)
        say(
            f"update {update}/{recipe.updates} loss {np.mean(losses):.3f} validation F1 {f1:.3f}"
            f" (best {progress.best_f1:.3f} at {progress.best_update}), {left_s:.0f} s left"
        )
        if board is not None and folder is not None:
            board.add_scalar("loss", float(np.mean(losses)), update)
            board.add_scalar("validation macro-F1", f1, update)
            board.add_scalar("learning rate", rate(recipe, update), update)
            board.flush()
            run.save(folder)
        losses = []
    if board is not None:
        board.close()
    run.model.load_state_dict(run.best)
    p = run.progress
    return Taught(run.model.eval(), data.manifest, p.best_update, p.best_f1)
