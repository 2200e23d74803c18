"""Quantisation-aware training: a fitted student learns to say under rounding what it says in float.

Every product is rounded as in the stricter of the two exported files (`rounding.strictest`); slopes
go straight through (Jacob et al. 2018, arXiv 1712.05877). It learns the float student's own answers
on the training data: labels would lead away from the moment that validation chose. The best moment
on validation, judged under rounding, is kept; the test part is not looked at.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edge.bundle import Arrays
from trainer.augment import augment
from trainer.distill import soft_label_loss
from trainer.fit import Data, Fitted, drawn, validation_f1
from trainer.recipe_parts import Recipe
from trainer.rounding import observed_ranges, rounded, strictest
from trainer.student import Answers

UPDATES = 80
CHECK_EVERY = 40
"""Updates between two looks at validation; ranges are taken anew then."""
SLOWER = 0.1
"""Learning rate at the start, as a share of the recipe's; it falls to 0."""


def unlike(mine: Answers, exact: Answers) -> Tensor:
    """Return the cross entropy of a student's answers beside another's, all levels and boundary."""
    total = functional.binary_cross_entropy_with_logits(mine.boundary, exact.boundary.sigmoid())
    for name, logits in mine.logits.items():
        said = exact.logits[name].log_softmax(-1)
        total = total + soft_label_loss(logits.flatten(0, 1), said.flatten(0, 1), 1.0)
    return total


def taught(
    fitted: Fitted, recipe: Recipe, data: Data, seed: int, calibration: Arrays,
    say: Callable[[str], None] = lambda _: None, updates: int = UPDATES,
) -> Fitted:  # fmt: skip
    """Return the student after some more updates under rounding; ``fitted`` stays as it is.

    Args:
        fitted: the trained student.
        recipe: its crops, augmentation, learning rate.
        data: training and validation.
        seed: of crops and augmentation.
        calibration: (B, T, …) training steps that set the fixed ranges, as export does.
        say: takes a line of progress.
        updates: how many.
    """
    torch.manual_seed(seed)
    rng, torch_rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    student = copy.deepcopy(fitted.student).eval()  # no dropout: the same answers are wanted
    start = recipe.learning_rate * SLOWER
    optimizer = torch.optim.AdamW(student.parameters(), lr=start, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=updates)
    level = data.manifest.levels[0]
    plan = strictest(student, observed_ranges(student, calibration))
    best, best_f1 = copy.deepcopy(student.state_dict()), -1.0
    for update in range(1, updates + 1):
        inputs = augment(drawn(data.train, recipe, rng).inputs, data.manifest, recipe, torch_rng)
        with torch.no_grad():
            exact = fitted.student(inputs)
        with rounded(student, plan):
            value = unlike(student(inputs), exact)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if update % CHECK_EVERY and update != updates:
            continue
        plan = strictest(student, observed_ranges(student, calibration))
        with rounded(student, plan):
            f1 = validation_f1(student, data.validation, level)
        if f1 > best_f1:
            best, best_f1 = copy.deepcopy(student.state_dict()), f1
        say(f"under rounding, update {update}/{updates}: validation F1 {f1:.3f}")
    student.load_state_dict(best)
    return replace(
        fitted, student=student, validation_f1=validation_f1(student, data.validation, level)
    )
