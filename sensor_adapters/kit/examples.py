"""What an adapter was seen or is documented to hear, and what it shall make of it: a TOML file.

It lies beside the adapter's module, under its name. The adapter's tests, ``check``, ``try`` and the
page of supported devices all read it.
"""

import inspect
from pathlib import Path
from typing import Any

import msgspec

from sensor_adapters.device import DeviceAdapter
from sensor_adapters.settings import ConfigError, read_part
from sensor_adapters.topics import Message


class ExampleMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message, and the readings it makes, in words (``in_words``)."""

    topic: str
    readings: tuple[str, ...]
    payload: str = ""
    hex: str = ""
    """In place of ``payload``, where it is not text."""
    retained: bool = False

    def message(self, at_us: int = 0) -> Message:
        """Return it as it comes."""
        body = bytes.fromhex(self.hex) if self.hex else self.payload.encode()
        return Message(self.topic, body, at_us, self.retained)


class ExampleDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that can be bought, and what it says."""

    name: str
    source: str
    """Where its messages were seen: a recording, a manual's page."""
    settings: dict[str, Any]
    """Its block of the configuration, without station and adapter."""
    messages: tuple[ExampleMessage, ...]

    def block(self, adapter: str) -> dict[str, Any]:
        """Return its whole block of the configuration."""
        return {"station": "pack-1", "adapter": adapter, **self.settings}


class ExampleDiscovery(msgspec.Struct, frozen=True, kw_only=True):
    """A message by which devices make themselves known."""

    source: str
    topic: str
    found: tuple[str, ...]
    """Names of the devices."""
    payload: str = ""
    hex: str = ""
    """In place of ``payload``, where it is not text."""

    def message(self) -> Message:
        """Return it as it comes."""
        body = bytes.fromhex(self.hex) if self.hex else self.payload.encode()
        return Message(self.topic, body, 0, retained=True)


class Examples(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter in its own words."""

    title: str
    about: str
    """What it is for, in one line."""
    limits: str = ""
    devices: tuple[ExampleDevice, ...] = ()
    discovery: tuple[ExampleDiscovery, ...] = ()


def examples(adapter: type[DeviceAdapter[Any]]) -> Examples:
    """Return an adapter's examples; see ``examples_of``."""
    return examples_of(Path(inspect.getfile(adapter)))


def examples_of(module: Path) -> Examples:
    """Return the examples beside an adapter's module.

    Raises:
        ConfigError: there is no such file, or it is not of this form.
    """
    path = module.with_suffix(".toml")
    if not path.is_file():
        raise ConfigError(f"{path.name} is missing, expected examples beside {path.stem}.py")
    return read_part(path, Examples)
