"""A station's checkpoint: what lasts, and of what it is, so that it never goes on as another.

It is written in the transaction of the rows that came of it, before their messages are
acknowledged: after a kill the broker sends again what was not, and the same rows come of it.
"""

import hashlib
import zlib
from collections.abc import Sequence

import msgspec

from edge.config import Station as StationConfig, Time
from edge.memento import MementoError, restore, taken
from edge.station import Station

FORMAT = 3
LEVEL = 1  # of compression: half the bytes for a tenth of a millisecond


class _Content(msgspec.Struct, frozen=True):
    """What is written."""

    format: int
    made_of: bytes
    """What ``made_of`` says, compressed."""
    state: bytes
    sum: bytes
    """Of ``state``."""


class MadeOf(msgspec.Struct, frozen=True):
    """What a checkpoint depends on."""

    station: StationConfig
    time: Time
    models: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each model's manifest, in the station's order."""
    program: str
    """Version."""
    format: int = FORMAT


class Unfit(Exception):
    """A checkpoint can not be gone on from; the text says why."""


def made_of(
    station: StationConfig, time: Time, models: Sequence[tuple[str, str]], program: str
) -> str:
    """Return what a checkpoint depends on, as text."""
    return said(MadeOf(station, time, tuple(models), program))


def said(whole: MadeOf) -> str:
    """Return it as text."""
    return msgspec.json.encode(whole).decode()


def is_made_of(saved: bytes, whole: str) -> bool:
    """Return whether a checkpoint is of these settings, models and program.

    Raises:
        Unfit: it is damaged, or of another form.
    """
    return _made_of(_decoded(saved)) == whole.encode()


def made_otherwise(saved: bytes, program: str) -> MadeOf:
    """Return what a checkpoint of other settings or models was made of.

    Raises:
        Unfit: it is damaged, or of another version of the program.
    """
    try:
        found = msgspec.json.decode(_made_of(_decoded(saved)), type=MadeOf)
    except msgspec.DecodeError as error:
        raise Unfit(f"it is damaged ({error})") from error
    if (found.program, found.format) != (program, FORMAT):
        raise Unfit(f"it was written by version {found.program}, this is {program}")
    return found


def content(station: Station, whole: str) -> bytes:
    """Return a station's checkpoint; ``whole`` is what ``made_of`` says of it."""
    station.settle()
    state = zlib.compress(taken(station), LEVEL)
    said = zlib.compress(whole.encode(), LEVEL)
    return msgspec.msgpack.encode(_Content(FORMAT, said, state, _sum(state)))


def resume(station: Station, saved: bytes, whole: str) -> None:
    """Let a new station go on where another was.

    Raises:
        Unfit: it was of other settings, models or program, or is damaged.
    """
    found = _decoded(saved)
    if not is_made_of(saved, whole):
        raise Unfit("its settings, models or the program are others than when it was written")
    if _sum(found.state) != found.sum:
        raise Unfit("it is damaged (its sum is wrong)")
    try:
        station.prepare()
        restore(station, zlib.decompress(found.state))
    except (zlib.error, MementoError) as error:
        raise Unfit(f"it is damaged ({error})") from error


def _decoded(saved: bytes) -> _Content:
    try:
        found = msgspec.msgpack.decode(saved, type=_Content)
    except msgspec.ValidationError as error:
        raise Unfit("it was written by another version of the program") from error
    except msgspec.DecodeError as error:
        raise Unfit(f"it is damaged ({error})") from error
    if found.format != FORMAT:
        raise Unfit(f"its form is {found.format}, expected {FORMAT}")
    return found


def _made_of(found: _Content) -> bytes:
    try:
        return zlib.decompress(found.made_of)
    except zlib.error as error:
        raise Unfit(f"it is damaged ({error})") from error


def _sum(state: bytes) -> bytes:
    return hashlib.blake2b(state, digest_size=16).digest()
