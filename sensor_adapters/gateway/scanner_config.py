"""``[scanners.<id>]`` of adapters.toml: scanners that type, and whose they are."""

import re

import msgspec

from sensor_adapters.gateway.hid_layouts import LAYOUTS
from sensor_adapters.settings import ConfigError, need
from sensor_adapters.topics import TopicError, check_id


class ScannerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A barcode scanner that poses as a keyboard."""

    path: str
    """``/dev/input/by-id/usb-…-event-kbd``: the same wherever and whenever it is plugged in."""
    station: str
    layout: str = "us"
    """The keyboard that it was set to pose as."""
    badges: str = ""
    """Codes that match this pattern are people's: a keyed hash of them goes out."""
    debounce_s: float = 0.3
    """The same code within so long is one."""


def check_scanners(file: str, scanners: dict[str, ScannerConfig]) -> None:
    """Refuse scanners that make no sense.

    Raises:
        ConfigError: a path that is none, an unknown layout, an id or a pattern that is none, two
            scanners at one path.
    """
    paths: dict[str, str] = {}
    for name, scanner in scanners.items():
        where = f"scanners.{name}"
        try:
            check_id("scanners", name)
            check_id(f"{where}.station", scanner.station)
        except TopicError as error:
            raise ConfigError(f"{file}: {error}") from error
        is_path = scanner.path.startswith("/") and "\0" not in scanner.path
        expected = "such as '/dev/input/by-id/usb-…-event-kbd'"
        need(file, is_path, f"{where}.path", scanner.path, expected)
        other = paths.setdefault(scanner.path, name)
        need(file, other == name, f"{where}.path", scanner.path, f"another than scanners.{other}'s")
        need(file, scanner.layout in LAYOUTS, f"{where}.layout", scanner.layout, ", ".join(LAYOUTS))
        is_time = 0 <= scanner.debounce_s <= 60
        need(file, is_time, f"{where}.debounce_s", scanner.debounce_s, "0 to 60")
        try:
            re.compile(scanner.badges)
        except re.error as error:
            expected = f"a pattern: {error}"
            need(file, False, f"{where}.badges", scanner.badges, expected)
