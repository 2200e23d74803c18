"""A board whose disk fails it loses nothing: the rows are those of one that was well."""

import argparse
import contextlib
import errno
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages, site_toml
from tests import live
from tests.disks import FaultyDisk, SmallDisk

pytestmark = [pytest.mark.broker, pytest.mark.slow]
RECORDING = open_recording("virtual:seed=303,boxes=1")
BROKER = "max_queued_messages 100000\nmax_inflight_messages 2000\n"
WAITING = "nothing is acknowledged meanwhile"
WRITTEN_AGAIN = "the log is written again"


@dataclass
class Faulty:
    """A board at work, on a disk of which somebody else decides."""

    board: live.Board
    port: int
    heard: live.Heard

    def wait_said(self, text: str) -> None:
        """Wait until the board has said something."""
        end_s = time.monotonic() + live.START_S
        while text not in self.board.said:
            assert time.monotonic() < end_s, f"{text!r} was not said: {self.board.said}"
            assert self.board.process.poll() is None, self.board.said
            time.sleep(0.02)

    def send(self, some: list[Sent]) -> None:
        """Publish to the broker and wait until it has all, without a word from the board."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for info in [client.publish(one.topic, one.payload, qos=1) for one in some]:
            info.wait_for_publish(live.START_S)
        client.disconnect()
        client.loop_stop()

    def settle(self) -> dict:
        """Wait until all that was sent is durable."""
        with Publisher(f"127.0.0.1:{self.port}", live.SITE, live.NODE) as publisher:
            publisher.wait_for_board(live.START_S, lambda: self.board.process.poll() is None)
            health = publisher.settle()
        assert health is not None, self.board.said
        return health

    def wait_health(self, **fields: object) -> None:
        """Wait until the board's health says so of the log."""

        def so(said: list) -> bool:
            found = [body for topic, body in said if topic.endswith("/health")]
            return bool(found) and fields.items() <= found[-1]["log"].items()

        self.heard.wait(so, f"{fields}")


@contextlib.contextmanager
def faulty(
    folder: Path, log: Path, db: Path, *, reserve_mb: int = 0, where=(), env=None
) -> Iterator[Faulty]:
    """Run a board whose log is ``log``, which we see as ``db``."""
    site = folder / "site.toml"
    with live.mosquitto(folder, more=BROKER) as port:
        bundles = [str(live.BUNDLES / name) for name in ("imu", "iot")]
        text = site_toml(
            RECORDING, bundles, f"127.0.0.1:{port}", str(log), live.SITE, live.NODE, live.STATION
        )
        more = f"[log]\nreserve_mb = {reserve_mb}\ncheckpoint_s = 0.5"
        site.write_text(text.replace("[log]", more))
        with (
            live.Heard(port) as heard,
            live.running(site, db, port, where=where, env=env) as board,
        ):
            yield Faulty(board, port, heard)


def said() -> list[Sent]:
    return list(messages(RECORDING, live.SITE, live.NODE, live.STATION, "b"))


def nothing() -> None:
    pass


def work(
    one: Faulty,
    begin: Callable[[], None] = nothing,
    end: Callable[[], None] = nothing,
    fetch: Callable[[], None] = nothing,
) -> tuple[list[tuple], list[tuple]]:
    """Let a board work through its recording, with a fault from the middle on.

    Returns its segments, and the events of its log.
    """
    all_ = said()
    one.send(all_[: len(all_) // 2])
    one.settle()
    begin()
    one.send(all_[len(all_) // 2 :])
    end()
    health = one.settle()
    assert (health["lost"], health["late"], health["duplicated"]) == (0, 0, 0)
    assert health["log"]["state"] == "writing"
    assert one.board.stop() == 0, one.board.said
    fetch()
    return one.board.segments(), one.board.query("SELECT event, detail FROM log_events")


@pytest.fixture(scope="module")
def golden(tmp_path_factory) -> list[tuple]:
    """Return the rows of a board that is well."""
    folder = tmp_path_factory.mktemp("golden")
    with faulty(folder, folder / "log.db", folder / "log.db") as one:
        rows, events = work(one)
    assert len(rows) > 30
    assert events == []
    return rows


@pytest.mark.fault("F32")
def test_a_full_disk_is_waited_for_and_no_row_is_lost_or_twice(tmp_path, golden):
    disk = SmallDisk(tmp_path / "disk", 24)
    log, seen = tmp_path / "disk" / "log.db", tmp_path / "fetched.db"
    with (
        contextlib.closing(disk),
        faulty(tmp_path, log, seen, reserve_mb=1, where=disk.where) as one,
    ):

        def room() -> None:
            one.wait_said("is given up for the log to go on")
            disk.fill()
            one.wait_said(WAITING)
            one.wait_health(state="waiting", reserve=False)
            disk.free()
            one.wait_said(WRITTEN_AGAIN)

        def fetch() -> None:
            shutil.copy(disk.seen / "log.db", seen)

        rows, events = work(one, disk.fill, room, fetch)
    assert rows == golden
    assert events == [("waited", "database or disk is full")]


@pytest.mark.fault("F33")
def test_a_disk_that_turns_read_only_is_waited_for(tmp_path, golden):
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = FaultyDisk(folder, tmp_path)
    with faulty(tmp_path, folder / "log.db", folder / "log.db", env=disk.env) as one:

        def room() -> None:
            one.wait_said(WAITING)
            disk.tell()
            one.wait_said(WRITTEN_AGAIN)

        rows, events = work(one, lambda: disk.tell(write_errno=errno.EROFS), room)
    assert rows == golden
    assert events == [("waited", "disk I/O error")]


@pytest.mark.fault("F33")
def test_a_board_that_is_stopped_while_its_disk_is_read_only_goes_on_at_its_next_start(
    tmp_path, golden
):
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = FaultyDisk(folder, tmp_path)
    with faulty(tmp_path, folder / "log.db", folder / "log.db", env=disk.env) as one:

        def again() -> None:
            one.wait_said(WAITING)
            assert one.board.stop() == 1, "what could not be written is no end in order"
            disk.tell()
            one.board.start()

        rows, _ = work(one, lambda: disk.tell(write_errno=errno.EROFS), again)
    assert rows == golden


def locked_for(folder: Path, seconds: float) -> tuple[list[tuple], list[tuple], str]:
    """Return rows and events of a log that a foreign program locks, and what the board said."""
    with faulty(folder, folder / "log.db", folder / "log.db") as one:
        with contextlib.closing(
            sqlite3.connect(one.board.db, isolation_level=None)
        ) as foreign:  # fmt: skip

            def let_go() -> None:
                one.wait_said(WAITING)
                time.sleep(seconds - 5)  # it has waited BUSY_S of them already
                foreign.execute("ROLLBACK")
                one.wait_said(WRITTEN_AGAIN)

            def lock() -> None:
                foreign.execute("BEGIN IMMEDIATE")

            rows, events = work(one, lock, let_go)
        return rows, events, one.board.said


@pytest.mark.fault("F35")
def test_a_foreign_writer_is_waited_for(tmp_path, golden):
    rows, events, _ = locked_for(tmp_path, 6)
    assert rows == golden
    assert events == [("waited", "database is locked")]


def slowly(folder: Path, sync_ms: int) -> list[tuple]:
    """Return the rows of a board each sync of whose disk takes so long."""
    (folder / "disk").mkdir()
    disk = FaultyDisk(folder / "disk", folder)
    disk.tell(sync_ms=sync_ms)
    log = folder / "disk" / "log.db"
    with faulty(folder, log, log, env=disk.env) as one:
        return work(one)[0]


@pytest.mark.fault("F38")
def test_a_disk_whose_syncs_take_long_gives_the_same_rows(tmp_path, golden):
    assert slowly(tmp_path, 300) == golden


def main() -> int:
    """Run the long forms: a lock of 30 s, syncs of a second."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--lock-s", type=float, default=30)
    parser.add_argument("--sync-ms", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = {one: Path(name) / one for one in ("well", "locked", "slow")}
        for folder in folders.values():
            folder.mkdir()
        log = folders["well"] / "log.db"
        with faulty(folders["well"], log, log) as one:
            rows, _ = work(one)
        locked, events, _ = locked_for(folders["locked"], options.lock_s)
        print(f"locked for {options.lock_s:g} s: {len(locked)} rows, equal: {locked == rows}")
        start_s = time.monotonic()
        slow = slowly(folders["slow"], options.sync_ms)
        took_s = time.monotonic() - start_s
        print(f"syncs of {options.sync_ms} ms: {len(slow)} rows, equal: {slow == rows}")
        print(f"... in {took_s:.0f} s")
    return 0 if locked == rows == slow and events else 1


if __name__ == "__main__":
    sys.exit(main())
