"""A board hears step by step, in every runtime, what the trainer hears of the whole recording."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")
pytest.importorskip("litert_torch", reason="needs the export's dependencies")

from tests.trainer import long_run  # noqa: E402
from tests.trainer.long_run import walk  # noqa: E402
from trainer import export, malt_recomputed  # noqa: E402
from trainer.malt import Malt  # noqa: E402
from trainer.malt_config import MaltConfig  # noqa: E402
from trainer.malt_recomputed import MaltRecomputed  # noqa: E402
from trainer.malt_stream import MaltHead, MaltStep  # noqa: E402
from trainer.student import Student, StudentConfig  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
STEPS = 2000
MALT = MaltConfig(width=32, heads=4, long=24, stride=4, short=8, top=18)
HEADS: dict[str, dict[str, Any]] = {"gru": {}, "tcn": {"tcn_layers": 5}, "malt": {"malt": MALT}}
ENGINES = {
    "litert": (export.to_tflite, "model.tflite"),
    "onnx": (export.to_onnx, "model.onnx"),
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
def model(request, student, tmp_path_factory):
    write, name = ENGINES[request.param]
    path = tmp_path_factory.mktemp("model") / name
    write(student, path, "float32")
    return path


@pytest.fixture(scope="module")
def engine(student, model):
    config = student.config
    manifest: Any = SimpleNamespace(
        name="cold", tensor_inputs=config.input_names, tensor_outputs=config.output_names
    )
    return long_run.ENGINES[model.name](model, manifest)


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


def test_a_hundred_thousand_steps_need_no_more_memory_than_ten_thousand(student, model):
    """In a process of its own: what else this one holds comes and goes."""
    config = student.config
    names = {"inputs": config.input_names, "outputs": config.output_names}
    command = [
        sys.executable, "-m", "tests.trainer.long_run", str(model), str(config.state_size),
        json.dumps(names), "[10000, 100000]",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    early_mb, late_mb = json.loads(done.stdout)
    assert late_mb < early_mb + 2


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
