"""The board's environment has no torch, and needs none."""

import subprocess

import pytest

from sensor_adapters.recordings import open_recording
from tests import live

pytestmark = [pytest.mark.board, pytest.mark.broker]


@pytest.fixture(scope="module")
def python() -> str:
    found = live.ROOT / ".venv" / "bin" / "python"
    if not found.exists():
        pytest.skip("no board environment .venv, expected the one that ./deploy.sh test makes")
    return str(found)


def test_there_is_no_torch_on_the_board(python):
    tried = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert b"ModuleNotFoundError: No module named 'torch'" in tried.stderr


def test_the_board_runs_and_logs_without_torch(python, tmp_path):
    recording = open_recording("virtual:seed=302,boxes=1")
    with (
        live.mosquitto(tmp_path) as port,
        live.board(
            tmp_path, port, recording, [live.BUNDLES / "imu", live.BUNDLES / "iot"], python=python
        ) as board,
    ):
        live.play(recording, port)
        assert {row[1] for row in board.segments()} == {"imu", "iot"}
        assert board.stop() == 0
