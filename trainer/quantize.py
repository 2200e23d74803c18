"""Make exported models small and free of their batch size: int8 by the runtimes' own tools.

LiteRT: int8 weights, activations quantised as they come, row by row, so that a station's answer
does not depend on the stations it shares a call with. ONNX: int8 weights a channel, activations
with fixed ranges from a calibration; its dynamic form takes one range for the whole batch and
would break that promise.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.float32]]

QUANTIZED = ("Conv", "Gemm", "MatMul")  # ONNX operators
READ_RAW = ("/near/", "/statistics/")  # in the names of the layers that read an input's rows
SAYS_AT_MOST = 2000
"""Characters of a failed converter's output that are passed on."""


class ExportError(Exception):
    """A student can not be exported, or its export answers differently."""


@contextlib.contextmanager
def quiet(what: str) -> Iterator[None]:
    """Keep the converters' talk off the terminal; a failure carries its last lines.

    They write from C++ and from Python, so the process's own stdout and stderr are turned away.

    Raises:
        ExportError: whatever went wrong inside, with what the converter said.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                yield
        except Exception as error:
            said.flush()
            said.seek(0)
            tail = said.read()[-SAYS_AT_MOST:]
            raise ExportError(f"{what}: {type(error).__name__}: {error}\n{tail}") from error
        finally:
            logging.disable(level)
            for stream, number in zip(kept, (1, 2), strict=True):
                os.dup2(stream, number)
                os.close(stream)


def free_batch(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return a TFLite model whose batch can be resized and whose tensors bear their names.

    Conversion happens at batch 1 and writes that 1 into the target of every RESHAPE and the size of
    every SLICE; there it becomes -1, "whatever is left". Inputs and outputs are named in the
    model's order, both as tensors and in its one signature.

    Raises:
        ExportError: a RESHAPE that does not keep the batch in front, a SLICE that cuts it, or an
            operation known to hold the batch fast (STRIDED_SLICE, SPLIT, BROADCAST_TO).
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,) = tree.subgraphs
    (signature,) = tree.signatureDefs
    kinds = schema.BuiltinOperator
    fixed = {getattr(kinds, name): name for name in ("STRIDED_SLICE", "SPLIT", "BROADCAST_TO")}
    for operation in graph.operators:
        code = tree.operatorCodes[operation.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind in fixed:
            raise ExportError(f"tflite: found {fixed[kind]}, expected none: it fixes the batch")
        if kind == kinds.RESHAPE:
            _free_reshape(tree, graph, operation)
        if kind == kinds.SLICE:
            _free_slice(tree, graph, operation)
    for names, ports, entries in (
        (inputs, graph.inputs, signature.inputs),
        (outputs, graph.outputs, signature.outputs),
    ):
        keys = {entry.tensorIndex: entry for entry in entries}
        for name, index in zip(names, ports, strict=True):
            graph.tensors[index].name = keys[index].name = name.encode()
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _free_reshape(tree: Any, graph: Any, operation: Any) -> None:
    """Turn the leading 1 of a RESHAPE's target into -1."""
    source, target = (graph.tensors[index] for index in operation.inputs)
    shape = _constant(tree, target)
    if abs(shape[0]) != 1 or source.shape[0] != 1 or (shape[1:] < 0).any():
        raise ExportError(
            f"tflite: RESHAPE from {list(source.shape)} to {list(shape)}, expected the batch of 1"
            " in front of both"
        )
    _free(tree, target)
    if operation.builtinOptions is not None:
        operation.builtinOptions.newShape = _constant(tree, target)


def _free_slice(tree: Any, graph: Any, operation: Any) -> None:
    """Turn the leading 1 of a SLICE's size, and of what it is known to give, into -1."""
    source, begin, size = (graph.tensors[index] for index in operation.inputs)
    start, count = _constant(tree, begin), _constant(tree, size)
    if start[0] or abs(count[0]) != 1 or source.shape[0] != 1:
        raise ExportError(
            f"tflite: SLICE of {list(source.shape)} from {list(start)}, {list(count)} long,"
            " expected the whole batch of 1 in front"
        )
    _free(tree, size)
    (given,) = (graph.tensors[index] for index in operation.outputs)
    given.shapeSignature = np.array([-1, *given.shape[1:]], np.int32)


def _constant(tree: Any, tensor: Any) -> npt.NDArray[np.int32]:
    return np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.int32).copy()


def _free(tree: Any, shape: Any) -> None:
    """Turn the first number of a constant into -1; operations of one shape share it."""
    free = _constant(tree, shape)
    free[0] = -1
    tree.buffers[shape.buffer].data = np.frombuffer(free.tobytes(), np.uint8)


def tflite_dynamic(model: bytes) -> bytes:
    """Return the model with int8 weights; activations stay float between operations."""
    from ai_edge_quantizer import quantizer, recipe

    work = quantizer.Quantizer(model)
    work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    return bytes(work.quantize().quantized_model)


def onnx_static(source: Path, target: Path, calibration: Sequence[Arrays]) -> None:
    """Write the ONNX model with int8 weights (a scale a channel) and 8-bit activations.

    What goes into a product is rounded to 8 bits, what comes out is not: a gate's sum or a label's
    logit ranges too widely for that. Layers that read raw readings stay in float: small movements
    of a large reading (a key point's place, gravity) are what 8 bits lose first.

    Args:
        source: the float model.
        target: the file to write.
        calibration: tensors of single steps by input name, `state` among them; their least and
            largest activations become the ranges.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.steps = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            step = next(self.steps, None)
            return None if step is None else dict(step)

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(prepared).graph.node]
        quantization.quantize_static(
            prepared,
            target,
            Reader(),
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": list(QUANTIZED)},
            nodes_to_exclude=[n for n in names if any(part in n for part in READ_RAW)],
        )
