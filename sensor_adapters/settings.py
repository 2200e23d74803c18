"""What configuration files share: TOML into frozen structs; every error names its key."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from sensor_adapters.samples import US_PER_S
from sensor_adapters.setting_checks import converted as converted
from sensor_adapters.setting_words import ConfigError as ConfigError, shown
from sensor_adapters.toml_file import located as located, toml

log = logging.getLogger(__name__)


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The MQTT broker to listen to."""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """Name or address of the broker's machine."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 1883
    """TCP port of the broker."""
    username: str = ""
    """Who we are to the broker; empty: nobody in particular."""
    password_file: str = ""
    """Path of a file that holds the password; never the password itself."""
    tls: bool = False
    """Speak TLS; the broker's certificate and its name are always checked."""
    ca_file: str = ""
    """Certificates of the authorities that may vouch for the broker; empty: the system's."""
    cert_file: str = ""
    """Certificate by which we are known to a broker that asks for one."""
    key_file: str = ""
    """Key of ``cert_file``, without a password."""
    server_name: str = ""
    """Name that the broker's certificate must hold; empty: ``host``."""
    keepalive_s: int = 30
    """A broker that says nothing for twice as long is taken for gone."""

    def password(self) -> str:
        """Return the password, from the file or from SOLOSENSE_MQTT_PASSWORD.

        Raises:
            ConfigError: the file can not be read.
        """
        if self.password_file:
            try:
                return Path(self.password_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or error
                raise ConfigError(
                    f"broker.password_file is {shown(self.password_file)}: {why}, expected a file"
                    " that holds the password"
                ) from error
        return os.environ.get("SOLOSENSE_MQTT_PASSWORD", "")


class OutboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What waits while the broker is away."""

    path: str = ""
    """SQLite file beside the configuration file; ``bridge.toml``: ``bridge-outbox.db``."""
    most_mb: float = 256.0
    most_hours: float = 24.0

    @property
    def most_bytes(self) -> int:
        """Room in bytes."""
        return round(self.most_mb * 1e6)

    @property
    def most_age_us(self) -> int:
        """Age in us beyond which nothing is kept."""
        return round(self.most_hours * 3600 * US_PER_S)


SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)
Older = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
"""By version of a file's format, what makes of its content that of the next version."""
NONE_OLDER: Older = {}


def read(
    path: Path, wanted: type[SettingsT], version: int, what: str, older: Older = NONE_OLDER
) -> SettingsT:
    """Return a TOML file as settings; ``what`` it configures is said if it is none.

    Raises:
        ConfigError: the file is missing or no TOML, of another version that ``older`` does not
            begin with, or keys are unknown, missing or of another type.
    """
    raw = toml(path, f"a {what} configuration")
    found = raw.get("version")
    if type(found) is int and found != version:
        raw = upgraded(path.name, raw, version, older)
        log.warning("%s: version is %d, read as version %d", path.name, found, version)
    settings: SettingsT = converted(path.name, "", raw, wanted)
    return settings


def upgraded(file: str, raw: dict[str, Any], version: int, older: Older) -> dict[str, Any]:
    """Return the content of a file of an older version as that of this one.

    Raises:
        ConfigError: it is of a newer version, or of one that nobody knows.
    """
    found = raw["version"]
    if found > version:
        raise ConfigError(
            f"{file}: version is {found}, expected {version}: the file was written for a newer"
            " program; update this one"
        )
    while (at := raw["version"]) < version:
        if at not in older:
            raise ConfigError(f"{file}: version is {found}, expected {version}")
        raw = {**older[at](raw), "version": at + 1}
    return raw


def read_part(path: Path, wanted: type[SettingsT]) -> SettingsT:
    """Return a TOML file that carries no version: it comes with the code that reads it.

    Raises:
        ConfigError: as ``read``.
    """
    settings: SettingsT = converted(path.name, "", toml(path, "TOML"), wanted)
    return settings


def read_broker(path: Path) -> Broker:
    """Return the ``[broker]`` of a TOML file, whatever else stands in it.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting of the broker is wrong.
    """
    table = toml(path, "TOML with a [broker]").get("broker", {})
    broker: Broker = converted(path.name, "broker", table, Broker)
    check_broker(path.name, broker)
    return beside(broker, path.parent.resolve())


def need(file: str, fine: bool, key: str, found: object, expected: str) -> None:
    """Refuse a value that has the right type and makes no sense.

    Raises:
        ConfigError: it is not fine.
    """
    if not fine:
        raise ConfigError(f"{file}: {key} is {shown(found)}, expected {expected}")


def check_broker(file: str, broker: Broker) -> None:
    """Refuse a broker that can not be one.

    Raises:
        ConfigError: a host without a name, a port that is none, files for TLS and no TLS.
    """
    need(file, bool(broker.host.strip()), "broker.host", broker.host, "a host's name")
    need(file, 0 < broker.port < 65536, "broker.port", broker.port, "1 to 65535")
    for name in ("ca_file", "cert_file", "key_file", "server_name"):
        value = getattr(broker, name)
        need(file, broker.tls or not value, f"broker.{name}", value, "none without broker.tls")
    pair = bool(broker.cert_file) == bool(broker.key_file)
    need(file, pair, "broker.cert_file", broker.cert_file, "a file, with its broker.key_file")
    alive_s = broker.keepalive_s
    need(file, 1 <= alive_s <= 3600, "broker.keepalive_s", alive_s, "seconds from 1 to 3600")


def beside(broker: Broker, folder: Path) -> Broker:
    """Return the broker's settings with paths taken from the file's folder."""
    names = ("password_file", "ca_file", "cert_file", "key_file")
    given = {name: str(folder / path) for name in names if (path := getattr(broker, name))}
    return msgspec.structs.replace(broker, **given)


def outbox_beside(outbox: OutboxConfig, file: Path) -> OutboxConfig:
    """Return the outbox's settings with its path taken from the configuration file's folder."""
    path = file.parent.resolve() / (outbox.path or f"{file.stem}-outbox.db")
    return msgspec.structs.replace(outbox, path=str(path))


def check_outbox(file: str, outbox: OutboxConfig) -> None:
    """Refuse an outbox that could hold nothing.

    Raises:
        ConfigError: no room, no time.
    """
    need(file, outbox.most_mb >= 1, "outbox.most_mb", outbox.most_mb, "1 or more")
    hours = outbox.most_hours
    need(file, 0 < hours <= 24 * 365, "outbox.most_hours", hours, "more than 0, at most a year")
