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
from torch.nn import functional

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

MODELS = ("gru", "tcn", "protas", "malt")
WIDTH, DROPOUT = 64, 0.3
CROP, BATCH, UPDATES, CHECK_EVERY = 192, 8, 600, 40
LEARNING_RATE = {"gru": 2e-3, "tcn": 2e-3, "protas": 1e-3, "malt": 1e-3}
FORESEEN, SMOOTHING, SMOOTHING_LIMIT = 0.4, 0.15, 4.0


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
    net = ProgressTcn(count, count) if model == "protas" else ScoreDetector(model, count)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE[model], weight_decay=1e-2)
    schedule = one_cycle(optimizer, LEARNING_RATE[model], UPDATES)
    best, best_f1 = copy.deepcopy(net.state_dict()), -1.0
    for update in range(1, UPDATES + 1):
        net.train()
        loss = _loss(net, *_crops(train, rng), count)
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


def _crops(train: list[Examples], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return scores (B, T, K) and labels (B, T), -1 behind a short video's end."""
    scores, labels = [], []
    for pick in rng.integers(0, len(train), BATCH):
        one = train[pick]
        start = int(rng.integers(0, max(len(one) - CROP, 0) + 1))
        x = one.tensors["scores"][start : start + CROP]
        y = one.target[salads.LEVEL][start : start + CROP].argmax(1)
        short = CROP - len(x)
        scores.append(np.pad(x, [(0, short), (0, 0)]))
        labels.append(np.pad(y, (0, short), constant_values=-1))
    return torch.from_numpy(np.stack(scores)), torch.from_numpy(np.stack(labels))


def _loss(net: nn.Module, x: Tensor, label: Tensor, count: int) -> Tensor:
    if isinstance(net, ProgressTcn):
        target = torch.stack([ramps(row.clamp(min=0), count) for row in label])
        known = (label >= 0).float()
        total = torch.zeros(())
        for stage in net(x):
            total = total + _entropy(stage.logits, label) + SMOOTHING * _jumps(stage.logits)
            away = (stage.progress.sigmoid() - target).square().mean(-1)
            total = total + (away * known).sum() / known.sum()
        return total
    first, *foreseen = net(x)
    return _entropy(first, label) + FORESEEN * sum(
        (_entropy(one, label) for one in foreseen), torch.zeros(())
    )


def _entropy(logits: Tensor, label: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), label.flatten(), ignore_index=-1)


def _jumps(logits: Tensor) -> Tensor:
    """Return MS-TCN's smoothing loss, of all neighbouring steps."""
    log_p = logits.log_softmax(-1)
    jump = (log_p[:, 1:] - log_p[:, :-1].detach()).square()
    return jump.clamp(max=SMOOTHING_LIMIT**2).mean()


def said(net: nn.Module, one: Examples) -> Said:
    """Return what a detector says of a whole video."""
    net.eval()
    with torch.no_grad():
        answers = net(torch.from_numpy(one.tensors["scores"])[None])
    logits = answers[-1].logits if isinstance(net, ProgressTcn) else answers[0]
    return Said(logits[0].softmax(-1).numpy())


def settings(model: str) -> dict[str, Any]:
    """Return what makes a detector, as JSON values."""
    return {
        "width": WIDTH, "dropout": DROPOUT, "crop": CROP, "batch": BATCH, "updates": UPDATES,
        "learning_rate": LEARNING_RATE.get(model, 0.0),
    }  # fmt: skip


def parameter_count(net: nn.Module) -> int:
    """Return the weights in all."""
    return sum(weight.numel() for weight in net.parameters())
