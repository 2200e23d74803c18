"""What a service manager hears of a board, on a real socket: no sign of life of one that hangs."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge.health.beats import Beats
from edge.health.service_manager import ServiceManager
from sensor_adapters.publisher import Publisher
from tests.live import NODE, ROOT, SITE, STATION, free_port, mosquitto, site_of

DEVICES = {"stone": ("hanging", "scanner"), "printer": ("event", "printer")} | {
    name: ("state", name) for name in ("tape", "pen", "shelf", "back_table")
}
HANGING = """
import pathlib, time
from sensor_adapters import event
stream = event.stream
def decode(device, payload):
    stone = pathlib.Path(payload.decode())
    while stone.exists():
        stone.with_suffix(".held").touch()
        time.sleep(0.1)
    return event.decode(device, payload)
"""


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))

    def hear(self, patience_s: float) -> str:
        """Return the next word; empty if none comes."""
        self._socket.settimeout(patience_s)
        try:
            return self._socket.recv(4096).decode()
        except TimeoutError:
            return ""

    def close(self) -> None:
        self._socket.close()

    def wait_for(self, text: str, patience_s: float = 30) -> list[str]:
        """Return all that was heard until this was."""
        end_s = time.monotonic() + patience_s
        heard: list[str] = []
        while not heard or text not in heard[-1]:
            assert time.monotonic() < end_s, heard
            heard.append(self.hear(max(end_s - time.monotonic(), 0.01)))
        return heard

    def forget(self) -> None:
        """Drop what was said until now."""
        while self.hear(0.01):
            pass


@contextlib.contextmanager
def service(
    folder: Path, port: int, watchdog_s: float
) -> Iterator[tuple[Manager, subprocess.Popen]]:
    """Run a board as a service, with an adapter of another package that hangs while a file is."""
    package = folder / "hanging-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[solosense.adapters]\nhanging = hanging\n")
    (folder / "hanging.py").write_text(HANGING)
    site = folder / "site.toml"
    site.write_text(site_of(port, "iot", DEVICES))
    manager = Manager(folder)
    told = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
    env = os.environ | told | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "edge", "run", str(site)]
    with (folder / "board.log").open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=env)
    try:
        yield manager, process
    finally:
        process.kill()
        process.wait(10)
        manager.close()


@pytest.mark.broker
@pytest.mark.fault("F53")
def test_a_board_that_hangs_is_not_said_to_live_and_one_that_goes_on_is(tmp_path):
    with mosquitto(tmp_path) as port, service(tmp_path, port, 2.0) as (manager, process):
        assert "READY=1" in manager.wait_for("READY=1")[-1]
        manager.wait_for("WATCHDOG=1")
        stone = tmp_path / "stone"
        stone.touch()
        with Publisher(f"127.0.0.1:{port}", SITE, NODE) as publisher:
            topic = f"act/v1/{SITE}/{NODE}/{STATION}/in/hanging/stone"
            publisher._client.publish(topic, str(stone).encode(), qos=1).wait_for_publish(5)
        end_s = time.monotonic() + 30
        while not stone.with_suffix(".held").exists():
            assert time.monotonic() < end_s, "it was to hang"
            time.sleep(0.01)
        manager.forget()  # all that was said before it hung
        assert manager.hear(2.5) == "", "it hangs, for longer than the watchdog waits"
        assert process.poll() is None
        stone.unlink()
        manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait(10) == 0


@pytest.mark.broker
def test_a_board_without_a_broker_is_ready_and_lives(tmp_path):
    with service(tmp_path, free_port(), 4.0) as (manager, _):
        heard = manager.wait_for("READY=1")
        assert "WATCHDOG=1" in heard, "it moves, although it is not ready yet"
        manager.wait_for("WATCHDOG=1")


def test_a_loop_that_stands_is_named_and_one_that_is_gone_too():
    moved: dict[str, float | None] = {"mqtt": 100.0, "metrics": 100.0}
    loops = Beats({name: (partial(moved.get, name), 10.0) for name in moved})
    assert loops.standing(109.0) == []
    moved["metrics"] = 108.0
    assert loops.standing(111.0) == ["mqtt"]
    moved["mqtt"] = None
    assert loops.standing(109.0) == ["mqtt"]


def test_nobody_is_told_where_nobody_asked(tmp_path):
    ServiceManager({}).say(READY="1")
    assert ServiceManager({"WATCHDOG_USEC": "5"}).watchdog_s is None
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).say(READY="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(f"\0{tmp_path}")
        one.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": f"@{tmp_path}"}).say(READY="1", STATUS="fine")
        assert one.recv(100) == b"READY=1\nSTATUS=fine"
