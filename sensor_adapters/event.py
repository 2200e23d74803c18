"""Devices that say when something happened: scanners, buttons, label printers.

``{"v":1,"dev":"scanner","boot":"b","seq":7,"t0":1648531583000000,"events":[{"data":"ITEM301"}]}``.
A heartbeat is ``"events":[null]`` every few seconds: alive, nothing happened. A device that says
nothing at all is not observed.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from sensor_adapters.payloads import Rows, decode as decode_header, fields, samples_of, times_us
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
    return samples_of(body, stream, times_us(body, len(body.events)), values)


def encode(samples: Samples, boot: str, seq: int, data: Sequence[str | None] = ()) -> bytes:
    """Return the payload of one batch of events and heartbeats.

    Args:
        samples: of this stream.
        boot: of the device.
        seq: of the payload.
        data: what was scanned or printed, one a reading; none says nothing of it.
    """
    body = fields(samples, boot, seq)
    said = data or [None] * len(samples)
    body["events"] = [
        Event(data=text) if happened == 1 else None
        for happened, text in zip(samples.values[:, 0], said, strict=True)
    ]
    return msgspec.json.encode(body)
