"""The highest message rate that a board keeps up with, beside a bare paho subscriber's.

``python -m tests.throughput``: twenty stations as those of ``tests.soak``, each reading a message
of its own (or with ``--batch-ms 250`` four batches a second), sent QoS 1 through a mosquitto of its
own at one rate after the other, each a fresh start. A rate is too high where what came in
``SECONDS`` is not dealt with ``LATE_S`` after they are over, or the board's p99 from a message's
arrival to its rows being durable passes 250 ms. The more messages a second, the faster the
stations' time passes. The bare subscriber only counts. Prints a line a rate and the figures, as
JSON.
"""

import argparse
import contextlib
import heapq
import itertools
import json
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.live_bench import APART_US
from sensor_adapters.publisher import Publisher
from sensor_adapters.samples import US_PER_S
from tests import live
from tests.golden import Work, site
from tests.soak import endless, recording

STATIONS = 20
START_US = 1_800_000_000 * US_PER_S
SECONDS = 8.0
LATE_S = 0.5
"""After the last message this is allowed for the ones before to be dealt with."""
MOST_P99_MS = 250.0
FIRST_RATE, STEP = 4000.0, 1.5
NEVER_ENDS_US = START_US + 86_400 * US_PER_S
BROKER = "max_queued_messages 1000000\nmax_inflight_messages 10000\n"


def packet(topic: str, payload: bytes, number: int) -> bytes:
    """Return a PUBLISH of QoS 1 (MQTT 3.1.1, section 3.3)."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", number) + payload
    length, head = len(body), bytearray([0x32])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


class Sender:
    """Sends what was made beforehand at a rate, by hand: paho would be the bottleneck."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        name = b"sender"
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(name)) + name
        self._socket.sendall(bytes([0x10, len(body)]) + body)
        assert self._socket.recv(4) == b"\x20\x02\x00\x00"
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            while self._socket.recv(65536):
                pass

    def send(self, packets: list[bytes], rate: float) -> None:
        """Send them all, each when it is due."""
        began_s, done = time.monotonic(), 0
        while done < len(packets):
            due = min(int((time.monotonic() - began_s) * rate) + 1, len(packets))
            self._socket.sendall(b"".join(packets[done:due]))
            done = due
            time.sleep(0.002)

    def close(self) -> None:
        self._socket.close()


def said(stations: dict[str, Work], batch_us: int) -> Iterator[bytes]:
    """Give all stations' messages by time, as packets, without an end."""
    parts = [
        endless(id_, one.recording, START_US + n * APART_US, NEVER_ENDS_US, batch_us)
        for n, (id_, one) in enumerate(stations.items())
    ]
    for number, one in enumerate(heapq.merge(*parts, key=lambda sent: sent.at_us)):
        yield packet(one.topic, one.payload, number % 65535 + 1)


Count = Callable[[], int]


@contextlib.contextmanager
def bare(port: int) -> Iterator[tuple[Count, Callable[[], float]]]:
    """A paho subscriber that only counts."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bare")
    ready, came = threading.Event(), [0]

    def count(*_: object) -> None:
        came[0] += 1

    client.on_message = count
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.subscribe(f"act/v1/{live.SITE}/{live.NODE}/+/in/+/+", 1)
    client.loop_start()
    assert ready.wait(10)
    yield lambda: came[0], lambda: 0.0
    client.disconnect()
    client.loop_stop()


@contextlib.contextmanager
def ours(port: int, stations: dict[str, Work]) -> Iterator[tuple[Count, Callable[[], float]]]:
    """A board; its count is of what is durable."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "site.toml"
        file.write_text(site(port, stations))
        with (
            live.running(file, Path(name) / "solosense.db", port) as board,
            Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher,
        ):
            health = publisher.settle() or {}
            before = health["messages"]

            def ask() -> int:
                health.update(publisher.settle() or {})
                return health["messages"] - before

            yield ask, lambda: health["durable_ms"]["p99"]
            assert board.stop() == 0


def fits(
    port: int, rate: float, some: list[bytes], who: contextlib.AbstractContextManager
) -> tuple[bool, float, float]:
    """Return whether a rate is kept up with, how long after its end all was there, and p99 ms."""
    with who as (count, p99_ms):
        sender = Sender(port)
        sender.send(some, rate)
        over_s = time.monotonic()
        while count() < len(some) and time.monotonic() - over_s < 10:
            time.sleep(0.005)
        late_s = time.monotonic() - over_s
        sender.close()
        return late_s < LATE_S and p99_ms() < MOST_P99_MS, late_s, p99_ms()


def highest(name: str, packets: list[bytes], more: Iterator[bytes], make: Callable) -> float:
    """Return the highest rate that fits, within 3 %; ``packets`` grow as far as is needed."""

    def try_(rate: float) -> bool:
        count = int(rate * SECONDS)
        packets.extend(itertools.islice(more, max(count - len(packets), 0)))
        with (
            tempfile.TemporaryDirectory() as folder,
            live.mosquitto(Path(folder), None, BROKER) as port,
        ):
            is_fine, late_s, p99_ms = fits(port, rate, packets[:count], make(port))
        line = {"who": name, "rate": round(rate), "fits": is_fine, "late_s": round(late_s, 2)}
        print(json.dumps({**line, "p99_ms": p99_ms}), flush=True)
        return is_fine

    rate = FIRST_RATE
    while try_(rate):
        rate *= STEP
    least, most = rate / STEP, rate
    while most > least * 1.03:
        middle = (least + most) / 2
        least, most = (middle, most) if try_(middle) else (least, middle)
    return least


def run(bundles: tuple[str, ...], batch_ms: float) -> dict[str, object]:
    """Return both rates and their ratio."""
    stations = {f"s{n}": Work(recording(n, 1), bundles, failover=False) for n in range(STATIONS)}
    packets, more = list[bytes](), said(stations, max(round(batch_ms * 1000), 1))
    peer = highest("bare", packets, more, bare)
    board = highest("board", packets, more, lambda port: ours(port, stations))
    return {
        "stations": STATIONS, "bundles": "+".join(bundles), "batch_ms": batch_ms,
        "bytes": round(sum(map(len, packets)) / len(packets)), "bare_per_s": round(peer),
        "board_per_s": round(board), "ratio": round(board / peer, 2),
    }  # fmt: skip


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--bundles", default="imu")
    words.add_argument("--batch-ms", type=float, default=0.0)
    given = words.parse_args()
    print(json.dumps(run(tuple(given.bundles.split(",")), given.batch_ms)))
