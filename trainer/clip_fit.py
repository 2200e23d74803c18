"""The training loop of networks of clips; what a source said of the clips is given, not asked.

Legend: N clips, B of a batch, K labels, H heads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer import clip_inputs, distill
from trainer.clip_inputs import ClipAugmentation
from trainer.clip_net import ClipAnswers, ClipNet, ClipNetConfig, answers
from trainer.clip_recipes import ClipRecipe, Soft
from trainer.clips import Clips
from trainer.dcat import DcatOptions, alignment_loss, partners, products

See = Callable[[Tensor, ClipAugmentation, torch.Generator], Tensor]


@dataclass(frozen=True)
class Told:
    """What a source says of the training clips, in their order; nothing of it changes."""

    soft: Tensor | None = None
    """(N, K) logits or logarithms of probabilities."""
    products: Tensor | None = None
    """(N, H, d, d) of D-CAT; (1, H, d, d), the same for all."""
    labels: Tensor | None = None
    """(N,) of the source's clips, by which pairs are found."""


def seen(recipe: ClipRecipe, clips: Tensor, how: ClipAugmentation, rng: torch.Generator) -> Tensor:
    """Return (B, rows, C) of what a network sees of (B, T, C) readings, varied."""
    at = clip_inputs.moments(len(clips), recipe.rows, how, rng)
    if recipe.sensor == "skeleton":
        posed = clip_inputs.read_at(clip_inputs.posed(clips), at)
        return clip_inputs.with_velocity(clip_inputs.varied_skeleton(posed, how, rng))
    varied = clip_inputs.varied_imu(clip_inputs.read_at(clips, at), how, rng)
    made = clip_inputs.motion if recipe.channels == "motion" else clip_inputs.readings
    return made(varied)


def as_they_are(recipe: ClipRecipe, clips: Clips) -> Tensor:
    """Return (N, rows, C) of what a network sees of clips, nothing varied."""
    whole = torch.from_numpy(clips.stretched(recipe.sensor, 160))
    return seen(recipe, whole, clip_inputs.PLAIN, torch.Generator().manual_seed(0))


def said_of(net: ClipNet, recipe: ClipRecipe, clips: Clips) -> ClipAnswers:
    """Return what a network says of clips."""
    return answers(net, as_they_are(recipe, clips))


def net_config(recipe: ClipRecipe, channels: int, labels: int) -> ClipNetConfig:
    """Return the network that a recipe wants."""
    return ClipNetConfig(
        channels, labels, recipe.width,
        residual=recipe.residual, recurrent=recipe.recurrent, peaks=recipe.peaks,
    )  # fmt: skip


def fit_clips(
    recipe: ClipRecipe, clips: Clips, seed: int, told: Told = Told()
) -> ClipNet:  # fmt: skip
    """Return a network taught on clips, at the end of its schedule: nothing is selected."""
    torch.manual_seed(seed)
    rng, order = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    whole = torch.from_numpy(clips.stretched(recipe.sensor, 160))
    label = torch.from_numpy(clips.label)
    channels = as_they_are(recipe, clips.of([clips.clips[0].subject])).shape[-1]
    count, kinds = len(whole), len(clips.labels)
    net = ClipNet(net_config(recipe, channels, kinds))
    steps = -(-count // recipe.batch)
    optimizer = torch.optim.AdamW(
        net.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps
    )
    for _ in range(recipe.epochs):
        net.train()
        for rows in torch.randperm(count, generator=rng).split(recipe.batch):
            if len(rows) > 1:  # a single clip has no batch to be normalised by
                inputs = seen(recipe, whole[rows], recipe.augmentation, rng)
                target = functional.one_hot(label[rows], kinds).float()
                share = order.beta(recipe.mixup, recipe.mixup) if recipe.mixup else 1.0
                other = torch.randperm(len(rows), generator=rng)

                def mixed(x: Tensor, share: float = share, other: Tensor = other) -> Tensor:
                    return share * x + (1 - share) * x[other]

                answer = net(mixed(inputs))
                loss = -(mixed(target) * answer.logits.log_softmax(-1)).sum(-1).mean()
                if recipe.soft is not None and told.soft is not None:
                    loss = loss + _soft(recipe.soft, answer.logits, told.soft[rows], mixed)
                if recipe.dcat is not None and told.products is not None:
                    source = _partners(recipe.dcat, told, label[rows], rows, order)
                    own = products(answer.said, recipe.dcat)
                    loss = loss + recipe.dcat.weight * alignment_loss(own, mixed(source))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
                optimizer.step()
            schedule.step()
    return net.eval()


def _soft(
    soft: Soft, logits: Tensor, teacher: Tensor, mixed: Callable[[Tensor], Tensor]
) -> Tensor:  # fmt: skip
    """Return the weighted loss of soft labels, mixed as the clips are."""
    if soft.standardised:
        logits, teacher = distill.standardised(logits), distill.standardised(teacher)
    shares = mixed((teacher / soft.temperature).softmax(-1))
    wanted = soft.temperature * shares.clamp(min=1e-8).log()
    weights = (distill.agreement(logits, wanted) > 0).float() if soft.gated else None
    return soft.weight * distill.soft_label_loss(logits, wanted, soft.temperature, weights)


def _partners(
    dcat: DcatOptions, told: Told, label: Tensor, rows: Tensor, order: np.random.Generator
) -> Tensor:
    """Return (B, H, d, d) of the source's samples that go with a batch."""
    assert told.products is not None
    if len(told.products) == 1:  # a control
        return told.products.expand(len(rows), -1, -1, -1)
    if dcat.pairing == "same_sample":
        return told.products[rows]
    assert told.labels is not None
    return told.products[partners(label.numpy(), told.labels.numpy(), dcat.pairing, order)]
