"""Imports point down, and the board runs without torch."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("sensor_adapters", "firmware_bridge", "edge", "trainer")
BOARD_PACKAGES = ("sensor_adapters", "firmware_bridge", "edge")
TORCH_FREE_TRAINER = ("trainer.metrics", "trainer.score", "trainer.demo")


@pytest.fixture
def house(tmp_path):
    """Return a copy of the source tree in which a test may break the rules."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def ruff(house):
    """Return what ruff says about forbidden imports: nothing where there are none."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "-q"]
    return said([*command, "--output-format", "concise", "."], house)


def import_linter(house):
    """Return what import-linter says about the tree: the contracts, kept or broken."""
    call = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    pytest.importorskip("importlinter", reason="import-linter is not in this environment")
    return said([sys.executable, "-c", call], house)


def said(command, folder):
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in run.stderr, run.stderr
    return run.stdout + run.stderr


def slip(house, module, line):
    """Put a line at the end of a module, or in a new one."""
    path = house / (module.replace(".", "/") + ".py")
    before = path.read_text() if path.exists() else '"""A slip."""\n'
    path.write_text(f"{before}\n{line}\n")


def test_the_tree_as_it_stands_keeps_every_rule(house):
    assert ruff(house) == ""
    assert "0 broken" in import_linter(house)


def test_torch_on_the_board_is_seen_by_both_linters(house):
    slip(house, "edge.masks", "import torch")
    assert "`torch` is banned" in ruff(house)
    report = import_linter(house)
    assert "edge.masks -> torch" in report
    assert "No torch below trainer BROKEN" in report


def test_trainer_reaching_for_the_pipeline_is_seen_by_both_linters(house):
    slip(house, "trainer.a_slip", "from edge.pipeline import Pipeline")
    assert "`edge.pipeline` is banned" in ruff(house)
    assert "trainer.a_slip -> edge.pipeline" in import_linter(house)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("edge.masks", "import firmware_bridge"),
        ("firmware_bridge.a_slip", "import edge.masks"),
        ("sensor_adapters.imu", "import edge.masks"),
        ("edge.timeline", "import trainer"),
    ],
)
def test_imports_sideways_and_upwards_are_seen(house, module, line):
    slip(house, module, line)
    assert f"{module} -> {line.removeprefix('import ')}" in import_linter(house)


@pytest.mark.parametrize(
    ("module", "library"),
    [
        ("edge.windows", "paho.mqtt.client"),
        ("edge.windows", "sqlite3"),
        ("edge.windows", "ai_edge_litert.interpreter"),
        ("edge.windows", "mcap.writer"),
        ("edge.windows", "serial"),
        ("edge.pipeline", "amqtt.broker"),
        ("edge.bundle", "cryptography.exceptions"),
        ("edge.pipeline", "prometheus_client.core"),
        ("sensor_adapters.pose", "cv2"),
        ("sensor_adapters.pose", "onnxruntime"),
        ("trainer.a_slip", "paho.mqtt.client"),
        ("trainer.a_slip", "sqlite_utils"),
        ("trainer.a_slip", "onnxruntime"),
    ],
)
def test_an_outside_library_enters_by_its_gate_only(house, module, library):
    root = library.split(".")[0]
    slip(house, module, f"import {library}")
    assert f"`{root}` is banned" in ruff(house)
    assert f"{module} -> {root}" in import_linter(house)


def modules_of(package):
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__init__.py"
    ]


def loads_torch(module):
    """Return whether importing the module in a new interpreter loads torch."""
    look = f"import sys, {module}; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip() == "True"


@pytest.mark.parametrize("package", BOARD_PACKAGES)
def test_importing_the_board_side_loads_no_torch(package):
    modules = modules_of(package)
    assert modules
    assert not loads_torch(", ".join(modules))


@pytest.mark.parametrize("module", TORCH_FREE_TRAINER)
def test_the_part_of_trainer_that_runs_beside_the_board_loads_no_torch(module):
    assert not loads_torch(module)
