"""A board hears step by step, in every runtime, what the trainer hears of the whole recording."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")
pytest.importorskip("litert_torch", reason="needs the export's dependencies")

from edge.engine import LiteRtEngine, OnnxEngine  # noqa: E402
from trainer import export, malt_recomputed  # noqa: E402
from trainer.malt import Malt  # noqa: E402
from trainer.malt_config import MaltConfig  # noqa: E402
from trainer.malt_recomputed import MaltRecomputed  # noqa: E402
from trainer.malt_stream import MaltHead, MaltStep  # noqa: E402
from trainer.student import Student, StudentConfig  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]
STEPS = 2000
MALT = MaltConfig(width=32, heads=4, long=24, stride=4, short=8, top=18)
HEADS: dict[str, dict[str, Any]] = {"gru": {}, "tcn": {"tcn_layers": 5}, "malt": {"malt": MALT}}
ENGINES = {
    "litert": (export.to_tflite, LiteRtEngine, "model.tflite"),
    "onnx": (export.to_onnx, OnnxEngine, "model.onnx"),
}


@pytest.fixture(scope="module", params=HEADS)
def student(request):
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "inputs": (("imu", 10, 3),), "levels": (("operation", 5),), "devices": 2, "width": 8,
        "hidden": 32, **HEADS[request.param],
    }  # fmt: skip
    return Student(StudentConfig(**given)).eval()


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, student, tmp_path_factory):
    write, kind, name = ENGINES[request.param]
    path = tmp_path_factory.mktemp("model") / name
    write(student, path, "float32")
    config = student.config
    manifest: Any = SimpleNamespace(
        tensor_inputs=config.input_names, tensor_outputs=config.output_names
    )
    return kind(path, manifest)


def walk(steps):
    """Return a recording's tensors (T, …): readings that wander, devices that come and go."""
    rng = np.random.default_rng(1)
    drift = np.cumsum(rng.standard_normal((steps, 1, 3)), 0) * 0.05
    use = np.cumsum(rng.random((steps, 2)) < 0.05, 0) % 2
    return {
        "imu": (drift + rng.standard_normal((steps, 10, 3))).astype(np.float32),
        "imu_observed": (rng.random((steps, 10, 3)) < 0.9).astype(np.float32),
        "in_use": use.astype(np.float32),
        "in_use_observed": np.ones((steps, 2), np.float32),
    }


def test_from_a_cold_start_every_runtime_hears_what_the_trainer_hears(student, engine):
    tensors = walk(STEPS)
    with torch.no_grad():
        said = student({name: torch.from_numpy(x)[None] for name, x in tensors.items()})
    expected = said.logits["operation"][0].softmax(-1).numpy()
    state = np.zeros((1, student.config.state_size), np.float32)
    off = 0.0
    for t in range(STEPS):
        answer = engine.infer({**{n: x[t : t + 1] for n, x in tensors.items()}, "state": state})
        state = answer["state"]
        off = max(off, float(np.abs(answer["p_operation"][0] - expected[t]).max()))
    assert off < 1e-4


def test_a_hundred_thousand_steps_need_no_more_memory_than_ten_thousand(student, engine):
    tensors = walk(1)
    state = np.zeros((1, student.config.state_size), np.float32)
    held = {}
    for t in range(100_001):
        state = engine.infer({**tensors, "state": state})["state"]
        if t in (10_000, 100_000):
            held[t] = resident_mb()
    assert held[100_000] < held[10_000] + 2
    assert np.isfinite(state).all()


def resident_mb():
    """Return how much memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_malt_may_skip_its_branches_while_nothing_enters_the_long_memory():
    torch.manual_seed(0)
    head = MaltHead(Malt(MALT)).eval()
    whole, between = MaltStep(head).eval(), MaltStep(head, between=True).eval()
    anew = MaltRecomputed(head).eval()
    x = torch.randn(200, 2, MALT.width)
    state = skipped = torch.zeros(2, MALT.state_size)
    kept = torch.zeros(2, malt_recomputed.state_size(MALT))
    counts = [0, 0]
    with torch.no_grad():
        for t in range(200):
            enters = t == 0 or t % MALT.stride == MALT.short % MALT.stride
            said, state = whole(x[t], state)
            if enters:
                mine, skipped = whole(x[t], skipped)
            else:  # the queues stay where they are
                mine, moved = between(x[t], skipped[:, : MALT.moving_size])
                skipped = torch.cat([moved, skipped[:, MALT.moving_size :]], 1)
            counts[enters] += 1
            theirs, kept = anew(x[t], kept)
            torch.testing.assert_close(mine, said)
            torch.testing.assert_close(theirs, said, atol=1e-5, rtol=0)
    assert counts == [150, 50]
