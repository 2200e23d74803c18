"""ESPHome with an inertial unit: batches, as ``esphome_imu.yaml`` beside this file sends them.

``{"n":7,"t0":1767254400000000,"dt":20031,"acc":[[0.12,-0.31,9.79],…],"gyr":[[1.2,-0.4,0.1],…],
"unit":{"acc":"m/s^2","gyr":"deg/s"}}``. ``t0`` is microseconds UTC once the node has the time from
the network, and since its start before that; those are placed by when the message came.
"""

import math
from collections.abc import Iterable
from typing import Any

from sensor_adapters.device import (
    Alive,
    DeviceAdapter,
    DeviceSettings,
    Found,
    Motion,
    Reading,
)
from sensor_adapters.imu import ACC_SCALE, GYR_SCALE
from sensor_adapters.json_fields import kind_of, number, object_of, shown, text_of, utc_us
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

BATCH = "imu/batch"
MOST_ROWS = 2000
MOST_DT_US = 10_000_000
Triple = tuple[float, float, float]


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """A node."""

    prefix: str
    """``topic_prefix`` of the node; its name, unless set."""


class EspHomeImu(DeviceAdapter[Settings]):
    """A node's inertial unit."""

    settings_type = Settings
    discovery = (f"+/{BATCH}",)
    kind = "imu"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._status = f"{settings.prefix}/status"
        self.topics = (f"{settings.prefix}/{BATCH}", self._status)

    def read(self, message: Message) -> Iterable[Reading]:
        """Return a batch, or that the node is gone."""
        if message.topic == self._status:
            text = text_of(message)
            if text not in ("online", "offline"):
                expected = "online or offline"
                raise DecodeError(f"{message.topic}: found {shown(text)}, expected {expected}")
            return (Alive(False),) if text == "offline" else ()
        return (_batch(message),)

    @classmethod
    def found(cls, message: Message) -> Iterable[Found]:
        """Return the node that a batch comes from."""
        motion = _batch(message)
        prefix = message.topic.removesuffix(f"/{BATCH}")
        yield Found(prefix, f"batches of {len(motion.acc)} rows", {"prefix": prefix})


def _batch(message: Message) -> Motion:
    body, where = object_of(message), message.topic
    units = body.get("unit", {})
    if not isinstance(units, dict):
        raise DecodeError(f"{where}: unit is {kind_of(units)}, expected an object")
    acc = _rows(where, "acc", body.get("acc"), units, ACC_SCALE)
    gyr = None
    if body.get("gyr") is not None:
        gyr = _rows(where, "gyr", body["gyr"], units, GYR_SCALE)
        if len(gyr) != len(acc):
            raise DecodeError(f"{where}: gyr has {len(gyr)} rows, expected {len(acc)} as acc has")
    dt_us = number(f"{where}: dt", body.get("dt", 0))
    if not (len(acc) == 1 or 0 < dt_us <= MOST_DT_US):
        expected = f"microseconds above 0, {MOST_DT_US} at most"
        raise DecodeError(f"{where}: dt is {dt_us:g} for {len(acc)} rows, expected {expected}")
    return Motion(acc, gyr, round(dt_us) if len(acc) > 1 else 0, utc_us(body.get("t0"), 1))


def _rows(
    where: str, what: str, rows: Any, units: dict[str, Any], scales: dict[str, float]
) -> list[Triple]:
    """Return rows in SI units; null, which stands for no reading, as NaN."""
    unit = units.get(what, next(iter(scales)))
    if not isinstance(unit, str) or unit not in scales:
        raise DecodeError(f"{where}: {what} is in {shown(unit)}, expected {' or '.join(scales)}")
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_ROWS:
        found = f"{len(rows)} rows" if isinstance(rows, list) else kind_of(rows)
        raise DecodeError(f"{where}: {what} has {found}, expected 1 to {MOST_ROWS} rows")
    scale, named, found_rows = scales[unit], f"{where}: {what}", []
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise DecodeError(f"{named} has the row {shown(row)}, expected three numbers")
        x, y, z = (math.nan if axis is None else number(named, axis) * scale for axis in row)
        found_rows.append((x, y, z))
    return found_rows
