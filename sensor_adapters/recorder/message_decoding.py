"""One station's messages to samples: what a board would make of them, with the end known. No I/O.

A device that counts time from an origin of its own (``clk: device``) is placed by the fastest
message of each boot: the newest reading of a message can not be younger than its arrival, so the
smallest difference between the two is the best estimate of the offset. It is one offset a boot: a
crystal that loses 20 ppm is 72 ms off after an hour.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from sensor_adapters import payloads
from sensor_adapters.adapter import UnknownAdapter, load_adapter
from sensor_adapters.samples import US_PER_S, DecodeError, Int64s, Samples, Stream
from sensor_adapters.tidy import ordered
from sensor_adapters.topics import InTopic, Message

STATUS = "status"
ASTRAY_US = 86_400 * US_PER_S
"""Beyond the recording's own length; further from its middle a reading's clock is wrong."""

_status = msgspec.json.Decoder(payloads.DeviceStatus)


@dataclass
class _Device:
    """What came of one device."""

    kind: str
    batches: list[tuple[Samples, int]] = field(default_factory=list)
    """Readings, and when a host first received them, us."""
    numbers: dict[str, set[int]] = field(default_factory=dict)
    """By boot."""
    known: set[tuple[str, int, int]] = field(default_factory=set)
    """Boot, number and first time: a device that keeps its boot over a restart repeats nothing."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Payloads, by why."""
    error: str = ""
    """What was wrong with the first that could not be decoded."""

    @property
    def missing(self) -> int:
        """Payloads that never came, by the numbers of those that did."""
        return sum(max(n) - min(n) + 1 - len(n) for n in self.numbers.values() if n)


class StationLog:
    """Takes one station's messages in, in the order in which they came."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}
        self._topics: set[str] = set()
        self._unknown: Counter[str] = Counter()
        self._first_us = self._last_us = 0

    def add(self, topic: InTopic, message: Message) -> None:
        """Decode a message and keep its readings, or count why not. Nothing here raises."""
        self._last_us = message.received_us
        self._first_us = self._first_us or message.received_us
        if topic.kind == STATUS:
            if not message.retained:  # such a one may be of long ago
                self._note_status(topic.device, message.payload)
            return
        try:
            stream = load_adapter(topic.kind).stream
        except UnknownAdapter:
            self._unknown[topic.kind] += 1
            return
        device = self._devices.setdefault(topic.device, _Device(topic.kind))
        is_first = message.topic not in self._topics
        self._topics.add(message.topic)
        if device.kind != topic.kind:
            device.left_out[f"of kind {topic.kind}, the device is of kind {device.kind}"] += 1
        elif message.retained and is_first:
            device.left_out["held by the broker from before"] += 1
        else:
            self._decode(device, stream, topic, message)

    def _decode(self, device: _Device, stream: Stream, topic: InTopic, message: Message) -> None:
        try:
            samples = load_adapter(topic.kind).decode(topic.device, message.payload)
        except DecodeError as error:
            device.left_out["not decoded"] += 1
            device.error = device.error or str(error)
            return
        except Exception as error:  # adapters come from other packages, too
            device.left_out["not decoded"] += 1
            device.error = device.error or f"adapter {topic.kind} failed: {error!r}"
            return
        if samples.stream != stream:
            device.left_out["not of the stream that its adapter says it gives"] += 1
            return
        if samples.seq is not None:
            device.numbers.setdefault(samples.boot, set()).add(samples.seq)
        if not len(samples):
            return
        if samples.seq is not None:
            key = (samples.boot, samples.seq, int(samples.time_us[0]))
            if key in device.known:
                device.left_out["repeated"] += 1
                return
            device.known.add(key)
        first_us = samples.received_us
        device.batches.append((samples, message.received_us if first_us is None else first_us))

    def _note_status(self, device: str, payload: bytes) -> None:
        """Take in the number of a birth or end; readings and status count together."""
        try:
            status = payloads.decode(_status, device, payload)
        except DecodeError:
            return
        if status.state != "offline" and device in self._devices:
            self._devices[device].numbers.setdefault(status.boot, set()).add(status.seq)

    @property
    def kinds(self) -> dict[str, str]:
        """The adapter of each device."""
        return {id_: device.kind for id_, device in self._devices.items()}

    def samples(self) -> tuple[list[Samples], list[str]]:
        """Return each device's readings in UTC, in order, and what is to be told of them."""
        placed = {id_: _placed(device) for id_, device in self._devices.items()}
        middle_us = [int(s.time_us[0]) for batches in placed.values() for s in batches]
        centre_us = int(np.median(middle_us)) if middle_us else 0
        most_us = self._last_us - self._first_us + ASTRAY_US
        found, notes = [], []
        for id_, batches in placed.items():
            near = [s for s in batches if abs(int(s.time_us[0]) - centre_us) <= most_us]
            device = self._devices[id_]
            if astray := len(batches) - len(near):
                device.left_out["more than a day from the others by their clocks"] += astray
            if near:
                one, told = _joined(near)
                found.append(one)
                notes += told
            else:
                notes.append(f"no {id_}: it holds no readings")
            notes += _told(id_, device)
        notes += [
            f"{count} payloads of kind {kind}: no adapter of that name is installed"
            for kind, count in sorted(self._unknown.items())
        ]
        return found, notes


def _placed(device: _Device) -> list[Samples]:
    """Return batches in UTC."""
    offsets: dict[str, int] = {}
    for batch, received_us in device.batches:
        if batch.clock == "device":
            offset_us = received_us - int(batch.time_us[-1])
            offsets[batch.boot] = min(offset_us, offsets.get(batch.boot, offset_us))
    return [
        batch
        if batch.clock == "utc"
        else replace(batch, time_us=_shifted(batch.time_us, offsets[batch.boot]), clock="utc")
        for batch, _ in device.batches
    ]


def _shifted(time_us: Int64s, offset_us: int) -> Int64s:
    return np.asarray(time_us + offset_us, np.int64)


def _joined(batches: list[Samples]) -> tuple[Samples, list[str]]:
    """Return a device's batches as one, in order of time, and notes."""
    device, stream = batches[0].device, batches[0].stream
    batches = sorted(batches, key=lambda s: int(s.time_us[0]))
    time_us = np.concatenate([s.time_us for s in batches])
    values = np.concatenate([s.values for s in batches])
    if stream.kind == "sampled":
        return ordered(device, stream, time_us, values)
    order = np.argsort(time_us, kind="stable")
    return Samples(device, stream, time_us[order], values[order]), []


def _told(id_: str, device: _Device) -> list[str]:
    """Return what is to be told of a device."""
    notes = [
        f"{id_}: left out {count} payloads: {why}"
        + (f"; the first: {device.error}" if why == "not decoded" else "")
        for why, count in sorted(device.left_out.items())
    ]
    if device.missing:
        notes.append(f"{id_}: {device.missing} payloads are missing, by their numbers")
    if boots := {batch.boot for batch, _ in device.batches if batch.clock == "device"}:
        starts = f" of each of {len(boots)} starts" if len(boots) > 1 else ""
        notes.append(f"{id_}: has a clock of its own, placed by the fastest message{starts}")
    return notes
