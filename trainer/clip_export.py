"""A network of clips as TFLite and ONNX in 8 bits, and what their runtimes make of a test part.

Legend: N clips, R rows, C channels, K labels.
"""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainer.clip_fit import as_they_are
from trainer.clip_net import ClipNet
from trainer.clip_recipes import ClipRecipe
from trainer.clips import Clips
from trainer.export import OPSET
from trainer.frame_scores import macro_f1
from trainer.quantize import onnx_static, quiet, tflite_dynamic

CALIBRATION_CLIPS = 200
READS_RAW = ("/extractor/extractor.0/",)
"""The convolution that reads the readings stays in float in ONNX, as a student's does."""

Floats = npt.NDArray[np.float32]


class _Named(nn.Module):
    """The network with the probabilities alone."""

    def __init__(self, net: ClipNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, clip: Tensor) -> Tensor:
        """Return (1, K) of (1, R, C)."""
        return self.net(clip).logits.softmax(-1)


def rounded(
    net: ClipNet, recipe: ClipRecipe, train: Clips, test: Clips
) -> dict[str, dict[str, float]]:
    """Return macro-F1 on a test part and size in bytes, by runtime.

    Raises:
        ExportError: a converter failed.
    """
    clips = as_they_are(recipe, test)
    known = as_they_are(recipe, train)[:: max(len(train.clips) // CALIBRATION_CLIPS, 1)]
    with tempfile.TemporaryDirectory() as folder:
        lite, onnx = Path(folder) / "clip.tflite", Path(folder) / "clip.onnx"
        to_tflite(net, lite, clips[:1])
        to_onnx(net, onnx, known)
        found = {"LiteRT int8": (lite, litert(lite, clips)), "ONNX int8": (onnx, run(onnx, clips))}
        return {
            name: {
                "macro_f1": round(macro_f1(test.label, p.argmax(-1), test.labels).macro, 4),
                "bytes": path.stat().st_size,
            }
            for name, (path, p) in found.items()
        }


def to_tflite(net: ClipNet, path: Path, example: Tensor) -> None:
    """Write the network with int8 weights and float activations; ``example`` is (1, R, C)."""
    import litert_torch

    with quiet(f"{path.name}: LiteRT conversion"):
        converted = litert_torch.convert(_Named(net).eval(), (example,))
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "draft.tflite"
            converted.export(str(draft))
            path.write_bytes(tflite_dynamic(draft.read_bytes()))


def to_onnx(net: ClipNet, path: Path, known: Tensor) -> None:
    """Write the network with int8 weights and 8-bit products, ranges by (N, R, C) known clips."""
    with quiet(f"{path.name}: ONNX conversion"), tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        torch.onnx.export(
            _Named(net).eval(), (known[:1],), str(draft), dynamo=False, opset_version=OPSET,
            input_names=["clip"], output_names=["p"],
        )  # fmt: skip
        onnx_static(draft, path, [{"clip": one[None]} for one in known.numpy()], READS_RAW)


def litert(path: Path, clips: Tensor) -> Floats:
    """Return (N, K) as LiteRT answers (N, R, C) clips, one at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    signature = interpreter.get_signature_runner()
    (name,) = signature.get_input_details()
    said = [next(iter(signature(**{name: one[None]}).values())) for one in clips.numpy()]
    return np.concatenate(said)


def run(path: Path, clips: Tensor) -> Floats:
    """Return (N, K) as ONNX Runtime answers (N, R, C) clips, one at a time."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    said = [session.run(["p"], {"clip": one[None]})[0] for one in clips.numpy()]
    return np.concatenate(said)
