"""The gate to OpenCV: frames of a camera or a file, and pictures cut to the size a model takes.

OpenCV is imported when it is needed, so that everything else runs without it. What it and its
FFmpeg would print is silenced: it repeats what we say, and may hold a camera's password.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sensor_adapters.samples import US_PER_S, Floats

Image = npt.NDArray[np.uint8]
"""(H, W, 3) blue, green, red."""
Kind = Literal["url", "file", "device"]

PATIENCE_MS = 5000
"""How long a network camera may take to open, or to send the next frame."""
GREY = 114
"""Of what a picture does not cover; what YOLOX and RTMO were trained with."""


class VideoError(Exception):
    """There is no video; the text says what was found, and never an address."""


@cache
def _opencv() -> Any:
    """Return OpenCV, made to keep quiet.

    Raises:
        VideoError: it is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        import cv2
    except ImportError as error:
        text = f"no OpenCV ({error}), expected it: pip install solosense[camera]"
        raise VideoError(text) from error
    return cv2


class Video:
    """An open camera or file."""

    def __init__(self, kind: Kind, address: str) -> None:
        """Open it.

        Args:
            kind: ``url`` of a network camera, ``file``, or V4L2 ``device``.
            address: where; may hold a password.

        Raises:
            VideoError: it can not be opened, or OpenCV is not installed.
        """
        self._cv2 = cv2 = _opencv()
        backend = cv2.CAP_V4L2 if kind == "device" else cv2.CAP_FFMPEG
        options = []
        if kind == "url":
            options = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, PATIENCE_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC, PATIENCE_MS,
            ]  # fmt: skip
        self._capture = cv2.VideoCapture(address, backend, options)
        if not self._capture.isOpened():
            raise VideoError("found nothing that OpenCV can open, expected a video")
        self.frames = 0
        """Grabbed since it was opened."""
        self.promised = max(0, round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        """Frames that a file says it holds; 0 where it says nothing."""
        rate_hz = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate_hz if 0 < rate_hz < 1000 else 0.0
        """As the source says, which need not be true; 0 where it says nothing."""
        self._position_us = -1

    def grab(self) -> bool:
        """Wait for the next frame; return whether there is one."""
        if not self._capture.grab():
            return False
        self.frames += 1
        return True

    def image(self) -> Image | None:
        """Return the grabbed frame; None if it can not be decoded."""
        fine, image = self._capture.retrieve()
        if not fine or image is None or image.ndim != 3 or not image.size:
            return None
        picture: Image = image
        return picture

    def position_us(self) -> int:
        """Return where in a file the grabbed frame is, rising: as it says, else by its rate."""
        said_us: int = round(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1000)
        if self.frames > 1 and said_us <= self._position_us:
            said_us = self._position_us + round(US_PER_S / (self.rate_hz or 25.0))
        self._position_us = said_us
        return said_us

    def close(self) -> None:
        """Let it go."""
        self._capture.release()


def open_file(path: Path) -> Video:
    """Return a video file.

    Raises:
        VideoError: it is none; the text names it.
    """
    try:
        return Video("file", str(path))
    except VideoError as error:
        raise VideoError(f"{path.name}: {error}") from error


def letterboxed(image: Image, width_px: int, height_px: int) -> tuple[Image, float]:
    """Return a picture in the upper left of (height, width, 3), and how much smaller it is."""
    ratio = min(height_px / image.shape[0], width_px / image.shape[1])
    size = max(1, int(image.shape[1] * ratio)), max(1, int(image.shape[0] * ratio))
    whole: Image = np.full((height_px, width_px, 3), GREY, np.uint8)
    whole[: size[1], : size[0]] = _opencv().resize(image, size)
    return whole, ratio


def cut_out(image: Image, centre: Floats, size: Floats, width_px: int, height_px: int) -> Image:
    """Return a part of a picture as (height, width, 3), black where it lies outside.

    Args:
        image: (H, W, 3).
        centre: (2,) of the part, px of the image.
        size: (2,) of the part, px of the image.
        width_px: of what is returned.
        height_px: of what is returned.
    """
    scale = np.array([width_px, height_px]) / size
    shift = np.array([width_px, height_px]) / 2 - centre * scale
    moved = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float32)
    part: Image = _opencv().warpAffine(image, moved, (width_px, height_px))
    return part
