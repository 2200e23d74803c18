"""camera.toml: which camera, which model, and who in the picture is at which station."""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from sensor_adapters.cameras.pose_model import PROVIDERS
from sensor_adapters.cameras.video import Kind
from sensor_adapters.cameras.zones import Zone, area
from sensor_adapters.payloads import FIRST_US, LAST_US
from sensor_adapters.settings import (
    Broker,
    ConfigError,
    OutboxConfig,
    beside,
    check_broker,
    check_outbox,
    located,
    need,
    outbox_beside,
    read,
)
from sensor_adapters.topics import TopicError, check_id

VERSION = 1
SPOTS = ("hips", "foot")


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the frames come from: one of ``url``, ``file`` and ``device``."""

    url: str = ""
    """``rtsp://HOST/PATH``, or another that FFmpeg reads; without a password."""
    username: str = ""
    password_file: str = ""
    """Path of a file that holds the camera's password; never the password itself."""
    file: str = ""
    device: str = ""
    """V4L2: ``/dev/video0``, or better ``/dev/v4l/by-id/…``."""
    rate_hz: float = 15.0
    """Frames that are looked at; of more, some are left out. 0 is every frame."""
    start_us: int = 0
    """UTC of a file's first frame; 0 is the time at which we begin to read it."""

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        return "url" if self.url else "file" if self.file else "device"

    def address(self) -> str:
        """Return where it is, with the password if there is one: not to be said.

        Raises:
            ConfigError: the password can not be read.
        """
        if not self.url or not self.username:
            return self.url or self.file or self.device
        password = os.environ.get("SOLOSENSE_CAMERA_PASSWORD", "")
        if self.password_file:
            try:
                password = Path(self.password_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"source.password_file: {error}, expected a file that holds the password"
                ) from error
        parts = urlsplit(self.url)
        who = f"{quote(self.username, safe='')}:{quote(password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{who}@{parts.netloc}"))


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The user's ONNX files."""

    pose: str
    """Finds key points: as RTMO, or as RTMPose together with ``detector``."""
    detector: str = ""
    """Finds persons' boxes, as YOLOX."""
    provider: str = "auto"
    """``auto``: the first of TensorRT, CUDA and CPU that works here; or one of them."""
    threads: int = 2
    least_score: float = 0.5
    """Of a person."""
    most_overlap: float = 0.45
    """Of two persons' boxes, intersection over union; beyond it they are one."""
    most_people: int = 10
    pose_size_px: tuple[int, ...] = ()
    """Width and height of the input, where the file leaves them open."""
    detector_size_px: tuple[int, ...] = ()


class TrackingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who is who, and who is where."""

    memory_s: float = 1.0
    """How long somebody who is not seen is remembered."""
    spot: str = "hips"
    """What of a person has to be in a zone: the middle of the ``hips`` (of the box, where they
    are not seen), or the ``foot`` of the box."""
    margin: float = 0.03
    """Share of the image beyond a zone within which somebody is still in it."""


class StationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One station in the picture."""

    zone: Zone = ()
    """Corners, x and y in shares of the image from its upper left; none: the whole picture."""


class CameraConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a camera's process is told."""

    version: int
    """Of this file's format, 1."""
    site: str
    node: str
    device: str
    """The camera's id in the topics, at each of its stations."""
    source: SourceConfig
    model: ModelConfig
    stations: dict[str, StationConfig]
    tracking: TrackingConfig = TrackingConfig()
    batch_s: float = 0.2
    """How much time a payload holds."""
    broker: Broker = Broker()
    outbox: OutboxConfig = OutboxConfig()


def load(path: Path) -> CameraConfig:
    """Return the camera's configuration, its paths made absolute.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, missing or of another type,
            or a value makes no sense.
    """
    with located(path):
        config = read(path, CameraConfig, VERSION, "camera")
    folder = path.parent.resolve()
    source, model = config.source, config.model
    replace = msgspec.structs.replace
    config = replace(
        config,
        source=replace(
            source,
            file=_beside(source.file, folder),
            password_file=_beside(source.password_file, folder),
        ),
        model=replace(
            model, pose=_beside(model.pose, folder), detector=_beside(model.detector, folder)
        ),
        broker=beside(config.broker, folder),
        outbox=outbox_beside(config.outbox, path),
    )
    with located(path):
        _check(path.name, config)
    return config


def _beside(name: str, folder: Path) -> str:
    return str(folder / name) if name else ""


def _check(file: str, config: CameraConfig) -> None:
    check_broker(file, config.broker)
    check_outbox(file, config.outbox)
    _check_source(file, config.source)
    _check_model(file, config.model)
    need(file, 0 < config.batch_s <= 10, "batch_s", config.batch_s, "more than 0, at most 10")
    tracking = config.tracking
    memory_s = tracking.memory_s
    need(file, 0 < memory_s <= 60, "tracking.memory_s", memory_s, "more than 0, at most 60")
    need(file, tracking.spot in SPOTS, "tracking.spot", tracking.spot, " or ".join(SPOTS))
    need(file, 0 <= tracking.margin <= 0.5, "tracking.margin", tracking.margin, "0 to 0.5")
    need(file, bool(config.stations), "stations", {}, "at least one station")
    try:
        check_id("site", config.site)
        check_id("node", config.node)
        check_id("device", config.device)
        for name in config.stations:
            check_id("stations", name)
    except TopicError as error:
        raise ConfigError(f"{file}: {error}") from error
    for name, station in config.stations.items():
        zone, key = station.zone, f"stations.{name}.zone"
        inside = all(0 <= one <= 1 for corner in zone for one in corner)
        need(file, inside, key, zone, "shares of the image, 0 to 1")
        need(file, not zone or area(zone) > 0, key, zone, "three corners or more around an area")


def _check_source(file: str, source: SourceConfig) -> None:
    given = [one for one in ("url", "file", "device") if getattr(source, one)]
    expected = "one of url, file and device"
    need(file, len(given) == 1, "source", " and ".join(given) or "nothing", expected)
    if source.url:
        try:
            parts = urlsplit(source.url)
            fine, has_password = bool(parts.scheme and parts.hostname), "@" in parts.netloc
        except ValueError:
            fine, has_password = False, "@" in source.url
        if has_password:  # not to be said, or it is in a log
            raise ConfigError(
                f"{file}: source.url holds a name or password, expected them in source.username"
                " and source.password_file (or SOLOSENSE_CAMERA_PASSWORD)"
            )
        need(file, fine, "source.url", source.url, "an address, as rtsp://HOST/PATH")
    else:
        need(file, not source.username, "source.username", source.username, "none without a url")
    if source.file:
        there = _is_readable(source.file)
        need(file, there, "source.file", source.file, "a video file that is there and may be read")
    rate_hz = source.rate_hz
    need(file, 0 <= rate_hz <= 1000, "source.rate_hz", rate_hz, "0 (every frame) to 1000")
    start_us = source.start_us
    fine = FIRST_US <= start_us < LAST_US
    need(file, fine, "source.start_us", start_us, "microseconds before the year 2100")


def _is_readable(path: str) -> bool:
    """Return whether a file is there and this user may read it."""
    return os.access(path, os.R_OK) and Path(path).is_file()


def _check_model(file: str, model: ModelConfig) -> None:
    for key, path in (("pose", model.pose), ("detector", model.detector)):
        there = not path or _is_readable(path)
        need(file, there, f"model.{key}", path, "an ONNX file that is there and may be read")
    need(file, bool(model.pose), "model.pose", model.pose, "an ONNX file")
    fine = model.provider in PROVIDERS
    need(file, fine, "model.provider", model.provider, f"one of {', '.join(PROVIDERS)}")
    need(file, 1 <= model.threads <= 64, "model.threads", model.threads, "1 to 64")
    for name in ("least_score", "most_overlap"):
        value = getattr(model, name)
        need(file, 0 < value <= 1, f"model.{name}", value, "more than 0, at most 1")
    need(file, 1 <= model.most_people <= 50, "model.most_people", model.most_people, "1 to 50")
    for name in ("pose_size_px", "detector_size_px"):
        size_px = getattr(model, name)
        fine = not size_px or (len(size_px) == 2 and all(1 <= one <= 4096 for one in size_px))
        need(file, fine, f"model.{name}", size_px, "width and height, as [640, 640]")
