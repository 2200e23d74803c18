"""What each kind of device says, as far as a row of the log: broker, gateway, broker, board."""

import itertools
from importlib.metadata import entry_points

import pytest

from sensor_adapters.device import GROUP
from sensor_adapters.gateway import toml_block
from sensor_adapters.gateway.device_worker import adapter_class
from sensor_adapters.kit.examples import ExampleDevice, examples
from sensor_adapters.settings import converted
from tests import live
from tests.sensor_adapters.gateways import gateway, online, said, speaker

pytestmark = [pytest.mark.broker, pytest.mark.slow]
SEATS = {"state": "tape", "event": "scanner", "imu": "right_wrist", "radio": "kitchen"}
"""Where a device sits whose readings are of a kind, as models that come with us know it.

None hears a radio, so that one is a row of ``device_states`` alone.
"""
OTHERS = {
    "iot": {
        "scanner": "event", "printer": "event", "tape": "state", "pen": "state", "shelf": "state",
        "back_table": "state",
    },
    "imu": {"right_wrist": "imu", "left_wrist": "imu"},
}  # fmt: skip


def seated() -> list[tuple[str, str, ExampleDevice]]:
    """Return adapter, kind and example of all devices that differ in either of the first two."""
    found: dict[tuple[str, str], ExampleDevice] = {}
    for point in entry_points(group=GROUP):
        adapter = adapter_class(point.name)
        for one in examples(adapter).devices:
            block = one.block(point.name)
            kind = adapter(converted("x", "x", block, adapter.settings_type)).kind
            found.setdefault((point.name, kind), one)
    return [(name, kind, one) for (name, kind), one in sorted(found.items(), key=str)]


def station(number: int, kind: str) -> str:
    """Return a station's part of a board's configuration: the device in its seat, none beside."""
    bundle = "imu" if kind in ("imu", "radio") else "iot"
    lines = [f'[stations.p{number}]\nbundles = ["{live.BUNDLES / bundle}"]']
    for place, adapter in {**OTHERS[bundle], SEATS[kind]: kind}.items():
        is_ours = place == SEATS[kind]
        device = f"d{number}" if is_ours else place.replace("_", "-")
        lines.append(
            f'[stations.p{number}.devices.{device}]\nadapter = "{kind if is_ours else adapter}"\n'
            f'placement = "{place}"'
        )
    return "\n".join(lines) + "\n"


def test_every_adapters_devices_are_rows_of_the_log(tmp_path):
    devices = seated()
    assert {name for name, _, _ in devices} == {point.name for point in entry_points(group=GROUP)}
    seen = {f"p{number}" for number, (_, kind, _) in enumerate(devices) if kind != "radio"}
    blocks, stations = "", ""
    for number, (name, kind, one) in enumerate(devices):
        block = {**one.block(name), "station": f"p{number}"}
        blocks += toml_block.block(f"devices.d{number}", block)
        stations += station(number, kind)
    with live.mosquitto(tmp_path) as port:
        site = tmp_path / "site.toml"
        site.write_text(
            f'version = 1\nsite = "{live.SITE}"\nnode = "{live.NODE}"\n[broker]\nport = {port}\n'
            + stations
        )
        with (
            live.running(site, tmp_path / "solosense.db", port) as board,
            live.Heard(port) as heard,
            gateway(tmp_path, port, blocks) as host,
            speaker(port) as client,
        ):
            online(heard)
            waiting = set(seen)
            for turn in itertools.count():
                assert turn < 600, f"no segment at {waiting}"
                for _, _, each in devices:
                    for shown in each.messages:
                        if "gone" not in shown.readings:
                            said(client, shown.topic, shown.message().payload)
                waiting -= {topic.split("/")[4] for topic, _ in segments(heard)}
                if not waiting:
                    break
                heard.next(0.1)
            assert host.stop() == 0
            assert board.stop() == 0
            rows = board.query("SELECT DISTINCT station FROM segments")
            heard_of = board.query(
                "SELECT device, messages, rejected FROM device_states WHERE messages > 0"
            )
    names = {f"d{number}" for number in range(len(devices))}
    assert {device for device, _, _ in heard_of} == names
    assert all(rejected == 0 for *_, rejected in heard_of)
    assert {row[0] for row in rows} == seen


def segments(heard: live.Heard) -> list[tuple[str, dict]]:
    """Return what was said of segments."""
    return [(topic, body) for topic, body in list(heard.said) if topic.endswith("/segment")]
