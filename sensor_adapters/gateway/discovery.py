"""Devices that make themselves known on the broker, and the configuration that would map them."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from sensor_adapters.device import GROUP, Found
from sensor_adapters.gateway import toml_block
from sensor_adapters.gateway.device_worker import Discover, Failed, Known, adapter_class
from sensor_adapters.gateway.worker_process import WorkerProcess
from sensor_adapters.mqtt_link import matches
from sensor_adapters.recorder.subscriber import Subscriber
from sensor_adapters.settings import Broker


@dataclass
class Discovered:
    """What was found while we listened."""

    devices: dict[tuple[str, str], Found] = field(default_factory=dict)
    """By adapter and the device's own name."""
    failed: dict[str, str] = field(default_factory=dict)
    """Adapters that failed, and why."""
    messages: int = 0


def listen(broker: Broker, end_s: float, say: Callable[[str], None]) -> Discovered:
    """Hear what devices say of themselves until ``end_s`` of the monotonic clock.

    Raises:
        BrokerError: there is no broker, or it turns us away.
    """
    found, topics = Discovered(), {}
    for point in entry_points(group=GROUP):
        try:
            topics[point.name] = tuple(adapter_class(point.name).discovery)
        except Exception as error:  # anything: it is not our code
            found.failed[point.name] = f"{type(error).__name__}: {error}"
    workers = {name: WorkerProcess(name) for name, some in topics.items() if some}
    filters = sorted({topic for some in topics.values() for topic in some})
    with Subscriber(broker, filters, say) as heard:
        while time.monotonic() < end_s or not all(w.is_idle for w in workers.values()):
            for _, message in heard.take(0.01, 100):
                found.messages += 1
                for name, worker in workers.items():
                    if any(matches(one, message.topic) for one in topics[name]):
                        worker.put(Discover(name, message.topic, message.payload))
            for name, worker in workers.items():
                _take(found, name, worker)
    for worker in workers.values():
        worker.stop()
    return found


def _take(found: Discovered, name: str, worker: WorkerProcess) -> None:
    for _, answer in worker.poll():
        match answer:
            case Known(devices):
                for own, about, settings, is_number in devices:
                    one = Found(own, about, settings, is_number)
                    found.devices.setdefault((name, own), one)
            case Failed(text):
                found.failed[name] = text


def unmapped(
    devices: dict[tuple[str, str], Found], blocks: dict[str, dict[str, Any]]
) -> list[tuple[str, Found]]:
    """Return what no block of a configuration speaks of yet."""
    mapped = [(block["adapter"], block) for block in blocks.values()]
    return [
        (adapter, found)
        for (adapter, _), found in sorted(devices.items())
        if not any(
            name == adapter and all(block.get(k) == v for k, v in _naming(found).items())
            for name, block in mapped
        )
    ]


def _naming(found: Found) -> dict[str, Any]:
    """Return the settings by which a device is told from others: all but what of it is read."""
    return {k: v for k, v in found.settings.items() if k not in ("property", "metric")}


def block(adapter: str, found: Found, station: str, taken: set[str]) -> str:
    """Return a device's block of adapters.toml, under an id that nobody has; it is then taken."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", found.name.lower()).strip("-")[:28] or "device"
    id_ = next(i for i in _numbered(stem) if i not in taken)
    taken.add(id_)
    text = toml_block.block(
        f"devices.{id_}", {"station": station, "adapter": adapter, **found.settings}
    )
    if found.is_number:
        text += "in_use = { on = 8.0, off = 4.0 }  # `solosense-adapters calibrate` learns them\n"
    return text


def _numbered(stem: str) -> Iterable[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1
