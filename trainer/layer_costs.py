"""What 8 bits cost, layer by layer: the error of its weights, and what it alone does to answers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge.bundle import Arrays
from trainer.rounding import (
    Plan,
    as_litert,
    as_onnx,
    layers,
    observed_ranges,
    rounded,
    rounded_weight,
    whole,
)  # fmt: skip
from trainer.student import Student

ALL = "all of them"


def layer_costs(student: Student, calibration: Arrays, steps: Arrays) -> list[dict[str, Any]]:
    """Return a row a layer, and one for all of them together.

    ``sqnr_db`` is the signal of its weights beside their rounding error, in decibel. ``litert`` and
    ``onnx`` are the mean absolute change of all probabilities over the steps where this layer alone
    is rounded as that runtime does; None where it leaves the layer in float.

    Args:
        student: the trained student.
        calibration: (B, T, …) steps of training by tensor name; they set ONNX's ranges.
        steps: (T, …) steps of a validation recording.
    """
    ranges = observed_ranges(student, calibration)
    plans = {"litert": as_litert(student), "onnx": as_onnx(student, ranges)}
    student.eval()
    with torch.no_grad():
        exact = _probabilities(student, steps)

        def cost(plan: Plan) -> float | None:
            if not plan:
                return None
            with rounded(student, plan):
                return float(np.abs(_probabilities(student, steps) - exact).mean())

        rows: list[dict[str, Any]] = []
        for name, weight in layers(student).items():
            alone = {
                runtime: cost({name: plan[name]} if name in plan else {})
                for runtime, plan in plans.items()
            }
            row = {"layer": name, "weights": weight.numel(), "sqnr_db": _sqnr_db([weight])}
            rows.append({**row, **alone})
        weights = list(layers(student).values())
        together = {runtime: cost(plan) for runtime, plan in plans.items()}
        number = sum(weight.numel() for weight in weights)
        rows.append({"layer": ALL, "weights": number, "sqnr_db": _sqnr_db(weights), **together})
    return rows


def _sqnr_db(weights: list[Tensor]) -> float:
    """Return 10 log10 of the weights' power beside that of their rounding error."""
    power = sum(float(w.square().sum()) for w in weights)
    error = sum(float((w - rounded_weight(w)).square().sum()) for w in weights)
    return round(10 * np.log10(power / max(error, 1e-30)), 1)


def _probabilities(student: Student, steps: Arrays) -> np.ndarray:
    """Return all probabilities of all steps, the boundary's included, in one row."""
    answers = whole(student, steps)
    parts = [logits.softmax(-1).flatten() for logits in answers.logits.values()]
    return torch.cat([*parts, answers.boundary.sigmoid().flatten()]).numpy()
