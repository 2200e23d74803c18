"""What configuration files share: TOML into frozen structs; every error names its key."""

import difflib
import os
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sensor_adapters.samples import US_PER_S


class ConfigError(Exception):
    """A setting is wrong; the text names file, key, found and expected."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The MQTT broker to listen to."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
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
                raise ConfigError(
                    f"broker.password_file: {error}, expected a file that holds the password"
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


def read(path: Path, wanted: type[SettingsT], version: int, what: str) -> SettingsT:
    """Return a TOML file as settings; ``what`` it configures is said if it is none.

    Raises:
        ConfigError: the file is missing or no TOML, of another version, or a key is unknown,
            missing or of another type.
    """
    raw = _toml(path, f"a {what} configuration")
    if isinstance(found := raw.get("version"), int) and found != version:
        raise ConfigError(f"{path.name}: version is {found}, expected {version}")
    settings: SettingsT = converted(path.name, "", raw, wanted)
    return settings


def read_part(path: Path, wanted: type[SettingsT]) -> SettingsT:
    """Return a TOML file that carries no version: it comes with the code that reads it.

    Raises:
        ConfigError: as ``read``.
    """
    settings: SettingsT = converted(path.name, "", _toml(path, "TOML"), wanted)
    return settings


def read_broker(path: Path) -> Broker:
    """Return the ``[broker]`` of a TOML file, whatever else stands in it.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting of the broker is wrong.
    """
    table = _toml(path, "TOML with a [broker]").get("broker", {})
    broker: Broker = converted(path.name, "broker", table, Broker)
    check_broker(path.name, broker)
    return beside(broker, path.parent.resolve())


def _toml(path: Path, what: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}, expected {what}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return found


def converted(file: str, key: str, value: Any, wanted: Any) -> Any:
    """Return ``value`` as ``wanted``.

    Raises:
        ConfigError: it does not fit; the text names the file and the key.
    """
    if isinstance(wanted, types.UnionType):  # what may be left out: TOML has no null
        (wanted,) = (one for one in typing.get_args(wanted) if one is not types.NoneType)
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
            **{n: converted(file, inside + n, v, fields[n].type) for n, v in value.items()}
        )
    if (inner := _of_many(wanted)) is not None and isinstance(value, list):
        return tuple(
            converted(file, f"{key}.{number}", one, inner) for number, one in enumerate(value)
        )
    if typing.get_origin(wanted) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is {value!r}, expected a table")
        inner = typing.get_args(wanted)[1]
        return {name: converted(file, f"{key}.{name}", v, inner) for name, v in value.items()}
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        kind = wanted.__name__ if not isinstance(wanted, types.GenericAlias) else str(wanted)
        raise ConfigError(f"{where} is {value!r}, expected {_in_words(kind)}") from error


def _of_many(wanted: Any) -> Any:
    """Return the struct of which a setting is a list; None where it is none."""
    inner = typing.get_args(wanted)[:1] if typing.get_origin(wanted) is tuple else ()
    is_struct = bool(inner) and isinstance(inner[0], type) and issubclass(inner[0], msgspec.Struct)
    return inner[0] if is_struct else None


def _in_words(kind: str) -> str:
    """Return a type's name as a person would say it."""
    words = {
        "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
        "tuple[int, ...]": "a list of whole numbers",
        "tuple[tuple[float, float], ...]": "a list of pairs of numbers",
    }  # fmt: skip
    return words.get(kind, "a list of texts" if "tuple[str" in kind or kind == "tuple" else kind)


def need(file: str, fine: bool, key: str, found: object, expected: str) -> None:
    """Refuse a value that has the right type and makes no sense.

    Raises:
        ConfigError: it is not fine.
    """
    if not fine:
        raise ConfigError(f"{file}: {key} is {found!r}, expected {expected}")


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
