"""Secrets are told to the broker alone: not said, not logged, not written, not published."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge import config
from edge.access.mosquitto_files import hashed
from sensor_adapters.broker_option import broker_of
from sensor_adapters.publisher import Publisher
from sensor_adapters.settings import ConfigError
from tests.live import BUNDLES, NODE, ROOT, SITE, START_S, STATION, mosquitto

SECRET, BADGES = "xyzzy-the-broker's-secret", "plugh-the-badges'-key-0123456789"
TABLE = '[broker]\nport = {port}\nusername = "{user}"\npassword_file = "secret"\n'
SITE_TOML = f"""
version = 1
site = "{SITE}"
node = "{NODE}"
{{table}}
[stations.{STATION}]
bundles = ["{BUNDLES / "imu"}"]
[stations.{STATION}.devices]
imu-rw = {{{{ adapter = "imu", placement = "right_wrist" }}}}
imu-lw = {{{{ adapter = "imu", placement = "left_wrist" }}}}
imu-ru = {{{{ adapter = "imu", placement = "right_upper_arm" }}}}
imu-lu = {{{{ adapter = "imu", placement = "left_upper_arm" }}}}
"""
HOST = f'version = 1\nsite = "{SITE}"\nnode = "{NODE}"\n'
BRIDGE = f'[ports.a]\npath = "/dev/nobody"\nstation = "{STATION}"\nstreams = {{ imu = "imu-rw" }}\n'
GATEWAY = f'[scanners.scanner]\npath = "/dev/input/nobody"\nstation = "{STATION}"\n'


def spawned(folder: Path, name: str, *arguments: object, **more: str) -> subprocess.Popen:
    with (folder / f"{name}.said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments)], stdout=said, stderr=said, cwd=ROOT,
            env=os.environ | more,
        )  # fmt: skip


@pytest.mark.broker
def test_nobody_says_writes_or_publishes_a_secret(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "badges.key").write_text(BADGES)
    users = ("edge", "bridge", "gateway", "record", "replay", "ear")
    lines = [hashed(user, SECRET, b"0123456789ab") for user in users]
    (tmp_path / "passwords").write_text("\n".join(lines) + "\n")
    more = f"password_file {tmp_path / 'passwords'}\n"
    more += "user root\n" if os.geteuid() == 0 else ""
    (tmp_path / "broker").mkdir()
    heard: list[bytes] = []
    with (
        mosquitto(tmp_path / "broker", more=more) as port,
        contextlib.ExitStack() as stack,
    ):

        def file(name: str, text: str, user: str) -> Path:
            table = TABLE.format(port=port, user=user)
            path = tmp_path / name
            path.write_text(text.format(table=table) if "{table}" in text else text + table)
            return path

        ear = mqtt.Client(CallbackAPIVersion.VERSION2)
        ear.username_pw_set("ear", SECRET)
        ear.on_connect = lambda client, *_: client.subscribe("#", 1)
        ear.on_message = lambda _, __, m: heard.append(m.topic.encode() + m.payload)
        ear.connect("127.0.0.1", port)
        ear.loop_start()
        stack.callback(ear.loop_stop)
        site = file("site.toml", SITE_TOML, "edge")
        gateway = HOST + 'badge_key_file = "badges.key"\n'
        replay = file("replay.toml", "", "replay")
        started = [
            spawned(tmp_path, "edge", "edge", "run", site, "-v"),
            spawned(
                tmp_path, "bridge", "firmware_bridge", "run",
                file("bridge.toml", HOST + BRIDGE, "bridge"), "-v",
            ),
            spawned(
                tmp_path, "gateway", "sensor_adapters", "run",
                file("adapters.toml", gateway + GATEWAY, "gateway"), "-v",
            ),
            spawned(
                tmp_path, "record", "sensor_adapters", "record", tmp_path / "all.mcap",
                "--broker", f"127.0.0.1:{port}", "--username", "record",
                SOLOSENSE_MQTT_PASSWORD=SECRET,
            ),
        ]  # fmt: skip
        for one in started:
            stack.callback(one.kill)
        with Publisher(broker_of(str(replay)), SITE, NODE) as asks:
            assert asks.wait_for_board(START_S, lambda: started[0].poll() is None)
        done = spawned(
            tmp_path, "replay", "sensor_adapters", "replay", "virtual:seed=7,boxes=1", "--broker",
            replay, "--site", SITE, "--node", NODE, "--station", STATION, "--speed", 0,
        )  # fmt: skip
        assert done.wait(60) == 0, (tmp_path / "replay.said").read_text()
        assert spawned(tmp_path, "check", "edge", "check", site, "--json").wait(60) == 0
        for one in started:
            one.send_signal(signal.SIGINT)
        codes = [one.wait(30) for one in started]
        assert codes == [0, 0, 0, 0], [p.read_text() for p in tmp_path.glob("*.said")]
    written = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name not in ("secret", "badges.key")
    ]
    assert {"edge.said", "bridge.said", "gateway.said", "solosense.db", "all.mcap"} <= {
        path.name for path in written
    }
    assert len(heard) > 50
    for secret in (SECRET, BADGES):
        assert [path.name for path in written if secret.encode() in path.read_bytes()] == []
        assert [one for one in heard if secret.encode() in one] == []
    settings = config.load(site)
    assert settings.broker.password() == SECRET
    assert SECRET not in repr(settings)


def test_a_password_in_the_place_of_a_setting_is_not_repeated(tmp_path):
    file = tmp_path / "broker.toml"
    file.write_text(f'[broker]\npassword = "{SECRET}"\n')
    with pytest.raises(ConfigError, match="did you mean password_file") as caught:
        broker_of(str(file))
    assert SECRET not in str(caught.value)
