"""Received signal strength: how loud one access point hears a worn sender, packet by packet.

``{"v":1,"dev":"ap-kitchen","boot":"b","seq":7,"t0":1648531521000000,"dt":50000,
"rssi":[-93,-95,null]}``, in dBm. One device an access point; it says nothing of packets that it
did not hear. Loudness falls with distance and through walls, so it tells rooms apart.
"""

import msgspec
import numpy as np

from sensor_adapters.payloads import (
    Rows,
    decode as decode_header,
    fields,
    samples_of,
    shortest,
    times_us,
)
from sensor_adapters.samples import Channel, DecodeError, Samples, Stream

LOWEST, HIGHEST = -127.0, 20.0  # dBm, what Bluetooth and most Wi-Fi receivers can report

stream = Stream("radio", (Channel("rssi", "dBm"),), kind="sampled", rate_hz=20.0)


class RadioBatch(Rows, kw_only=True, omit_defaults=True):
    """The payload: one or more readings, oldest first; null stands for no reading."""

    rssi: list[float | None]


_decoder = msgspec.json.Decoder(RadioBatch)


def decode(device: str, payload: bytes) -> Samples:
    """Return (N, 1) signal strengths in dBm, NaN where there was no reading.

    Raises:
        DecodeError: not such a payload, or a strength that no receiver reports.
    """
    body = decode_header(_decoder, device, payload)
    time_us = times_us(body, len(body.rssi))
    values = np.array(body.rssi, np.float64).reshape(-1, 1)
    wrong = np.flatnonzero((values < LOWEST) | (values > HIGHEST))
    if len(wrong):
        raise DecodeError(
            f"{device}: rssi of reading {wrong[0] + 1} is {values[wrong[0], 0]:g} dBm, expected"
            f" {LOWEST:g} to {HIGHEST:g}"
        )
    return samples_of(body, stream, time_us, values.astype(np.float32))


def encode(samples: Samples, boot: str, seq: int) -> bytes:
    """Return the payload of one batch; ``decode`` gives back the same float32."""
    body = fields(samples, boot, seq)
    body["rssi"] = shortest(samples.values)
    return msgspec.json.encode(body)
