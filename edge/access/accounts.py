"""Who there is at the broker, and what each may say and hear: as little as its work needs."""

from dataclasses import dataclass

from edge.access.hosts import Hosts, Place
from edge.config import SiteConfig
from sensor_adapters.mqtt_link import matches
from sensor_adapters.settings import ConfigError
from sensor_adapters.topics import InTopic, base

ROLES = ("edge", "bridge", "gateway", "analyst", "operator")


@dataclass(frozen=True)
class Account:
    """One user of the broker; it is connected once at a time."""

    user: str
    about: str
    writes: tuple[str, ...] = ()
    """Topics or filters."""
    reads: tuple[str, ...] = ()


def accounts(config: SiteConfig, hosts: Hosts) -> list[Account]:
    """Return all users of a site's broker: roles, people, devices, programs that are not ours.

    Raises:
        ConfigError: two of them would have one name.
    """
    prefix = base(config.site, config.node)
    own = tuple(f"{prefix}/{one}" for one in ("+", "response/+"))
    said = tuple(f"{prefix}/{station}/+" for station in config.stations)
    made = [
        Account(
            "edge", "the board", (*own, *said), (f"{prefix}/+/in/+/+", f"{prefix}/request/+")
        ),
        Account(
            "bridge", "solosense-bridge",
            (f"{prefix}/bridge/+", *_inputs(config, hosts.bridge)),
        ),
        Account(
            "gateway", "solosense-adapters run",
            (f"{prefix}/adapters/+", *_inputs(config, hosts.gateway)),
            hosts.foreign,
        ),
    ]  # fmt: skip
    heard = [f"{prefix}/+", *said, f"{prefix}/bridge/+", f"{prefix}/adapters/+"]
    heard += [f"{prefix}/camera-{one}/+" for one in hosts.cameras]
    made += [
        Account(user, "reads what the board says", (), tuple(heard))
        for user in ("analyst", *config.access.analysts)
    ]
    made.append(
        Account("operator", "hears all, asks the board", (f"{prefix}/request/+",), ("#", "$SYS/#"))
    )
    carried = {*hosts.bridge, *hosts.gateway}
    places: dict[str, list[Place]] = {}
    for station, one in config.stations.items():
        for device in one.devices:
            if (station, device) not in carried:
                places.setdefault(device, []).append((station, device))
    for device, some in places.items():
        is_camera = device in hosts.cameras
        beside = (f"{prefix}/camera-{device}/+",) if is_camera else ()
        about = "solosense-adapters camera" if is_camera else "a device"
        made.append(Account(device, about, (*_inputs(config, some), *beside)))
    for name, filters in config.access.others.items():
        made.append(Account(name, "a program that is not ours", filters, filters))
    _are_apart(made)
    return made


def said_by_nobody(made: list[Account]) -> list[str]:
    """Return what the gateway hears of devices that speak in their own way, and nobody may say."""
    heard = next(one.reads for one in made if one.user == "gateway")
    said = [topic for one in made for topic in one.writes]
    plain = {one: one.replace("+", "x").replace("#", "x") for one in heard}
    return [one for one in heard if not any(matches(some, plain[one]) for some in said)]


def _inputs(config: SiteConfig, places: list[Place] | tuple[Place, ...]) -> tuple[str, ...]:
    """Return the topics of devices' payloads and of their births and wills."""
    return tuple(
        str(InTopic(config.site, config.node, station, kind, device))
        for station, device in places
        for kind in (config.stations[station].devices[device].adapter, "status")
    )


def _are_apart(made: list[Account]) -> None:
    seen: dict[str, Account] = {}
    for one in made:
        other = seen.setdefault(one.user, one)
        if other is not one:
            raise ConfigError(
                f"user {one.user!r} would be two: {other.about}, and {one.about}; expected names of"
                f" their own, and for devices none of {', '.join(ROLES)}"
            )
