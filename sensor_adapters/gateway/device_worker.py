"""The process in which adapters run: it makes devices, and reads their messages, one at a time.

What is sent to it and what it answers are msgpack, so that nothing but values crosses. It may be
killed at any moment; the gateway knows which message it was at.
"""

import contextlib
import resource
from importlib.metadata import entry_points
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import msgspec

from sensor_adapters.device import GROUP, DeviceAdapter, DeviceSettings, Kind, Reading
from sensor_adapters.samples import DecodeError
from sensor_adapters.setting_words import meant
from sensor_adapters.settings import ConfigError, converted
from sensor_adapters.topics import Message

MOST_MEMORY_BYTES = 512 << 20
MOST_READINGS = 1000
"""Of one message."""


class Open(msgspec.Struct, frozen=True, tag=True):
    """Make a device."""

    device: str
    adapter: str
    file: str
    """Named in what is wrong with its settings."""
    settings: dict[str, Any]


class Read(msgspec.Struct, frozen=True, tag=True):
    """Read a message for a device."""

    device: str
    topic: str
    payload: bytes
    received_us: int
    retained: bool


class Discover(msgspec.Struct, frozen=True, tag=True):
    """Say what an adapter discovers in a message."""

    adapter: str
    topic: str
    payload: bytes


class Opened(msgspec.Struct, frozen=True, tag=True):
    """A device was made."""

    topics: list[str]
    kind: Kind
    common: DeviceSettings
    is_number: bool


class Said(msgspec.Struct, frozen=True, tag=True):
    """What a message says."""

    readings: list[Reading]


class Known(msgspec.Struct, frozen=True, tag=True):
    """Devices that a message makes known: name, about, settings, is_number."""

    found: list[tuple[str, str, dict[str, Any], bool]]


class Wrong(msgspec.Struct, frozen=True, tag=True):
    """A setting is wrong, the text says which."""

    text: str


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """A message is not what the device sends, the text says why."""

    text: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The adapter has a fault."""

    text: str


Task: TypeAlias = Open | Read | Discover
Answer: TypeAlias = Opened | Said | Known | Wrong | Rejected | Failed
encode = msgspec.msgpack.encode
tasks = msgspec.msgpack.Decoder(list[Task])
answers = msgspec.msgpack.Decoder(Answer)


class UnknownAdapter(ConfigError):
    """No installed package offers an adapter of that name."""


def adapter_class(name: str) -> type[DeviceAdapter[Any]]:
    """Return the adapter registered as ``name``.

    Raises:
        UnknownAdapter: nobody registered it; the text lists those installed.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise UnknownAdapter(
            f"adapter {name!r} is not installed, expected one of {', '.join(sorted(found))}"
            f"{meant(name, found)}"
        )
    adapter: type[DeviceAdapter[Any]] = found[name].load()
    return adapter


class Worker:
    """Devices of one process."""

    def __init__(self) -> None:
        self._devices: dict[str, DeviceAdapter[Any]] = {}

    def do(self, task: Task) -> Answer:
        """Return what became of a task; what an adapter raises is an answer as well."""
        try:
            match task:
                case Open():
                    return self._open(task)
                case Read(device, topic, payload, received_us, retained):
                    message = Message(topic, payload, received_us, retained)
                    readings = list(self._devices[device].read(message))
                    if len(readings) > MOST_READINGS:
                        return Failed(f"{len(readings)} readings, expected {MOST_READINGS} at most")
                    return Said(readings)
                case Discover(adapter, topic, payload):
                    found = adapter_class(adapter).found(Message(topic, payload, 0))
                    return Known([(f.name, f.about, f.settings, f.is_number) for f in found])
        except DecodeError as error:
            return Rejected(str(error))
        except Exception as error:  # anything: it is not our code
            return Failed(f"{type(error).__name__}: {error}")

    def _open(self, task: Open) -> Answer:
        where = f"devices.{task.device}"
        try:
            adapter = adapter_class(task.adapter)
            settings = converted(task.file, where, task.settings, adapter.settings_type)
        except UnknownAdapter as error:
            return Wrong(f"{task.file}: {where}.adapter: {error}")
        except ConfigError as error:
            return Wrong(str(error))
        try:
            one = adapter(settings)
        except ValueError as error:
            return Wrong(f"{task.file}: {where}: {error}")
        self._devices[task.device] = one
        common = DeviceSettings(
            **{n: getattr(settings, n) for n in DeviceSettings.__struct_fields__}
        )
        return Opened(list(one.topics), one.kind, common, one.is_number)


def serve(connection: Connection) -> None:
    """Do tasks until the other end is closed."""
    with contextlib.suppress(ValueError, OSError):  # where the limit is lower already
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    worker = Worker()
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while True:
            for task in tasks.decode(connection.recv_bytes()):
                connection.send_bytes(_encoded(worker.do(task)))


def _encoded(answer: Answer) -> bytes:
    """Return an answer's bytes; a reading that holds what it may not is the adapter's fault."""
    try:
        body = encode(answer)
        answers.decode(body)
    except Exception as error:
        return encode(Failed(f"{type(error).__name__}: {error}"))
    return body
