"""Devices that speak in their own way, as far as the payloads a board reads. A real broker."""

import json
import subprocess
import sys

import pytest

from sensor_adapters import event, imu, state
from tests import live
from tests.sensor_adapters.gateways import ROOT_TOPIC, gateway, online, package, said, speaker

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def zigbee(device: str, property_: str) -> str:
    return (
        f'[devices.{device}]\nstation = "pack-1"\nadapter = "zigbee2mqtt"\nname = "{device}"\n'
        f'property = "{property_}"\n'
    )


LID, DONE = zigbee("lid", "contact"), zigbee("done", "action")
PRINTER = zigbee("printer", "power") + "in_use = { on = 8.0, off = 4.0, off_s = 0.2 }\n"


def states(heard: live.Heard, device: str) -> list[bool]:
    return [one for body in heard.of(f"/in/state/{device}") for one in body["on"]]


def ends(heard: live.Heard, device: str) -> list[str]:
    return [body["state"] for body in heard.of(f"/status/{device}")]


def test_a_contact_a_button_and_a_plug_are_states_and_events(tmp_path):
    with (
        live.mosquitto(tmp_path) as port,
        live.Heard(port) as heard,
        gateway(tmp_path, port, LID + DONE + PRINTER) as one,
        speaker(port) as client,
    ):
        online(heard)
        said(client, "zigbee2mqtt/lid", {"contact": False, "battery": 100})
        said(client, "zigbee2mqtt/lid", {"contact": True})
        said(client, "zigbee2mqtt/done", {"action": "single"})
        said(client, "zigbee2mqtt/printer", {"power": 1.2})
        heard.wait(lambda _: states(heard, "printer") == [False], "an idle printer")
        said(client, "zigbee2mqtt/printer", {"power": 43.2})
        heard.wait(lambda _: states(heard, "printer")[-1:] == [True], "a printer at work")
        said(client, "zigbee2mqtt/printer", {"power": 5.0})  # between: nothing changes
        said(client, "zigbee2mqtt/printer", {"power": 3.0})
        heard.wait(lambda _: states(heard, "printer")[-1:] == [False], "an idle printer again")
        heard.wait(lambda _: len(states(heard, "lid")) >= 3, "a heartbeat of the lid")
        heard.wait(lambda _: len(heard.of("/in/event/done")) >= 2, "a heartbeat of the button")
        assert one.stop() == 0
    assert states(heard, "lid")[:3] == [True, False, False]
    pressed, *beats = heard.of("/in/event/done")
    assert pressed["events"] == [{"data": "single"}]
    assert all(beat["events"] == [None] for beat in beats)
    for device, kind in (("lid", state), ("printer", state), ("done", event)):
        bodies = heard.of(f"/{device}")
        assert [body["seq"] for body in bodies] == list(range(len(bodies)))
        assert all(abs(body["rx"] - body["t0"]) < 1_000_000 for body in bodies)
        for body in bodies:
            assert len(kind.decode(device, json.dumps(body).encode())) == 1
    health = heard.of("/adapters/health")[-1]
    assert health["devices"]["printer"]["readings"] == 4
    assert health["devices"]["done"]["last"] == "happened single"
    assert heard.of("/adapters/status")[-1]["state"] == "stopped"


def test_a_device_that_is_gone_says_nothing_more(tmp_path):
    with (
        live.mosquitto(tmp_path) as port,
        live.Heard(port) as heard,
        gateway(tmp_path, port, LID + DONE),
        speaker(port) as client,
    ):
        online(heard)
        for device in ("lid", "done"):
            said(client, f"zigbee2mqtt/{device}/availability", {"state": "online"})
        said(client, "zigbee2mqtt/lid", {"contact": False})
        heard.wait_for("/in/state/lid", 1)
        said(client, "zigbee2mqtt/lid/availability", {"state": "offline"})
        heard.wait(
            lambda _: [b["state"] for b in heard.of("/status/lid")] == ["offline"], "its end"
        )
        count = len(heard.of("/in/state/lid"))
        heard.wait_for("/in/event/done", 3)  # the other's heartbeats, five seconds apart
        assert len(heard.of("/in/state/lid")) == count
        said(client, "zigbee2mqtt/lid", {"contact": True})
        heard.wait(lambda _: states(heard, "lid")[-1:] == [False], "it is back")
        assert ends(heard, "lid") == ["offline", "online"]


STRANGERS = '''
"""A stranger's adapters; some of them bad."""

import os, time
from sensor_adapters.device import DeviceAdapter, DeviceSettings, Motion, State
from sensor_adapters.samples import DecodeError


class Settings(DeviceSettings, frozen=True, kw_only=True):
    topic: str


class _Base(DeviceAdapter):
    settings_type = Settings

    def __init__(self, settings):
        super().__init__(settings)
        self.topics = (settings.topic,)

    def read(self, message):
        text = message.payload.decode()
        if text == "bad":
            self.bad()
        return [State(text == "on")]


class Raises(_Base):
    def bad(self):
        {}["no such key"]


class Hangs(_Base):
    def bad(self):
        while True:
            pass


class Dies(_Base):
    def bad(self):
        os._exit(3)


class Swells(_Base):
    def bad(self):
        rows = [bytes(1 << 20) for _ in range(1 << 20)]


class Lies(_Base):
    def read(self, message):
        return [State("perhaps")]


class Empties(_Base):
    kind = "imu"

    def read(self, message):
        return [Motion(acc=[])]


class Moves(_Base):
    kind = "imu"

    def read(self, message):
        x = float(message.payload)
        return [Motion(acc=[(x, 0.0, 9.80665)] * 5, dt_us=20_000)]
'''
BAD = ("Raises", "Hangs", "Dies", "Swells", "Lies")


def stranger(device: str, adapter: str) -> str:
    return (
        f'[devices.{device}]\nstation = "pack-1"\nadapter = "{adapter.lower()}"\n'
        f'topic = "strange/{device}"\n'
    )


@pytest.mark.fault("F47", "F50")
@pytest.mark.parametrize("adapter", BAD)
def test_an_adapter_that_goes_wrong_costs_its_own_device_alone(tmp_path, adapter):
    paths = (package(tmp_path / "site", "strangers", STRANGERS, BAD),)
    blocks = LID + stranger("bad", adapter) + stranger("sister", adapter)
    with (
        live.mosquitto(tmp_path) as port,
        live.Heard(port) as heard,
        gateway(tmp_path, port, blocks, paths=paths) as one,
        speaker(port) as client,
    ):
        online(heard)
        if adapter != "Lies":
            said(client, "strange/bad", "on")
            heard.wait(lambda _: states(heard, "bad") == [True], "before it went wrong")
        said(client, "strange/bad", "bad")
        said(client, "strange/sister", "off")
        said(client, "zigbee2mqtt/lid", {"contact": False})
        heard.wait(lambda _: states(heard, "lid")[:1] == [True], "the others")
        if adapter != "Lies":
            heard.wait(lambda _: states(heard, "sister")[:1] == [False], "of the same adapter, too")
        one.wait_said("switched off, tried again in 60 s")
        said(client, "strange/bad", "on")  # is left out
        said(client, "zigbee2mqtt/lid", {"contact": True})
        heard.wait(lambda _: states(heard, "lid")[-1:] == [False], "and the others go on")
        assert one.stop() == 0
    health = heard.of("/adapters/health")[-1]["devices"]
    assert (health["bad"]["state"], health["bad"]["faults"]) == ("off", 1), health["bad"]
    assert health["bad"]["left_out"] == 1
    assert health["lid"]["faults"] == 0
    if adapter != "Lies":
        assert ends(heard, "bad") == ["offline"]


def test_rows_of_nothing_are_refused_and_the_others_go_on(tmp_path):
    paths = (package(tmp_path / "site", "strangers", STRANGERS, ["Empties"]),)
    with (
        live.mosquitto(tmp_path) as port,
        live.Heard(port) as heard,
        gateway(tmp_path, port, LID + stranger("bad", "Empties"), paths=paths) as one,
        speaker(port) as client,
    ):
        online(heard)
        said(client, "strange/bad", "1")
        one.wait_said("bad: found 0 rows of acceleration")
        said(client, "zigbee2mqtt/lid", {"contact": False})
        heard.wait(lambda _: states(heard, "lid") == [True], "the others")
        assert one.stop() == 0


def test_a_package_that_can_not_be_imported_costs_its_own_devices_alone(tmp_path):
    paths = (package(tmp_path / "site", "broken", "raise OSError('no driver')\n", ["Broken"]),)
    with (
        live.mosquitto(tmp_path) as port,
        live.Heard(port) as heard,
        gateway(tmp_path, port, LID + stranger("bad", "Broken"), paths=paths) as one,
        speaker(port) as client,
    ):
        online(heard)
        said(client, "zigbee2mqtt/lid", {"contact": False})
        heard.wait(lambda _: states(heard, "lid") == [True], "the others")
        health = heard.of("/adapters/health")[-1]["devices"]["bad"]
        assert one.stop() == 0
    assert health["state"] == "off"
    assert "no driver" in health["why"]
    assert "no driver" in one.said


def test_rows_of_a_strangers_inertial_unit_are_an_inertial_unit(tmp_path):
    paths = (package(tmp_path / "site", "strangers", STRANGERS, ["Moves"]),)
    with (
        live.mosquitto(tmp_path) as port,
        live.Heard(port) as heard,
        gateway(tmp_path, port, stranger("imu-rw", "Moves"), paths=paths),
        speaker(port) as client,
    ):
        online(heard)
        said(client, "strange/imu-rw", "1.5")
        (body,) = heard.wait_for("/in/imu/imu-rw", 1)
    samples = imu.decode("imu-rw", json.dumps(body).encode())
    assert samples.values[:, 0].tolist() == [1.5] * 5
    assert samples.time_us[-1] == body["rx"]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (LID + 'propert = 1\n', "devices.lid.propert"),
        (LID.replace('property = "contact"\n', ""), "devices.lid.property is missing"),
        (
            LID.replace("zigbee2mqtt", "zigbee"),
            "adapters.toml:6: devices.lid.adapter: adapter 'zigbee' is not installed",
        ),
        (PRINTER.split("in_use")[0], "devices.printer.in_use is missing"),
        (LID.replace("pack-1", "Pack 1"), "devices.lid.station 'Pack 1' is not an id"),
        (DONE + 'badges = "EMP.*"\n', "badge_key_file"),
        (DONE + 'badges = "EMP("\n', "devices.done.badges"),
        ("", "devices is {}, expected at least one device"),
    ],
)  # fmt: skip
def test_a_setting_that_is_wrong_is_told_at_the_start(tmp_path, devices, expected):
    file = tmp_path / "adapters.toml"
    (tmp_path / "key").write_text("0123456789abcdef")
    more = 'badge_key_file = "key"\n' if "badges" in devices and "badge_key" not in expected else ""
    file.write_text(f'version = 1\nsite = "a"\nnode = "b"\n{more}{devices}')
    command = [sys.executable, "-m", "sensor_adapters", "run", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=live.ROOT, timeout=60)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr


def test_peoples_badges_leave_only_as_hashes(tmp_path):
    (tmp_path / "key").write_text("0123456789abcdef")
    more = 'badge_key_file = "key"\n'
    with (
        live.mosquitto(tmp_path) as port,
        live.Heard(port) as heard,
        gateway(tmp_path, port, DONE + 'badges = "EMP[0-9]+"\n', more=more) as one,
        speaker(port) as client,
    ):
        online(heard)
        for code in ("EMP0042", "ITEM301", "EMP0042"):
            said(client, "zigbee2mqtt/done", {"action": code})
        heard.wait(lambda _: len(codes(heard)) == 3, "three codes")
        assert one.stop() == 0
        everything = json.dumps(heard.said)
    first, item, again = codes(heard)
    assert item == "ITEM301"
    assert first == again
    assert first.startswith("person-")
    assert "EMP0042" not in everything + one.said


def codes(heard: live.Heard) -> list[str]:
    return [one["data"] for body in heard.of("/in/event/done") for one in body["events"] if one]


def test_what_is_discovered_comes_with_a_block_that_works(tmp_path):
    from sensor_adapters.devices.zigbee2mqtt import Zigbee2Mqtt
    from sensor_adapters.kit.examples import examples

    (shown,) = examples(Zigbee2Mqtt).discovery
    with live.mosquitto(tmp_path) as port, speaker(port) as client:
        said(client, shown.topic, shown.payload, retain=True)
        command = [
            sys.executable, "-m", "sensor_adapters", "discover", "--seconds", "1", "--broker",
            f"127.0.0.1:{port}",
        ]  # fmt: skip
        found = subprocess.run(command, capture_output=True, text=True, cwd=live.ROOT, timeout=60)
        assert found.returncode == 0, found.stderr
        blocks = found.stdout.split("For adapters.toml:")[1]
        assert "[devices.pack-1-lid]" in blocks
        with live.Heard(port) as heard, gateway(tmp_path, port, blocks):
            online(heard)
            said(client, "zigbee2mqtt/pack-1/lid", {"contact": False})
            heard.wait(lambda _: states(heard, "pack-1-lid") == [True], "the lid")
        command += ["--mapped", str(tmp_path / "adapters.toml")]
        again = subprocess.run(command, capture_output=True, text=True, cwd=live.ROOT, timeout=60)
    assert "found nothing that is not mapped" in again.stdout
    assert ROOT_TOPIC not in again.stdout
