"""A station's checkpoint: what lasts, and of what it is, so that it never goes on as another.

It is written in the transaction of the rows that came of it, before their messages are
acknowledged: after a kill the broker sends again what was not, and the same rows come of it.
"""

import hashlib
import zlib
from collections.abc import Sequence

import msgspec

from edge.memento import MementoError, restore, taken
from edge.station import Station

FORMAT = 2
LEVEL = 1  # of compression: half the bytes for a tenth of a millisecond


class _Content(msgspec.Struct, frozen=True):
    """What is written."""

    format: int
    made_of: str
    """Names the station's settings, its models and the program's form of state."""
    state: bytes
    sum: bytes
    """Of ``state``."""


class Unfit(Exception):
    """A checkpoint can not be gone on from; the text says why."""


def made_of(settings: object, manifests: Sequence[str], program: str) -> str:
    """Return what a checkpoint depends on, as a short text.

    Args:
        settings: of the station and of time, as configured.
        manifests: SHA-256 of each model's manifest, in the station's order.
        program: version.
    """
    said = [repr(settings), *manifests, program, str(FORMAT)]
    return hashlib.blake2b("\n".join(said).encode(), digest_size=16).hexdigest()


def content(station: Station, whole: str) -> bytes:
    """Return a station's checkpoint; ``whole`` is what ``made_of`` says of it."""
    station.settle()
    state = zlib.compress(taken(station), LEVEL)
    return msgspec.msgpack.encode(_Content(FORMAT, whole, state, _sum(state)))


def resume(station: Station, saved: bytes, whole: str) -> None:
    """Let a new station go on where another was.

    Raises:
        Unfit: it was of other settings, models or program, or is damaged.
    """
    try:
        found = msgspec.msgpack.decode(saved, type=_Content)
        if found.format != FORMAT or found.made_of != whole:
            raise Unfit("its settings, models or the program are others than when it was written")
        if _sum(found.state) != found.sum:
            raise Unfit("it is damaged (its sum is wrong)")
        station.prepare()
        restore(station, zlib.decompress(found.state))
    except (msgspec.DecodeError, zlib.error, MementoError) as error:
        raise Unfit(f"it is damaged ({error})") from error


def _sum(state: bytes) -> bytes:
    return hashlib.blake2b(state, digest_size=16).digest()
