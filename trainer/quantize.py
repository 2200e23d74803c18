"""Make exported models small and free of their batch size, by the runtimes' own tools.

LiteRT: int8 weights, activations quantised as they come, row by row, so that a station's answer
does not depend on the stations it shares a call with; or activations with fixed ranges from a
calibration. ONNX: int8 weights a channel, activations with fixed ranges; its dynamic form takes
one range for the whole batch and would break that promise. Both as half floats, for GPU boards.
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
READS_ROWS = "RowEncoder"  # the same layers and the one behind, by TFLite's names
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


AT_CONVERSION = 97
"""Stations of a model while it is converted: of no other axis a factor."""


def free_batch(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return a TFLite model whose batch can be resized and whose tensors bear their names.

    Conversion happens at a batch of ``AT_CONVERSION``, by which it is known again. It is written
    into the target of every RESHAPE, alone or times axes that are one with it, and into the size of
    every SLICE; there it becomes -1, "whatever is left". Inputs and outputs are named in the
    model's order, both as tensors and in its one signature; until it is resized, the model is one
    of a single station. That stations stay apart shows when it is run.

    Raises:
        ExportError: two axes that may be the batch, a SLICE that cuts it, an operation known to
            hold it fast (STRIDED_SLICE, SPLIT, BROADCAST_TO), or more than one graph.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    _sort_by_topk(tree)
    if len(tree.subgraphs) > 1:
        others = ", ".join(one.name.decode() for one in tree.subgraphs[1:])
        raise ExportError(f"tflite: found graphs beside the first, {others}, expected none")
    (graph,) = tree.subgraphs
    (signature,) = tree.signatureDefs
    kinds = schema.BuiltinOperator
    fixed = {getattr(kinds, name): name for name in ("STRIDED_SLICE", "SPLIT", "BROADCAST_TO")}
    for operation in graph.operators:
        kind = _kind(tree, operation)
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
    for index in graph.inputs:
        graph.tensors[index].shape = np.array([1, *graph.tensors[index].shape[1:]], np.int32)
    return _packed(tree)


def _packed(tree: Any) -> bytes:
    """Return an opened TFLite model as a file's bytes."""
    import flatbuffers

    builder = flatbuffers.Builder(0)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _sort_by_topk(tree: Any) -> None:
    """Turn sorts into TOPK_V2 of everything: LiteRT has no kernel for the former.

    What the converter makes of ``torch.topk`` is a sort of the last axis, the greatest first, by a
    comparison that is a graph of its own; with the sorts those go.
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    graph = tree.subgraphs[0]
    sorts = [one for one in graph.operators if _kind(tree, one) == kinds.STABLEHLO_SORT]
    if not sorts:
        return
    code = tree.operatorCodes[sorts[0].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = kinds.TOPK_V2
    for number, one in enumerate(sorts):
        (values,) = (graph.tensors[index] for index in one.outputs)
        compared = tree.subgraphs[one.builtinOptions2.comparatorSubgraphIndex].operators
        (how,) = (part.builtinOptions2.comparisonDirection for part in compared)
        last = one.builtinOptions2.dimension == len(values.shape) - 1
        if how != schema.StablehloComparisonDirection.STABLEHLO_COMPARISON_DIRECTION_GT or not last:
            raise ExportError("tflite: found another sort than topk's, expected none")
        count = np.array([values.shape[-1]], np.int32)
        graph.tensors += [
            _tensor(tree, f"topk_count_{number}", (), count),
            _tensor(tree, f"topk_places_{number}", values.shape, None),
        ]  # fmt: skip
        given = len(graph.tensors)
        one.inputs = np.array([*one.inputs, given - 2], np.int32)
        one.outputs = np.array([*one.outputs, given - 1], np.int32)
        one.builtinOptionsType = schema.BuiltinOptions.TopKV2Options
        one.builtinOptions = schema.TopKV2OptionsT()
        one.builtinOptions2Type, one.builtinOptions2 = schema.BuiltinOptions2.NONE, None
    del tree.subgraphs[1:]
    used = sorted({one.opcodeIndex for one in graph.operators})  # LiteRT must know all listed
    tree.operatorCodes = [tree.operatorCodes[index] for index in used]
    for one in graph.operators:
        one.opcodeIndex = used.index(one.opcodeIndex)


def _kind(tree: Any, operation: Any) -> int:
    """Return what an operation is, as ``BuiltinOperator`` has it."""
    code = tree.operatorCodes[operation.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def _tensor(tree: Any, name: str, shape: Sequence[int], data: npt.NDArray[np.int32] | None) -> Any:
    """Return a new tensor of whole numbers, constant if there is data."""
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    if data is not None:
        buffer.data = np.frombuffer(data.tobytes(), np.uint8)
    tree.buffers.append(buffer)
    tensor = schema.TensorT()
    tensor.name, tensor.type = name.encode(), schema.TensorType.INT32
    tensor.shape = np.array(shape, np.int32)
    tensor.buffer = len(tree.buffers) - 1
    return tensor


def _free_reshape(tree: Any, graph: Any, operation: Any) -> None:
    """Turn the batch in a RESHAPE's target into -1."""
    target = graph.tensors[operation.inputs[1]]
    _free(tree, target, "RESHAPE to")
    if operation.builtinOptions is not None:
        operation.builtinOptions.newShape = _constant(tree, target)


def _free_slice(tree: Any, graph: Any, operation: Any) -> None:
    """Turn the batch in a SLICE's size, and in the shape of what it gives, into -1."""
    source, begin, size = (graph.tensors[index] for index in operation.inputs)
    start, count = _constant(tree, begin), _constant(tree, size)
    batch = _free(tree, size, "SLICE of")
    if batch is None:
        return
    if start[batch] or count[batch] not in (-1, source.shape[batch]):
        raise ExportError(
            f"tflite: SLICE of {source.shape.tolist()} from {start.tolist()}, {count.tolist()}"
            " long, expected the whole batch"
        )
    (given,) = (graph.tensors[index] for index in operation.outputs)
    shape = given.shape.copy()
    shape[batch] = -1
    given.shapeSignature = shape


def _constant(tree: Any, tensor: Any) -> npt.NDArray[np.int32]:
    return np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.int32).copy()


def _free(tree: Any, sizes: Any, what: str) -> int | None:
    """Turn the batch among constant sizes into -1 and return where it is; None: it is not there.

    Operations share constants, so it may be -1 already.
    """
    found = _constant(tree, sizes)
    places = np.flatnonzero((found == -1) | ((found > 0) & (found % AT_CONVERSION == 0)))
    if len(places) > 1:
        raise ExportError(
            f"tflite: {what} {found.tolist()}, expected at most one axis of the batch"
        )
    if not len(places):
        return None
    found[places[0]] = -1
    tree.buffers[sizes.buffer].data = np.frombuffer(found.tobytes(), np.uint8)
    return int(places[0])


def tflite_dynamic(model: bytes) -> bytes:
    """Return the model with int8 weights; activations stay float between operations."""
    from ai_edge_quantizer import quantizer, recipe

    work = quantizer.Quantizer(model)
    work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    return bytes(work.quantize().quantized_model)


def tflite_static(model: bytes, outputs: Sequence[str], calibration: Sequence[Arrays]) -> bytes:
    """Return the model with int8 weights (a scale a channel) and 8-bit products.

    What goes into a product and what comes out of it is rounded within a fixed range; between
    products all is float, and so are the model's inputs and outputs. Where readings' rows are read
    the range is each row's own: within a fixed one small movements of large readings are lost.

    Args:
        model: the float model, its tensors named.
        outputs: names of its outputs, in order.
        calibration: as for `onnx_static`, of one station each.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_quantizer import calibrator, quantizer, recipe_manager
    from ai_edge_quantizer.qtyping import TFLOperationName as Operation
    from ai_edge_quantizer.utils import qsv_utils

    recipe = recipe_manager.RecipeManager()
    for product in (Operation.FULLY_CONNECTED, Operation.CONV_2D):
        recipe.add_static_config(".*", product, activation_num_bits=8, weight_num_bits=8)
        recipe.add_dynamic_config(READS_ROWS, product, num_bits=8)
    (signature,) = schema.ModelT.InitFromPackedBuf(model, 0).signatureDefs
    # the quantizer's own calibration keeps a moving average and cuts rare readings off
    ranges = calibrator.Calibrator(
        model, num_threads=1, qsv_update_func=qsv_utils.min_max_update
    )  # fmt: skip
    ranges.calibrate({signature.signatureKey.decode(): calibration}, recipe)
    work = quantizer.Quantizer(model, recipe.get_quantization_recipe())
    return _float_outputs(bytes(work.quantize(ranges.get_model_qsvs()).quantized_model), outputs)


def _float_outputs(model: bytes, outputs: Sequence[str]) -> bytes:
    """Return the model with its graph's outputs where its signature has them.

    The quantizer leaves the graph with the rounded form of an output that is also read on.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,) = tree.subgraphs
    (signature,) = tree.signatureDefs
    places = {entry.name.decode(): entry.tensorIndex for entry in signature.outputs}
    graph.outputs = np.array([places[name] for name in outputs], np.int32)
    for name in outputs:
        graph.tensors[places[name]].name = name.encode()
    return _packed(tree)


def tflite_half(model: bytes) -> bytes:
    """Return the model with float16 weights; a CPU computes in float32, a GPU as it likes."""
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    work = quantizer.Quantizer(model)
    work.update_quantization_recipe(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=half,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        AlgorithmName.FLOAT_CASTING,
    )
    return bytes(work.quantize().quantized_model)


def onnx_half(source: Path, target: Path) -> None:
    """Write the ONNX model so that it computes in float16; its inputs and outputs stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def onnx_static(
    source: Path, target: Path, calibration: Sequence[Arrays], raw: Sequence[str] = READ_RAW
) -> None:
    """Write the ONNX model with int8 weights (a scale a channel) and 8-bit activations.

    What goes into a product is rounded to 8 bits, what comes out is not: a gate's sum or a label's
    logit ranges too widely for that. Layers that read raw readings stay in float: small movements
    of a large reading (a key point's place, gravity) are what 8 bits lose first.

    Args:
        source: the float model.
        target: the file to write.
        calibration: tensors of single steps by input name, `state` among them; their least and
            largest activations become the ranges.
        raw: what the names of the layers that read raw readings have in them.
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
            nodes_to_exclude=[n for n in names if any(part in n for part in raw)],
        )
