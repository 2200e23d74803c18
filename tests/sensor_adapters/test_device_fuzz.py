"""Whatever comes on a device's topics, its adapter reads it or says that it is not its device's."""

import contextlib
import json
from importlib.metadata import entry_points
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from sensor_adapters.device import GROUP
from sensor_adapters.gateway.device_worker import Read, Worker, adapter_class
from sensor_adapters.kit.examples import examples
from sensor_adapters.samples import DecodeError
from sensor_adapters.settings import converted
from sensor_adapters.topics import Message

NAMES = sorted(point.name for point in entry_points(group=GROUP))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["ON", "true", "1e400", "single_push", 10**400, -(2**63), "\0", 0.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)  # fmt: skip


def devices(name):
    """Yield each of an adapter's example devices, made, with a message of each."""
    adapter = adapter_class(name)
    for device in examples(adapter).devices:
        made = converted("x.toml", "devices.x", device.block(name), adapter.settings_type)
        for said in device.messages:
            yield adapter(made), said.message()


def mutated(value: Any, data: st.DataObject) -> Any:
    """Return a JSON value in which one part is another."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: mutated(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], mutated(value[index], data), *value[index + 1 :]]
    return data.draw(JSON)


def other(payload: bytes, data: st.DataObject) -> bytes:
    """Return a payload that is not what the device sent: other JSON, cut short, any bytes."""
    kind = data.draw(st.sampled_from(["json", "cut", "bytes", "deep"]))
    if kind == "cut":
        return payload[: data.draw(st.integers(0, len(payload)))]
    if kind == "bytes":
        return data.draw(st.binary(max_size=60))
    if kind == "deep":
        return data.draw(st.sampled_from([b"[" * 100_000, b'{"ENERGY":' * 50_000, b"9" * 5000]))
    try:
        return json.dumps(mutated(json.loads(payload), data)).encode()
    except ValueError:
        return json.dumps(data.draw(JSON)).encode()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_payload_is_read_or_refused(name, data):
    made, message = data.draw(st.sampled_from(list(devices(name))))
    topic = data.draw(st.sampled_from(list(made.topics)) | st.just(message.topic))
    for _ in range(2):
        said = Message(topic, other(message.payload, data), 0, data.draw(st.booleans()))
        with contextlib.suppress(DecodeError):
            msgspec.msgpack.encode(list(made.read(said)))


@pytest.mark.parametrize("name", [n for n in NAMES if examples(adapter_class(n)).discovery])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_discovery_is_read_or_refused_and_what_is_found_can_be_mapped(name, data):
    adapter = adapter_class(name)
    message = data.draw(st.sampled_from(examples(adapter).discovery)).message()
    found = []
    with contextlib.suppress(DecodeError):
        found = list(adapter.found(Message(message.topic, other(message.payload, data), 0)))
    for one in found:
        block = {"station": "pack-1", "adapter": name, **one.settings}
        adapter(converted("x.toml", "devices.x", block, adapter.settings_type))


def test_a_message_for_nobody_is_the_workers_fault_not_its_end():
    answer = Worker().do(Read("nobody", "t", b"", 0, False))
    assert type(answer).__name__ == "Failed"
