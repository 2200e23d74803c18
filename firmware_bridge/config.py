"""bridge.toml: which ports there are, and where what their boards say goes."""

from pathlib import Path

import msgspec

from firmware_bridge.readings import Target
from sensor_adapters import imu
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


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """A device that prints lines of text: level 0, no sum, no clock, no numbers."""

    device: str
    """Whose readings they are."""
    columns: tuple[str, ...] = ()
    """Numbers of a line, between commas, tabs or blanks: ``acc_x…gyr_z``. None: each line says that
    something happened, as a barcode scanner's does."""
    acc_unit: str = "m/s^2"
    gyr_unit: str = "rad/s"


class PortConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One serial port and the board on it."""

    path: str
    """``/dev/serial/by-id/…``, which outlives renumbering, or ``socket://HOST:PORT``."""
    station: str
    baud: int = 921_600
    streams: dict[str, str] = msgspec.field(default_factory=dict)
    """Device by stream, as the board names its streams."""
    lines: Lines | None = None
    resets: bool = False
    """Raise DTR when opening it, which starts an Arduino anew."""

    @property
    def targets(self) -> dict[str, Target]:
        """Where each stream goes."""
        return {name: Target(self.station, device) for name, device in self.streams.items()}


class BridgeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the bridge is told."""

    version: int
    """Of this file's format, 1."""
    site: str
    node: str
    ports: dict[str, PortConfig]
    """By a name of your own."""
    broker: Broker = Broker()
    outbox: OutboxConfig = OutboxConfig()


def load(path: Path) -> BridgeConfig:
    """Return the bridge's configuration, its paths made absolute.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, missing or of another type,
            or a value makes no sense.
    """
    with located(path):
        config = read(path, BridgeConfig, VERSION, "bridge")
        _check(path.name, config)
    folder = path.parent.resolve()
    outbox = outbox_beside(config.outbox, path)
    return msgspec.structs.replace(config, broker=beside(config.broker, folder), outbox=outbox)


def _check(file: str, config: BridgeConfig) -> None:
    need(file, config.version == VERSION, "version", config.version, str(VERSION))
    check_broker(file, config.broker)
    need(file, bool(config.ports), "ports", {}, "at least one port")
    check_outbox(file, config.outbox)
    paths: dict[str, str] = {}
    devices: dict[tuple[str, str], str] = {}
    try:
        check_id("site", config.site)
        check_id("node", config.node)
        for name, port in config.ports.items():
            key = f"ports.{name}"
            check_id("ports", name)
            check_id(f"{key}.station", port.station)
            said = [*port.streams.items()]
            said += [("lines", port.lines.device)] if port.lines else []
            need(file, bool(said), f"{key}.streams", {}, "a device for a stream, or lines")
            need(file, 300 <= port.baud <= 12_000_000, f"{key}.baud", port.baud, "300 to 12000000")
            other = paths.setdefault(port.path, name)
            need(
                file, other == name, f"{key}.path", port.path, f"a port of its own; {other} has it"
            )
            if port.lines is not None:
                _check_lines(file, f"{key}.lines", port.lines)
            for stream, device in said:
                check_id(f"{key}.{stream}", device)
                whose = devices.setdefault((port.station, device), key)
                need(
                    file, whose == key and [d for _, d in said].count(device) == 1,
                    f"{key}.{stream}", device, f"a device of its own; {whose} speaks for it",
                )  # fmt: skip
    except TopicError as error:
        raise ConfigError(f"{file}: {error}") from error


def _check_lines(file: str, key: str, lines: Lines) -> None:
    known = [one.name for one in imu.stream.channels]
    for name in lines.columns:
        need(file, name in known, f"{key}.columns", name, f"one of {', '.join(known)}")
    for unit, scales in (("acc_unit", imu.ACC_SCALE), ("gyr_unit", imu.GYR_SCALE)):
        found = getattr(lines, unit)
        need(file, found in scales, f"{key}.{unit}", found, _either(list(scales)))


def _either(words: list[str]) -> str:
    """Return words as a choice.

    >>> _either(["m/s^2", "g", "mg"])
    'm/s^2, g or mg'
    """
    return f"{', '.join(words[:-1])} or {words[-1]}"
