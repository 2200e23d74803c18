"""The gate to ONNX Runtime for key points: a model file, and what goes in and comes out of it.

The file is the user's; none comes with Solosense. What its outputs mean is in
``pose_outputs.py``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sensor_adapters.samples import Floats

Shape = tuple[int | None, ...]
"""Sizes of a tensor; None where any will do."""
Arrays = Mapping[str, npt.NDArray[Any]]

PROVIDERS = {
    "auto": ("Tensorrt", "CUDA", "CPU"),
    "tensorrt": ("Tensorrt", "CUDA", "CPU"),
    "cuda": ("CUDA", "CPU"),
    "cpu": ("CPU",),
}
"""Where a model may run, best first, by the setting's word."""


class ModelError(Exception):
    """A model can not be used; the text names file, found and expected."""


def has_provider(provider: str) -> bool:
    """Return whether this machine's ONNX Runtime has what a word of ``PROVIDERS`` asks for.

    Raises:
        ModelError: there is no ONNX Runtime.
    """
    wanted = f"{PROVIDERS[provider][0]}ExecutionProvider"
    return provider == "auto" or wanted in _runtime().get_available_providers()


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"no ONNX Runtime ({error}), expected it: pip install solosense[camera]"
        ) from error
    return onnxruntime


class PoseModel:
    """A loaded model with one input, (N, 3, H, W) float32."""

    def __init__(
        self, path: Path, provider: str = "auto", threads: int = 2, size_px: Sequence[int] = ()
    ) -> None:
        """Load it.

        Args:
            path: the ONNX file.
            provider: a word of ``PROVIDERS``.
            threads: of the CPU for one frame.
            size_px: width and height of the input, where the file leaves them open.

        Raises:
            ModelError: no ONNX Runtime, no model, another input, or another provider than the
                one that was asked for.
        """
        onnxruntime = _runtime()
        self.file = path.name
        have = onnxruntime.get_available_providers()
        wanted = [f"{one}ExecutionProvider" for one in PROVIDERS[provider]]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # we share
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[one for one in wanted if one in have]
            )
        except Exception as error:  # the runtime's errors have no common kind of their own
            text = f"{self.file}: {_first_line(error)}, expected an ONNX model"
            raise ModelError(text) from error
        in_use = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        self.name = f"onnx ({in_use})"
        """Runtime and how it computes, for people."""
        if provider != "auto" and in_use != PROVIDERS[provider][0]:
            raise ModelError(
                f"{self.file}: runs on {in_use}, expected {PROVIDERS[provider][0]}; this ONNX"
                f" Runtime has {', '.join(one.removesuffix('ExecutionProvider') for one in have)}"
            )
        self.outputs = {one.name: _shape(one.shape) for one in self._session.get_outputs()}
        """Shapes by name, as the file states them."""
        self.batch, self.width_px, self.height_px = self._input(size_px)

    def _input(self, size_px: Sequence[int]) -> tuple[int | None, int, int]:
        """Return batch (None: any), width and height of the input."""
        inputs = self._session.get_inputs()
        found = ", ".join(f"{one.name} {list(one.shape)} {one.type}" for one in inputs)
        expected = "expected one of [N, 3, height, width] tensor(float)"
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise ModelError(f"{self.file}: takes {found}, {expected}")
        shape = _shape(inputs[0].shape)
        if len(shape) != 4 or shape[1] not in (3, None):
            raise ModelError(f"{self.file}: takes {found}, {expected}")
        batch, _, height_px, width_px = shape
        given_px = tuple(size_px) or (width_px, height_px)
        if None in given_px:
            raise ModelError(f"{self.file}: leaves its size open, expected model.*_size_px")
        if width_px not in (given_px[0], None) or height_px not in (given_px[1], None):
            raise ModelError(
                f"{self.file}: takes {width_px} x {height_px} px, expected what is set,"
                f" {given_px[0]} x {given_px[1]}"
            )
        self._input_name = inputs[0].name
        return batch, int(given_px[0] or 0), int(given_px[1] or 0)

    def run(self, images: Floats) -> dict[str, npt.NDArray[Any]]:
        """Return the outputs by name for (N, 3, H, W).

        Raises:
            ModelError: the runtime failed.
        """
        try:
            answers = self._session.run(list(self.outputs), {self._input_name: images})
        except Exception as error:
            raise ModelError(f"{self.file}: {_first_line(error)}") from error
        return dict(zip(self.outputs, answers, strict=True))

    def blank(self) -> Floats:
        """Return an input of the right size."""
        return np.zeros((1, 3, self.height_px, self.width_px), np.float32)


def _shape(said: Sequence[object]) -> Shape:
    """Return a shape with None where the file gives a name or nothing."""
    return tuple(one if isinstance(one, int) and one > 0 else None for one in said)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [repr(error)])[0][:300]
