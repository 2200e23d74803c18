"""Kills boards and brokers at random and compares the log with an undisturbed one's.

``python -m tests.golden --runs 50 --boxes 20``: four stations with all modalities, side by side and
with one voice, sent as fast as the board takes it. A run kills the board, the broker (which writes
down what it holds each second) or both, some times each, doubles and shuffles messages within the
lateness, or lets each sync of the disk take a third of a second. Prints a line a run and a summary,
as JSON.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from edge.going_on import MOST_STARTS
from sensor_adapters.gateway.toml_block import block
from sensor_adapters.publisher import Publisher
from sensor_adapters.recording import Recording
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from tests import live
from tests.disks import FaultyDisk

BROKER = (
    "max_queued_messages 100000\nmax_inflight_messages 10000\npersistence true\n"
    "persistence_location {folder}/\nautosave_interval 1\n"
)
WAYS = ("board", "broker", "both", "order", "slow")
KILLED_S = 0.2, 4.0
"""From one kill to the next."""
SYNC_MS = 300
SHUFFLED_US = 500_000
"""Messages change places within this; the lateness is two seconds."""


@dataclass(frozen=True)
class Work:
    """What one station has to do."""

    recording: Recording
    bundles: tuple[str, ...]
    failover: bool


def work(boxes: int) -> dict[str, Work]:
    """Return four stations' work."""
    some = (("imu", "camera"), ("imu", "camera", "iot"))
    return {
        f"pack-{number}": Work(
            open_recording(f"virtual:seed={400 + number},boxes={boxes}"),
            some[number % 2], failover=bool(number % 2),
        )
        for number in range(4)
    }  # fmt: skip


def site(port: int, stations: dict[str, Work], mqtt: str = "3.1.1") -> str:
    """Return the board's configuration."""
    text = f'version = 1\nsite = "{live.SITE}"\nnode = "{live.NODE}"\n'
    text += block("broker", {"port": port, "mqtt": mqtt})
    for name, one in stations.items():
        folders = [str(live.BUNDLES / bundle) for bundle in one.bundles]
        text += block(f"stations.{name}", {"bundles": folders, "failover": one.failover})
        seats = {
            id_: {"adapter": device.adapter, "placement": device.placement}
            for id_, device in one.recording.devices.items()
        }
        text += block(f"stations.{name}.devices", seats)
    return text


def said(stations: dict[str, Work]) -> list[Sent]:
    """Return all messages in the order of time, as if all stations had begun at once."""
    begins = {name: one.recording.span_us()[0] for name, one in stations.items()}
    found = [
        replace(sent, at_us=sent.at_us - begins[name])
        for name, one in stations.items()
        for sent in messages(one.recording, live.SITE, live.NODE, name, "b")
    ]
    return sorted(found, key=lambda one: one.at_us)


def disordered(sent: list[Sent], rng: random.Random) -> list[Sent]:
    """Return messages doubled and shuffled; births first and ends last."""
    found = []
    for one in sent:
        if "/in/status/" in one.topic:
            late_us = SHUFFLED_US * (b'"stopped"' in one.payload)
            found.append((one.at_us + late_us, one))
            continue
        for _ in range(2 if rng.random() < 0.1 else 1):
            found.append((one.at_us + rng.randrange(SHUFFLED_US), one))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def is_well(board: live.Board) -> bool:
    """Would the board go on from its checkpoints if it were killed now?

    Not if it was killed that often before it made a step: then it takes them for the cause.
    """
    (starts,) = board.query("SELECT max(starts) FROM checkpoints")[0]
    return (starts or 0) < MOST_STARTS


def run(
    folder: Path,
    stations: dict[str, Work],
    way: str,
    rng: random.Random,
    killed_s: tuple[float, float] = KILLED_S,
    mqtt: str = "3.1.1",
) -> live.Board:
    """Return a board that has been sent everything, and has stopped."""
    port, more = live.free_port(), BROKER.format(folder=folder)
    file = folder / "site.toml"
    file.write_text(site(port, stations, mqtt))
    sent, over = said(stations), threading.Event()
    sent, env = disordered(sent, rng) if way == "order" else sent, None
    if way == "slow":
        disk = FaultyDisk(folder, _made(folder / "disk"))
        disk.tell(sync_ms=SYNC_MS)
        env = disk.env
    broker = live.start_mosquitto(folder, port, more)  # last: a disk that skips leaves nothing
    try:
        with live.running(file, folder / "solosense.db", port, env=env) as board:

            def play() -> None:
                with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
                    publisher.publish(sent, 0)
                    publisher.settle()
                over.set()

            thread = threading.Thread(target=play, daemon=True)
            thread.start()
            while way in ("board", "broker", "both") and not over.wait(rng.uniform(*killed_s)):
                while way != "broker" and not is_well(board) and not over.wait(0.05):
                    pass
                if way != "broker":
                    board.process.kill()
                    board.process.wait()
                if way != "board":
                    broker.kill()
                    broker.wait()
                    broker = live.start_mosquitto(folder, port, more)
                if way != "broker":
                    board.start()
            thread.join(600)
            assert over.is_set(), board.said
            with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
                # killed last of all, it may only just be starting
                assert publisher.wait_for_board(live.START_S, lambda: board.process.poll() is None)
            code = board.stop()
            assert code == 0, f"{code}: {board.said}"
    finally:
        broker.kill()
        broker.wait()
    return board


def report(runs: int, boxes: int, seed: int) -> None:
    """Print what became of each run."""
    stations, rng, equal = work(boxes), random.Random(seed), 0
    with tempfile.TemporaryDirectory() as name:
        golden = run(_made(Path(name) / "golden"), stations, "", rng)
        rows = golden.segments()
        print(json.dumps({"run": "golden", "rows": len(rows), "messages": len(said(stations))}))
        for number in range(runs):
            start_s, way = time.monotonic(), WAYS[number % len(WAYS)]
            board = run(_made(Path(name) / f"run{number}"), stations, way, rng)
            is_equal = board.segments() == rows
            equal += is_equal
            lost = "SELECT sum(lost), sum(late), sum(duplicated) FROM device_states"
            line = {
                "run": number, "way": way, "equal": is_equal, "took_s": time.monotonic() - start_s,
                "starts": board.said.count("running "), "lost_late_duplicated": board.query(lost),
            }  # fmt: skip
            print(json.dumps(line), flush=True)
    print(json.dumps({"runs": runs, "equal": equal, "boxes": boxes, "seed": seed}))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--runs", type=int, default=50)
    words.add_argument("--boxes", type=int, default=20)
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    report(given.runs, given.boxes, given.seed)
