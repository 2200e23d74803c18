"""From a trained student to files a board runs, and the proof that they answer alike.

Both files take and give the tensors of `StudentConfig`, in its order, at any batch size, by
these names; only the state that comes out is called `state_out`, since ONNX wants every name
once. TFLite bears the names on its tensors and in its signature alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from trainer.quantize import (
    AT_CONVERSION,
    ExportError,
    free_batch,
    onnx_half,
    onnx_static,
    quiet,
    tflite_dynamic,
    tflite_half,
    tflite_static,
)
from trainer.student import Student, StudentConfig, StudentStep

__all__ = [
    "PRECISIONS",
    "STATE_OUT",
    "TOLERANCES",
    "Agreement",
    "ExportError",
    "Tolerance",
    "check",
    "check_side_by_side",
    "compare",
    "float_tflite",
    "reference",
    "to_onnx",
    "to_tflite",
]

Arrays = dict[str, npt.NDArray[np.float32]]

STATE_OUT = "state_out"
"""File name of the state that comes out."""

OPSET = 17
"""ONNX operator set; ONNX Runtime reads it since 1.12, TensorRT since 8.6."""


@dataclass(frozen=True)
class Tolerance:
    """How far an export's probabilities may stray from PyTorch's."""

    largest: float
    """Largest absolute difference of one probability."""
    mean: float
    """Mean absolute difference of all probabilities."""
    same_label: float
    """Least share of the same most probable label, of steps and levels in which PyTorch is sure."""


STATIONS = 3
SIDE_BY_SIDE = 1e-3
"""Largest difference of one probability, stations at once and one by one."""

LEAD = 0.1
"""PyTorch is sure of a label that leads the second by more; below, a rounding may turn it."""

TOLERANCES = {
    "float32": Tolerance(largest=1e-4, mean=1e-5, same_label=0.99),
    "float16": Tolerance(largest=0.01, mean=0.0005, same_label=0.99),
    "int8-dynamic": Tolerance(largest=0.1, mean=0.01, same_label=0.99),
    "int8-static": Tolerance(largest=0.15, mean=0.01, same_label=0.97),
}
"""By quantisation scheme, as the manifest names it."""

PRECISIONS = {
    "int8": {"litert": "int8-dynamic", "onnx": "int8-static"},
    "int8-litert": {"litert": "int8-dynamic", "onnx": "float32"},
    "int8-activations": {"litert": "int8-static", "onnx": "int8-static"},
    "float16": {"litert": "float16", "onnx": "float16"},
    "float32": {"litert": "float32", "onnx": "float32"},
}
"""What a bundle can be exported in: the scheme of each engine's file."""


@dataclass(frozen=True)
class Agreement:
    """How near an export's answers came to PyTorch's over a reference."""

    largest: float
    """Largest absolute difference of one probability, the boundary's included."""
    mean: float
    """Mean absolute difference of all probabilities."""
    same_label: float
    """Share of the same most probable label, of steps and levels in which PyTorch is sure."""


def file_outputs(config: StudentConfig) -> tuple[str, ...]:
    """Return the names of the outputs in the exported files, in order."""
    return (*config.output_names[:-1], STATE_OUT)


def to_tflite(
    student: Student, path: Path, scheme: str = "int8-dynamic", calibration: Arrays | None = None
) -> None:
    """Write the student as TFLite.

    Args:
        student: the trained student.
        path: the file to write.
        scheme: `int8-dynamic`, `int8-static`, `float16` or `float32`.
        calibration: for `int8-static`, as `to_onnx` wants it.

    Raises:
        ExportError: the converter failed, or the graph can not be freed of its batch size.
    """
    config = student.config
    with quiet(f"{path.name}: LiteRT conversion"):
        model = float_tflite(StudentStep(student))
        if scheme == "int8-dynamic":
            model = tflite_dynamic(model)
        elif scheme == "int8-static":
            steps = _one_by_one(_calibration(student, calibration))
            model = tflite_static(model, file_outputs(config), steps)
        elif scheme == "float16":
            model = tflite_half(model)
        elif scheme != "float32":
            raise ValueError(f"scheme is {scheme!r}, expected one of {', '.join(TOLERANCES)}")
    path.write_bytes(model)


def float_tflite(step: StudentStep) -> bytes:
    """Return a step as TFLite in float, for any number of stations.

    Raises:
        ExportError: the graph can not be freed of its batch size.
    """
    import litert_torch

    config = step.config
    converted = litert_torch.convert(step, _stations(config, AT_CONVERSION))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.tflite"
        converted.export(str(draft))
        return free_batch(draft.read_bytes(), config.input_names, file_outputs(config))


def to_onnx(
    student: Student, path: Path, scheme: str = "int8-static", calibration: Arrays | None = None
) -> None:
    """Write the student as ONNX.

    Args:
        student: the trained student.
        path: the file to write.
        scheme: `int8-static`, `float16` or `float32`.
        calibration: for `int8-static`: (B, T, ...) standardised inputs as in training, a few
            hundred steps in all; they set the ranges of the activations.

    Raises:
        ExportError: the converter failed.
    """
    config = student.config
    names = config.input_names, file_outputs(config)
    with quiet(f"{path.name}: ONNX conversion"), tempfile.TemporaryDirectory() as folder:
        draft = path if scheme == "float32" else Path(folder) / "draft.onnx"
        torch.onnx.export(
            StudentStep(student),
            _stations(config, 1),
            str(draft),
            dynamo=False,  # needs onnx alone
            opset_version=OPSET,
            input_names=list(names[0]),
            output_names=list(names[1]),
            dynamic_axes={name: {0: "batch"} for side in names for name in side},
        )
        if scheme == "int8-static":
            onnx_static(draft, path, _calibration(student, calibration))
        elif scheme == "float16":
            onnx_half(draft, path)
        elif scheme != "float32":
            raise ValueError(f"scheme is {scheme!r}, expected int8-static, float16 or float32")


def _calibration(student: Student, inputs: Arrays | None) -> list[Arrays]:
    """Return every step of (B, T, ...) inputs with the state that comes to it."""
    if inputs is None:
        raise ValueError("int8-static: found no calibration, expected steps of training")
    return [step for step, _ in _rolled(student, inputs)]


def _one_by_one(steps: list[Arrays]) -> list[Arrays]:
    """Return steps of B stations as steps of one."""
    return [
        {name: x[row : row + 1] for name, x in step.items()}
        for step in steps
        for row in range(len(step["state"]))
    ]


def reference(student: Student, inputs: Mapping[str, npt.NDArray[np.float32]]) -> Arrays:
    """Return one station's steps and what PyTorch answers, for `reference.npz`.

    Args:
        student: the trained student.
        inputs: (T, ...) standardised steps in order, by tensor name, without `state`.

    Returns:
        `in.<tensor>` and `out.<tensor>`, (T, ...); `in.state` is zeros at the first step and
        then the step before's `out.state`.
    """
    station = {name: np.asarray(x, np.float32)[None] for name, x in inputs.items()}
    rolled = _rolled(student, station)
    return {
        f"{side}.{name}": np.concatenate([step[which][name] for step in rolled])
        for which, side in enumerate(("in", "out"))
        for name in rolled[0][which]
    }


def compare(
    infer: Callable[[Arrays], Arrays], expected: Mapping[str, npt.NDArray[np.float32]]
) -> Agreement:
    """Replay a reference, the engine's own state carried, and return how near it came.

    Args:
        infer: takes and gives tensors (1, ...) by name, `state` in and out.
        expected: as `reference` returns it.
    """
    inputs = {n.removeprefix("in."): x for n, x in expected.items() if n.startswith("in.")}
    outputs = {n.removeprefix("out."): x for n, x in expected.items() if n.startswith("out.")}
    state = inputs.pop("state")[:1]
    outputs.pop("state")
    answers: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in outputs}
    for step in range(len(next(iter(outputs.values())))):
        answer = infer({**{name: x[step : step + 1] for name, x in inputs.items()}, "state": state})
        state = answer["state"]
        for name in outputs:
            answers[name].append(answer[name])
    found = {name: np.concatenate(parts) for name, parts in answers.items()}
    off = np.concatenate([np.abs(found[n] - outputs[n]).ravel() for n in outputs])
    same = [
        found[n].argmax(1)[sure] == outputs[n].argmax(1)[sure]
        for n in outputs
        if n != "boundary"
        for sure in [_lead(outputs[n]) > LEAD]
    ]
    share = np.concatenate(same).mean() if any(map(len, same)) else 1.0
    return Agreement(float(off.max()), float(off.mean()), float(share))


def _lead(p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (T,) by how much the most probable of (T, K) labels leads the second."""
    second, first = np.sort(p, axis=1)[:, -2:].T
    return first - second


def check(
    infer: Callable[[Arrays], Arrays],
    expected: Mapping[str, npt.NDArray[np.float32]],
    tolerance: Tolerance,
    what: str,
) -> Agreement:
    """Return how near an engine comes to a reference, as `compare`, or refuse it.

    Raises:
        ExportError: further off than the tolerance, or not a number.
    """
    found = compare(infer, expected)
    bounds = (
        (found.largest <= tolerance.largest, "largest difference", "at most"),
        (found.mean <= tolerance.mean, "mean difference", "at most"),
        (found.same_label >= tolerance.same_label, "share of same labels", "at least"),
    )
    values = zip(vars(found).values(), vars(tolerance).values(), strict=True)
    for (kept, name, side), (is_, bound) in zip(bounds, values, strict=True):
        if not kept:
            raise ExportError(f"{what}: {name} is {is_:.4g}, expected {side} {bound:.4g}")
    return found


def check_side_by_side(
    infer: Callable[[Arrays], Arrays],
    expected: Mapping[str, npt.NDArray[np.float32]],
    what: str,
) -> None:
    """Refuse an engine that answers stations at once otherwise than one by one.

    Args:
        infer: takes and gives tensors (B, ...) by name, of any number of stations.
        expected: as `reference` returns it; some of its steps stand for stations.
        what: the engine, for the error.

    Raises:
        ExportError: a probability, or the state, differs by more than ``SIDE_BY_SIDE``.
    """
    names = [name for name in expected if name.startswith("in.")]
    rows = np.linspace(0, len(expected["in.state"]) - 1, STATIONS).round().astype(int)
    given = {name.removeprefix("in."): expected[name][rows] for name in names}
    alone = [infer({n: x[row : row + 1] for n, x in given.items()}) for row in range(STATIONS)]
    at_once = infer(given)
    apart = 0.0
    for name, found in at_once.items():
        one_by_one = np.concatenate([one[name] for one in alone])
        size = np.maximum(np.abs(one_by_one), 1)  # a state may hold anything
        apart = max(apart, float((np.abs(found - one_by_one) / size).max(initial=0)))
    if not apart <= SIDE_BY_SIDE:
        raise ExportError(
            f"{what}: {STATIONS} stations at once differ from one by one by {apart:.4g}, expected"
            f" at most {SIDE_BY_SIDE:.4g}"
        )


def _stations(config: StudentConfig, count: int) -> tuple[torch.Tensor, ...]:
    """Return example tensors of one step of some stations."""
    return tuple(torch.zeros(count, *shape) for shape in config.input_shapes.values())


def _rolled(
    student: Student, inputs: Mapping[str, npt.NDArray[np.float32]]
) -> list[tuple[Arrays, Arrays]]:
    """Return (inputs, outputs) of every step of (B, T, ...) inputs, the state carried."""
    step, config = StudentStep(student), student.config
    series = [inputs[name] for name in config.input_names[:-1]]
    state = torch.zeros(len(series[0]), config.state_size)
    rolled = []
    with torch.no_grad():
        for index in range(series[0].shape[1]):
            given = [torch.as_tensor(x[:, index], dtype=torch.float32) for x in series]
            answers = step(*given, state)
            rolled.append(
                (
                    {
                        n: x.numpy()
                        for n, x in zip(config.input_names, (*given, state), strict=True)
                    },
                    {n: x.numpy() for n, x in zip(config.output_names, answers, strict=True)},
                )
            )
            state = answers[-1]
    return rolled
