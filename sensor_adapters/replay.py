"""A recording as its devices would have sent it: payloads in the order of their time. No I/O."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, cast

import msgspec
import numpy as np

from sensor_adapters import payloads
from sensor_adapters.adapter import Adapter, load_adapter
from sensor_adapters.recording import Recording
from sensor_adapters.samples import US_PER_S, Samples
from sensor_adapters.topics import InTopic, parse_in

BATCH_US = US_PER_S
NAP_S = 0.5


class Encoder(Adapter, Protocol):
    """An adapter that can also write its payload."""

    def encode(self, samples: Samples, boot: str, seq: int) -> bytes:
        """Return the payload of one batch."""


@dataclass(frozen=True)
class Sent:
    """One message and when its device would have sent it."""

    at_us: int
    topic: str
    payload: bytes
    qos: int = 1
    retained: bool = False


def batches(samples: Samples, batch_us: int = BATCH_US) -> Iterator[Samples]:
    """Yield a device's readings as it would send them.

    Sampled streams go out once a batch, when its last reading is there; states and events at
    once.
    """
    if not len(samples):
        return
    cell = samples.time_us // batch_us if samples.stream.kind == "sampled" else samples.time_us
    edges = [0, *(np.flatnonzero(np.diff(cell)) + 1).tolist(), len(samples)]
    for lo, hi in itertools.pairwise(edges):
        yield replace(samples, time_us=samples.time_us[lo:hi], values=samples.values[lo:hi])


def messages(recording: Recording, site: str, node: str, station: str, boot: str) -> Iterator[Sent]:
    """Yield all messages of a recording by time: each device's birth, its payloads, its end."""
    parts = [
        (int(batch.time_us[-1]), samples.device, seq, batch)
        for samples in recording.samples
        for seq, batch in enumerate(batches(samples), start=1)
    ]
    parts.sort(key=lambda part: part[:3])
    start_us, end_us = recording.span_us()
    devices = {s.device: len(list(batches(s))) for s in recording.samples if len(s)}

    def said(device: str, state: payloads.State, at_us: int, seq: int) -> Sent:
        topic = InTopic(site, node, station, "status", device)
        return Sent(at_us, str(topic), payloads.status(device, boot, seq, at_us, state))

    for device in devices:
        yield said(device, "online", start_us, 0)
    for at_us, device, seq, batch in parts:
        kind = recording.devices[device].adapter
        encoder = cast(Encoder, load_adapter(kind))
        topic = InTopic(site, node, station, kind, device)
        yield Sent(at_us, str(topic), encoder.encode(batch, boot, seq))
    for device, count in devices.items():
        yield said(device, "stopped", end_us, count + 1)


def until(is_over: Callable[[], bool], sent: Iterable[Sent]) -> Iterator[Sent]:
    """Yield a replay's messages until it is over; then an end of every device that has begun."""
    births: dict[str, Sent] = {}
    said: Counter[str] = Counter()
    at_us = 0
    for message in sent:
        if is_over():
            break
        device, at_us = parse_in(message.topic).device, message.at_us
        births.setdefault(device, message)
        said[device] += 1
        yield message
    else:
        return
    for device, birth in births.items():
        body = msgspec.json.decode(birth.payload)
        body |= {"seq": said[device], "t0": at_us, "state": "stopped"}
        yield Sent(at_us, birth.topic, msgspec.json.encode(body))


def paced(
    sent: Iterable[Sent],
    speed: float,
    now_s: Callable[[], float],
    sleep: Callable[[float], None],
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[Sent]:
    """Yield messages when they are due, ``speed`` times as fast as they were; 0: at once.

    One that is late is yielded at once, and the next ones keep their times. While it waits it looks
    at ``is_over`` every ``NAP_S``, and ends there.
    """
    first_us, start_s = None, now_s()
    for message in sent:
        first_us = message.at_us if first_us is None else first_us
        due_s = start_s + (message.at_us - first_us) / US_PER_S / speed if speed > 0 else start_s
        while (ahead_s := due_s - now_s()) > 0 and not is_over():
            sleep(min(ahead_s, NAP_S))
        if is_over():
            return
        yield message


def count(recording: Recording) -> int:
    """Return how many messages ``messages`` yields."""
    return sum(len(list(batches(s))) + 2 for s in recording.samples if len(s))


def address(broker: str) -> tuple[str, int]:
    """Return host and port.

    >>> address("localhost:1883")
    ('localhost', 1883)

    Raises:
        ValueError: it has another form.
    """
    host, _, port = broker.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"broker is {broker!r}, expected HOST:PORT, as localhost:1883")
    return host, int(port)


def site_toml(
    recording: Recording, bundles: list[str], broker: str, log: str, site: str, node: str,
    station: str, *, failover: bool = False,
) -> str:  # fmt: skip
    """Return a site configuration under which a board can be sent this recording.

    With ``failover`` the bundles share one voice.

    Raises:
        ValueError: ``broker`` is not HOST:PORT.
    """
    host, port = address(broker)
    lines = [
        "version = 1",
        f"site = {_quoted(site)}",
        f"node = {_quoted(node)}",
        "",
        "[broker]",
        f"host = {_quoted(host)}",
        f"port = {port}",
        "",
        "[log]",
        f"path = {_quoted(log)}",
        "",
        f"[stations.{station}]",
        f"bundles = [{', '.join(map(_quoted, bundles))}]",
        *(["failover = true"] if failover else []),
        "",
        f"[stations.{station}.devices]",
    ]
    lines += [
        f"{id_} = {{ adapter = {_quoted(device.adapter)},"
        f" placement = {_quoted(device.placement)} }}"
        for id_, device in recording.devices.items()
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text as TOML spells it, which is as JSON does."""
    return json.dumps(text, ensure_ascii=False)
