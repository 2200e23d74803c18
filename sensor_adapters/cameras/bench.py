"""What a camera and a model do together on this machine: tried once, or measured."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from sensor_adapters.cameras.config import CameraConfig
from sensor_adapters.cameras.pose_estimator import Estimator
from sensor_adapters.cameras.service import open_source, watcher_of
from sensor_adapters.cameras.video import Image, Video, VideoError
from sensor_adapters.samples import US_PER_S


def tried(config: CameraConfig, estimator: Estimator) -> dict[str, Any]:
    """Return what the first frame shows.

    Raises:
        VideoError: there is no camera, or no frame.
    """
    video = open_source(config)
    try:
        image = next(_frames(video, 1))
    finally:
        video.close()
    height_px, width_px = image.shape[:2]
    sightings = estimator.people(image)
    watcher = watcher_of(config, "check")
    watcher.seen(0, width_px, height_px, sightings)
    return {
        "picture": f"{width_px} x {height_px} px",
        "rate_hz": video.rate_hz or None,
        "model": estimator.name,
        "people": len(sightings),
        "stations": {
            name: "a person" if one["person"] else "nobody"
            for name, one in watcher.health().items()
        },
    }


def measure(config: CameraConfig, estimator: Estimator, frames: int) -> dict[str, Any]:
    """Return frames a second of the whole way to payloads, and of OpenCV and the model alone.

    The bare one reads the same frames and runs each model once on a blank input: it cuts nothing,
    follows nobody and encodes nothing. It goes before and after ours, and its best counts.

    Raises:
        VideoError: there is no camera, or no frame.
    """
    bare = [_rate_hz(config, lambda _: _run_bare(estimator), frames)]
    watcher, seen = watcher_of(config, "bench"), count(1)

    def whole(image: Image) -> None:
        height_px, width_px = image.shape[:2]
        time_us = next(seen) * US_PER_S // 15
        watcher.seen(time_us, width_px, height_px, estimator.people(image))

    ours = _rate_hz(config, whole, frames)
    bare.append(_rate_hz(config, lambda _: _run_bare(estimator), frames))
    return {
        "model": estimator.name,
        "frames": ours[1],
        "fps": round(ours[0], 1),
        "bare_fps": round(max(bare)[0], 1),
        "share": round(ours[0] / max(bare)[0], 3),
    }


def _run_bare(estimator: Estimator) -> None:
    for model in estimator.models:
        model.run(model.blank())


def _rate_hz(config: CameraConfig, look: Callable[[Image], None], frames: int) -> tuple[float, int]:
    """Return frames a second, and of how many frames."""
    video = open_source(config)
    try:
        start_s, number = time.perf_counter(), 0
        for image in _frames(video, frames):
            look(image)
            number += 1
        return number / (time.perf_counter() - start_s), number
    finally:
        video.close()


def _frames(video: Video, most: int) -> Iterator[Image]:
    """Yield the first frames.

    Raises:
        VideoError: there is none.
    """
    number = 0
    while number < most and video.grab():
        image = video.image()
        if image is not None:
            number += 1
            yield image
    if not number:
        raise VideoError("opened, and no frame came, expected one")
