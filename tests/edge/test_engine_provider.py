"""Which processor ONNX Runtime computes on, and that it is said when it is not the graphics one."""

import logging

import pytest

from edge import bundle as bundles
from edge.engine import OnnxEngine, open_engine
from tests.live import BUNDLES

onnxruntime = pytest.importorskip("onnxruntime", reason="no ONNX Runtime here, expected one")


@pytest.mark.fault("F49")
def test_an_onnx_runtime_without_a_gpu_computes_on_the_cpu_and_says_so(caplog):
    if {"TensorrtExecutionProvider", "CUDAExecutionProvider"} & set(
        onnxruntime.get_available_providers()
    ):
        pytest.skip("this ONNX Runtime has a provider for a GPU, expected one for the CPU alone")
    with caplog.at_level(logging.WARNING):
        engine = open_engine(bundles.load(BUNDLES / "imu"), prefer="onnx")
    assert engine.name == "onnx (CPU)"
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        "imu: computes on the CPU: this ONNX Runtime has neither TensorRT nor CUDA, it was built"
        " without"
    )


@pytest.mark.fault("F49")
def test_a_gpu_that_was_asked_for_and_did_not_start_is_named(caplog, monkeypatch):
    # As where NVIDIA's wheel is installed and its libraries are not: offered, and then not in use.
    have = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: have)
    loaded = bundles.load(BUNDLES / "imu")
    model = loaded.model_file("onnx")
    assert model is not None
    with caplog.at_level(logging.WARNING), pytest.warns(UserWarning, match="Specified provider"):
        engine = OnnxEngine(model, loaded.manifest)
    assert engine.name == "onnx (CPU)"
    assert "computes on the CPU: Tensorrt and CUDA did not start" in caplog.text


def test_litert_is_preferred_and_needs_no_word(caplog):
    with caplog.at_level(logging.WARNING):
        assert open_engine(bundles.load(BUNDLES / "imu")).name == "litert (CPU)"
    assert not caplog.records
