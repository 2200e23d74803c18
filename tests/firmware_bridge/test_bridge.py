"""The whole bridge, as it runs: a board on a port, a real broker, and all that goes wrong."""

import fcntl
import json
import random
import sqlite3
import threading
import time
from collections import defaultdict
from itertools import pairwise

import pytest

from firmware_bridge import board
from firmware_bridge.config import load
from firmware_bridge.service import Service
from firmware_bridge.simulate import Pty
from firmware_bridge.virtual_board import VirtualBoard
from sensor_adapters import imu
from tests import live
from tests.firmware_bridge.running import bridge, glove, plugged
from tests.live import Heard

pytestmark = [pytest.mark.broker, pytest.mark.slow]
S = 1_000_000


def once(bodies) -> dict[str, list[dict]]:
    """Return what a device said by start, repetitions left out as a board would."""
    found: dict[str, dict[int, dict]] = defaultdict(dict)
    for body in bodies:
        found[body["boot"]].setdefault(body["seq"], body)
    return {boot: [some[seq] for seq in sorted(some)] for boot, some in found.items()}


def lost(bodies) -> int:
    """Return how many payloads are missing within starts."""
    return sum(
        after["seq"] - before["seq"] - 1
        for some in once(bodies).values()
        for before, after in pairwise(some)
    )


def test_what_a_board_says_arrives_with_the_time_at_which_it_was(tmp_path):
    link = tmp_path / "port"
    with (
        live.mosquitto(tmp_path) as port,
        Heard(port) as heard,
        plugged(VirtualBoard(rate=1 + 150e-6), link),
        bridge(tmp_path, port, glove(link)) as one,
    ):
        heard.wait_for("/pack-1/in/imu/imu-rw", 60)
        assert one.stop() == 0
        batches = heard.of("/pack-1/in/imu/imu-rw")
        states = [body["state"] for body in heard.of("/bridge/status")]
        health = heard.of("/bridge/health")[-1]
    assert [body["seq"] for body in batches] == list(range(len(batches)))
    for body in batches:
        assert 0 < body["rx"] - body["t0"] < 5 * S
    spans = [after["t0"] - before["t0"] for before, after in pairwise(batches)]
    assert all(abs(span - 100_000) < 5000 for span in spans)
    assert imu.decode("imu-rw", repr(batches[0]).replace("'", '"').encode()).values.shape == (10, 6)
    assert states[0] == "online"
    assert states[-1] == "stopped"
    assert health["ports"]["glove"]["device"] == "virtual-1"
    assert health["ports"]["glove"]["clock"]["error_ms"] < 50
    assert health["outbox"] == {"waiting": 0, "dropped": 0}


@pytest.mark.fault("F39")
def test_a_board_that_is_plugged_in_again_under_another_name_goes_on(tmp_path):
    link = tmp_path / "port"
    with (
        live.mosquitto(tmp_path) as port,
        Heard(port) as heard,
        bridge(tmp_path, port, glove(link)) as one,
    ):
        one.wait_said("trying again")
        with plugged(VirtualBoard(boot=1), link):
            heard.wait_for("/in/imu/imu-rw", 20)
        one.wait_said("gone")
        taken = Pty(tmp_path / "somebody-else")  # the next board's terminal has another number
        with plugged(VirtualBoard(boot=2), link):
            heard.wait(lambda said: len(once(b for t, b in said if "/imu/" in t)) == 2, "a second")
            heard.wait_for("/in/imu/imu-rw", len(heard.of("/in/imu/imu-rw")) + 20)
        taken.close()
        batches = heard.of("/in/imu/imu-rw")
    assert lost(batches) == 0


@pytest.mark.fault("F43")
def test_a_line_at_another_rate_is_told_with_the_remedy(tmp_path):
    pty = Pty(tmp_path / "port")
    with bridge(tmp_path, live.free_port(), glove(pty.link)) as one:
        one.wait_said("no broker")
        noise = random.Random(7)
        for _ in range(30):
            pty.write(noise.randbytes(100).replace(b"\0", b"\1"))
        one.wait_said("is baud = 921600 the")
    pty.close()
    assert one.said.count("and no frame in them") == 1


@pytest.mark.fault("F44")
def test_two_boards_that_call_themselves_alike_are_told_apart_by_their_ports(tmp_path):
    ports = "".join(
        f'[ports.{name}]\npath = "{tmp_path / name}"\nstation = "pack-1"\n'
        f'[ports.{name}.streams]\nimu = "imu-{name}"\n'
        for name in ("left", "right")
    )
    with (
        live.mosquitto(tmp_path) as port,
        Heard(port) as heard,
        plugged(VirtualBoard("glove", boot=1), tmp_path / "left"),
        plugged(VirtualBoard("glove", boot=1), tmp_path / "right"),
        bridge(tmp_path, port, ports),
    ):
        heard.wait_for("/in/imu/imu-left", 10)
        heard.wait_for("/in/imu/imu-right", 10)
        for name in ("left", "right"):
            assert lost(heard.of(f"/in/imu/imu-{name}")) == 0


@pytest.mark.fault("F45")
def test_a_port_that_another_program_holds_is_told_and_taken_once_it_is_free(tmp_path):
    link = tmp_path / "port"
    with (
        live.mosquitto(tmp_path) as port,
        Heard(port) as heard,
        plugged(VirtualBoard(), link),
        link.open("rb", buffering=0) as other,
    ):
        fcntl.flock(other, fcntl.LOCK_EX)
        with bridge(tmp_path, port, glove(link)) as one:
            one.wait_said("trying again")
            assert "lock" in one.said
            fcntl.flock(other, fcntl.LOCK_UN)
            heard.wait_for("/in/imu/imu-rw", 3)


def test_without_a_broker_and_through_a_power_cut_nothing_accepted_is_lost(tmp_path):
    link = tmp_path / "port"
    port = live.free_port()
    with plugged(VirtualBoard(), link), bridge(tmp_path, port, glove(link)) as one:
        one.wait_said("no broker")
        waiting_db = tmp_path / "bridge-outbox.db"
        for cut in range(2):
            written(waiting_db, 40 * (cut + 1))
            one.kill()
            kept = written(waiting_db, 0)
            one.again()
            assert len(kept) >= 40 * (cut + 1)
        with live.mosquitto(tmp_path, port), Heard(port) as heard:
            wanted = {(body["boot"], body["seq"]) for body in kept}
            heard.wait(
                lambda said: wanted <= {(b["boot"], b["seq"]) for t, b in said if "/imu/" in t},
                "all that was written down",
            )
            heard.wait(lambda said: len(once(b for t, b in said if "/imu/" in t)) == 3, "3 starts")
            batches = heard.of("/in/imu/imu-rw")
    assert lost(batches) == 0
    for some in once(batches).values():
        assert some[0]["seq"] == 0


def written(path, least: int) -> list[dict]:
    """Wait until so many batches are on disk; return them."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
            rows = file.execute("SELECT payload FROM waiting WHERE topic LIKE '%/imu/%'").fetchall()
        if len(rows) >= least:
            return [json.loads(payload) for (payload,) in rows]
        time.sleep(0.05)
    raise AssertionError(f"{least} batches were not written down")


@pytest.mark.fault("F4")
def test_a_broker_that_comes_and_goes_costs_nothing(tmp_path):
    link, port = tmp_path / "port", live.free_port()
    with plugged(VirtualBoard(), link), bridge(tmp_path, port, glove(link)):
        found: list[dict] = []
        for _ in range(3):
            with live.mosquitto(tmp_path, port), Heard(port) as heard:
                heard.wait_for("/in/imu/imu-rw", 25)
            found += heard.of("/in/imu/imu-rw")
    # what the broker took while nobody listened is gone: that is the broker's to keep
    (batches,) = once(found).values()
    assert lost(found) < 10
    assert len(batches) > 60


def test_a_sketch_that_prints_its_numbers_is_an_inertial_unit(tmp_path):
    link = tmp_path / "port"
    ports = (
        f'[ports.sketch]\npath = "{link}"\nstation = "pack-1"\nbaud = 115200\n'
        '[ports.sketch.lines]\ndevice = "imu-lw"\nacc_unit = "g"\n'
        'columns = ["acc_x", "acc_y", "acc_z"]\n'
    )
    pty = Pty(link)
    with (
        live.mosquitto(tmp_path) as port,
        Heard(port) as heard,
        bridge(tmp_path, port, ports) as one,
    ):
        end_s = time.monotonic() + 60
        while not heard.of("/in/imu/imu-lw") and time.monotonic() < end_s:
            pty.write(b"0.0, 0.5, 1.0\r\nbroken, line\r\n")
            time.sleep(0.02)
        (first, *_) = heard.wait_for("/in/imu/imu-lw", 1)
        assert one.stop() == 0
        left_out = heard.of("/bridge/health")[-1]["ports"]["sketch"]["lines"]
    pty.close()
    assert first["acc"][0] == pytest.approx([0.0, 4.903325, 9.80665], rel=1e-6)
    assert left_out["no numbers"] > 0


def test_a_scanner_that_types_codes_is_a_scanner(tmp_path):
    link = tmp_path / "port"
    ports = (
        f'[ports.scanner]\npath = "{link}"\nstation = "pack-1"\nbaud = 9600\n'
        '[ports.scanner.lines]\ndevice = "scan"\n'
    )
    pty = Pty(link)
    with live.mosquitto(tmp_path) as port, Heard(port) as heard, bridge(tmp_path, port, ports):
        heard.wait(lambda said: any(b.get("events") == [None] for _, b in said), "a heartbeat")
        pty.write(b"4901234567894\r4901234567894\r")
        heard.wait(
            lambda said: any(b.get("events") == [{"data": "4901234567894"}] for _, b in said),
            "the code",
        )
        pty.write(b"ITEM301\r")
        heard.wait(
            lambda said: any(b.get("events") == [{"data": "ITEM301"}] for _, b in said), "another"
        )
        codes = [b["events"][0]["data"] for b in heard.of("/in/event/scan") if b["events"][0]]
    pty.close()
    assert codes == ["4901234567894", "ITEM301"]


def test_from_two_boards_on_their_ports_to_rows_of_the_log(tmp_path):
    sides = {"rw": "right_wrist", "lw": "left_wrist"}
    ports = "".join(
        f'[ports.{side}]\npath = "{tmp_path / side}"\nstation = "pack-1"\n'
        f'[ports.{side}.streams]\nimu = "imu-{side}"\n'
        for side in sides
    )
    devices = {f"imu-{side}": ("imu", place) for side, place in sides.items()}
    with live.mosquitto(tmp_path) as port:
        site = tmp_path / "site.toml"
        site.write_text(live.site_of(port, "imu", devices))
        with (
            live.running(site, tmp_path / "solosense.db", port) as edge,
            plugged(VirtualBoard("glove-r"), tmp_path / "rw"),
            plugged(VirtualBoard("glove-l", rate=1 - 80e-6), tmp_path / "lw"),
            bridge(tmp_path, port, ports),
            Heard(port) as heard,
        ):
            for device in devices:
                heard.wait_for(f"/in/imu/{device}", 200)
            assert edge.stop() == 0
            rows = edge.query("SELECT level, start_us, end_us, observed FROM segments")
            seen = edge.query("SELECT device, lost, rejected, late FROM device_states ORDER BY 1")
    assert seen == [("imu-lw", 0, 0, 0), ("imu-rw", 0, 0, 0)]
    for level in ("operation", "action"):
        spans = [(end - start, observed) for one, start, end, observed in rows if one == level]
        assert sum(span for span, _ in spans) >= 18 * S
        # all but three seconds in which a glove's clock is not known yet, and the last one
        assert sum(span * (1 - observed) for span, observed in spans) <= 4 * S, rows


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_ends_the_bridge_and_keeps_what_waited(tmp_path, monkeypatch):
    file, calls = tmp_path / "bridge.toml", []

    def heard(self, data, host):
        calls.append(data)
        if len(calls) > 20:
            raise ZeroDivisionError("a fault of ours")
        return real(self, data, host)

    real = board.Board.heard
    monkeypatch.setattr(board.Board, "heard", heard)
    file.write_text(
        f'version = 1\nsite = "test"\nnode = "board-1"\n[broker]\nport = {live.free_port()}\n'
        + glove(tmp_path / "port")
    )
    with plugged(VirtualBoard(), tmp_path / "port"):
        bridged = Service(load(file))
        bridged.outbox.put("t", b"waits", time.time_ns() // 1000)
        with pytest.raises(RuntimeError, match="port glove failed"):
            bridged.run(threading.Event())
    with sqlite3.connect(tmp_path / "bridge-outbox.db") as kept:
        assert (b"waits",) in kept.execute("SELECT payload FROM waiting").fetchall()
