"""What hosts between devices and the board carry, as their own configuration files say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.config import SiteConfig
from sensor_adapters.gateway import config as gateway_config
from sensor_adapters.gateway.calibration import opened
from sensor_adapters.settings import ConfigError

Place = tuple[str, str]
"""Station and device."""


@dataclass(frozen=True)
class Hosts:
    """Whose devices do not speak to the broker themselves."""

    bridge: tuple[Place, ...] = ()
    gateway: tuple[Place, ...] = ()
    foreign: tuple[str, ...] = ()
    """Filters that the gateway hears: there devices speak in their own way."""
    cameras: tuple[str, ...] = ()
    """Device ids of those that are a program of ours."""


class _Lines(msgspec.Struct):
    device: str


class _Port(msgspec.Struct):
    station: str
    streams: dict[str, str] = {}
    lines: _Lines | None = None


class _Bridge(msgspec.Struct):
    """What is read of bridge.toml here; the bridge itself reads and checks all of it."""

    site: str
    node: str
    ports: dict[str, _Port]


class _Camera(msgspec.Struct):
    """Likewise of camera.toml."""

    site: str
    node: str
    device: str
    stations: dict[str, dict[str, Any]]


def read(config: SiteConfig, bridge: Path | None, gateway: Path | None, *cameras: Path) -> Hosts:
    """Return what these files' hosts carry to this board.

    Raises:
        ConfigError: a file is missing or wrong, another board's, or names a device that the site's
            configuration does not.
    """
    carried: list[Place] = []
    if bridge is not None:
        host = _decoded(bridge, _Bridge)
        _is_of(config, bridge, host.site, host.node)
        for port in host.ports.values():
            names = [*port.streams.values(), *([port.lines.device] if port.lines else [])]
            carried += [(port.station, name) for name in names]
        _are_of(config, bridge, carried)
    spoken: list[Place] = []
    foreign: tuple[str, ...] = ()
    if gateway is not None:
        found = gateway_config.load(gateway)
        _is_of(config, gateway, found.site, found.node)
        some = [one for name in found.devices for one in opened(found, gateway.name, name).topics]
        foreign = tuple(dict.fromkeys(some))
        spoken = [(block["station"], name) for name, block in found.devices.items()]
        spoken += [(scanner.station, name) for name, scanner in found.scanners.items()]
        _are_of(config, gateway, spoken)
    watched = [(file, _decoded(file, _Camera)) for file in cameras]
    for file, camera in watched:
        _is_of(config, file, camera.site, camera.node)
        _are_of(config, file, [(station, camera.device) for station in camera.stations])
    devices = tuple(camera.device for _, camera in watched)
    for index, (file, camera) in enumerate(watched):
        if camera.device in devices[:index]:
            raise ConfigError(
                f"{file.name}: device is {camera.device!r}, expected one of its own: it is that of"
                f" {watched[devices.index(camera.device)][0].name}"
            )
    return Hosts(tuple(carried), tuple(spoken), foreign, devices)


def _decoded(path: Path, wanted: type[Any]) -> Any:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=wanted)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}, expected its configuration") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path.name}: {error}") from error


def _is_of(config: SiteConfig, path: Path, site: str, node: str) -> None:
    if (site, node) != (config.site, config.node):
        raise ConfigError(
            f"{path.name}: site and node are {site!r} and {node!r}, expected {config.site!r} and"
            f" {config.node!r}, as the board's"
        )


def _are_of(config: SiteConfig, path: Path, places: list[Place]) -> None:
    for station, device in places:
        if station not in config.stations or device not in config.stations[station].devices:
            raise ConfigError(
                f"{path.name}: device {device!r} at station {station!r} is not in the site's"
                " configuration, expected one that the board knows"
            )
