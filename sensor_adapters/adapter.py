"""The adapter protocol; our adapters and other packages' come by the same door.

An adapter is any object, usually a module, with ``stream`` and ``decode``. Other packages
register theirs under the entry point group ``solosense.adapters``.
"""

from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from sensor_adapters.samples import Samples, Stream

GROUP = "solosense.adapters"


class Adapter(Protocol):
    """Turns one device kind's payloads into samples; stateless and pure."""

    @property
    def stream(self) -> Stream:
        """The stream every payload decodes to."""

    def decode(self, device: str, payload: bytes) -> Samples:
        """Return the payload's readings in SI units.

        Raises:
            DecodeError: the payload is not of this kind.
        """


class UnknownAdapter(KeyError):
    """No installed package offers an adapter of that name."""

    def __init__(self, text: str, known: list[str]) -> None:
        super().__init__(text)
        self.known = known
        """Names of those that are installed."""

    def __str__(self) -> str:
        return str(self.args[0])


@cache
def load_adapter(name: str) -> Adapter:
    """Return the adapter registered as ``name``.

    Raises:
        UnknownAdapter: nobody registered it; the text lists those installed.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise UnknownAdapter(
            f"adapter {name!r} is not installed, expected one of {', '.join(sorted(found))}",
            sorted(found),
        )
    adapter: Adapter = found[name].load()
    return adapter
