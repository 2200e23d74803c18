"""``--broker`` of commands: HOST:PORT, or a TOML file whose ``[broker]`` says more."""

from pathlib import Path

import msgspec

from sensor_adapters.replay import address
from sensor_adapters.settings import Broker, read_broker

HELP = "MQTT broker: HOST:PORT, or a TOML file with a [broker], for a password or TLS."


def broker_of(text: str, username: str = "") -> Broker:
    """Return the broker that is meant; ``username`` where one is given beside it.

    >>> broker_of("localhost:1883").port
    1883

    Raises:
        ValueError: it is neither.
        ConfigError: the file's settings are wrong.
    """
    if text.endswith(".toml"):
        found = read_broker(Path(text))
    else:
        host, port = address(text)
        found = Broker(host=host, port=port)
    return msgspec.structs.replace(found, username=username) if username else found
