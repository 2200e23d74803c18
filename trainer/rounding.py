"""What 8 bits do to a student, in PyTorch: products of rounded weights and rounded inputs.

Weights have a scale an output channel, around zero. Inputs have a range a row, as LiteRT takes them
as they come, or a fixed range from a calibration, as ONNX has it. Slopes go straight through, so
that a student can learn under it. Source: Jacob et al. 2018, arXiv 1712.05877, sections 2.1 and 3.

A layer is a product: every linear layer and convolution by its name in the student, and
`gru.ih_l0`, `gru.hh_l0` for what a recurrent layer makes of its input and of its state.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge.bundle import Arrays
from trainer.student import Answers, Student

TINY = 1e-12
READ_RAW = ("near", "statistics")
"""Layers that read an input's rows, by the end of their names: ONNX computes them in float."""

Ranges = dict[str, tuple[float, float]]
"""Least and largest input of each layer."""
Plan = Mapping[str, tuple[float, float] | None]
"""Layers that are rounded: the fixed range of their inputs, or None for a range a row."""
Treat = Callable[[str, Tensor, int], Tensor]


def rounded_weight(weight: Tensor) -> Tensor:
    """Return (O, …) weights as 8 bits hold them, from -127 to 127 of a scale an output."""
    scale = weight.detach().flatten(1).abs().amax(1).clamp(min=TINY) / 127
    zero = torch.zeros(len(weight), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def rounded_within(x: Tensor, low: float, high: float) -> Tensor:
    """Return x in 256 equal levels from low to high, zero among them; beyond is cut off.

    >>> rounded_within(torch.tensor([0.0, 0.3, 9.0]), -1.0, 1.55).tolist()
    [0.0, 0.30000001192092896, 1.5500000715255737]
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, TINY)
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255)


def rounded_rows(x: Tensor, axes: int) -> Tensor:
    """Return x in 256 levels, each row (its last ``axes`` axes) from its own least to largest."""
    over = tuple(range(-axes, 0))
    low, high = x.detach().amin(over, True).clamp(max=0), x.detach().amax(over, True).clamp(min=0)
    scale = ((high - low) / 255).clamp(min=TINY)
    zero = (-low / scale).round()
    near = (((x / scale).round() + zero).clamp(0, 255) - zero) * scale
    return x + (near - x).detach()


def layers(student: Student) -> dict[str, Tensor]:
    """Return the weights (O, …) of every layer, in the order of the computation's description."""
    found: dict[str, Tensor] = {}
    for name, module in student.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d):
            found[name] = module.weight
        elif isinstance(module, nn.GRU):
            for layer in range(module.num_layers):
                for side in ("ih", "hh"):
                    found[f"{name}.{side}_l{layer}"] = getattr(module, f"weight_{side}_l{layer}")
    return found


def as_litert(student: Student) -> Plan:
    """Return what TFLite's int8-dynamic rounds: everything, inputs by row."""
    return dict.fromkeys(layers(student))


def as_onnx(student: Student, ranges: Ranges) -> Plan:
    """Return what ONNX's int8-static rounds: all but the layers that read rows, in fixed ranges."""
    return {name: ranges[name] for name in layers(student) if not name.endswith(READ_RAW)}


def strictest(student: Student, ranges: Ranges) -> Plan:
    """Return all that either rounds, in fixed ranges where one of them has such."""
    return {**as_litert(student), **as_onnx(student, ranges)}


def observed_ranges(student: Student, tensors: Arrays) -> Ranges:
    """Return the least and largest input of every layer over (B, T, …) steps."""
    found: Ranges = {}

    def watch(name: str, x: Tensor, _: int) -> Tensor:
        low, high = found.get(name, (0.0, 0.0))
        found[name] = min(low, float(x.min())), max(high, float(x.max()))
        return x

    kept, names = student.training, list(layers(student))
    student.eval()
    with torch.no_grad(), _treated(student, names, watch, lambda weight: weight):
        student({name: torch.from_numpy(array) for name, array in tensors.items()})
    student.train(kept)
    return found


@contextmanager
def rounded(student: Student, plan: Plan) -> Iterator[None]:
    """Round the layers of a plan within the block; the student's weights stay as they are."""

    def treat(name: str, x: Tensor, axes: int) -> Tensor:
        limits = plan[name]
        return rounded_rows(x, axes) if limits is None else rounded_within(x, *limits)

    with _treated(student, list(plan), treat, rounded_weight):
        yield


def whole(student: Student, tensors: Arrays) -> Answers:
    """Return what the student says of (T, …) steps of one station, from the first."""
    answers: Answers = student({n: torch.from_numpy(a)[None] for n, a in tensors.items()})
    return answers


@contextmanager
def _treated(
    student: Student, names: list[str], treat: Treat, weigh: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Let the named layers compute on treated inputs and weights within the block."""

    def product(name: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if name not in names:
            return functional.linear(x, weight, bias)
        return functional.linear(treat(name, x, 1), weigh(weight), bias)

    def of(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, given: tuple[Any, ...], _: Any) -> Any:
            if isinstance(module, nn.GRU):
                return _recurrent(module, name, product, *given)
            if isinstance(module, nn.Conv1d):
                x, weight = treat(name, given[0], 2), weigh(module.weight)
                return functional.conv1d(
                    x, weight, module.bias, module.stride, module.padding, module.dilation
                )
            assert isinstance(module, nn.Linear)
            return product(name, given[0], module.weight, module.bias)

        return hook

    hooks = [
        module.register_forward_hook(of(name))
        for name, module in student.named_modules()
        if name in names or (isinstance(module, nn.GRU) and any(n.startswith(name) for n in names))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _recurrent(
    gru: nn.GRU, name: str, product: Callable[..., Tensor], x: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what `nn.GRU` does, (B, T, H) and (layers, B, H), a product at a time."""
    last = []
    for layer in range(gru.num_layers):

        def half(side: str, given: Tensor, layer: int = layer) -> tuple[Tensor, ...]:
            weight, bias = (getattr(gru, f"{what}_{side}_l{layer}") for what in ("weight", "bias"))
            return product(f"{name}.{side}_l{layer}", given, weight, bias).chunk(3, -1)

        if layer and gru.dropout:
            x = functional.dropout(x, gru.dropout, gru.training)
        h = x.new_zeros(len(x), gru.hidden_size) if state is None else state[layer]
        hidden, from_x = [], half("ih", x)
        for reset_x, keep_x, new_x in zip(*(part.unbind(1) for part in from_x), strict=True):
            reset_h, keep_h, new_h = half("hh", h)
            keep = torch.sigmoid(keep_x + keep_h)
            new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
            h = new + keep * (h - new)
            hidden.append(h)
        x = torch.stack(hidden, 1)
        last.append(h)
    return x, torch.stack(last)
