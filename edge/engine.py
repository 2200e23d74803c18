"""The gate to the model runtimes: LiteRT and ONNX Runtime behind one protocol.

``infer`` takes and gives tensors by the manifest's names, first axis the stations of one call.
On start an engine replays the bundle's ``reference.npz`` and refuses one that answers
differently. ``tflite_runtime`` serves where only that exists: its interpreter is the same.
"""

import logging
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge.bundle import Arrays, Bundle, BundleError, Manifest

log = logging.getLogger(__name__)

STATE_OUT = "state_out"  # the state that comes out; a file may bear each name only once


class Engine(Protocol):
    """A loaded model."""

    name: str
    """Runtime and how it computes, for logs: ``litert (CPU)``, ``onnx (CUDA)``."""

    def infer(self, tensors: Arrays) -> Arrays:
        """Return the outputs (B, …) for inputs (B, …), ``state`` in and out among them."""


def _interpreter_class() -> Any:
    """Return the interpreter of LiteRT, or of tflite_runtime where only that exists."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    return Interpreter


class LiteRtEngine:
    """TFLite models; one interpreter a batch size, sizes rounded up to powers of two."""

    name = "litert (CPU)"

    def __init__(self, model: Path, manifest: Manifest, threads: int = 1) -> None:
        self._manifest, self._threads = manifest, threads
        self._model = model.read_bytes()  # the file may be another's when a batch size is new
        self._by_batch: dict[int, tuple[Any, dict[str, int], dict[str, int]]] = {}

    def _load(self, batch: int) -> tuple[Any, dict[str, int], dict[str, int]]:
        """Return (interpreter, input index, output index by tensor name) for a batch size."""
        if batch in self._by_batch:
            return self._by_batch[batch]
        interpreter = _interpreter_class()(model_content=self._model, num_threads=self._threads)
        inputs = _by_name(interpreter.get_input_details(), self._manifest.tensor_inputs)
        for detail in inputs.values():
            interpreter.resize_tensor_input(detail["index"], [batch, *detail["shape"][1:]])
        interpreter.allocate_tensors()
        outputs = _by_name(interpreter.get_output_details(), self._manifest.tensor_outputs)
        self._by_batch[batch] = (
            interpreter,
            {name: detail["index"] for name, detail in inputs.items()},
            {name: detail["index"] for name, detail in outputs.items()},
        )
        return self._by_batch[batch]

    def infer(self, tensors: Arrays) -> Arrays:
        """Return the outputs (B, …)."""
        count = len(tensors["state"])
        batch = 1 << (count - 1).bit_length()
        interpreter, inputs, outputs = self._load(batch)
        for name, index in inputs.items():
            value = tensors[name]
            if batch > count:
                value = np.concatenate([value, np.zeros((batch - count, *value.shape[1:]), "f4")])
            interpreter.set_tensor(index, value)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index)[:count] for name, index in outputs.items()}


def _by_name(details: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the runtime's tensor details by the manifest's names.

    Raises:
        BundleError: the model's tensors are not those of the manifest.
    """
    found = {"state" if d["name"] == STATE_OUT else str(d["name"]): d for d in details}
    if found.keys() != set(names):
        raise BundleError(
            f"model has tensors {', '.join(sorted(found))}, expected {', '.join(sorted(names))}"
        )
    return found


class OnnxEngine:
    """ONNX models; the first of TensorRT, CUDA and CPU that this machine really has."""

    def __init__(self, model: Path, manifest: Manifest, threads: int = 1) -> None:
        import onnxruntime

        wanted = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
        have = onnxruntime.get_available_providers()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=[p for p in wanted if p in have]
        )
        in_use = self._session.get_providers()[0]
        self.name = f"onnx ({_plain(in_use)})"
        if in_use == wanted[-1]:
            asked = [_plain(name) for name in wanted[:-1] if name in have]
            log.warning(
                "%s: computes on the CPU: %s",
                manifest.name,
                f"{' and '.join(asked)} did not start, are their libraries installed?"
                if asked
                else "this ONNX Runtime has neither TensorRT nor CUDA, it was built without",
            )
        self._inputs = manifest.tensor_inputs
        self._outputs = manifest.tensor_outputs
        self._files = [STATE_OUT if name == "state" else name for name in self._outputs]

    def infer(self, tensors: Arrays) -> Arrays:
        """Return the outputs (B, …)."""
        answers = self._session.run(self._files, {name: tensors[name] for name in self._inputs})
        return dict(zip(self._outputs, answers, strict=True))


def _plain(provider: str) -> str:
    """Return a provider's name as people say it.

    >>> _plain("CUDAExecutionProvider")
    'CUDA'
    """
    return provider.removesuffix("ExecutionProvider")


def open_engine(bundle: Bundle, prefer: str = "litert", threads: int = 1) -> Engine:
    """Return a running engine that answered the bundle's reference as it should.

    LiteRT is tried first: on a CPU it is the fastest. ``prefer="onnx"`` turns the order round,
    for boards whose ONNX Runtime has a GPU provider.

    Raises:
        BundleError: no runtime for this bundle is installed, the model's tensors are not the
            manifest's, or its answers differ from the reference.
    """
    order = ("onnx", "litert") if prefer == "onnx" else ("litert", "onnx")
    reasons = []
    for kind in order:
        model = bundle.model_file(kind)
        if model is None:
            reasons.append(f"{kind}: the bundle has no such model")
            continue
        try:
            engine: Engine = (LiteRtEngine if kind == "litert" else OnnxEngine)(
                model, bundle.manifest, threads
            )
            _check_reference(engine, bundle, kind)
        except ImportError as error:
            reasons.append(f"{kind}: {error}")
            continue
        except BundleError as error:
            text = str(error)
            where = "" if text.startswith(str(bundle.folder)) else f"{model}: "
            raise BundleError(f"{where}{text}") from error
        except Exception as error:  # each runtime has its own
            said = " ".join(str(error).split())
            raise BundleError(
                f"{model}: {kind} can not run it ({said}), expected a sound model of the tensors"
                " that the manifest names; copy or export the bundle again"
            ) from error
        log.info("%s runs on %s", bundle.manifest.name, engine.name)
        return engine
    raise BundleError(
        f"{bundle.folder}: no runtime for this bundle ({'; '.join(reasons)}); expected"
        " ai-edge-litert, tflite-runtime or onnxruntime to be installed"
    )


def make_ready(engine: Engine, bundle: Bundle, stations: int) -> None:
    """Ask once in each batch size that so many stations can make: work finds all of it loaded.

    Else the first burst would wait for that, and memory would grow with it for good.
    """
    reference = bundle.reference()
    first = {name: reference[f"in.{name}"][:1] for name in bundle.manifest.tensor_inputs}
    for power in range(1, (stations - 1).bit_length() + 1):
        engine.infer({name: np.repeat(value, 1 << power, 0) for name, value in first.items()})


def _check_reference(engine: Engine, bundle: Bundle, kind: str) -> None:
    """Replay the reference, the engine's own state carried, and refuse other answers."""
    reference, manifest = bundle.reference(), bundle.manifest
    outputs = manifest.tensor_outputs[:-1]
    tolerance = manifest.quantization[kind].tolerance
    state = reference["in.state"][:1]
    for step in range(len(reference[f"out.{outputs[0]}"])):
        given = {name: reference[f"in.{name}"][step : step + 1] for name in manifest.tensor_inputs}
        answer = engine.infer({**given, "state": state})
        state = answer["state"]
        off = max(
            float(np.abs(answer[name][0] - reference[f"out.{name}"][step]).max())
            for name in outputs
        )
        if not np.isfinite(off):
            raise BundleError(
                f"{bundle.folder}: {engine.name} answers its reference with what is no number at"
                f" step {step}, expected at most {tolerance:g} off; export the bundle again"
            )
        if not off <= tolerance:
            raise BundleError(
                f"{bundle.folder}: {engine.name} answers its reference {off:.3g} off at step"
                f" {step}, expected at most {tolerance:g}: model, runtime and manifest do not"
                " belong together"
            )
