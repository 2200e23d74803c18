"""The real thing in pieces: a mosquitto, a board process, a replay. Nothing is faked here."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensor_adapters.publisher import Publisher
from sensor_adapters.recording import Recording
from sensor_adapters.replay import messages, site_toml
from sensor_adapters.settings import Broker

ROOT = Path(__file__).parents[1]
BUNDLES = ROOT / "bundles"
SITE, NODE, STATION = "test", "board-1", "pack-1"
START_S = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


def start_mosquitto(folder: Path, port: int, more: str = "") -> subprocess.Popen:
    """Start a mosquitto of our own, ``more`` added to its configuration; skips where none is."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip("no mosquitto on this machine, expected one for this test")
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{more}")
    with (folder / "mosquitto.log").open("ab") as log:
        process = subprocess.Popen([found, "-c", str(file)], stdout=log, stderr=log)
    wait_for_port(port, process)
    return process


@contextlib.contextmanager
def mosquitto(folder: Path, port: int | None = None, more: str = "") -> Iterator[int]:
    """Run a mosquitto of our own; yield its port."""
    port = port or free_port()
    process = start_mosquitto(folder, port, more)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


class Board:
    """A `solosense-edge run` process and the log it writes."""

    def __init__(
        self,
        site: Path,
        db: Path,
        python: str,
        where: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        """``where``: a command that runs another, as nsenter; ``env``: of the process besides."""
        self.site, self.db, self._python = site, db, python
        self._where, self._env = where, os.environ | (env or {})
        self._said = site.with_name("board.log")
        self._said.unlink(missing_ok=True)
        self.start()

    def start(self) -> None:
        """Start it; again, if it was killed."""
        command = [*self._where, self._python, "-m", "edge", "run", str(self.site)]
        with self._said.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=ROOT, env=self._env
            )

    @property
    def said(self) -> str:
        """What the process printed so far."""
        return self._said.read_text()

    def stop(self) -> int:
        """End the process in order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def query(self, sql: str) -> list[tuple]:
        """Return rows as an analyst would read them."""
        with contextlib.closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as reader:
            return reader.execute(sql).fetchall()

    def segments(self) -> list[tuple]:
        """Return all that is equal in every replay: not when it was known, not the session."""
        return self.query(
            "SELECT station, bundle, modality, level, label, parent, start_us, end_us, confidence,"
            " observed, state FROM segments ORDER BY bundle, level, start_us"
        )


@contextlib.contextmanager
def board(
    folder: Path,
    port: int,
    recording: Recording,
    bundles: list[Path],
    *,
    python: str = sys.executable,
    failover: bool = False,
    env: dict[str, str] | None = None,
) -> Iterator[Board]:
    """Run a board for a recording's devices; yield once it answers."""
    site, db = folder / "site.toml", folder / "log.db"
    names = [str(bundle) for bundle in bundles]
    broker = f"127.0.0.1:{port}"
    text = site_toml(recording, names, broker, db.name, SITE, NODE, STATION, failover=failover)
    site.write_text(text)
    with running(site, db, port, python=python, env=env) as one:
        yield one


@contextlib.contextmanager
def running(
    site: Path,
    db: Path,
    port: int | Broker,
    *,
    python: str = sys.executable,
    where: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[Board]:
    """Run a board for a site's configuration; yield once it answers at this broker."""
    one = Board(site, db, python, where, env)
    broker = Broker(port=port) if isinstance(port, int) else port
    try:
        with Publisher(broker, SITE, NODE) as publisher:
            assert publisher.wait_for_board(START_S, lambda: one.process.poll() is None), one.said
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


class Heard:
    """A subscriber that stays when the broker goes: what was published, in order."""

    def __init__(self, port: int, topic: str = f"act/v1/{SITE}/{NODE}/#") -> None:
        self._port = port
        self.said: list[tuple[str, dict[str, Any]]] = []
        self._came = threading.Condition()
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> "Heard":
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client, userdata, message) -> None:
        with self._came:
            self.said.append((message.topic, json.loads(message.payload)))
            self._came.notify_all()

    def of(self, end: str) -> list[dict[str, Any]]:
        """Return the bodies of topics that end so."""
        with self._came:
            return [body for topic, body in self.said if topic.endswith(end)]

    def wait(self, enough, what: str, patience_s: float = START_S) -> None:
        """Wait until what was said is enough."""
        with self._came:
            assert self._came.wait_for(lambda: enough(self.said), patience_s), what

    def next(self, patience_s: float) -> None:
        """Wait for another message, or until patience ends."""
        with self._came:
            count = len(self.said)
            self._came.wait_for(lambda: len(self.said) > count, patience_s)

    def wait_newest(self, **fields: Any) -> bool:
        """Wait until the newest message says so."""
        self.wait(lambda said: bool(said) and fields.items() <= said[-1][1].items(), f"{fields}")
        return True

    def wait_for(self, end: str, count: int) -> list[dict[str, Any]]:
        """Wait until so many came of topics that end so."""
        self.wait(
            lambda said: sum(topic.endswith(end) for topic, _ in said) >= count,
            f"{count} of {end}",
        )
        return self.of(end)


class Host:
    """A process between devices and the board: ``python -m MODULE run FILE``."""

    def __init__(self, file: Path, module: str, *, paths: tuple[Path, ...] = ()) -> None:
        self.file, self._module = file, module
        self._said = file.with_suffix(".log")
        self._env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        self.process = self._start()

    def _start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", self._module, "run", str(self.file)]
        with self._said.open("ab") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=self._env)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_said(self, text: str) -> None:
        end_s = time.monotonic() + START_S
        while text not in self.said:
            assert time.monotonic() < end_s, f"{text!r} was not said: {self.said}"
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    def kill(self) -> None:
        """Cut its power."""
        self.process.kill()
        self.process.wait(10)

    def again(self) -> None:
        """Start it again."""
        self.process = self._start()

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def host(file: Path, module: str, text: str, *, paths: tuple[Path, ...] = ()) -> Iterator[Host]:
    """Run a host for this configuration; ``paths`` are where it finds modules besides."""
    file.write_text(text)
    one = Host(file, module, paths=paths)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.kill()


def site_of(port: int, bundle: str, devices: dict[str, tuple[str, str]]) -> str:
    """Return a site's configuration: adapter and placement by device, at one station."""
    blocks = "".join(
        f'[stations.{STATION}.devices.{device}]\nadapter = "{adapter}"\nplacement = "{place}"\n'
        for device, (adapter, place) in devices.items()
    )
    return (
        f'version = 1\nsite = "{SITE}"\nnode = "{NODE}"\n[broker]\nport = {port}\n'
        f'[stations.{STATION}]\nbundles = ["{BUNDLES / bundle}"]\n{blocks}'
    )


def play(recording: Recording, port: int, speed: float = 0) -> dict:
    """Replay a recording to a board and return the board's health once all is durable."""
    with Publisher(f"127.0.0.1:{port}", SITE, NODE) as publisher:
        publisher.publish(messages(recording, SITE, NODE, STATION, publisher.boot), speed)
        health = publisher.settle()
    assert health is not None, "the board did not answer"
    return health
