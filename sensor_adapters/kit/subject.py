"""An adapter as the conformance rules see it: messages in, readings in words out."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np

from sensor_adapters import adapter as kinds, device as devices
from sensor_adapters.adapter import Adapter
from sensor_adapters.device import OF_KIND, DeviceAdapter, in_words
from sensor_adapters.kit.examples import ExampleDevice, Examples, examples_of
from sensor_adapters.settings import ConfigError, converted
from sensor_adapters.topics import Message

Feed = Callable[[Message], list[str]]
"""Reads a message; raises ``DecodeError`` for what is none."""


@dataclass(frozen=True)
class Subject:
    """An installed adapter."""

    name: str
    runs_in: str
    """``board`` or ``gateway``."""
    kind: str
    examples: Examples
    licence: str
    make: Callable[[ExampleDevice], Feed]
    """Makes one device.

    Raises ``ConfigError`` or ``ValueError`` where its settings are wrong.
    """
    topics: Callable[[ExampleDevice], Sequence[str]]
    found: Callable[[Message], list[str]]
    """Names of the devices that a discovery message makes known."""


def subjects() -> list[Subject]:
    """Return all installed adapters, by name.

    Raises:
        ConfigError: one has no examples.
    """
    found = [_kind(point) for point in entry_points(group=kinds.GROUP)]
    found += [_device(point) for point in entry_points(group=devices.GROUP)]
    return sorted(found, key=lambda one: one.name)


def subject(name: str) -> Subject:
    """Return one adapter.

    Raises:
        ConfigError: it is not installed, or has no examples.
    """
    for group, make in ((devices.GROUP, _device), (kinds.GROUP, _kind)):
        for point in entry_points(group=group, name=name):
            return make(point)
    known = sorted({p.name for g in (kinds.GROUP, devices.GROUP) for p in entry_points(group=g)})
    raise ConfigError(f"adapter {name!r} is not installed, expected one of {', '.join(known)}")


def _device(point: EntryPoint) -> Subject:
    cls: type[DeviceAdapter[Any]] = point.load()

    def make(device: ExampleDevice) -> DeviceAdapter[Any]:
        block = device.block(point.name)
        return cls(converted("example", device.name, block, cls.settings_type))

    def feed(device: ExampleDevice) -> Feed:
        one = make(device)

        def read(message: Message) -> list[str]:
            readings = list(one.read(message))
            for reading in readings:
                if not isinstance(reading, OF_KIND[one.kind]):
                    raise TypeError(f"read {reading!r}, expected what {one.kind} says")
            return [in_words(reading) for reading in readings]

        return read

    examples = examples_of(Path(_file(cls.__module__)))
    return Subject(
        point.name, "gateway", _kinds(make, examples), examples, _licence(point), feed,
        lambda device: make(device).topics, lambda message: [f.name for f in cls.found(message)],
    )  # fmt: skip


def _kinds(make: Callable[[ExampleDevice], DeviceAdapter[Any]], examples: Examples) -> str:
    """Return the kinds that its devices have."""
    return ", ".join(dict.fromkeys(make(device).kind for device in examples.devices))


def _kind(point: EntryPoint) -> Subject:
    module: Adapter = point.load()

    def feed(device: ExampleDevice) -> Feed:
        def read(message: Message) -> list[str]:
            samples = module.decode(message.topic.rpartition("/")[2], message.payload)
            if np.isinf(samples.values).any() or (np.diff(samples.time_us) < 0).any():
                raise TypeError("decoded to infinite readings, or to times that run backwards")
            return [_row(row) for row in samples.values]

        return read

    examples = examples_of(Path(_file(module.__name__)))  # type: ignore[attr-defined]
    return Subject(
        point.name, "board", module.stream.kind, examples, _licence(point), feed,
        lambda device: [message.topic for message in device.messages], lambda message: [],
    )  # fmt: skip


def _row(row: np.ndarray) -> str:
    """Return a reading's first values; a person's row has 62."""
    shown = ["-" if np.isnan(value) else f"{value:.4g}" for value in row[:6]]
    return " ".join(shown)


def _file(module: str) -> str:
    found = importlib.import_module(module).__file__
    if found is None:
        raise ConfigError(f"{module} lies in no file, expected examples beside it")
    return found


def _licence(point: EntryPoint) -> str:
    """Return the licence that the adapter's package states; nothing if it states none."""
    about = point.dist.metadata if point.dist is not None else None
    if about is None:
        return ""
    for key in ("License-Expression", "License"):
        if stated := about.get_all(key):
            return str(stated[0])
    said = [c for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    return said[0].rpartition(" :: ")[2] if said else ""
