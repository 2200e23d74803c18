"""Devices that are in use or not: printers, doors, drawers, motion sensors, smart plugs.

``{"v":1,"dev":"printer","boot":"b","seq":7,"t0":1648531589000000,"on":[true]}``; repeat the
last state every few seconds as a heartbeat: silence means "not observed", not "off".
"""

import msgspec
import numpy as np

from sensor_adapters.payloads import Rows, decode as decode_header, fields, samples_of, times_us
from sensor_adapters.samples import Channel, Samples, Stream

stream = Stream("state", (Channel("on", "1"),), kind="level")


class StateBatch(Rows, kw_only=True, omit_defaults=True):
    """The payload: one or more states, oldest first."""

    on: list[bool]


_decoder = msgspec.json.Decoder(StateBatch)


def decode(device: str, payload: bytes) -> Samples:
    """Return (N, 1): 1 while in use, 0 while not."""
    body = decode_header(_decoder, device, payload)
    values = np.array(body.on, np.float32).reshape(-1, 1)
    return samples_of(body, stream, times_us(body, len(body.on)), values)


def encode(samples: Samples, boot: str, seq: int) -> bytes:
    """Return the payload of one batch of states."""
    body = fields(samples, boot, seq)
    body["on"] = [bool(v) for v in samples.values[:, 0] == 1]
    return msgspec.json.encode(body)
