"""The gateway as a process of its own, strangers' packages that it finds, and who speaks to it."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests import live

ROOT_TOPIC = f"act/v1/{live.SITE}/{live.NODE}"


@contextlib.contextmanager
def gateway(
    folder: Path, port: int, devices: str, *, more: str = "", paths: tuple[Path, ...] = ()
) -> Iterator[live.Host]:
    """Run a gateway for these devices; yield once it listens."""
    text = (
        f'version = 1\nsite = "{live.SITE}"\nnode = "{live.NODE}"\n{more}'
        f"[broker]\nport = {port}\n{devices}"
    )
    with live.host(folder / "adapters.toml", "sensor_adapters", text, paths=paths) as one:
        yield one


@contextlib.contextmanager
def speaker(port: int) -> Iterator[mqtt.Client]:
    """Yield a client that publishes."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def said(client: mqtt.Client, topic: str, payload: object, *, retain: bool = False) -> None:
    """Publish a text, bytes or JSON, and wait until the broker has it."""
    body = payload if isinstance(payload, (str, bytes)) else json.dumps(payload)
    client.publish(topic, body, qos=1, retain=retain).wait_for_publish(10)


def online(heard: live.Heard) -> None:
    """Wait until the gateway listens."""
    heard.wait(
        lambda some: any(
            t.endswith("/adapters/status") and b["state"] == "online" for t, b in some
        ),
        "the gateway",
    )


def package(folder: Path, name: str, source: str, adapters: Sequence[str]) -> Path:
    """Write a stranger's installed package; ``adapters`` are its classes. Return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{one.lower()} = {name}:{one}" for one in adapters]
    (about / "entry_points.txt").write_text("[solosense.devices]\n" + "\n".join(lines) + "\n")
    return folder
