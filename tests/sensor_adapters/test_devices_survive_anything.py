"""Whatever comes on a device's topics is read or refused; it breaks nothing and fills nothing."""

import contextlib
import json
import sys
from importlib.metadata import entry_points

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sensor_adapters.device import GROUP, OF_KIND, DeviceSettings
from sensor_adapters.gateway.device_worker import Said, adapter_class, answers, encode
from sensor_adapters.gateway.mapped_device import MappedDevice
from sensor_adapters.kit.examples import examples
from sensor_adapters.samples import US_PER_S, DecodeError
from sensor_adapters.settings import converted
from sensor_adapters.topics import Message

NAMES = sorted(point.name for point in entry_points(group=GROUP))
DEVICES = [(name, one) for name in NAMES for one in examples(adapter_class(name)).devices]
NOW_US = 1_767_254_400_000_000
FAST = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
ODD: list = [
    None, True, 0, -1, 256, 10**400, 1.5, float("nan"), float("inf"), "", "ON", "nan", "1e400",
    "0xfcd2", "40", "é" * 300, [], [[]], ["new"], [1, None], {}, {"a": []}, {"acc": "g"},
]  # fmt: skip
values = st.sampled_from(ODD) | st.integers(-(2**70), 2**70) | st.text(max_size=12)


def made(name, device):
    """Return an example's device, and what it becomes in the gateway."""
    adapter = adapter_class(name)
    one = adapter(converted("x.toml", "devices.x", device.block(name), adapter.settings_type))
    block = {n: getattr(one.settings, n) for n in DeviceSettings.__struct_fields__}
    return one, MappedDevice("x", one.kind, DeviceSettings(**block), "b")


def changed(draw, value):
    """Return a JSON value, something in it another."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 2)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], changed(draw, value[place]), *value[place + 1 :]]
    return draw(values)


def body(draw, example):
    """Return an example's payload, spoilt in one of many ways, or another one altogether."""
    raw = example.message().payload
    kind = draw(st.sampled_from(["json", "whole", "cut", "bytes", "any"]))
    if kind == "any":
        return draw(st.binary(max_size=60))
    if kind == "cut":
        return raw[: draw(st.integers(0, len(raw)))]
    if kind == "bytes" and raw:
        place, many = draw(st.integers(0, len(raw) - 1)), draw(st.integers(0, 4))
        return raw[:place] + draw(st.binary(max_size=4)) + raw[place + many :]
    if kind == "json":
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return json.dumps(changed(draw, msgspec.json.decode(raw))).encode()
    return raw


def topic_of(draw, one, example):
    filters = [*one.topics, example.topic]
    return draw(st.sampled_from(filters)).replace("+", "one").replace("#", "one/two")


@pytest.mark.parametrize(("name", "device"), DEVICES, ids=[f"{n}: {d.name}" for n, d in DEVICES])
@FAST
@given(data=st.data())
def test_whatever_comes_is_read_or_refused(name, device, data):
    one, mapped = made(name, device)
    now_us = NOW_US
    for _ in range(data.draw(st.integers(1, 6))):
        example = data.draw(st.sampled_from(device.messages))
        payload, topic = body(data.draw, example), topic_of(data.draw, one, example)
        now_us += data.draw(st.sampled_from([0, 1000, 4 * US_PER_S, 400 * US_PER_S, -US_PER_S]))
        message = Message(topic, payload, now_us, data.draw(st.booleans()))
        with contextlib.suppress(DecodeError):
            readings = list(one.read(message))
            assert all(isinstance(reading, OF_KIND[one.kind]) for reading in readings)
            answers.decode(encode(Said(readings)))
            for reading in readings:
                mapped.take(reading, max(now_us, 0), retained=message.retained)


def spoilt(value):
    """Yield a JSON value with each of its fields, in turn, each of the odd ones."""
    yield from ODD
    if isinstance(value, dict):
        for key in value:
            rest = {other: value[other] for other in value if other != key}
            yield rest
            yield from (rest | {key: one} for one in spoilt(value[key]))
    if isinstance(value, list) and value:
        yield from ([one, *value[1:]] for one in spoilt(value[0]))


def fields_spoilt(example):
    """Yield a payload's JSON in all these forms; nothing where it is none."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        yield from (json.dumps(one) for one in spoilt(msgspec.json.decode(example.payload)))


@pytest.mark.parametrize(("name", "device"), DEVICES, ids=[f"{n}: {d.name}" for n, d in DEVICES])
def test_every_field_may_be_anything(name, device):
    one, mapped = made(name, device)
    for example in device.messages:
        for count, payload in enumerate(fields_spoilt(example)):
            now_us = NOW_US + count * US_PER_S
            with contextlib.suppress(DecodeError):
                readings = list(one.read(Message(example.topic, payload.encode(), now_us)))
                answers.decode(encode(Said(readings)))
                for reading in readings:
                    mapped.take(reading, now_us, retained=False)


DISCOVERED = [(name, one) for name in NAMES for one in examples(adapter_class(name)).discovery]


@pytest.mark.parametrize(("name", "one"), DISCOVERED, ids=[n for n, _ in DISCOVERED])
@FAST
@given(data=st.data())
def test_whatever_makes_itself_known_is_understood_or_refused(name, one, data):
    payload, topic = body(data.draw, one), data.draw(st.sampled_from([one.topic, "a", "a/b/c/d/e"]))
    adapter = adapter_class(name)
    with contextlib.suppress(DecodeError):
        for found in adapter.found(Message(topic, payload, NOW_US, True)):
            encode((found.name, found.about, found.settings, found.is_number))


@pytest.mark.parametrize(("name", "one"), DISCOVERED, ids=[n for n, _ in DISCOVERED])
def test_every_field_by_which_something_makes_itself_known_may_be_anything(name, one):
    adapter = adapter_class(name)
    for payload in fields_spoilt(one):
        with contextlib.suppress(DecodeError):
            for found in adapter.found(Message(one.topic, payload.encode(), NOW_US, True)):
                encode((found.name, found.about, found.settings, found.is_number))


DEEP = b'{"a":' * 50_000, b"[" * 50_000, b'{"after":' + b'[{"a":' * 20_000


@pytest.mark.parametrize(("name", "device"), DEVICES, ids=[f"{n}: {d.name}" for n, d in DEVICES])
@pytest.mark.parametrize("payload", DEEP, ids=["objects", "lists", "both"])
def test_payloads_nested_without_end_are_refused(name, device, payload):
    one, _ = made(name, device)
    for topic in one.topics:
        with contextlib.suppress(DecodeError):
            list(one.read(Message(topic.replace("+", "one"), payload, NOW_US)))


def size(value, seen):
    """Return about how many bytes an object holds on to."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    inner = value.values() if isinstance(value, dict) else value
    is_many = isinstance(value, (dict, list, tuple, set)) or hasattr(value, "maxlen")
    within = [*inner, *value] if isinstance(value, dict) else [*inner] if is_many else []
    return sys.getsizeof(value) + sum(size(part, seen) for part in within)


@pytest.mark.parametrize(("name", "device"), DEVICES, ids=[f"{n}: {d.name}" for n, d in DEVICES])
def test_a_device_that_never_repeats_itself_fills_no_memory(name, device):
    one, _ = made(name, device)
    for count in range(9000):
        for example in device.messages[count % len(device.messages) :][:1]:
            said = example.message(NOW_US + count)
            payload = said.payload.replace(b"xklsc", b"x%06d" % count)
            payload = payload.replace(b"0009", b"00%02x" % (count % 256))
            with contextlib.suppress(DecodeError):
                list(one.read(Message(said.topic, payload, said.received_us, said.retained)))
    assert size(vars(one), set()) < 100_000
