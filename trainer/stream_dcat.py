"""D-CAT on streams: a block of self-attention stands beside a student while it learns.

On clips the block is part of the network (``clip_net``). A student of streams carries what came
before in its GRU and needs none; so the block reads what the student's heads read, over stretches
of steps, and names the stretch's label. Its keys and values are what D-CAT compares. When training
ends the block goes, with the source.

Legend: B crops, T steps, H hidden size, S stretches, N steps of one, K labels.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.clip_net import SelfAttention
from trainer.dcat import DcatOptions, KeysValues, alignment_loss, partners, products
from trainer.recipe_parts import Recipe

STRETCH_STEPS = 16


class Beside(nn.Module):
    """Self-attention over the steps of a stretch, and a classifier of its mean."""

    def __init__(self, hidden: int, labels: int) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden)
        self.classifier = nn.Linear(hidden, labels)

    def forward(self, steps: Tensor) -> tuple[Tensor, KeysValues]:
        """Return (S, K) logits, and as what the (S, N, H) steps were read."""
        tokens, said = self.attention(steps)
        return self.classifier(tokens.mean(1)), said


def stretches(steps: Tensor) -> Tensor:
    """Return (S, N, …): (B, T, …) crops cut into whole stretches, what is left over dropped."""
    whole = steps.shape[1] // STRETCH_STEPS
    cut = steps[:, : whole * STRETCH_STEPS].unflatten(1, (whole, STRETCH_STEPS))
    return cut.flatten(0, 1)


def transfer_loss(
    beside: Beside, hidden: Tensor, target: Tensor, source: dict[str, Tensor], recipe: Recipe,
    rng: np.random.Generator,
) -> Tensor:  # fmt: skip
    """Return the cross entropy of the block, and with a source D-CAT's loss, weighted.

    Args:
        beside: the block.
        hidden: (B, T, H) of the student.
        target: (B, T, K) shares of labels; stretches without any do not count.
        source: (B, T, H) ``keys`` and ``values`` of the same steps; or nothing.
        recipe: weight and pairing.
        rng: draws partners.
    """
    shares = stretches(target).mean(1)  # (S, K)
    scored = shares.sum(-1) > 0
    if not scored.any():
        return hidden.new_zeros(())
    shares = shares[scored]
    logits, own = beside(stretches(hidden)[scored])
    wanted = shares / shares.sum(-1, keepdim=True)
    entropy = -(wanted * functional.log_softmax(logits, -1)).sum(-1).mean()
    if not source:
        return entropy
    options = DcatOptions(pairing=recipe.dcat_pairing)
    theirs = KeysValues(*(stretches(source[name])[scored] for name in ("keys", "values")))
    label = shares.argmax(-1).cpu().numpy()
    picked = torch.from_numpy(partners(label, label, options.pairing, rng)).to(hidden.device)
    aligned = alignment_loss(products(own, options), products(theirs, options)[picked])
    return entropy + recipe.dcat_weight * aligned
