"""What gateways of Bluetooth advertisements share: OpenMQTTGateway and Theengs Gateway.

``home/<gateway>/BTtoMQTT/<MAC>`` carries JSON, ``home/<gateway>/LWT`` whether the gateway is there.
Source: docs.openmqttgateway.com/use/ble.html, gateway.theengs.io/use/use.html.
"""

import re

from sensor_adapters.json_fields import shown, text_of
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

DISCOVERY = "home/+/BTtoMQTT/+"
_MAC = re.compile(r"[0-9A-F]{12}\Z")


def mac(key: str, value: str) -> str:
    """Return an address as it stands in topics.

    >>> mac("mac", "a4:c1:38:52:8f:62")
    'A4C138528F62'

    Raises:
        ValueError: it is none.
    """
    found = value.replace(":", "").replace("-", "").upper()
    if not _MAC.match(found):
        raise ValueError(f"{key} is {value!r}, expected an address as A4:C1:38:52:8F:62")
    return found


def is_there(message: Message) -> bool:
    """Return whether the gateway says that it is there.

    Raises:
        DecodeError: neither ``online`` nor ``offline``.
    """
    text = text_of(message)
    if text not in ("online", "offline"):
        raise DecodeError(f"{message.topic}: found {shown(text)}, expected online or offline")
    return text == "online"


def heard_by(topic: str) -> tuple[str, str, str]:
    """Return base, gateway and sender of a topic; empty texts if it is none of these."""
    parts = topic.split("/")
    if len(parts) < 4 or parts[-2] != "BTtoMQTT":
        return "", "", ""
    return "/".join(parts[:-3]), parts[-3], parts[-1]
