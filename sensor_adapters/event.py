"""Devices that say when something happened: scanners, buttons, label printers.

``{"v":1,"dev":"scanner","boot":"b","seq":7,"t0":1648531583000000,"events":[{"data":"ITEM301"}]}``.
A heartbeat is ``"events":[null]`` every few seconds: alive, nothing happened. A device that says
nothing at all is not observed.
"""

import msgspec
import numpy as np

from sensor_adapters.payloads import Rows, decode as decode_header, time_fields, times_us
from sensor_adapters.samples import Channel, Samples, Stream

stream = Stream("event", (Channel("happened", "1"),), kind="event")


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that happened."""

    data: str | None = None
    """What was scanned or printed; read by nobody here yet, kept by recorders."""


class EventBatch(Rows, kw_only=True, omit_defaults=True):
    """The payload: events, oldest first; null says "alive, nothing happened"."""

    events: list[Event | None]


_decoder = msgspec.json.Decoder(EventBatch)


def decode(device: str, payload: bytes) -> Samples:
    """Return (N, 1): 1 for an event, 0 for a heartbeat."""
    body = decode_header(_decoder, device, payload)
    values = np.array([e is not None for e in body.events], np.float32).reshape(-1, 1)
    return Samples(
        device, stream, times_us(body, len(body.events)), values, body.boot, body.seq, body.clk
    )


def encode(samples: Samples, boot: str, seq: int) -> bytes:
    """Return the payload of one batch of events and heartbeats."""
    body: dict[str, object] = {"v": 1, "dev": samples.device, "boot": boot, "seq": seq}
    body |= time_fields(samples.time_us)
    if samples.clock != "utc":
        body["clk"] = samples.clock
    body["events"] = [{} if happened == 1 else None for happened in samples.values[:, 0]]
    return msgspec.json.encode(body)
