"""What a message, a step and a row cost, each beside its ceiling measured in the same run.

The ceilings are what nobody can do without: a paho subscriber that only counts, the bare
interpreter's invoke, and ``executemany`` into a table. CPU time throughout, so that a busy
machine bends the figures little; the ratios are what to compare.
"""

import contextlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge import bundle as bundles
from edge.bundle import Bundle
from edge.config import BoardBroker, DeviceConfig, SiteConfig, Station as StationConfig
from edge.engine import open_engine
from edge.inbox import Inbox
from edge.inference import Model
from edge.pipeline import Pipeline
from edge.records import SegmentRecord
from edge.segments import Segment
from edge.sqlite_log import SqliteLog
from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from sensor_adapters.topics import Message

SITE, NODE = "bench", "board-1"
RECORDING = "virtual:boxes=10"  # about 14 minutes
STATION_SECONDS, FEWEST_SECONDS = 600, 60  # enough messages that a start-up hides in them
ROWS = 20_000


def measure(folder: Path, stations: list[int], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return one row a figure: stations, what, ours, ceiling, ratio.

    Raises:
        BundleError: the bundle can not be used.
    """
    bundle = bundles.load(folder.resolve())
    rows: list[dict[str, Any]] = []
    for count in stations:
        say(f"{count} station(s): {_seconds(count)} s of the virtual station each …")
        load = _load(count)
        rows.append(_messages(bundle, count, load))
        rows.append(_steps(bundle, count, load))
        rows += _process(bundle, count, load)
    say("rows …")
    rows.append(_rows())
    return rows


def _row(count: int, what: str, unit: str, ours: float, ceiling: float | None) -> dict[str, Any]:
    ratio = None if ceiling is None else round(ours / ceiling, 2)
    return {
        "stations": count, "what": what, "unit": unit, "ours": round(ours, 2),
        "ceiling": None if ceiling is None else round(ceiling, 2), "ratio": ratio,
    }  # fmt: skip


def site_of(bundle: Bundle, count: int) -> SiteConfig:
    """Return a site of ``count`` stations with the virtual station's devices."""
    recording = open_recording(RECORDING)
    devices = {
        id_: DeviceConfig(adapter=d.adapter, placement=d.placement)
        for id_, d in recording.devices.items()
    }
    station = StationConfig(bundles=(str(bundle.folder),), devices=devices)
    return SiteConfig(
        version=1, site=SITE, node=NODE, stations={f"s{i}": station for i in range(count)}
    )


def _seconds(count: int) -> int:
    """Return how much of its recording each of ``count`` stations plays."""
    return max(STATION_SECONDS // count, FEWEST_SECONDS)


def _load(count: int) -> list[Sent]:
    """Return the messages of ``count`` equal stations, in the order of their time."""
    recording = open_recording(RECORDING)
    start_us, _ = recording.span_us()
    recording = recording.between(start_us, start_us + _seconds(count) * 1_000_000)
    sent = [m for i in range(count) for m in messages(recording, SITE, NODE, f"s{i}", f"boot{i}")]
    return sorted(sent, key=lambda m: m.at_us)


def pipeline_of(bundle: Bundle, count: int) -> Pipeline:
    """Return the board's inner rooms for ``site_of``, without log and broker."""
    config = site_of(bundle, count)
    model = Model(bundle, open_engine(bundle))
    return Pipeline(config, {str(bundle.folder): model}, {})


# --- a message: broker to timeline, against a subscriber that counts ---


def _messages(bundle: Bundle, count: int, load: list[Sent]) -> dict[str, Any]:
    with broker() as port:
        bare_s, got = _received(port, load, lambda wanted: _bare(port, wanted))
        ours_s, held = _received(port, load, lambda wanted: _through_inbox(port, bundle, count))
    return _row(
        count, "message, broker to timeline", "us CPU", ours_s / held * 1e6, bare_s / got * 1e6
    )


def _received(
    port: int, load: list[Sent], receiver: Callable[[int], tuple[Any, Any, Any]]
) -> tuple[float, int]:
    """Publish the load from another process; return (CPU seconds, messages) of the receiver."""
    wait_ready, take, close = receiver(len(load))
    wait_ready()
    with tempfile.NamedTemporaryFile("wb", suffix=".load") as file:
        for one in load:
            file.write(one.topic.encode() + b"\t" + one.payload + b"\n")
        file.flush()
        start_s = time.process_time()
        sender = subprocess.Popen([sys.executable, "-m", "edge.bench", str(port), file.name])
        got = take(len(load))
        spent_s = time.process_time() - start_s
        sender.wait()
    close()
    return spent_s, got


def _bare(port: int, wanted: int) -> tuple[Any, Any, Any]:
    """Return a paho subscriber that only counts."""
    ready, done = threading.Event(), threading.Event()
    seen = 0

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal seen
        seen += 1
        if seen >= wanted:
            done.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bare")
    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()

    def on_connect(*_: Any) -> None:
        client.subscribe(f"act/v1/{SITE}/{NODE}/+/in/+/+", 1)

    client.on_connect = on_connect
    client.connect("127.0.0.1", port)
    client.loop_start()

    def take(_: int) -> int:
        done.wait(120)
        return seen

    def close() -> None:
        client.disconnect()
        client.loop_stop()

    return lambda: ready.wait(10), take, close


def _through_inbox(port: int, bundle: Bundle, count: int) -> tuple[Any, Any, Any]:
    """Return the board's own way: inbox, adapters, timelines; no step is inferred."""
    pipeline = pipeline_of(bundle, count)
    farewell = Message(f"act/v1/{SITE}/{NODE}/status", b"{}", 0)
    inbox = Inbox(BoardBroker(port=port), "ours", [f"act/v1/{SITE}/{NODE}/+/in/+/+"], farewell)
    inbox.start()

    def take(wanted: int) -> int:
        end_s = time.monotonic() + 120
        while pipeline.messages < wanted and time.monotonic() < end_s:
            for one in inbox.take(0.5, 256):
                if "/status/" in one.topic:  # an end of session would infer
                    pipeline.messages += 1
                else:
                    pipeline.push(Message(one.topic, one.payload, one.at_us, one.is_retained))
            inbox.acknowledge()
        return pipeline.messages

    return inbox.wait_subscribed, take, lambda: inbox.stop(farewell)


# --- a step: timeline to segments, against the bare interpreter ---


def _steps(bundle: Bundle, count: int, load: list[Sent]) -> dict[str, Any]:
    pipeline = pipeline_of(bundle, count)
    for one in load:
        if "/status/" not in one.topic:
            pipeline.push(Message(one.topic, one.payload, one.at_us))
    start_s = time.process_time()
    pipeline.advance(load[-1].at_us)
    ours_s = (time.process_time() - start_s) / max(pipeline.inference.steps, 1)
    return _row(
        count, "step, timeline to segments", "us CPU", ours_s * 1e6, _invoke_us(bundle, count)
    )


def _invoke_us(bundle: Bundle, count: int) -> float:
    """Return microseconds a station of the bare engine call for ``count`` stations at once."""
    engine = open_engine(bundle)
    reference = bundle.reference()
    one = {name: reference[f"in.{name}"][:1] for name in bundle.manifest.tensor_inputs}
    many = {name: np.repeat(value, count, axis=0) for name, value in one.items()}
    engine.infer(many)
    rounds = 300
    start_s = time.process_time()
    for _ in range(rounds):
        engine.infer(many)
    return (time.process_time() - start_s) / rounds / count * 1e6


# --- a row: record to SQLite, against executemany ---


def _rows() -> dict[str, Any]:
    segment = Segment("operation", "Picking", "", 0, 1, 0.9, 1.0, "closed")
    records = [
        SegmentRecord(
            "s0", "imu", "imu", 1,
            Segment("operation", "Picking", "", i * 10, i * 10 + 10, 0.9, 1.0, segment.state), i,
        )
        for i in range(ROWS)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        log = SqliteLog(Path(name) / "ours.db")
        log.write(_known_model())
        start_s = time.process_time()
        for lo in range(0, ROWS, 100):
            log.write(records[lo : lo + 100])
        ours_s = time.process_time() - start_s
        log.close()
        bare_s = _executemany(Path(name) / "bare.db", records)
    return _row(
        1, "segment row, batches of 100", "us CPU", ours_s / ROWS * 1e6, bare_s / ROWS * 1e6
    )


def _known_model() -> list[Any]:
    from edge.records import ModelRecord

    return [ModelRecord("imu", "0" * 64, "imu", "none", "{}", 0)]


def _executemany(path: Path, records: list[SegmentRecord]) -> float:
    """Return CPU seconds of the same rows into a bare table with the same columns and key."""
    rows = [
        (r.id, r.station, r.bundle, r.modality, r.session, r.segment.level, r.segment.label,
         r.segment.parent, r.segment.start_us, r.segment.end_us, r.segment.confidence,
         r.segment.observed, r.segment.state, r.emitted_us)
        for r in records
    ]  # fmt: skip
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = NORMAL")
        columns = ", ".join(f"c{i}" for i in range(1, 14))
        bare.execute(f"CREATE TABLE t (c0 TEXT PRIMARY KEY, {columns})")
        marks = ", ".join("?" * 14)
        start_s = time.process_time()
        for lo in range(0, len(rows), 100):
            bare.execute("BEGIN IMMEDIATE")
            bare.executemany(f"INSERT INTO t VALUES ({marks})", rows[lo : lo + 100])
            bare.execute("COMMIT")
        return time.process_time() - start_s


# --- the whole process ---


def _process(bundle: Bundle, count: int, load: list[Sent]) -> list[dict[str, Any]]:
    """Return CPU a message and peak memory of a whole board process that is sent the load."""
    with broker() as port, tempfile.TemporaryDirectory() as name:
        site = Path(name) / "site.toml"
        site.write_text(site_text(site_of(bundle, count), port))
        board = subprocess.Popen([sys.executable, "-m", "edge", "run", str(site)])
        try:
            with Publisher(f"127.0.0.1:{port}", SITE, NODE) as publisher:
                if not publisher.wait_for_board(60, lambda: board.poll() is None):
                    raise RuntimeError("the board process did not start; what it said is above")
                before = publisher.settle()
                publisher.publish(load, speed=0)
                after = publisher.settle()
        finally:
            board.send_signal(signal.SIGTERM)
            board.wait(30)
    assert before is not None
    assert after is not None
    cpu_s = after["cpu_s"] - before["cpu_s"]
    return [
        _row(count, "whole process, a message with its steps and rows", "us CPU",
             cpu_s / len(load) * 1e6, None),
        _row(count, "whole process, peak memory", "MB", after["peak_mb"], None),
    ]  # fmt: skip


def site_text(config: SiteConfig, port: int) -> str:
    """Return the site as a file for the board process."""
    lines = ["version = 1", f'site = "{SITE}"', f'node = "{NODE}"', "[broker]", f"port = {port}"]
    for id_, station in config.stations.items():
        lines += [f"[stations.{id_}]", f'bundles = ["{station.bundles[0]}"]']
        lines += [f"[stations.{id_}.devices]"]
        lines += [
            f'{name} = {{ adapter = "{d.adapter}", placement = "{d.placement}" }}'
            for name, d in station.devices.items()
        ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def broker() -> Iterator[int]:
    """Run mosquitto, or the embedded broker where there is none, on a free port of loopback."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    command = [sys.executable, "-m", "edge.embedded_broker", str(port)]
    with tempfile.TemporaryDirectory() as name:
        if found := shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
            file = Path(name) / "mosquitto.conf"
            file.write_text(
                f"listener {port} 127.0.0.1\nallow_anonymous true\n"
                "max_queued_messages 1000000\nmax_inflight_messages 10000\n"
            )
            command = [found, "-c", str(file)]
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end_s = time.monotonic() + 20
            while time.monotonic() < end_s:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield port
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(10)


def _send(port: int, path: Path) -> None:
    """Publish a file of ``topic TAB payload`` lines, QoS 1, as fast as the broker takes it."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="load")
    client.max_inflight_messages_set(200)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for line in path.read_bytes().splitlines():
        topic, _, payload = line.partition(b"\t")
        info = client.publish(topic.decode(), payload, qos=1)
    info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    _send(int(sys.argv[1]), Path(sys.argv[2]))
