"""Messages of devices to payloads for the board: workers read, mapped devices say.

What an adapter does wrong costs its own device: one that raises, hangs or dies is switched off, and
tried again later; the others go on.
"""

import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_adapters.device import DeviceSettings
from sensor_adapters.gateway.config import GatewayConfig
from sensor_adapters.gateway.device_worker import (
    Answer,
    Failed,
    Open,
    Opened,
    Read,
    Rejected,
    Said,
    Task,
    Wrong,
)
from sensor_adapters.gateway.mapped_device import MappedDevice, Outgoing
from sensor_adapters.gateway.worker_process import START_S, WorkerProcess
from sensor_adapters.mqtt_link import matches
from sensor_adapters.samples import US_PER_S, DecodeError
from sensor_adapters.settings import ConfigError
from sensor_adapters.topics import Message, is_filter

log = logging.getLogger(__name__)
MOST_HEARD = 10_000
OFF_US, MOST_OFF_US = 60 * US_PER_S, 3600 * US_PER_S
SAY_US = 60 * US_PER_S

Put = Callable[[str, str, str, bytes], None]
"""Takes station, kind, device and payload."""


@dataclass
class _Line:
    """A device, and how it goes with its adapter."""

    mapped: MappedDevice
    worker: WorkerProcess
    messages: int = 0
    rejected: int = 0
    faults: int = 0
    left_out: int = 0
    """Messages that came while it was switched off."""
    off_until_us: int = 0
    off_us: int = OFF_US
    said_us: int = 0
    why: str = ""


class Gateway:
    """All devices of a configuration."""

    def __init__(self, config: GatewayConfig, file: str, put: Put) -> None:
        """Make the devices, each adapter's in a process of its own.

        Raises:
            ConfigError: a setting of a device is wrong. An adapter that fails is no such thing:
                its devices are switched off.
        """
        self._config, self._file, self._put = config, file, put
        self._heard: deque[Message] = deque()
        self.dropped = 0
        """Messages for which there was no room."""
        self._workers: dict[str, WorkerProcess] = {}
        self._lines: dict[str, _Line] = {}
        self._exact: dict[str, list[str]] = {}
        self._filters: list[tuple[str, str]] = []
        self.topics: list[str] = []
        self.failed: dict[str, str] = {}
        """Devices that could not be made, and why."""
        self._open(config.badge_key())

    def _open(self, badge_key: bytes) -> None:
        for device, block in self._config.devices.items():
            name = block["adapter"]
            worker = self._workers.setdefault(name, WorkerProcess(name))
            worker.put(Open(device, name, self._file, block))
        boot = uuid.uuid4().hex[:12]
        end_s = time.monotonic() + 2 * START_S
        wrong: list[str] = []
        while not all(w.is_idle for w in self._workers.values()) and time.monotonic() < end_s:
            for worker in self._workers.values():
                for task, answer in worker.poll():
                    assert isinstance(task, Open)
                    match answer:
                        case Wrong(text):
                            wrong.append(text)
                        case Opened():
                            wrong += self._made(task, answer, worker, boot, badge_key)
                        case Failed(text):
                            self.failed[task.device] = text
                            log.warning("%s: adapter %s: %s", task.device, task.adapter, text)
            time.sleep(0.005)
        if wrong:
            self.stop()
            raise ConfigError(wrong[0])
        for device in self._config.devices.keys() - self._lines.keys() - self.failed.keys():
            self.failed[device] = f"its adapter did not begin within {2 * START_S:g} s"
            log.warning("%s: %s; switched off", device, self.failed[device])

    def _made(
        self, task: Open, made: Opened, worker: WorkerProcess, boot: str, badge_key: bytes
    ) -> list[str]:
        """Take a device that was made; return what is wrong with the settings all devices share."""
        common, kind = made.common, made.kind
        where = f"{task.file}: devices.{task.device}"
        for topic in made.topics:
            if not is_filter(topic):
                return [f"{where}: listens to {topic!r}, expected a topic; see its settings"]
        if wrong := _senseless(where, common, kind, is_number=made.is_number):
            return wrong
        kind = "event" if common.pulse else kind
        mapped = MappedDevice(task.device, kind, common, boot, badge_key)
        self._lines[task.device] = _Line(mapped, worker)
        self._listen(task.device, made.topics)
        return []

    def _listen(self, device: str, topics: list[str]) -> None:
        for topic in topics:
            if topic not in self.topics:
                self.topics.append(topic)
            if "+" in topic or "#" in topic:
                self._filters.append((topic, device))
            else:
                self._exact.setdefault(topic, []).append(device)

    def hear(self, message: Message) -> None:
        """Take a message; in any thread."""
        if len(self._heard) >= MOST_HEARD:
            self.dropped += 1
            return
        self._heard.append(message)

    def work(self, now_us: int) -> None:
        """Hand out what was heard, and put what devices say or what is due."""
        for _ in range(len(self._heard)):
            self._hand_out(self._heard.popleft(), now_us)
        for worker in self._workers.values():
            for task, answer in worker.poll():
                self._done(task, answer, now_us)
        for device, line in self._lines.items():
            if line.off_until_us <= now_us:
                self._say(device, line.mapped.due(now_us))

    def _hand_out(self, message: Message, now_us: int) -> None:
        devices = [*self._exact.get(message.topic, ())]
        devices += [d for f, d in self._filters if d not in devices and matches(f, message.topic)]
        for device in devices:
            line = self._lines[device]
            if line.off_until_us > now_us:
                line.left_out += 1
                continue
            line.messages += 1
            line.worker.put(
                Read(device, message.topic, message.payload, message.received_us, message.retained)
            )

    def _done(self, task: Task, answer: Answer, now_us: int) -> None:
        if not isinstance(task, Read) or task.device not in self._lines:
            return
        device, line = task.device, self._lines[task.device]
        if line.off_until_us > now_us:  # handed out before it was switched off
            line.left_out += 1
            return
        if isinstance(answer, Said):
            try:
                for reading in answer.readings:
                    said = line.mapped.take(reading, task.received_us, retained=task.retained)
                    self._say(device, said)
                line.off_us = OFF_US
            except DecodeError as error:
                answer = Rejected(str(error))
            except Exception as error:  # readings as no adapter should make them
                answer = Failed(f"{type(error).__name__} of its readings")
        match answer:
            case Rejected(text):
                self._reject(device, line, _discreet(text, line), now_us)
            case Failed(text):
                text = _discreet(text, line)
                line.faults += 1
                line.off_until_us, line.why = now_us + line.off_us, text
                log.warning(
                    "%s: its adapter failed at a message of %s: %s; switched off, tried again in"
                    " %d s", device, task.topic, text, line.off_us // US_PER_S,
                )  # fmt: skip
                line.off_us = min(line.off_us * 2, MOST_OFF_US)
                line.left_out += line.worker.forget(device)
                self._say(device, line.mapped.gone(now_us))

    def _reject(self, device: str, line: _Line, text: str, now_us: int) -> None:
        line.rejected += 1
        if now_us - line.said_us >= SAY_US:
            line.said_us = now_us
            log.warning("%s: %s (%d rejected so far)", device, text, line.rejected)

    def _say(self, device: str, said: list[Outgoing]) -> None:
        station = self._lines[device].mapped.settings.station
        for one in said:
            self._put(station, one.kind, device, one.payload)

    def health(self, now_us: int) -> dict[str, Any]:
        """Return what there is to say of each device."""
        devices: dict[str, Any] = {
            device: {"state": "off", "why": text} for device, text in self.failed.items()
        }
        for device, line in self._lines.items():
            mapped, heard = line.mapped, line.mapped.heard
            off = line.off_until_us > now_us
            known = {True: "alive", False: "gone", None: "not heard yet"}[mapped.is_alive]
            devices[device] = {
                "state": "off" if off else known, "kind": mapped.kind, "last": heard.last,
                "last_us": heard.last_us, "messages": line.messages, "readings": heard.readings,
                "rejected": line.rejected, "stale": heard.stale, "clock_off": heard.clock_off,
                "repeated": heard.repeated, "faults": line.faults, "left_out": line.left_out,
                **({"why": line.why} if off else {}),
            }  # fmt: skip
        dropped = self.dropped + sum(worker.dropped for worker in self._workers.values())
        return {"devices": devices, "dropped": dropped}

    def stop(self) -> None:
        """End the workers."""
        for worker in self._workers.values():
            worker.stop()


def _discreet(text: str, line: _Line) -> str:
    """Return what an adapter said of a message; no word of it where people's codes may be in it."""
    if not line.mapped.settings.badges:
        return text
    return "refused or failed at a message; what it said is not told, as it may hold a badge"


def _senseless(where: str, common: DeviceSettings, kind: str, *, is_number: bool) -> list[str]:
    """Return what is wrong with the settings that all devices share."""
    found = []
    if is_number and common.in_use is None:
        found.append(
            f"{where}.in_use is missing, expected the numbers from which on it is in use, as"
            " { on = 8.0, off = 4.0 }; `solosense-adapters calibrate` learns them"
        )
    if common.in_use is not None and common.in_use.on == common.in_use.off:
        found.append(f"{where}.in_use.off is {common.in_use.off:g}, expected another than on")
    if common.pulse and kind not in ("state", "event"):
        found.append(f"{where}.pulse is true, expected only where a device is in use or not")
    if common.silent_s is not None and common.silent_s <= 0:
        found.append(f"{where}.silent_s is {common.silent_s:g}, expected more than 0")
    try:
        re.compile(common.badges)
    except re.error as error:
        found.append(f"{where}.badges is {common.badges!r}, expected a pattern: {error}")
    return found
