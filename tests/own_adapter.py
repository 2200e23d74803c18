"""A package with an adapter of one's own, made as its author makes it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.live import ROOT


def wheels(folder: Path) -> Path:
    """Make the package ``solosense-scale`` below a folder; return the folder of its wheel."""
    for command in (
        ["-m", "sensor_adapters", "new", "scale"],
        ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index",
         "-w", "wheels", "./solosense-scale"],
    ):  # fmt: skip
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, *command], cwd=folder, env=env, check=True)
    return folder / "wheels"
