"""The loop of a camera's process: frames to people to payloads to the broker, until told to stop.

One thread grabs frames, this one looks at the newest and hands on what was seen. No image is
stored, logged or sent: what leaves this process is key points.
"""

import logging
import threading
import time
from pathlib import Path
from typing import Any

from sensor_adapters.cameras.config import CameraConfig
from sensor_adapters.cameras.grabber import Frame, Grabber
from sensor_adapters.cameras.pose_estimator import Estimator
from sensor_adapters.cameras.pose_outputs import NotNumbers
from sensor_adapters.cameras.video import Video, open_file
from sensor_adapters.cameras.watcher import Outgoing, Watcher
from sensor_adapters.carrier import Carrier, wall_us
from sensor_adapters.samples import US_PER_S

log = logging.getLogger(__name__)
WAIT_S = 0.02
FAREWELL_S = 2.0
SETTLE_S = 10.0
"""How long the broker may take, once a file has ended, before the rest is kept on disk."""


def open_source(config: CameraConfig) -> Video:
    """Return the camera or file, open.

    Raises:
        VideoError: it can not be opened.
        ConfigError: the camera's password can not be read.
    """
    source = config.source
    if source.kind == "file":
        return open_file(Path(source.file))
    return Video(source.kind, source.address())


def watcher_of(config: CameraConfig, boot: str) -> Watcher:
    """Return what follows people as it is set."""
    tracking = config.tracking
    return Watcher(
        config.device, boot, {name: one.zone for name, one in config.stations.items()},
        round(config.batch_s * US_PER_S), spot=tracking.spot, margin=tracking.margin,
        memory_us=round(tracking.memory_s * US_PER_S),
    )  # fmt: skip


class Service:
    """One running camera."""

    def __init__(self, config: CameraConfig, estimator: Estimator, *, every: bool = False) -> None:
        """Open the outbox; camera and broker are opened by ``run``.

        Args:
            config: what we are told.
            estimator: finds people.
            every: look at every frame of a file.

        Raises:
            OutboxError: the outbox can not be opened.
            ConfigError: a password can not be read.
        """
        source = config.source
        source.address()
        name = f"camera-{config.device}"
        self._estimator, self._put_as = estimator, config.device
        self._carrier = Carrier(
            name, config.site, config.node, config.broker, config.outbox, self._health
        )
        self.grabber = Grabber(
            name, source.kind, lambda: open_source(config), wall_us,
            rate_hz=source.rate_hz, start_us=source.start_us, every=every,
        )  # fmt: skip
        self._watcher = watcher_of(config, self._carrier.boot)
        self._batch_s = config.batch_s
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._failed = False
        self._looked = self._not_numbers = 0
        self._busy_s = 0.0
        self._looked_at_s = self._over_since_s = 0.0
        self._said = (0, 0.0, time.monotonic())

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set or a file has ended; what waits then is written down.

        Raises:
            VideoError: a file is no video.
            ModelError: the model failed.
        """
        self._stop = stop
        self.grabber.start()
        self._carrier.run(stop, self._round, self._end, round_s=0.0)
        if error := self._error or self.grabber.error:
            raise error

    def _round(self) -> None:
        is_over = not self.grabber.is_alive()  # asked first: its last frame may still lie there
        try:
            frame = self.grabber.newest.take(WAIT_S)
            if frame is not None:
                self._look(frame)
        except Exception as error:  # told of once the rest has ended in order
            self._error = error
            self._stop.set()
            return
        if time.monotonic() - self._looked_at_s >= self._batch_s:
            self._put(self._watcher.flush())
        if is_over and frame is None:
            self._settle()

    def _look(self, frame: Frame) -> None:
        start_s = time.monotonic()
        try:
            sightings = self._estimator.people(frame.image)
        except NotNumbers:
            self._not_numbers += 1
            if not self._failed:
                log.warning("the model answers with what is no number; such frames are left out")
            self._failed = True
            return
        self._failed = False
        self._looked_at_s = time.monotonic()
        self._looked, self._busy_s = self._looked + 1, self._busy_s + self._looked_at_s - start_s
        height_px, width_px = frame.image.shape[:2]
        self._put(self._watcher.seen(frame.time_us, width_px, height_px, sightings))

    def _put(self, outgoing: list[Outgoing]) -> None:
        for one in outgoing:
            self._carrier.put(one.station, one.kind, self._put_as, one.payload)

    def _settle(self) -> None:
        """End once the broker has all, or has taken too long."""
        if not self._over_since_s:
            self._over_since_s = time.monotonic()
            self._put(self._watcher.end())
        waiting = len(self._carrier.outbox)
        if self.grabber.error or not waiting:
            self._stop.set()
        elif time.monotonic() - self._over_since_s > SETTLE_S:
            log.warning("the broker has not taken %d payloads; they are kept", waiting)
            self._stop.set()

    def _end(self) -> None:
        self.grabber.stop()
        self.grabber.join(FAREWELL_S)
        if not self._over_since_s:
            self._put(self._watcher.end())

    def _health(self) -> dict[str, Any]:
        looked, busy_s, since_s = self._said
        now_s = time.monotonic()
        self._said = (self._looked, self._busy_s, now_s)
        looked, busy_s, span_s = self._looked - looked, self._busy_s - busy_s, now_s - since_s
        return {
            **self.grabber.health(),
            "looked_at": self._looked,
            "not_numbers": self._not_numbers,
            "fps": round(looked / span_s, 2) if span_s else None,
            "inference_ms": round(1000 * busy_s / looked, 2) if looked else None,
            "provider": self._estimator.name,
            "people": self._watcher.people,
            "stations": self._watcher.health(),
        }
