"""What a student may learn from a teacher, one equation each; none knows of the others.

All take what the teacher said as it is: no gradient goes there. All are means over what is scored,
so that their weights mean the same whatever the batch.

Legend: N samples or steps, K labels, B sequences, T steps, D width, Q places of a queue.
"""

import torch
from torch import Tensor
from torch.nn import functional

TINY = 1e-6


def standardised(logits: Tensor) -> Tensor:
    """Return (N, K) logits with mean 0 and deviation 1 over the labels.

    Sun et al., "Logit Standardization in Knowledge Distillation" (CVPR 2024), eq. 8: what a student
    of another size copies is then the order of labels, not how large the teacher's logits are.
    """
    centred = logits - logits.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + TINY).sqrt()


def soft_label_loss(
    student: Tensor, teacher: Tensor, temperature: float, weights: Tensor | None = None
) -> Tensor:
    """Return T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over samples.

    Hinton et al., "Distilling the Knowledge in a Neural Network" (2015).

    Args:
        student: (N, K) logits.
        teacher: (N, K) logits, or logarithms of probabilities.
        temperature: T.
        weights: (N,) what each sample counts; all alike if absent.
    """
    wanted = (teacher.detach() / temperature).softmax(-1)
    said = functional.log_softmax(student / temperature, -1)
    each = functional.kl_div(said, wanted, reduction="none").sum(-1) * temperature**2
    return each.mean() if weights is None else _mean(each, weights)


def correlation_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return 1 - Pearson's r over the labels of a sample, and over the samples of a label.

    Huang et al., "Knowledge Distillation from A Stronger Teacher" (NeurIPS 2022), eq. 7 to 10.

    Args:
        student: (N, K) logits, two samples or more.
        teacher: the same.
        temperature: of both softmaxes.
    """
    p, q = ((x / temperature).softmax(-1) for x in (student, teacher.detach()))
    return _apart(p, q) + _apart(p.T, q.T)


def _apart(p: Tensor, q: Tensor) -> Tensor:
    """Return the mean over rows of 1 - Pearson's r."""
    p, q = p - p.mean(-1, keepdim=True), q - q.mean(-1, keepdim=True)
    return (1 - functional.cosine_similarity(p, q, dim=-1, eps=TINY)).mean()


def agreement(student: Tensor, teacher: Tensor) -> Tensor:
    """Return (N,) Kendall's tau of two samples' logits: do both order the labels alike?

    Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation" (CVPR 2024)
    teach only where it is above 0: there both sensors see the same.
    """
    signs = [(x.detach()[:, :, None] - x.detach()[:, None, :]).sign() for x in (student, teacher)]
    labels = student.shape[-1]
    return (signs[0] * signs[1]).sum((1, 2)) / (labels * (labels - 1))


def without_truth(logits: Tensor, label: Tensor) -> Tensor:
    """Return (N, K - 1) logits without each sample's true label (N,).

    What a teacher says of the wrong labels is what the truth does not tell (C2KD, as above).
    """
    kept = functional.one_hot(label, logits.shape[-1]) == 0
    return logits[kept].unflatten(0, (len(logits), -1))


def relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Huber loss between the distances among samples, each set's mean made 1.

    Park et al., "Relational Knowledge Distillation" (CVPR 2019), eq. 5 and 6.

    Args:
        student: (N, D) features.
        teacher: (N, D') features, of the same samples.
    """
    apart = []
    for x in (student, teacher.detach()):
        squared = (x[:, None] - x[None]).square().sum(-1)
        distance = (squared + TINY**2).sqrt()
        others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
        apart.append(distance[others] / distance[others].mean().clamp(min=TINY))
    return functional.smooth_l1_loss(apart[0], apart[1])


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of features of length 1.

    Romero et al., "FitNets" (ICLR 2015), normalised; (..., D) both, the student's projected to D.
    """
    one, other = (functional.normalize(x, dim=-1) for x in (student, teacher.detach()))
    return (one - other).square().sum(-1).mean()


def per_time_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``feature_loss`` moment by moment, the teacher's read at the student's moments.

    After C3T (arXiv 2407.16803), which aligns latent vectors in time and not their mean.

    Args:
        student: (B, T, D) tokens from end to end.
        teacher: (B, T', D) tokens of the same stretch of time.
    """
    read = functional.interpolate(
        teacher.detach().transpose(1, 2), student.shape[1], mode="linear", align_corners=True
    )
    return feature_loss(student, read.transpose(1, 2))


def queue_loss(
    student: Tensor, teacher: Tensor, queue: Tensor, *, teacher_temperature: float = 0.1,
    student_temperature: float = 0.05,
) -> Tensor:  # fmt: skip
    """Return the cross entropy of how like the queue's moments a sample is, teacher and student.

    COMODO (arXiv 2503.07259): needs pairs and no labels.

    Args:
        student: (N, D) features, projected to the teacher's width.
        teacher: (N, D) features of the same moments.
        queue: (Q, D) what the teacher said of earlier moments.
        teacher_temperature: of the teacher's likenesses.
        student_temperature: of the student's.
    """
    kept = functional.normalize(torch.cat([teacher, queue]).detach(), dim=-1)
    wanted = functional.normalize(teacher.detach(), dim=-1) @ kept.T / teacher_temperature
    said = functional.normalize(student, dim=-1) @ kept.T / student_temperature
    return -(wanted.softmax(-1) * functional.log_softmax(said, -1)).sum(-1).mean()


def prototype_loss(
    student: Tensor, label: Tensor, prototypes: Tensor, temperature: float = 0.1
) -> Tensor:  # fmt: skip
    """Return the cross entropy of the label by likeness to the teacher's mean of each label.

    Needs no pairs. After Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), a label's
    samples taken as their mean.

    Args:
        student: (N, D) features, projected to the teacher's width.
        label: (N,) numbers.
        prototypes: (K, D) mean of the teacher's features by label.
        temperature: of the likenesses.
    """
    kept = functional.normalize(prototypes.detach(), dim=-1)
    likeness = functional.normalize(student, dim=-1) @ kept.T / temperature
    return functional.cross_entropy(likeness, label)


def soft_boundary_loss(student: Tensor, teacher: Tensor, scored: Tensor) -> Tensor:
    """Return the binary cross entropy of (B, T) boundary logits against the teacher's.

    Args:
        student: (B, T) logits.
        teacher: (B, T) logits.
        scored: (B, T) bool, which steps count.
    """
    each = functional.binary_cross_entropy_with_logits(
        student, teacher.detach().sigmoid(), reduction="none"
    )
    return _mean(each, scored.to(each.dtype))


def _mean(each: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean; 0 where nothing counts."""
    return (each * weights).sum() / weights.sum().clamp(min=TINY)
