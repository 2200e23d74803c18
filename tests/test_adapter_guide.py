"""The guide for those who add a device, followed to the letter: from nothing to rows in SQLite."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests import live

GUIDE = live.ROOT / "sensor_adapters" / "ADAPTERS.md"
MOST_OWN_LINES = 40
pytestmark = [pytest.mark.broker, pytest.mark.slow]


def blocks(language: str) -> list[str]:
    """Return the guide's blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.S)


def block(language: str, text: str) -> str:
    """Return the block that begins with a text."""
    (found,) = (one for one in blocks(language) if one.startswith(text))
    return found


class Shell:
    """Runs commands where the reader stands."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env

    def __call__(self, command: str) -> str:
        """Run a command to its end; return what it said."""
        done = subprocess.run(
            ["bash", "-ec", command], cwd=self._folder, env=self._env, capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, command: str) -> subprocess.Popen:
        """Run a command in a terminal of its own."""
        return subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self._folder, env=self._env)


@pytest.fixture
def shell(tmp_path) -> Shell:
    """Return a shell with an environment of its own.

    It is ours with a place for packages before it; `pip` builds without the network.
    """
    pytest.importorskip("hatchling", reason="the guide's package is built with hatchling")
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{live.ROOT}\n")
    scripts = home / "bin"
    for name, module in {
        "pip": "pip", "pytest": "pytest", "solosense-adapters": "sensor_adapters",
        "solosense-edge": "edge", "sqlite-utils": "sqlite_utils",
    }.items():  # fmt: skip
        options = ["--no-build-isolation", "--no-deps", "--no-index"] if name == "pip" else []
        file = scripts / name
        file.write_text(f'#!/bin/sh\nexec {scripts}/python -m {module} "$@" {" ".join(options)}\n')
        file.chmod(0o755)
    env = os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}:/usr/sbin", "COLUMNS": "160"}
    env.pop("PYTHONPATH", None)
    return Shell(tmp_path, env)


def test_the_guide_leads_from_nothing_to_rows_of_the_log(tmp_path, shell):
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("no mosquitto_pub on this machine, expected one for the guide")
    module = block("python", '"""A&D')
    assert len([line for line in module.splitlines() if line.strip()]) < MOST_OWN_LINES
    shell(block("sh", "solosense-adapters new"))
    package = tmp_path / "solosense-scale"
    (package / "solosense_scale.py").write_text(module)
    (package / "solosense_scale.toml").write_text(block("toml", "title"))
    said = shell(block("sh", "pip install"))
    assert "scales/pack-1: 0.42" in said
    assert "silver" in said
    shell(block("sh", "pip wheel"))
    assert list((tmp_path / "wheels").glob("solosense_scale-*.whl"))
    (tmp_path / "bundles").symlink_to(live.BUNDLES)
    adapters, site = (one for one in blocks("toml") if one.startswith("version"))
    check, run_gateway = block("sh", "solosense-adapters check adapters").splitlines()
    (run_board,) = block("sh", "solosense-edge").splitlines()
    empty, full = block("sh", "mosquitto_pub").splitlines()
    seen, made = block("sh", "sqlite-utils").splitlines()
    with live.mosquitto(tmp_path) as port, live.Heard(port, "act/v1/osaka/#") as heard:
        for name, text in (("adapters.toml", adapters), ("site.toml", site)):
            (tmp_path / name).write_text(text.replace("1883", str(port)))
        assert "listens to scales/pack-1" in shell(check)
        running = [shell.start(command) for command in (run_gateway, run_board)]
        try:
            heard.wait_for("/adapters/status", 1)
            heard.wait_for("/jetson-01/status", 1)
            shell(empty.replace("mosquitto_pub", f"mosquitto_pub -p {port}"))
            heard.wait_for("/in/state/balance", 1)
            shell(full.replace("mosquitto_pub", f"mosquitto_pub -p {port}"))
            heard.wait(lambda _: any(b["on"] == [True] for b in heard.of("/balance")), "a weight")
            heard.wait_for("/pack-1/segment", 1)
            states, segments = shell(seen), shell(made)
        finally:
            for process in running:
                process.terminate()
            codes = [process.wait(30) for process in running]
    assert codes == [0, 0]
    assert '"device": "balance"' in states
    assert '"rejected": 0' in states
    assert '"station": "pack-1"' in segments


def test_a_new_package_passes_as_it_is_written(shell, tmp_path):
    shell("solosense-adapters new smart_mat && pip install -e solosense-smart_mat")
    assert "1 passed" in shell("pytest -q solosense-smart_mat")
    assert "silver" in shell("solosense-adapters check smart_mat")
    package = tmp_path / "solosense-smart_mat"
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", str(package)]
    assert subprocess.run(ruff, capture_output=True, text=True).returncode == 0
