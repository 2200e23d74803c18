"""Detectors over streams of scores: the heads of students, and ProTAS's, on the same footing.

Legend: B crops, T steps, K labels, D width.
"""

import copy
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge.bundle import Level
from trainer import salads
from trainer.datasets import Examples
from trainer.decoding import Said
from trainer.fit import macro_f1_of
from trainer.heads import head_of
from trainer.malt_config import MaltConfig
from trainer.one_cycle import one_cycle
from trainer.online_recipes import HEADS
from trainer.progress_tcn import ProgressTcn, ramps
from trainer.teacher_loss import class_loss, smoothing_loss

MODELS = ("gru", "tcn", "protas", "malt")
WIDTH, DROPOUT = 64, 0.3
UPDATES, CHECK_EVERY = 600, 40
CROPS = {"gru": (192, 8), "tcn": (600, 3), "protas": (600, 3), "malt": (192, 8)}
"""Steps and videos of an update; convolutions that look back further than a crop would never have
seen what they find there in a whole video, so theirs are whole videos."""
LEARNING_RATE = {"gru": 2e-3, "tcn": 2e-3, "protas": 2e-3, "malt": 1e-3}
PROTAS: dict[str, Any] = {"layers": 7, "stages": 2, "dropout": DROPOUT}
"""As published, four stages of ten layers at a dropout of a half, it learnt 26 videos by heart:
macro-F1 on fold 1's validation .40, with these .49."""
FORESEEN, SMOOTHING = 0.4, 0.15


class ScoreDetector(nn.Module):
    """A linear layer, a head, a linear layer: (B, T, K) scores to logits."""

    def __init__(self, model: str, labels: int) -> None:
        super().__init__()
        self.enter = nn.Linear(labels, WIDTH)
        malt = replace(MaltConfig(), width=WIDTH, stride=2) if model == "malt" else None
        layers = int(HEADS["tcn"]["tcn_layers"]) + 3 if model == "tcn" else 0
        self.past = head_of(WIDTH, layers, malt, DROPOUT)
        self.recurrent = nn.GRU(WIDTH, WIDTH, batch_first=True) if self.past is None else None
        self.drop, self.leave = nn.Dropout(DROPOUT), nn.Linear(WIDTH, labels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return logits (B, T, K): what is said, then what MALT's branches foresaw."""
        hidden = self.drop(torch.relu(self.enter(x)))
        foreseen: tuple[Tensor, ...] = ()
        if self.past is not None:
            hidden, foreseen = self.past(hidden)
        elif self.recurrent is not None:
            hidden = self.recurrent(hidden)[0]
        return [self.leave(self.drop(one)) for one in (hidden, *foreseen)]


def fitted(
    model: str, train: list[Examples], validation: list[Examples], labels: tuple[str, ...],
    seed: int,
) -> tuple[nn.Module, float]:  # fmt: skip
    """Return a detector at its best moment on validation, and how long it took in seconds."""
    start_s = time.monotonic()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    count = len(labels)
    net = ProgressTcn(count, count, **PROTAS) if model == "protas" else ScoreDetector(model, count)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE[model], weight_decay=1e-2)
    schedule = one_cycle(optimizer, LEARNING_RATE[model], UPDATES)
    best, best_f1 = copy.deepcopy(net.state_dict()), -1.0
    for update in range(1, UPDATES + 1):
        net.train()
        loss = _loss(net, *_crops(train, rng, *CROPS[model]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if update % CHECK_EVERY == 0:
            found = [said(net, one).probabilities for one in validation]
            level = Level(name=salads.LEVEL, labels=labels)
            f1 = macro_f1_of(validation, found, level)
            if f1 > best_f1:
                best, best_f1 = copy.deepcopy(net.state_dict()), f1
    net.load_state_dict(best)
    return net.eval(), time.monotonic() - start_s


def _crops(
    train: list[Examples], rng: np.random.Generator, steps: int, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores (B, T, K), labels as shares and progress; all 0 behind a short video's end."""
    crops: list[list[np.ndarray]] = []
    for pick in rng.integers(0, len(train), count):
        one = train[pick]
        start = int(rng.integers(0, max(len(one) - steps, 0) + 1))
        target = one.target[salads.LEVEL]
        whole = (one.tensors["scores"], target, ramps(target.argmax(1), target.shape[1]))
        crops.append([x[start : start + steps] for x in whole])
    length = max(len(x) for x, *_ in crops)
    scores, target, progress = (
        torch.from_numpy(np.stack([np.pad(x, [(0, length - len(x)), (0, 0)]) for x in some]))
        for some in zip(*crops, strict=True)
    )
    return scores, target, progress


def _loss(net: nn.Module, x: Tensor, target: Tensor, progress: Tensor) -> Tensor:
    even = torch.ones(target.shape[-1])

    def entropy(logits: Tensor) -> Tensor:
        return class_loss(logits, target, even)

    if isinstance(net, ProgressTcn):
        known = target.sum(-1)
        total = torch.zeros(())
        for stage in net(x):
            total = total + entropy(stage.logits)
            total = total + SMOOTHING * smoothing_loss(stage.logits, target)
            away = (stage.progress.sigmoid() - progress).square().mean(-1)
            total = total + (away * known).sum() / known.sum()
        return total
    first, *foreseen = net(x)
    return entropy(first) + FORESEEN * sum((entropy(one) for one in foreseen), torch.zeros(()))


def said(net: nn.Module, one: Examples) -> Said:
    """Return what a detector says of a whole video."""
    net.eval()
    with torch.no_grad():
        answers = net(torch.from_numpy(one.tensors["scores"])[None])
    logits = answers[-1].logits if isinstance(net, ProgressTcn) else answers[0]
    return Said(logits[0].softmax(-1).numpy())


def settings(model: str) -> dict[str, Any]:
    """Return what makes a detector, as JSON values."""
    crop, batch = CROPS.get(model, (0, 0))
    return {
        "width": WIDTH, "dropout": DROPOUT, "crop": crop, "batch": batch, "updates": UPDATES,
        "learning_rate": LEARNING_RATE.get(model, 0.0), **(PROTAS if model == "protas" else {}),
    }  # fmt: skip


def parameter_count(net: nn.Module) -> int:
    """Return the weights in all."""
    return sum(weight.numel() for weight in net.parameters())
