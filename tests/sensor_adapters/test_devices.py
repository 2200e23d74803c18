"""What devices are known to say is read as it is meant."""

from importlib.metadata import entry_points

import pytest

from sensor_adapters.device import GROUP, in_words
from sensor_adapters.gateway.device_worker import adapter_class
from sensor_adapters.kit.examples import examples
from sensor_adapters.settings import converted

NAMES = sorted(point.name for point in entry_points(group=GROUP))
DEVICES = [(name, one) for name in NAMES for one in examples(adapter_class(name)).devices]
DISCOVERED = [(name, one) for name in NAMES for one in examples(adapter_class(name)).discovery]


@pytest.mark.parametrize(("name", "device"), DEVICES, ids=[f"{n}: {d.name}" for n, d in DEVICES])
def test_a_device_is_read_as_its_examples_say(name, device):
    adapter = adapter_class(name)
    one = adapter(converted("x.toml", "devices.x", device.block(name), adapter.settings_type))
    for said in device.messages:
        readings = [in_words(reading) for reading in one.read(said.message())]
        assert readings == list(said.readings), said.payload or said.hex


@pytest.mark.parametrize(("name", "one"), DISCOVERED, ids=[n for n, _ in DISCOVERED])
def test_what_is_discovered_can_be_mapped(name, one):
    adapter = adapter_class(name)
    found = list(adapter.found(one.message()))
    assert [each.name for each in found] == list(one.found)
    for each in found:
        block = {"station": "pack-1", "adapter": name, **each.settings}
        adapter(converted("x.toml", "devices.x", block, adapter.settings_type))


@pytest.mark.parametrize("name", NAMES)
def test_every_adapter_has_two_messages_and_their_source(name):
    devices = examples(adapter_class(name)).devices
    assert sum(len(device.messages) for device in devices) >= 2
    assert all(device.source for device in devices)
