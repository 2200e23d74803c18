"""What every payload of ours starts with, and how its times are spelt.

JSON, decoded and validated by msgspec. Changes are additive only; a change of meaning raises
``v``. Unknown fields are ignored so that newer devices can talk to older boards.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from sensor_adapters.samples import DecodeError, Floats, Int64s, Samples, Stream

VERSION = 1
MAX_ROWS = 100_000
MAX_SPAN_US = 3_600_000_000
FIRST_US, LAST_US = 0, 4_102_444_800_000_000  # 1970 to 2100
MAX_BOOT = 64
FEW_DIGITS = (5, 8, 12)
"""Decimals, tried in turn; what none of them tells is spelt out."""
MOST_FLOAT32 = float(np.finfo(np.float32).max)
MAX_SEQ = 1 << 48  # what was lost over many boots still fits into 64 bits


class Header(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fields all payloads share."""

    v: int
    """Payload version, 1."""
    dev: str
    """Device id; must be the topic's."""
    boot: str
    """Any text of up to 64 characters that changes when the device restarts."""
    seq: int
    """Counts the device's payloads from 0 within one boot."""
    t0: int
    """Microseconds of the first reading: UTC, or the device's own clock (``clk``)."""
    clk: Literal["utc", "device"] = "utc"
    rx: int | None = None
    """Microseconds UTC when the first host received it, where a host stands between."""


class Rows(Header, kw_only=True, omit_defaults=True):
    """A batch of readings. Times are ``t0 + i * dt``, or ``t0 + t[i]`` for uneven ones."""

    dt: int | None = None
    """Microseconds from one reading to the next."""
    t: list[int] | None = None
    """Microseconds after ``t0``, one a reading."""


State = Literal["online", "stopped", "offline"]


class DeviceStatus(Header, kw_only=True, omit_defaults=True):
    """``in/status/<device>``: birth, orderly end, or last will of a device."""

    state: State
    """``stopped``: nothing later than ``t0`` will come; ``offline``: the will, time unknown."""


def status(device: str, boot: str, seq: int, at_us: int, state: State) -> bytes:
    """Return the payload of a ``DeviceStatus``."""
    body = {"v": VERSION, "dev": device, "boot": boot, "seq": seq, "t0": at_us, "state": state}
    return msgspec.json.encode(body)


HeaderT = TypeVar("HeaderT", bound=Header)


def brief(text: str) -> str:
    """Return a stranger's text in quotes, cut so that it fits into a message.

    >>> brief("lbf")
    "'lbf'"
    """
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def decode(decoder: "msgspec.json.Decoder[HeaderT]", device: str, payload: bytes) -> HeaderT:
    """Return the payload as a struct, its common fields checked.

    Raises:
        DecodeError: not JSON, a field missing or of another type, a version or device id
            that is not expected.
    """
    try:
        body = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"{device}: payload of {len(payload)} bytes: {error}") from error
    if body.v != VERSION:
        raise DecodeError(f"{device}: payload has version {body.v}, expected {VERSION}")
    if body.dev != device:
        raise DecodeError(
            f"{device}: payload is from {brief(body.dev)}, expected the topic's device"
        )
    if len(body.boot) > MAX_BOOT:
        raise DecodeError(
            f"{device}: boot has {len(body.boot)} characters, expected at most {MAX_BOOT}"
        )
    if not 0 <= body.seq < MAX_SEQ:
        raise DecodeError(f"{device}: seq is {body.seq}, expected 0 to {MAX_SEQ - 1}")
    if not FIRST_US <= body.t0 < LAST_US:
        raise DecodeError(f"{device}: t0 is {body.t0}, expected microseconds before the year 2100")
    if body.rx is not None and not FIRST_US <= body.rx < LAST_US:
        raise DecodeError(f"{device}: rx is {body.rx}, expected microseconds before the year 2100")
    return body


def samples_of(body: Rows, stream: Stream, time_us: Int64s, values: Floats) -> Samples:
    """Return a payload's readings, (N,) times and (N, C) values."""
    return Samples(
        body.dev, stream, time_us, values, body.boot, body.seq, body.clk, received_us=body.rx
    )


def fields(samples: Samples, boot: str, seq: int) -> dict[str, object]:
    """Return what every payload of readings starts with."""
    body: dict[str, object] = {"v": VERSION, "dev": samples.device, "boot": boot, "seq": seq}
    body |= time_fields(samples.time_us)
    if samples.clock != "utc":
        body["clk"] = samples.clock
    if samples.received_us is not None:
        body["rx"] = samples.received_us
    return body


def times_us(body: Rows, count: int) -> Int64s:
    """Return (count,) the readings' times.

    Raises:
        DecodeError: neither or both of ``dt`` and ``t``, another length, running backwards.
    """
    if count > MAX_ROWS:
        raise DecodeError(f"{body.dev}: {count} readings, expected at most {MAX_ROWS}")
    if body.t is not None:
        if body.dt is not None or len(body.t) != count:
            raise DecodeError(
                f"{body.dev}: found t of length {len(body.t)}"
                f"{' and dt' if body.dt is not None else ''}, expected one offset for each of"
                f" {count} readings and no dt"
            )
        is_rising = sorted(body.t) == body.t
        if not is_rising or (body.t and not 0 <= body.t[0] <= body.t[-1] <= MAX_SPAN_US):
            raise DecodeError(
                f"{body.dev}: t runs backwards or beyond an hour, expected rising offsets from t0"
            )
        return body.t0 + np.array(body.t, np.int64)
    if count <= 1:
        return np.array([body.t0][:count], np.int64)
    if body.dt is None or not 0 < body.dt <= MAX_SPAN_US // count:
        raise DecodeError(
            f"{body.dev}: found dt {body.dt} for {count} readings, expected microseconds above 0"
            " (or t) and a batch within an hour"
        )
    return body.t0 + body.dt * np.arange(count, dtype=np.int64)


def time_fields(time_us: Int64s) -> dict[str, object]:
    """Return ``t0`` with ``dt`` or ``t`` for rising times; the inverse of ``times_us``."""
    t0 = int(time_us[0])
    steps = np.diff(time_us)
    if len(time_us) == 1:
        return {"t0": t0}
    if steps[0] > 0 and (steps == steps[0]).all():
        return {"t0": t0, "dt": int(steps[0])}
    return {"t0": t0, "t": (time_us - t0).tolist()}


def narrowed(device: str, names: Sequence[str], values: npt.NDArray[np.float64]) -> Floats:
    """Return (N, C) ``values`` as float32, NaN meaning no reading.

    Args:
        device: whose they are.
        names: of the payload's fields; each gave as many columns as the others.
        values: as they were sent, in the stream's units.

    Raises:
        DecodeError: one is infinite, or would be.
    """
    if values.size and np.fmax.reduce(np.abs(values), axis=None) <= MOST_FLOAT32:
        return values.astype(np.float32)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    beyond = np.flatnonzero(np.isinf(narrow).any(axis=0))
    if len(beyond):
        field = names[int(beyond[0]) * len(names) // narrow.shape[1]]
        raise DecodeError(f"{device}: {field} holds a number beyond float32, expected readings")
    return narrow


def shortest(values: Floats) -> list[float | None]:
    """Return numbers of few decimals that give back the same float32; NaN as None."""
    flat = values.ravel()
    numbers = wide = flat.astype(np.float64)
    left = ~np.isnan(flat)
    missing = None if left.all() else np.flatnonzero(~left)
    for digits in FEW_DIGITS:
        fewer = wide.round(digits)
        same = left & (fewer.astype(np.float32) == flat)
        numbers = np.where(same, fewer, numbers)
        left &= ~same
        if not left.any():
            break
    found: list[float | None] = [*numbers.tolist()]
    for index in () if missing is None else missing.tolist():
        found[index] = None
    return found
