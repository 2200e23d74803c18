"""adapters.toml: which devices there are that speak in their own way, and whose they are."""

from pathlib import Path
from typing import Any

import msgspec

from sensor_adapters.gateway.scanner_config import ScannerConfig, check_scanners
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
MOST_KEY_BYTES = 64


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the gateway is told."""

    version: int
    """Of this file's format, 1."""
    site: str
    node: str
    devices: dict[str, dict[str, Any]] = {}
    """By device id; each has a station, an adapter, and what that adapter asks for."""
    scanners: dict[str, ScannerConfig] = {}
    """By device id: barcode scanners that pose as keyboards of this machine."""
    broker: Broker = Broker()
    outbox: OutboxConfig = OutboxConfig()
    badge_key_file: str = ""
    """Holds the secret that keys the hash of people's codes (``badges``)."""

    def badge_key(self) -> bytes:
        """Return the secret.

        Raises:
            ConfigError: the file can not be read, is empty, or somebody's badges want one.
        """
        if not self.badge_key_file:
            badges = {f"devices.{name}": b.get("badges") for name, b in self.devices.items()}
            badges |= {f"scanners.{name}": one.badges for name, one in self.scanners.items()}
            for where, pattern in badges.items():
                if pattern:
                    raise ConfigError(
                        f"{where}.badges: found no badge_key_file, expected a file that"
                        " holds the secret by which badges are hashed"
                    )
            return b""
        try:
            key = Path(self.badge_key_file).read_bytes().strip()
        except OSError as error:
            raise ConfigError(f"badge_key_file: {error}, expected a file with a secret") from error
        if not 16 <= len(key) <= MOST_KEY_BYTES:
            raise ConfigError(
                f"badge_key_file holds {len(key)} bytes, expected 16 to {MOST_KEY_BYTES}"
            )
        return key


def load(path: Path) -> GatewayConfig:
    """Return the gateway's configuration, its paths made absolute.

    What a device's block says is for its adapter to judge.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, missing or of another type,
            or a value makes no sense.
    """
    with located(path):
        config = read(path, GatewayConfig, VERSION, "gateway")
        _check(path.name, config)
    folder = path.parent.resolve()
    key_file = str(folder / config.badge_key_file) if config.badge_key_file else ""
    return msgspec.structs.replace(
        config, broker=beside(config.broker, folder), outbox=outbox_beside(config.outbox, path),
        badge_key_file=key_file,
    )  # fmt: skip


def _check(file: str, config: GatewayConfig) -> None:
    need(file, config.version == VERSION, "version", config.version, str(VERSION))
    check_broker(file, config.broker)
    check_outbox(file, config.outbox)
    has_some = bool(config.devices or config.scanners)
    need(file, has_some, "devices", {}, "at least one device, or one of scanners")
    twice = sorted(config.devices.keys() & config.scanners.keys())
    need(file, not twice, "scanners", twice, "ids that no device has")
    check_scanners(file, config.scanners)
    try:
        check_id("site", config.site)
        check_id("node", config.node)
        for device, block in config.devices.items():
            check_id("devices", device)
            for key in ("station", "adapter"):
                found = block.get(key)
                need(file, isinstance(found, str), f"devices.{device}.{key}", found, "a text")
            check_id(f"devices.{device}.station", block["station"])
    except TopicError as error:
        raise ConfigError(f"{file}: {error}") from error
