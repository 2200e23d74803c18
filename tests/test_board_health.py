"""A running board says how it is, over MQTT and HTTP; who asks learns which link is silent."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensor_adapters import event, imu, state
from sensor_adapters.recordings import open_recording
from sensor_adapters.samples import Samples
from tests.live import (
    NODE,
    ROOT,
    SITE,
    START_S,
    STATION,
    free_port,
    mosquitto,
    play,
    running,
    site_of,
    start_mosquitto,
)

DEVICES = {
    "scanner": ("event", "scanner"),
    "printer": ("event", "printer"),
    "tape": ("state", "tape"),
    "pen": ("state", "pen"),
    "shelf": ("state", "shelf"),
    "backtable": ("state", "back_table"),
    "imu-rw": ("imu", "right_wrist"),
}
MODULES = {"event": event, "state": state, "imu": imu}


class Talkers:
    """Devices that say they are alive, twice a second, each until it is told not to."""

    def __init__(self, port: int) -> None:
        self.silent: set[str] = set()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Talkers":
        self._client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(5)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        said, due_s = Counter[str](), time.monotonic()
        while not self._over.wait(max(due_s - time.monotonic(), 0)):
            due_s += 0.5  # by the clock: on a busy machine the rate is the same
            for device in DEVICES.keys() - self.silent:
                said[device] += 1
                self._say(device, said[device])

    def _say(self, device: str, seq: int) -> None:
        module = MODULES[DEVICES[device][0]]
        count = 15 if module is imu else 1
        now_us = time.time_ns() // 1000
        time_us = now_us - np.arange(count)[::-1] * 33_333
        values = np.full((count, len(module.stream.channels)), seq % 7, np.float32)
        if module is not imu:
            values[:] = 0
        body = module.encode(Samples(device, module.stream, time_us, values), "b", seq)
        topic = f"act/v1/{SITE}/{NODE}/{STATION}/in/{DEVICES[device][0]}/{device}"
        self._client.publish(topic, body, qos=1)


def ask(site: Path, *more: str) -> tuple[int, str]:
    """Return the exit code of `solosense-edge health`, and all that it said."""
    command = [sys.executable, "-m", "edge", "health", str(site), "--wait-s", "3", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + " ".join(done.stderr.split())


def ask_until(site: Path, text: str) -> int:
    """Ask until the answer holds a text; return the exit code."""
    end_s = time.monotonic() + START_S
    while True:
        code, said = ask(site)
        if text in said:
            return code
        assert time.monotonic() < end_s, said


def messages_of(site: Path, device: str) -> int:
    """Return how many messages of a device the board has taken."""
    _, said = ask(site, "--json")
    return int(json.loads(said)["health"]["devices"][f"{STATION}/{device}"]["messages"])


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(what, patience_s: float = START_S):
    """Return what a call returns once that is true."""
    end_s = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < end_s
        time.sleep(0.1)
    return found


def assert_readme_shows(health: dict) -> None:
    """Compare the README's example with what a board says, by their fields."""
    page = (ROOT / "edge/README.md").read_text()
    (example,) = re.findall(r"```json\n(\{\"v\":1,\"ok\".*?)```", page, re.S)
    shown = json.loads(example)
    assert set(shown) - {"v"} == set(health)
    assert set(shown["disk"]) == set(health["disk"])
    assert set(shown["models"]["imu"]) == set(health["models"]["iot"])
    assert set(shown["devices"]["pack-1/scanner"]) == set(health["devices"]["pack-1/scanner"])


@pytest.mark.fault("F14")
def test_who_asks_learns_which_link_of_the_chain_is_silent(tmp_path):
    port, site = free_port(), tmp_path / "site.toml"
    site.write_text(site_of(port, "iot", DEVICES))
    code, said = ask(site)
    assert (code, "no broker: nothing listens" in said) == (1, True), said
    with mosquitto(tmp_path, port):
        code, said = ask(site)
        assert (code, "no board has ever spoken" in said) == (1, True), said
        with running(site, tmp_path / "solosense.db", port) as one, Talkers(port) as talkers:
            assert ask_until(site, "all is well") == 0
            wait_for(lambda: messages_of(site, "scanner"))  # it is well before anybody spoke, too
            talkers.silent.add("scanner")
            assert ask_until(site, f"connected but nothing comes from {STATION}/scanner for") == 1
            code, said = ask(site, "--json")
            body = json.loads(said)
            streams = body["health"]["devices"]
            assert (code, body["ok"], body["answered"]) == (1, False, True)
            assert streams[f"{STATION}/scanner"]["state"] in ("stale", "silent")
            assert streams[f"{STATION}/imu-rw"]["state"] == "ok"
            assert streams[f"{STATION}/imu-rw"]["rate_hz"] == pytest.approx(30, rel=0.2)
            assert_readme_shows(body["health"])
            one.process.kill()
            one.process.wait()
            assert ask_until(site, "it went away without a word") == 1


def test_a_wrong_setting_is_told_from_a_wrong_world(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(site_of(free_port(), "iot", DEVICES) + "[metrics]\nprot = 1\n")
    code, said = ask(site)
    assert (code, "metrics.prot is not a setting" in said) == (2, True), said
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    more = f"user root\npassword_file {passwords}\nallow_anonymous false\n"
    with mosquitto(tmp_path, more=more) as port:
        site.write_text(site_of(port, "iot", DEVICES))
        code, said = ask(site)
        assert (code, "the broker turned us away" in said) == (2, True), said


def test_prometheus_reads_what_the_readme_lists_and_can_not_hold_the_board_up(tmp_path):
    page = free_port()
    listed = re.findall(r"^\| `(solosense_\w+)", (ROOT / "edge/README.md").read_text(), re.M)
    with mosquitto(tmp_path) as port:
        site = tmp_path / "site.toml"
        site.write_text(site_of(port, "iot", DEVICES) + f"[metrics]\nport = {page}\n")
        url = f"http://127.0.0.1:{page}"
        with running(site, tmp_path / "solosense.db", port), Talkers(port):
            assert get(f"{url}/healthz") == (200, '{"mqtt": true, "metrics": true, "main": true}')
            code, said = get(f"{url}/readyz")
            assert (code, json.loads(said).get("streams", False)) == (503, False), "too soon"
            wait_for(lambda: get(f"{url}/readyz")[0] == 200)
            asleep = [socket_to(page) for _ in range(4)]  # they ask for nothing and hold on
            wait_for(lambda: not is_answered(url), 5)
            code, said = ask(site)
            assert (code, "all is well" in said) == (0, True), "held up by those who hang on"
            for connection in asleep:
                connection.close()
            text = wait_for(lambda: is_answered(url))
            names = set(re.findall(r"^# TYPE (\w+)", text, re.M))
            ours = {name for name in names if name.startswith("solosense_")}
            assert ours <= set(listed), ours - set(listed)
            absent = set(listed) - ours  # where a machine does not say
            assert absent <= {"solosense_temperature_celsius", "solosense_slowed"}, absent
            tape = f'{{device="tape",state="ok",station="{STATION}"}}'
            assert f"solosense_stream_state{tape} 1.0" in text
            assert re.search(r'solosense_model_call_seconds_count\{model="iot"\} [1-9]', text)
            assert "process_resident_memory_bytes" in names


def socket_to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def is_answered(url: str) -> str:
    with contextlib.suppress(OSError):
        code, text = get(f"{url}/metrics")
        if code == 200:
            return text
    return ""


def test_a_port_that_is_taken_does_not_stop_the_board_and_is_said(tmp_path):
    with mosquitto(tmp_path) as port, socket.create_server(("127.0.0.1", 0)) as taken:
        site = tmp_path / "site.toml"
        text = site_of(port, "iot", DEVICES)
        site.write_text(f"{text}[metrics]\nport = {taken.getsockname()[1]}\n")
        with running(site, tmp_path / "solosense.db", port) as one:
            code, said = ask(site)
            assert (code, "metrics can not be asked for" in said) == (1, True), said
            assert one.stop() == 0
        code, said = ask(site)
        assert (code, "it was stopped in order" in said) == (1, True), said


@pytest.mark.fault("F3")
def test_a_broker_that_hangs_for_longer_than_the_keepalive_is_noticed_and_nothing_is_lost(tmp_path):
    shift = open_recording("virtual:seed=7,boxes=1")
    devices = {name: (d.adapter, d.placement) for name, d in shift.devices.items()}

    def rows(folder: Path, *, hang: bool) -> list[tuple]:
        folder.mkdir()
        port, site, db = free_port(), folder / "site.toml", folder / "solosense.db"
        site.write_text(
            site_of(port, "imu", devices).replace("[broker]", "[broker]\nkeepalive_s = 1")
        )
        process = start_mosquitto(folder, port)
        try:
            with running(site, db, port) as one:
                if hang:
                    process.send_signal(signal.SIGSTOP)
                    code, said = ask(site)
                    assert (code, "takes connections and says nothing" in said) == (1, True), said
                    wait_for(lambda: "lost the broker: Keep alive timeout" in one.said)
                    process.send_signal(signal.SIGCONT)
                    wait_for(lambda: "connected to" in one.said)
                assert play(shift, port)["lost"] == 0
                assert one.stop() == 0
                return one.segments()
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(10)

    assert rows(tmp_path / "hung", hang=True) == rows(tmp_path / "calm", hang=False)
