"""A board at work for an hour: does it grow, lose anything, and what does it write?

``python -m tests.soak --stations 20 --minutes 60``: each station has four inertial units of 30, 50,
75 and 100 Hz, a camera of 15 Hz and six devices, in real time through a mosquitto of its own;
sampled streams send four batches a second. Prints a line a minute and the figures, as JSON; the
exit code says whether memory grew by 2 % or more after the first ten minutes, files were left open
or messages lost.
"""

import argparse
import heapq
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from edge.live_bench import APART_US
from sensor_adapters.adapter import load_adapter
from sensor_adapters.publisher import Publisher
from sensor_adapters.recording import Recording
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Encoder, Sent, batches
from sensor_adapters.samples import US_PER_S, Samples
from sensor_adapters.topics import InTopic
from tests import live
from tests.golden import Work, site

BATCH_US = 250_000
IMU_HZ, POSE_HZ = (30, 50, 75, 100), 15
BROKER = (
    "max_queued_messages 100000\nmax_inflight_messages 10000\npersistence true\n"
    "persistence_location {folder}/\nautosave_interval 60\n"
)
ASK_EVERY = 20_000
"""Seldom: no device asks, and each answer is written for."""
WARM_MINUTES = 10
MOST_GROWTH = 0.02


def faster(samples: Samples, rate_hz: int) -> Samples:
    """Return a stream as a sensor of another rate gives it: in a straight line between readings."""
    old = samples.time_us.astype(np.float64)
    at = np.arange(old[0], old[-1], US_PER_S / rate_hz)
    columns = [np.interp(at, old, column) for column in samples.values.T.astype(np.float64)]
    values = np.stack(columns, 1).astype(np.float32)
    return replace(samples, time_us=at.astype(np.int64), values=values)


def recording(number: int, minutes: float) -> Recording:
    """Return a station's work, its sensors at the rates of the field."""
    whole = open_recording(f"virtual:seed={900 + number},boxes={max(round(minutes * 1.2), 1)}")
    rates = itertools.cycle(IMU_HZ)
    found = []
    for samples in whole.samples:
        kind = whole.devices[samples.device].adapter
        if kind == "imu":
            samples = faster(samples, next(rates))
        elif kind == "pose":
            samples = faster(samples, POSE_HZ)
        found.append(samples)
    return replace(whole, samples=tuple(found))


def endless(
    station: str, whole: Recording, start_us: int, end_us: int, batch_us: int = BATCH_US
) -> Iterator[Sent]:
    """Give what a station's devices say from ``start_us`` on, its work over and over."""
    begins_us, ends_us = whole.span_us()
    numbers = {samples.device: itertools.count() for samples in whole.samples}
    for turn in itertools.count():
        by_us = start_us - begins_us + turn * (ends_us - begins_us + US_PER_S)
        parts = heapq.merge(
            *[
                [(int(one.time_us[-1]), one) for one in batches(samples, batch_us)]
                for samples in whole.samples
            ],
            key=lambda part: part[0],
        )
        for at_us, batch in parts:
            if at_us + by_us >= end_us:
                return
            kind = whole.devices[batch.device].adapter
            moved = replace(batch, time_us=batch.time_us + by_us)
            topic = InTopic(live.SITE, live.NODE, station, kind, batch.device)
            payload = cast(Encoder, load_adapter(kind)).encode(
                moved, "soak", next(numbers[batch.device])
            )
            yield Sent(at_us + by_us, str(topic), payload)


class Process:
    """What a process holds and has used."""

    def __init__(self, pid: int) -> None:
        self._at = Path(f"/proc/{pid}")

    def memory_mb(self) -> float:
        for line in (self._at / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def files(self) -> int:
        return len(os.listdir(self._at / "fd"))

    def cpu_s(self) -> float:
        words = (self._at / "stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def written_bytes(self) -> int:
        for line in (self._at / "io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        return 0


def run(stations: int, minutes: float, bundles: tuple[str, ...]) -> dict[str, Any]:
    """Return the figures."""
    some = {f"s{n}": recording(n, min(minutes, 10)) for n in range(stations)}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), live.free_port()
        file = folder / "site.toml"
        file.write_text(
            site(port, {id_: Work(one, bundles, failover=False) for id_, one in some.items()})
        )
        more = BROKER.format(folder=folder)
        with (
            live.mosquitto(folder, port, more),
            live.running(file, folder / "solosense.db", port) as one,
            Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE, ask_every=ASK_EVERY) as publisher,
        ):
            process, seen = Process(one.process.pid), list[dict[str, float]]()
            before = publisher.settle()
            cpu_s, began_s = process.cpu_s(), time.monotonic()
            start_us = time.time_ns() // 1000 + US_PER_S
            end_us = start_us + round(minutes * 60 * US_PER_S)

            def look(sent: Sent) -> None:
                if time.monotonic() - began_s < 60 * len(seen):
                    return
                seen.append(
                    {
                        "minute": len(seen), "memory_MB": round(process.memory_mb(), 1),
                        "files": process.files(), "cpu_s": round(process.cpu_s() - cpu_s, 1),
                        "written_MB": round(process.written_bytes() / 1e6, 1),
                    }
                )  # fmt: skip
                print(json.dumps(seen[-1]), flush=True)

            said = [
                endless(id_, whole, start_us + n * APART_US, end_us)
                for n, (id_, whole) in enumerate(some.items())
            ]
            count = publisher.publish(heapq.merge(*said, key=lambda m: m.at_us), 1, look)
            after = publisher.settle()
            took_s = time.monotonic() - began_s
            used_s, written = process.cpu_s() - cpu_s, process.written_bytes()
            memory_mb, files = process.memory_mb(), process.files()
            assert one.stop() == 0
            rows = one.query("SELECT count(*) FROM segments")[0][0]
    assert before is not None
    assert after is not None
    warm = next((s for s in seen if s["minute"] >= min(WARM_MINUTES, minutes / 6)), seen[-1])
    devices = after["devices"].values()
    return {
        "stations": stations,
        "minutes": round(took_s / 60, 1),
        "bundles": "+".join(bundles),
        "messages": count,
        "messages_per_s": round(count / took_s),
        "lost": sum(d["lost"] for d in devices),
        "late": sum(d["late"] for d in devices),
        "refused": after["refused"] - before["refused"],
        "steps": after["steps"] - before["steps"],
        "rows": rows,
        "written_MB": round(written / 1e6, 1),
        "written_bytes_per_row": round(written / max(rows, 1)),
        "core_share": round(used_s / took_s, 3),
        "memory_MB": [round(warm["memory_MB"], 1), round(memory_mb, 1)],
        "growth": round(memory_mb / warm["memory_MB"] - 1, 4),
        "files": [warm["files"], files],
        "durable_ms": after["durable_ms"],
    }


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--stations", type=int, default=20)
    words.add_argument("--minutes", type=float, default=60.0)
    words.add_argument("--bundles", default="imu,camera,iot")
    given = words.parse_args()
    found = run(given.stations, given.minutes, tuple(given.bundles.split(",")))
    print(json.dumps(found))
    bad = found["lost"] or found["late"] or found["refused"] or found["growth"] >= MOST_GROWTH
    raise SystemExit(bool(bad or found["files"][1] > found["files"][0]))
