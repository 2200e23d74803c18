"""Messages as no device would send them: cut, flipped, of other types, too long. Pure.

The randomness is an argument, so that what was found is found again.
"""

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from sensor_adapters.topics import Message

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1e308, -1e-300, 0.5, "", "ON",
    "nan", "1e999", "é", "\x00", "x" * 300, [], [[]], [None], {}, {"": None}, [1, "a", {}],
    "2026-11-20T10:13:52", 1736603810.49, {"x": {"y": {"z": 1}}},
)  # fmt: skip
STRANGE_BYTES = (
    b"",
    b"\xff\xfe",
    b"\x00",
    b"{",
    b"[" * 5000,
    b"null",
    b"NaN",
    b"-",
    b"1e999",
    b'"',
)


def mutated(messages: Sequence[Message], rng: random.Random) -> Message:
    """Return one of the messages with something about it changed."""
    message = rng.choice(messages)
    payload = message.payload
    way = rng.randrange(8)
    if way == 0:
        payload = payload[: rng.randrange(len(payload) + 1)]
    elif way == 1:
        payload = rng.choice(STRANGE_BYTES)
    elif way == 2:
        payload = rng.choice(messages).payload
    elif way == 3:
        payload = rng.randbytes(rng.randrange(64))
    elif way <= 5:
        body = bytearray(payload)
        for _ in range(rng.randint(1, 4)):
            _flip(body, rng)
        payload = bytes(body)
    else:
        payload = _of_other_types(payload, rng)
    retained = rng.random() < 0.1
    return Message(message.topic, payload, message.received_us + rng.randrange(10**9), retained)


def _flip(body: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(body) + 1)
    if rng.random() < 0.3 or place == len(body):
        body[place:place] = rng.randbytes(1)
    elif rng.random() < 0.5:
        del body[place]
    else:
        body[place] = rng.randrange(256)


def _of_other_types(payload: bytes, rng: random.Random) -> bytes:
    """Return JSON with a value in it replaced, left out or repeated."""
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return json.dumps(rng.choice(STRANGE)).encode()
    for _ in range(rng.randint(1, 3)):
        value = _changed(value, rng)
    return json.dumps(value).encode()


def _changed(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        if rng.random() < 0.1:
            return value * 2
        return [*value[:place], _changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(STRANGE)
