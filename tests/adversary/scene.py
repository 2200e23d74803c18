"""A site as it should be: access files, mosquitto with TLS, a board, devices of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from sensor_adapters.broker_access import let_in
from sensor_adapters.publisher import Publisher
from sensor_adapters.recording import Recording
from sensor_adapters.replay import Sent, messages, paced, site_toml
from sensor_adapters.settings import Broker
from sensor_adapters.topics import parse_in
from tests.live import BUNDLES, NODE, ROOT, SITE, STATION, Board, free_port, running, wait_for_port

MOLES = [f"mole-{number}" for number in range(9)]
"""Devices of the honest station in attackers' hands; no model asks for them."""
OTHER_STATION = "pack-9"
"""A station whose devices are all in the attacker's hands."""
OTHERS = {
    "m-scanner": ("event", "scanner"), "m-printer": ("event", "printer"),
    "m-tape": ("state", "tape"), "m-pen": ("state", "pen"), "m-shelf": ("state", "shelf"),
    "m-back": ("state", "back_table"),
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A site on this machine."""

    folder: Path
    port: int

    @property
    def access(self) -> Path:
        return self.folder / "access"

    def broker(self, user: str) -> Broker:
        """Return the broker as a user knows it."""
        return Broker(
            port=self.port, username=user, password_file=str(self.access / "secrets" / user),
            tls=True, ca_file=str(self.access / "ca.crt"),
        )  # fmt: skip


def site(scene: Scene, recording: Recording, lateness_s: float) -> Path:
    """Write the site's configuration."""
    bundles = [str(BUNDLES / name) for name in ("imu", "iot")]
    text = site_toml(recording, bundles, f"127.0.0.1:{scene.port}", "log.db", SITE, NODE, STATION)
    for mole in MOLES:
        text += f'{mole} = {{ adapter = "state", placement = "{mole}" }}\n'
    text += f'[stations.{OTHER_STATION}]\nbundles = ["{BUNDLES / "iot"}"]\n'
    for name, (adapter, place) in OTHERS.items():
        text += (
            f"[stations.{OTHER_STATION}.devices.{name}]\n"
            f'adapter = "{adapter}"\nplacement = "{place}"\n'
        )
    more = [
        "tls = true", f'ca_file = "{scene.access}/ca.crt"', 'username = "edge"',
        f'password_file = "{scene.access}/secrets/edge"',
        "[time]", f"lateness_s = {lateness_s}", "[limits]", "messages_per_s = 200",
        "burst_messages = 2000",
    ]  # fmt: skip
    port = f"port = {scene.port}\n"
    file = scene.folder / "site.toml"
    file.write_text(text.replace(port, port + "\n".join(more) + "\n"))
    return file


@contextlib.contextmanager
def set_up(
    folder: Path, recording: Recording, lateness_s: float
) -> Iterator[tuple[Scene, Board, subprocess.Popen]]:
    """Run a site; yield it, its board and its broker."""
    scene = Scene(folder, free_port())
    file = site(scene, recording, lateness_s)
    subprocess.run(
        [sys.executable, "-m", "edge", "access", str(file), "--to", str(scene.access), "--tls",
         "--state", str(folder / "state")],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    conf = folder / "mosquitto.conf"
    root = "user root\n" if os.geteuid() == 0 else ""
    conf.write_text((scene.access / "mosquitto.conf").read_text() + root)
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found is not None, "no mosquitto on this machine, expected one"
    with (folder / "mosquitto.log").open("wb") as log:
        broker = subprocess.Popen([found, "-c", str(conf)], stdout=log, stderr=log)
    try:
        wait_for_port(scene.port, broker)
        with running(file, folder / "log.db", scene.broker("operator")) as board:
            yield scene, board, broker
    finally:
        broker.terminate()
        broker.wait(10)


class Devices:
    """The honest station's devices, each with a connection and a secret of its own."""

    def __init__(self, scene: Scene, recording: Recording) -> None:
        self._scene, self._recording = scene, recording
        self.boot = "honest"
        self.lost = 0
        """How often one of them lost the broker."""
        self._clients: dict[str, mqtt.Client] = {}

    def __enter__(self) -> "Devices":
        for device in self._recording.devices:
            client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"any-{device}")
            let_in(client, self._scene.broker(device))
            client.on_disconnect = self._gone
            client.connect("127.0.0.1", self._scene.port)
            client.loop_start()
            self._clients[device] = client
        return self

    def __exit__(self, *exc: object) -> None:
        for client in self._clients.values():
            client.on_disconnect = None
            client.disconnect()
            client.loop_stop()

    def _gone(self, *_: Any) -> None:
        self.lost += 1

    def work(self, speed: float) -> int:
        """Say what the recording holds, in time, or (0) in order; return how many messages."""
        said = messages(self._recording, SITE, NODE, STATION, self.boot)
        infos = []
        for sent in paced(said, speed, monotonic, sleep):
            infos.append(self._say(sent))
            if not speed:  # so that no connection runs ahead of another
                infos[-1].wait_for_publish(60)
        for info in infos:
            info.wait_for_publish(60)
        return len(infos)

    def _say(self, sent: Sent) -> mqtt.MQTTMessageInfo:
        client = self._clients[parse_in(sent.topic).device]
        return client.publish(sent.topic, sent.payload, qos=1)


def settled(scene: Scene) -> dict[str, Any]:
    """Wait until the board has dealt with all; return its health."""
    with Publisher(scene.broker("operator"), SITE, NODE) as publisher:
        health = publisher.settle()
    assert health is not None, "the board does not answer"
    return health


def rows(board: Board) -> list[tuple]:
    """Return the honest station's rows, as they are in every run."""
    return board.query(
        "SELECT bundle, modality, level, label, parent, start_us, end_us, confidence, observed,"
        f" state FROM segments WHERE station = '{STATION}' ORDER BY bundle, level, start_us"
    )


def report(body: dict[str, Any]) -> str:
    """Return a result as one line of JSON."""
    return json.dumps(body)
