"""A camera at work: opened, read, and opened again; only its newest frame is kept.

Frames that nobody has time for are dropped and counted: what is late in a live picture is wrong.
A file is read at the rate at which it was taken, or, for ``every`` frame, as fast as they are
looked at.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_adapters.cameras.video import Image, Kind, Video, VideoError
from sensor_adapters.samples import US_PER_S

log = logging.getLogger(__name__)
FIRST_WAIT_S, MOST_WAIT_S = 0.2, 5.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken."""

    image: Image
    time_us: int
    """UTC."""


class Newest:
    """Room for one frame. Safe for two threads."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._changed = threading.Condition()
        self.dropped = 0
        """Frames that nobody took before the next one came."""

    def put(self, frame: Frame) -> None:
        """Keep a frame in place of the one before."""
        with self._changed:
            self.dropped += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def wait_for_room(self, is_over: Callable[[], bool]) -> None:
        """Wait until the frame before was taken, or it is over."""
        with self._changed:
            while self._frame is not None and not is_over():
                self._changed.wait(0.1)

    def take(self, patience_s: float) -> Frame | None:
        """Return the newest frame, once; None if none came for so long."""
        with self._changed:
            if self._frame is None:
                self._changed.wait(patience_s)
            frame, self._frame = self._frame, None
            self._changed.notify_all()
            return frame


class Pace:
    """Which frames to look at so that there are about so many a second."""

    def __init__(self, rate_hz: float) -> None:
        """Take how many; 0 is all."""
        self._period_us = round(US_PER_S / rate_hz) if rate_hz else 0
        self._due_us: int | None = None

    def takes(self, time_us: int) -> bool:
        """Return whether a frame is due; a quarter of a period early will do."""
        due_us = self._due_us
        if due_us is None or abs(time_us - due_us) > 2 * self._period_us:
            due_us = time_us  # the first, or time has jumped
        if time_us < due_us - self._period_us // 4:
            return False
        self._due_us = due_us + self._period_us
        return True


class Grabber(threading.Thread):
    """Reads one camera until told to stop, or one file until its end."""

    def __init__(
        self, name: str, kind: Kind, open_video: Callable[[], Video], now_us: Callable[[], int],
        *, rate_hz: float = 0.0, start_us: int = 0, every: bool = False,
    ) -> None:  # fmt: skip
        """Prepare to read.

        Args:
            name: what it is called when something is said of it.
            kind: a ``file`` ends; everything else is opened again.
            open_video: opens it; raises VideoError.
            now_us: the clock, UTC.
            rate_hz: how many frames a second to keep; 0 is all.
            start_us: UTC of a file's first frame; 0 is when it is read.
            every: of a file, keep every frame and drop none.
        """
        super().__init__(name=name, daemon=True)
        self._kind, self._open, self._now_us = kind, open_video, now_us
        self._pace, self._start_us = Pace(0.0 if every else rate_hz), start_us
        self._every = every and kind == "file"
        self._stopping = threading.Event()
        self._failed = ""
        self.newest = Newest()
        self.error: Exception | None = None
        """What ended the thread, if anything did."""
        self.is_open = False
        self.openings = self.frames = self.left_out = self.unreadable = 0

    def run(self) -> None:
        """Work until told to stop; an error of ours ends the whole process."""
        try:
            self._work()
        except Exception as error:
            self.error = error

    def _work(self) -> None:
        """Open, read until it is gone, close, wait, open again."""
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            before = self.frames
            try:
                video = self._open()
            except VideoError as error:
                if self._kind == "file":
                    raise
                self._say(f"{self.name}: {error}; trying again")
            else:
                try:
                    self._read(video)
                finally:
                    self.is_open = False
                    video.close()
                if self._kind == "file":
                    self._ended(video)
                    return
                if self.frames > before:
                    wait_s = FIRST_WAIT_S
                if not self._stopping.is_set():
                    self._say(f"{self.name}: gone: no more frames; waiting for it to come back")
            self._stopping.wait(wait_s)
            wait_s = min(2 * wait_s, MOST_WAIT_S)

    def _read(self, video: Video) -> None:
        start_s, start_us = time.monotonic(), self._start_us
        while not self._stopping.is_set() and video.grab():
            time_us = self._now_us()
            if video.frames == 1:
                self._say("")
                self.is_open, self.openings = True, self.openings + 1
            self.frames += 1
            if self._kind == "file":
                start_us = start_us or time_us
                position_us = video.position_us()
                time_us = start_us + position_us
                if not self._every:
                    self._stopping.wait(max(0.0, start_s + position_us / 1e6 - time.monotonic()))
            if not self._pace.takes(time_us):
                self.left_out += 1
                continue
            image = video.image()
            if image is None:
                self.unreadable += 1
                continue
            if self._every:
                self.newest.wait_for_room(self._stopping.is_set)
            self.newest.put(Frame(image, time_us))

    def _ended(self, video: Video) -> None:
        """Say it where a file ends before it should."""
        if not self._stopping.is_set() and video.frames < video.promised:
            log.warning(
                "%s: ends after %d frames, expected the %d that it promises",
                self.name, video.frames, video.promised,
            )  # fmt: skip

    def _say(self, text: str) -> None:
        """Say what is wrong once, and once that it is well again."""
        if text and not self._failed:
            log.warning("%s", text)
        elif self._failed and not text:
            log.warning("%s: there", self.name)
        self._failed = text

    def stop(self) -> None:
        """End after the frame that is being read."""
        self._stopping.set()

    def health(self) -> dict[str, Any]:
        """Return what is known of the camera, for machines."""
        return {
            "open": self.is_open,
            "reopened": max(0, self.openings - 1),
            "frames": self.frames,
            "left_out": self.left_out,
            "dropped": self.newest.dropped,
            "unreadable": self.unreadable,
        }
