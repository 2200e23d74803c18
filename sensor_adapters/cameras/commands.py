"""``solosense-adapters camera``: people in a camera's picture, as payloads."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import err, fail, log_to_stderr, out, until_stopped

if TYPE_CHECKING:
    from sensor_adapters.cameras.config import CameraConfig
    from sensor_adapters.cameras.pose_estimator import Estimator


def camera(
    file: Annotated[
        Path, typer.Argument(metavar="CAMERA.TOML", help="The camera's configuration.")
    ],
    every: Annotated[
        bool, typer.Option("--all", help="Of a file: look at every frame, at any pace.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Open camera and model, say what is there, send nothing."),
    ] = False,
    bench: Annotated[
        int, typer.Option(metavar="FRAMES", help="Measure over so many frames, send nothing.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Find people in a camera's picture and publish their key points, one a station.

    Runs until SIGTERM or Ctrl-C, or to the end of a file. No image is stored or sent.
    """
    from sensor_adapters.cameras import config as camera_config
    from sensor_adapters.cameras.pose_estimator import open_estimator
    from sensor_adapters.cameras.pose_model import ModelError
    from sensor_adapters.cameras.service import Service
    from sensor_adapters.cameras.video import VideoError, open_file
    from sensor_adapters.outbox import OutboxError

    log_to_stderr(verbose=False)
    stop = until_stopped()
    try:
        config = camera_config.load(file)
        if every and config.source.kind != "file":
            fail("--all is for a file, found a camera: its newest frame is looked at", 2)
        if config.source.kind == "file":
            open_file(Path(config.source.file)).close()
        estimator = open_estimator(config.model)
        if check or bench:
            _tried(config, estimator, bench, as_json)
            return
        service = Service(config, estimator, every=every)
    except (ConfigError, OutboxError, ModelError, VideoError) as error:
        fail(str(error), 2)
    err.print(f"running {file} on {estimator.name}; stop with Ctrl-C", highlight=False)
    try:
        service.run(stop)
    except (ModelError, VideoError) as error:
        fail(str(error), 1)
    except ConfigError as error:
        fail(f"{file}: {error}", 2)


def _tried(config: "CameraConfig", estimator: "Estimator", frames: int, as_json: bool) -> None:
    """Say what camera and model do together."""
    from sensor_adapters.cameras.bench import measure, tried
    from sensor_adapters.cameras.video import VideoError

    try:
        found = measure(config, estimator, frames) if frames else tried(config, estimator)
    except VideoError as error:
        fail(str(error), 1)
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        out.print(f"{name}: {value}", markup=False, highlight=False)
