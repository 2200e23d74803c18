"""How soon a board says what is done: stations in real time, through a broker, clock in hand.

The virtual station's recordings are moved to now and sent as their devices would send them; what
the board says is heard over the same broker. A delay is from event time to the moment of hearing.
"""

import heapq
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge import bundle as bundles
from edge.bench import NODE, SITE, broker, pipeline_of, site_of, site_text
from edge.bundle import Bundle
from sensor_adapters.publisher import Publisher
from sensor_adapters.recording import Recording
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from sensor_adapters.samples import US_PER_S
from sensor_adapters.topics import Message

BOXES_A_MINUTE = 1.2  # more than a worker packs, so that a recording is long enough
APART_US = 137_000
"""From one station's first reading to the next one's, so that they do not all send at once."""


class _Ear:
    """Hears a board; keeps when each message came."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[int, str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="ear")
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        for topic in ("action", "segment"):
            self._client.subscribe(f"act/v1/{SITE}/{NODE}/+/{topic}", 1)
        self._client.loop_start()

    def _on_message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        self.heard.append((time.time_ns() // 1000, message.topic, bytes(message.payload)))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def measure(
    folder: Path, stations: int, minutes: float, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return a row a figure, of so many stations in so many minutes of real time.

    Raises:
        BundleError: the bundle can not be used.
    """
    bundle = bundles.load(folder.resolve())
    parts = [_recording(number, minutes) for number in range(stations)]
    load: list[Sent] = []
    say(f"{stations} stations, {minutes:g} minutes in real time ...")
    with broker() as port, tempfile.TemporaryDirectory() as name:
        site = Path(name) / "site.toml"
        site.write_text(site_text(site_of(bundle, stations), port))
        board = subprocess.Popen([sys.executable, "-m", "edge", "run", str(site)])
        try:
            with Publisher(f"127.0.0.1:{port}", SITE, NODE) as publisher:
                if not publisher.wait_for_board(60, lambda: board.poll() is None):
                    raise RuntimeError("the board process did not start; what it said is above")
                ear = _Ear(port)
                before = publisher.settle()
                publisher.publish(_begin(parts), speed=1, done=load.append)
                after = publisher.settle()
                ear.close()
        finally:
            board.send_signal(signal.SIGTERM)
            board.wait(30)
    assert before is not None
    assert after is not None
    return [
        *_delays(ear.heard),
        {"what": "steps missed", "value": _steps(bundle, stations, load) - after["steps"]},
        {"what": "steps", "value": after["steps"]},
        {"what": "messages", "value": after["messages"] - before["messages"]},
        {"what": "late", "value": sum(d["late"] for d in after["devices"].values())},
        {"what": "lost", "value": sum(d["lost"] for d in after["devices"].values())},
        {"what": "share of a core", "value": round(
            (after["cpu_s"] - before["cpu_s"]) / (minutes * 60), 3)},
        {"what": "peak memory, MB", "value": after["peak_mb"]},
    ]  # fmt: skip


def _recording(number: int, minutes: float) -> Recording:
    boxes = max(round(minutes * BOXES_A_MINUTE), 1)
    recording = open_recording(f"virtual:seed={700 + number},boxes={boxes}")
    start_us, _ = recording.span_us()
    return recording.between(start_us, start_us + round(minutes * 60 * US_PER_S))


def _begin(parts: list[Recording]) -> Iterator[Sent]:
    """Return all stations' messages by time, when the time of the first one has come."""
    made_s = time.monotonic()
    _begun(parts, 0)
    soon_us = round((time.monotonic() - made_s) * 2 * US_PER_S) + US_PER_S
    start_us = time.time_ns() // 1000 + soon_us
    begun = _begun(parts, start_us)
    time.sleep(max(start_us / US_PER_S - time.time(), 0))
    return heapq.merge(*begun, key=lambda one: one.at_us)


def _begun(parts: list[Recording], start_us: int) -> list[Iterator[Sent]]:
    """Return every station's messages, ready to be given; the first is at ``start_us``."""
    found: list[Iterator[Sent]] = []
    for number, part in enumerate(parts):
        by_us = start_us + number * APART_US - part.span_us()[0]
        samples = tuple(replace(s, time_us=s.time_us + by_us) for s in part.samples)
        moved = replace(part, samples=samples)
        rest = messages(moved, SITE, NODE, f"s{number}", f"boot{number}")
        found.append(chain([next(rest)], rest))  # cuts all of its batches
    return found


def _delays(heard: list[tuple[int, str, bytes]]) -> list[dict[str, Any]]:
    """Return how long after a step the label it changed was heard, and after an end the segment."""
    shown, committed = [], []
    for at_us, topic, payload in heard:
        body = msgspec.json.decode(payload)
        if topic.endswith("/action") and body["label"] is not None:
            shown.append(at_us - body["since"])
        elif topic.endswith("/segment") and (body["type"], body["state"]) == ("end", "closed"):
            committed.append(at_us - body["end"])
    found: list[dict[str, Any]] = []
    for what, spans in (("reading to label", shown), ("end to segment", committed)):
        half, most = np.percentile(np.array(spans) / US_PER_S, [50, 99]) if spans else (None, None)
        found += [
            {"what": f"{what}, p50 s", "value": None if half is None else round(float(half), 3)},
            {"what": f"{what}, p99 s", "value": None if most is None else round(float(most), 3)},
            {"what": f"{what}, counted", "value": len(spans)},
        ]
    return found


def _steps(bundle: Bundle, stations: int, load: list[Sent]) -> int:
    """Return how many steps the same messages make without a broker, in no time."""
    pipeline = pipeline_of(bundle, stations)
    for one in load:
        pipeline.push(Message(one.topic, one.payload, one.at_us))
    pipeline.advance(load[-1].at_us)
    return pipeline.inference.steps
