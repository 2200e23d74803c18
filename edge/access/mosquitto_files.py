"""The texts that mosquitto reads: its configuration, its access list, its passwords. No I/O.

``$7$`` is mosquitto's own form of a password since 1.6: PBKDF2 with SHA-512. The secrets are
random and 192 bits long, so that more rounds would only cost the broker's time at each connection.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.access.accounts import Account

ROUNDS, SALT_BYTES = 101, 12
MOST_TOPIC_BYTES = 70_000
"""Of a packet besides its payload."""
HEAD = "# Made by `solosense-edge access` from {site}: change that, and run it again.\n"


@dataclass(frozen=True)
class Listener:
    """Where and how mosquitto listens."""

    address: str
    port: int
    tls: bool = False
    is_by_certificate: bool = False
    """Users are known by a certificate instead of a password."""


def conf(site: str, folder: Path, state: Path, listener: Listener, payload_bytes: int) -> str:
    """Return ``mosquitto.conf``; ``folder`` holds the other files, ``state`` what outlives it."""
    own = [f"listener {listener.port} {listener.address}"]
    if listener.tls:
        own += [f"cafile {folder}/ca.crt", f"certfile {folder}/server.crt"]
        own += [f"keyfile {folder}/server.key"]
    if listener.is_by_certificate:
        own += ["require_certificate true", "use_identity_as_username true"]
    return HEAD.format(site=site) + "\n".join(
        [
            "",
            "# Who: everybody has a name and a secret, and may what `acl` says.",
            "per_listener_settings false",
            "allow_anonymous false",
            f"password_file {folder}/passwords",
            f"acl_file {folder}/acl",
            "",
            "# Where. A client id is its user's name, so that nobody can push another off.",
            *own,
            "use_username_as_clientid true",
            "max_connections 500",
            "",
            "# How much. A longer packet than a device may send ends its connection.",
            f"max_packet_size {payload_bytes + MOST_TOPIC_BYTES}",
            "max_queued_messages 100000        # for a board that is away for minutes",
            "max_queued_bytes 268435456",
            "max_inflight_messages 10000       # what comes within checkpoint_s, and more",
            "",
            "# What outlives the broker, and a board that was taken away is forgotten.",
            "persistence true",
            f"persistence_location {state}/",
            "autosave_interval 60",
            "persistent_client_expiration 7d",
            "",
        ]
    )


def acl(site: str, accounts: Iterable[Account]) -> str:
    """Return the access list; what it does not name nobody may."""
    text = HEAD.format(site=site)
    for one in accounts:
        both = [topic for topic in one.writes if topic in one.reads]
        lines = [f"topic readwrite {topic}" for topic in both]
        lines += [f"topic write {topic}" for topic in one.writes if topic not in both]
        lines += [f"topic read {topic}" for topic in one.reads if topic not in both]
        text += "\n".join(["", f"# {one.about}", f"user {one.user}", *lines, ""])
    return text


def hashed(user: str, secret: str, salt: bytes) -> str:
    """Return a line of mosquitto's password file."""
    key = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, ROUNDS)
    parts = ("", "7", str(ROUNDS), base64.b64encode(salt).decode(), base64.b64encode(key).decode())
    return f"{user}:{'$'.join(parts)}"


def is_of(line: str, user: str, secret: str) -> bool:
    """Is a line of the password file this user's, with this secret?

    >>> is_of(hashed("edge", "s", b"0123456789ab"), "edge", "s")
    True
    """
    try:
        salt = base64.b64decode(line.split("$")[3], validate=True)
    except (IndexError, ValueError):
        return False
    return hmac.compare_digest(line, hashed(user, secret, salt))
