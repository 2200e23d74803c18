"""SiteConfig: one TOML per board, decoded into frozen structs; every error names its key."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from edge.allowance import DEFAULT_BURST, DEFAULT_PER_S
from sensor_adapters.adapter import UnknownAdapter, load_adapter
from sensor_adapters.samples import US_PER_S
from sensor_adapters.settings import Broker, ConfigError, beside, check_broker, need, read
from sensor_adapters.topics import TopicError, check_id, is_filter

VERSION = 1


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """Where the segments go."""

    path: str = "solosense.db"
    """SQLite file; relative to the configuration file."""
    checkpoint_s: float = 5.0
    """From one checkpoint to the next; after a power cut the broker sends again what came since."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one device may ask of the board; more is refused, and no other device pays for it."""

    payload_bytes: int = 1_000_000
    """Of one message."""
    messages_per_s: float = DEFAULT_PER_S
    """By the device's own event time, so that what waited for a broker may come at once."""
    burst_messages: int = DEFAULT_BURST
    """That it may send before they count."""


class Bundles(msgspec.Struct, frozen=True, kw_only=True):
    """Whose models are trusted."""

    public_key: str = ""
    """As minisign prints it; every bundle must be signed with its secret key. Empty: none need."""
    public_key_file: str = ""
    """Or the file ``minisign.pub`` that holds it."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Of the broker's users, those that are not the board's or a device's."""

    analysts: tuple[str, ...] = ()
    """Names besides ``analyst``: each reads what the board says."""
    others: dict[str, tuple[str, ...]] = {}
    """Programs that are not ours, by name: filters below which they may say and hear all."""


class Time(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for whom."""

    lateness_s: float = 2.0
    """A reading may come this much later than the station's newest; then it is late."""
    silence_s: float = 30.0
    """A station that says nothing for this long (wall clock) has its time moved on without it."""
    max_jump_s: float = 600.0
    """A reading further ahead of its station is refused: its clock is wrong."""

    @property
    def lateness_us(self) -> int:
        """Lateness in microseconds."""
        return round(self.lateness_s * US_PER_S)

    @property
    def silence_us(self) -> int:
        """Silence in microseconds."""
        return round(self.silence_s * US_PER_S)

    @property
    def max_jump_us(self) -> int:
        """Largest jump in microseconds."""
        return round(self.max_jump_s * US_PER_S)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """When health says that something is wrong."""

    write_budget_mb_per_day: float = 10_000.0
    """What the board may write to the disk in a day; 0: as much as it likes."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Where Prometheus may ask."""

    host: str = "127.0.0.1"
    port: int = 0
    """9464 is the usual one; 0: nowhere."""


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor of a station."""

    adapter: str
    """Who decodes its payloads: ``imu``, ``pose``, ``state``, ``event``, or another package's."""
    placement: str
    """Where it sits, in the words of the model: ``right_wrist``, ``scanner``."""
    clock: Literal["device", "arrival"] = "device"
    """``arrival``: its clock is wrong; its readings are placed by when they arrive."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One place of work, with its sensors and the models that watch it."""

    bundles: tuple[str, ...]
    """Folders of model bundles, relative to the configuration file; they run side by side."""
    failover: bool = False
    """The bundles share one voice: one log, of all whose sensors are alive."""
    devices: dict[str, DeviceConfig]
    """By device id."""


class SiteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one board is told."""

    version: int
    """Of this file's format, 1."""
    site: str
    node: str
    stations: dict[str, Station]
    """By station id."""
    broker: Broker = Broker()
    log: Log = Log()
    time: Time = Time()
    limits: Limits = Limits()
    bundles: Bundles = Bundles()
    access: Access = Access()
    health: Health = Health()
    metrics: Metrics = Metrics()


def load(path: Path) -> SiteConfig:
    """Return the site's configuration, its paths made absolute.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, missing or of another type,
            or a value makes no sense.
    """
    config = read(path, SiteConfig, VERSION, "site")
    _check(path.name, config)
    return _absolute(config, path.parent.resolve())


def _check(file: str, config: SiteConfig) -> None:
    """Refuse values that have the right type and make no sense."""
    need(file, config.version == VERSION, "version", config.version, str(VERSION))
    check_broker(file, config.broker)
    need(file, bool(config.stations), "stations", {}, "at least one station")
    for name, low in (("lateness_s", 0.0), ("silence_s", 1.0), ("max_jump_s", 1.0)):
        value = getattr(config.time, name)
        need(file, low <= value <= 86_400, f"time.{name}", value, f"seconds from {low:g} to 86400")
    every_s = config.log.checkpoint_s
    need(file, 0 < every_s <= 600, "log.checkpoint_s", every_s, "more than 0, at most 600")
    _check_limits(file, config.limits)
    _check_access(file, config.access)
    both = config.bundles.public_key and config.bundles.public_key_file
    need(file, not both, "bundles.public_key", config.bundles.public_key, "it or public_key_file")
    budget_mb = config.health.write_budget_mb_per_day
    need(file, budget_mb >= 0, "health.write_budget_mb_per_day", budget_mb, "0 or more")
    port = config.metrics.port
    need(file, 0 <= port < 65536, "metrics.port", port, "0 (off) to 65535")
    try:
        check_id("site", config.site)
        check_id("node", config.node)
        for id_, station in config.stations.items():
            check_id("stations", id_)
            for name in station.devices:
                check_id(f"stations.{id_}.devices", name)
    except TopicError as error:
        raise ConfigError(f"{file}: {error}") from error
    for id_, station in config.stations.items():
        key = f"stations.{id_}"
        need(file, bool(station.bundles), f"{key}.bundles", [], "at least one bundle folder")
        need(
            file,
            len({os.path.normpath(bundle) for bundle in station.bundles}) == len(station.bundles),
            f"{key}.bundles",
            list(station.bundles),
            "each bundle once",
        )
        need(
            file,
            not station.failover or len(station.bundles) > 1,
            f"{key}.failover", station.failover, "false, or several bundles to share one voice",
        )  # fmt: skip
        need(file, bool(station.devices), f"{key}.devices", {}, "at least one device")
        placements: dict[str, str] = {}
        for device_id, device in station.devices.items():
            try:
                load_adapter(device.adapter)
            except UnknownAdapter as error:
                raise ConfigError(f"{file}: {key}.devices.{device_id}.adapter: {error}") from error
            other = placements.setdefault(device.placement, device_id)
            need(
                file,
                other == device_id,
                f"{key}.devices.{device_id}.placement",
                device.placement,
                f"a place of its own; {other} sits there",
            )


def _check_limits(file: str, limits: Limits) -> None:
    size, rate, burst = limits.payload_bytes, limits.messages_per_s, limits.burst_messages
    fine = 1000 <= size <= 100_000_000
    need(file, fine, "limits.payload_bytes", size, "1000 to 100000000")
    need(file, 0 < rate <= 1e6, "limits.messages_per_s", rate, "more than 0, at most 1000000")
    need(file, 1 <= burst <= 10**9, "limits.burst_messages", burst, "1 to 1000000000")


def _check_access(file: str, access: Access) -> None:
    try:
        for name in (*access.analysts, *access.others):
            check_id("access", name)
    except TopicError as error:
        raise ConfigError(f"{file}: {error}") from error
    for name, filters in access.others.items():
        for one in filters:
            fine = is_filter(one) and one.isprintable()
            need(file, fine, f"access.others.{name}", one, "a topic, or a filter with + or #")


def _absolute(config: SiteConfig, folder: Path) -> SiteConfig:
    """Return the configuration with paths taken from the file's folder."""
    stations = {
        id_: msgspec.structs.replace(
            s, bundles=tuple(str((folder / b).resolve()) for b in s.bundles)
        )
        for id_, s in config.stations.items()
    }
    broker = beside(config.broker, folder)
    log = msgspec.structs.replace(config.log, path=str(folder / config.log.path))
    key_file = config.bundles.public_key_file
    bundles = msgspec.structs.replace(
        config.bundles, public_key_file=str(folder / key_file) if key_file else ""
    )
    return msgspec.structs.replace(
        config, stations=stations, broker=broker, log=log, bundles=bundles
    )
