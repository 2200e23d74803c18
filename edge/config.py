"""SiteConfig: one TOML per board, decoded into frozen structs; every error names its key."""

import difflib
import os
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

from sensor_adapters.adapter import UnknownAdapter, load_adapter
from sensor_adapters.samples import US_PER_S
from sensor_adapters.topics import TopicError, check_id

VERSION = 1


class ConfigError(Exception):
    """A setting is wrong; the text names file, key, found and expected."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The MQTT broker to listen to."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password_file: str = ""
    """Path of a file that holds the password; never the password itself."""

    def password(self) -> str:
        """Return the password, from the file or from SOLOSENSE_MQTT_PASSWORD.

        Raises:
            ConfigError: the file can not be read.
        """
        if self.password_file:
            try:
                return Path(self.password_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"broker.password_file: {error}, expected a file that holds the password"
                ) from error
        return os.environ.get("SOLOSENSE_MQTT_PASSWORD", "")


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """Where the segments go."""

    path: str = "solosense.db"
    """SQLite file; relative to the configuration file."""


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


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor of a station."""

    adapter: str
    """Who decodes its payloads: ``imu``, ``pose``, ``state``, ``event``, or another package's."""
    placement: str
    """Where it sits, in the words of the model: ``right_wrist``, ``scanner``."""


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


def load(path: Path) -> SiteConfig:
    """Return the site's configuration, its paths made absolute.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, missing or of another type,
            or a value makes no sense.
    """
    try:
        raw = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}, expected a site configuration") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    if isinstance(version := raw.get("version"), int) and version != VERSION:
        raise ConfigError(f"{path.name}: version is {version}, expected {VERSION}")
    config: SiteConfig = _convert(path.name, "", raw, SiteConfig)
    _check(path.name, config)
    return _absolute(config, path.parent.resolve())


def _convert(file: str, key: str, value: Any, wanted: Any) -> Any:
    """Return ``value`` as ``wanted``, naming the key of whatever does not fit."""
    where = f"{file}: {key or 'the file'}"
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is {value!r}, expected a table")
        fields = {f.name: f for f in msgspec.structs.fields(wanted)}
        inside = f"{key}." if key else ""
        for name in value:
            if name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(fields)}"
                raise ConfigError(f"{file}: {inside}{name} is not a setting; {hint}")
        missing = [n for n, f in fields.items() if f.required and n not in value]
        if missing:
            raise ConfigError(f"{file}: {inside}{missing[0]} is missing, expected a value")
        return wanted(
            **{n: _convert(file, inside + n, v, fields[n].type) for n, v in value.items()}
        )
    if typing.get_origin(wanted) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is {value!r}, expected a table")
        inner = typing.get_args(wanted)[1]
        return {name: _convert(file, f"{key}.{name}", v, inner) for name, v in value.items()}
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        kind = wanted.__name__ if not isinstance(wanted, types.GenericAlias) else str(wanted)
        raise ConfigError(f"{where} is {value!r}, expected {_in_words(kind)}") from error


def _in_words(kind: str) -> str:
    """Return a type's name as a person would say it."""
    words = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    return words.get(kind, "a list of texts" if "tuple[str" in kind or kind == "tuple" else kind)


def _check(file: str, config: SiteConfig) -> None:
    """Refuse values that have the right type and make no sense."""

    def need(fine: bool, key: str, found: object, expected: str) -> None:
        if not fine:
            raise ConfigError(f"{file}: {key} is {found!r}, expected {expected}")

    need(config.version == VERSION, "version", config.version, str(VERSION))
    need(bool(config.broker.host.strip()), "broker.host", config.broker.host, "a host's name")
    need(0 < config.broker.port < 65536, "broker.port", config.broker.port, "1 to 65535")
    need(bool(config.stations), "stations", {}, "at least one station")
    for name, low in (("lateness_s", 0.0), ("silence_s", 1.0), ("max_jump_s", 1.0)):
        value = getattr(config.time, name)
        need(low <= value <= 86_400, f"time.{name}", value, f"seconds from {low:g} to 86400")
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
        need(bool(station.bundles), f"{key}.bundles", [], "at least one bundle folder")
        need(
            len({os.path.normpath(bundle) for bundle in station.bundles}) == len(station.bundles),
            f"{key}.bundles",
            list(station.bundles),
            "each bundle once",
        )
        need(
            not station.failover or len(station.bundles) > 1,
            f"{key}.failover", station.failover, "false, or several bundles to share one voice",
        )  # fmt: skip
        need(bool(station.devices), f"{key}.devices", {}, "at least one device")
        placements: dict[str, str] = {}
        for device_id, device in station.devices.items():
            try:
                load_adapter(device.adapter)
            except UnknownAdapter as error:
                raise ConfigError(f"{file}: {key}.devices.{device_id}.adapter: {error}") from error
            other = placements.setdefault(device.placement, device_id)
            need(
                other == device_id,
                f"{key}.devices.{device_id}.placement",
                device.placement,
                f"a place of its own; {other} sits there",
            )


def _absolute(config: SiteConfig, folder: Path) -> SiteConfig:
    """Return the configuration with paths taken from the file's folder."""
    stations = {
        id_: msgspec.structs.replace(
            s, bundles=tuple(str((folder / b).resolve()) for b in s.bundles)
        )
        for id_, s in config.stations.items()
    }
    broker = config.broker
    if broker.password_file:
        path = str(folder / broker.password_file)
        broker = msgspec.structs.replace(broker, password_file=path)
    log = Log(path=str(folder / config.log.path))
    return msgspec.structs.replace(config, stations=stations, broker=broker, log=log)
