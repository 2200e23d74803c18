"""A run that is killed, or shared by processes, ends as one that is not."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from safetensors.torch import load_file  # noqa: E402

from tests.conftest import REPOSITORY  # noqa: E402
from tests.made_up_run import SEED  # noqa: E402
from tests.made_up_teachers import PARTS, RECIPE  # noqa: E402
from trainer.processes import Processes  # noqa: E402
from trainer.saved_teacher import CHECKPOINT, WEIGHTS  # noqa: E402
from trainer.teach import teach  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]
RUN = "tests.made_up_run"


def started(*arguments: str | Path, torchrun: bool = False) -> subprocess.Popen:
    command = [sys.executable, "-m"]
    if torchrun:
        command += ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    return subprocess.Popen(
        [*command, RUN, *map(str, arguments)], cwd=REPOSITORY, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={
            **os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
            "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        },
    )  # fmt: skip


def ended(process: subprocess.Popen) -> str:
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return str(told)


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / CHECKPOINT, weights_only=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    ended(started(folder))
    return folder


def test_a_run_that_was_killed_goes_on_to_the_same_weights_bit_by_bit(tmp_path, undisturbed):
    run = started(tmp_path, "--wait-at", "8")
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("update 8/"):
            break
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert checkpoint(tmp_path)["progress"]["update"] == 4, "updates 5 to 8 are lost"
    assert not (tmp_path / WEIGHTS).exists()

    assert ended(started(tmp_path)).startswith("goes on from update 4\nupdate 8/12")
    assert (tmp_path / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    ours, theirs = checkpoint(tmp_path), checkpoint(undisturbed)
    assert ours["progress"] == theirs["progress"]
    for part in ("model", "mean", "best"):
        assert ours[part].keys() == theirs[part].keys()
        for name, weight in theirs[part].items():
            assert torch.equal(ours[part][name], weight), f"{part} {name}"


def test_a_run_that_has_ended_is_not_run_again(undisturbed):
    said: list[str] = []
    alone = Processes(0, 1, torch.device("cpu"))
    taught = teach(RECIPE, PARTS, SEED, alone, undisturbed, said.append)
    assert said == ["goes on from update 12"]
    before = load_file(undisturbed / WEIGHTS)
    assert all(torch.equal(x, before[name]) for name, x in taught.model.state_dict().items())


def test_two_processes_that_share_a_batch_learn_what_one_does(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    alone = started(one, "--without-dropout")
    together = started(two, "--without-dropout", torchrun=True)
    course = re.compile(r"update \d+/12 loss [0-9.]+ validation F1 [0-9.]+")
    said, said_together = (course.findall(ended(process)) for process in (alone, together))
    assert len(said) == 3
    assert said_together == said
    ours, theirs = checkpoint(two), checkpoint(one)
    assert ours["progress"] == theirs["progress"]
    # the same sums in another order, made as large as any step by Adam where they are near 0
    for name, weight in theirs["model"].items():
        assert (ours["model"][name] - weight).abs().max() < 1e-5, name
    for index, moments in theirs["optimizer"]["state"].items():
        gradient, other = moments["exp_avg"], ours["optimizer"]["state"][index]["exp_avg"]
        assert (other - gradient).norm() <= 1e-3 * gradient.norm() + 1e-7
