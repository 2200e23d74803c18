"""SiteConfig: one TOML per board, decoded into frozen structs; every error names its key."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.allowance import DEFAULT_BURST, DEFAULT_PER_S
from edge.storage.retention import TABLES
from sensor_adapters.adapter import UnknownAdapter, load_adapter
from sensor_adapters.samples import US_PER_S
from sensor_adapters.setting_words import meant, shown
from sensor_adapters.settings import (
    Broker,
    ConfigError,
    Older,
    beside,
    check_broker,
    located,
    read,
)
from sensor_adapters.topics import ID, is_filter

VERSION = 1
OLDER: Older = {}
"""By an older version of the file's format, what makes of its content that of the next."""
RESTART = Meta(extra_json_schema={"x-applies": "restart"})
"""Marks what a reload leaves alone; all else is live."""
_ID_IN_WORDS = "an id of 1 to 32 of a-z 0-9 _ -"
Id = Annotated[str, Meta(pattern="^[a-z0-9_-]{1,32}$", description=_ID_IN_WORDS)]
Text = Annotated[str, Meta(min_length=1)]


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """Where the segments go."""

    path: Annotated[Text, RESTART] = "solosense.db"
    """SQLite file; relative to the configuration file."""
    checkpoint_s: Annotated[float, Meta(gt=0, le=600)] = 20.0
    """From one checkpoint to the next; after a kill the broker sends again what came since."""
    reserve_mb: Annotated[int, RESTART, Meta(ge=0)] = 16
    """Kept free beside the log, for when the disk is full; 0: nothing is."""
    keep_days: Annotated[float, RESTART, Meta(ge=0)] = 0.0
    """Older rows are deleted; 0: none is."""
    keep_table_days: Annotated[dict[str, Annotated[float, Meta(ge=0)]], RESTART] = {}
    """The same for single tables."""
    max_mb: Annotated[int, RESTART, Meta(ge=0)] = 0
    """Of rows; beyond it the oldest are deleted; 0: none is."""

    def keeps_days(self) -> dict[str, float]:
        """Return how long the rows of each table are kept, 0: for ever."""
        return dict.fromkeys(TABLES, self.keep_days) | self.keep_table_days


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one device may ask of the board; more is refused, and no other device pays for it."""

    payload_bytes: Annotated[int, Meta(ge=1000, le=100_000_000)] = 1_000_000
    """Of one message."""
    messages_per_s: Annotated[float, Meta(gt=0, le=1_000_000)] = DEFAULT_PER_S
    """By the device's own event time, so that what waited for a broker may come at once."""
    burst_messages: Annotated[int, Meta(ge=1, le=1_000_000_000)] = DEFAULT_BURST
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
    others: dict[Id, tuple[str, ...]] = {}
    """Programs that are not ours, by name: filters below which they may say and hear all."""


class BoardBroker(Broker, frozen=True, kw_only=True):
    """The MQTT broker to listen to."""

    mqtt: Literal["3.1.1", "5"] = "3.1.1"
    """With ``5`` the board itself tells the broker how many messages may be on their way."""


class Time(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for whom."""

    lateness_s: Annotated[float, Meta(ge=0, le=86_400)] = 2.0
    """A reading may come this much later than the station's newest; then it is late."""
    silence_s: Annotated[float, Meta(ge=1, le=86_400)] = 30.0
    """A station that says nothing for this long (wall clock) has its time moved on without it."""
    max_jump_s: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
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

    write_budget_mb_per_day: Annotated[float, Meta(ge=0)] = 10_000.0
    """What the board may write to the disk in a day; 0: as much as it likes."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Where Prometheus may ask."""

    host: Annotated[Text, RESTART] = "127.0.0.1"
    """Address to be asked at."""
    port: Annotated[int, RESTART, Meta(ge=0, le=65535)] = 0
    """9464 is the usual one; 0: nowhere."""


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor of a station."""

    adapter: Annotated[Text, Meta(examples=["imu"])]
    """Who decodes its payloads: ``imu``, ``pose``, ``state``, ``event``, or another package's."""
    placement: Annotated[Text, Meta(examples=["right_wrist"])]
    """Where it sits, in the words of the model: ``right_wrist``, ``scanner``."""
    clock: Literal["device", "arrival"] = "device"
    """``arrival``: its clock is wrong; its readings are placed by when they arrive."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One place of work, with its sensors and the models that watch it."""

    bundles: Annotated[tuple[Text, ...], Meta(min_length=1, examples=[["bundles/imu"]])]
    """Folders of model bundles, relative to the configuration file; they run side by side."""
    failover: bool = False
    """The bundles share one voice: one log, of all whose sensors are alive."""
    devices: Annotated[dict[Id, DeviceConfig], Meta(min_length=1)]
    """By device id."""


class SiteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one board is told."""

    version: Annotated[int, RESTART, Meta(examples=[VERSION])]
    """Of this file's format, 1."""
    site: Annotated[Id, RESTART, Meta(examples=["osaka"])]
    """Where the board is; the first part of its topics."""
    node: Annotated[Id, RESTART, Meta(examples=["jetson-01"])]
    """The board; site and node together are one board's own."""
    stations: Annotated[dict[Id, Station], Meta(min_length=1)]
    """By station id."""
    broker: Annotated[BoardBroker, RESTART] = BoardBroker()
    """The MQTT broker to listen to."""
    log: Log = Log()
    """Where the segments go."""
    time: Time = Time()
    """How long to wait for whom."""
    limits: Limits = Limits()
    """What one device may ask."""
    bundles: Bundles = Bundles()
    """Whose models may run."""
    access: Access = Access()
    """Who there is at the broker besides; for ``solosense-edge access``."""
    health: Health = Health()
    """When health says that something is wrong."""
    metrics: Annotated[Metrics, RESTART] = Metrics()
    """Where Prometheus may ask."""


def load(path: Path) -> SiteConfig:
    """Return the site's configuration, its paths made absolute.

    Raises:
        ConfigError: the file is missing or no TOML, keys are unknown, missing or of another type,
            or values make no sense.
    """
    with located(path):
        config = read(path, SiteConfig, VERSION, "site", OLDER)
        check_broker(path.name, config.broker)
        if wrong := [f"{path.name}: {text}" for text in _wrong(config)]:
            raise ConfigError("\n".join(wrong))
    return _absolute(config, path.parent.resolve())


def _wrong(config: SiteConfig) -> Iterator[str]:
    """Yield what is wrong with values that have the right type and make no sense."""
    for table in config.log.keep_table_days.keys() - set(TABLES):
        tables = ", ".join(TABLES)
        yield f"log.keep_table_days.{table} is no table, expected one of the tables {tables}"
    if config.bundles.public_key and config.bundles.public_key_file:
        yield "bundles.public_key_file is set as well as public_key, expected one of them"
    for name in config.access.analysts:
        if not ID.match(name):
            yield f"access.analysts holds {shown(name)}, expected {_ID_IN_WORDS}"
    for name, filters in config.access.others.items():
        for one in filters:
            if not is_filter(one) or not one.isprintable():
                where = f"access.others.{name}"
                yield f"{where} is {shown(one)}, expected a topic, or a filter with + or #"
    for id_, station in config.stations.items():
        key = f"stations.{id_}"
        folders = [os.path.normpath(bundle) for bundle in station.bundles]
        if len(set(folders)) < len(folders):
            yield f"{key}.bundles is {shown(list(station.bundles))}, expected each bundle once"
        if station.failover and len(station.bundles) == 1:
            yield (f"{key}.failover is true, expected false, or several bundles to share one voice")
        placements: dict[str, str] = {}
        for device_id, device in station.devices.items():
            where = f"{key}.devices.{device_id}"
            try:
                load_adapter(device.adapter)
            except UnknownAdapter as error:
                yield f"{where}.adapter: {error}{meant(device.adapter, error.known)}"
            other = placements.setdefault(device.placement, device_id)
            if other != device_id:
                yield (
                    f"{where}.placement is {shown(device.placement)}, expected a place of its"
                    f" own; {other} sits there"
                )


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
