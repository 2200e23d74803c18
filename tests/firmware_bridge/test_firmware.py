"""Firmware as a microcontroller runs it, emulated: its UART to the bridge, the broker, the log."""

import os
import pty
import re
import subprocess
import tty
from itertools import pairwise
from pathlib import Path

import pytest

from firmware_bridge.board import Board, Placed
from firmware_bridge.service import host
from firmware_bridge.virtual_board import VirtualBoard
from tests import live
from tests.firmware_bridge import compiled
from tests.firmware_bridge.compiled import FIRMWARE, STRICT
from tests.firmware_bridge.running import bridge, plugged
from tests.live import Heard

pytestmark = [pytest.mark.broker, pytest.mark.slow]
C = Path(__file__).with_name("c")
CORTEX_M = FIRMWARE / "examples" / "cortex_m"


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """Return the example for a Cortex-M3, built without a warning."""
    made = tmp_path_factory.mktemp("firmware") / "firmware.elf"
    compiled.build(
        "arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", *STRICT, "-Os", "-T",
        CORTEX_M / "mps2.ld", "-nostartfiles", "--specs=nosys.specs", CORTEX_M / "main.c",
        CORTEX_M / "start.c", FIRMWARE / "solosense_wire.c", "-o", made,
    )  # fmt: skip
    return made


@pytest.fixture
def emulated(image):
    """Yield the terminal at which the emulated board's UART ends."""
    command = [
        compiled.tool("qemu-system-arm"), "-M", "mps2-an385", "-nographic", "-monitor", "none",
        "-kernel", str(image), "-serial", "pty",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        found = re.search(r"redirected to (\S+)", said)
        assert found is not None, said
        yield found[1]
        process.kill()


def test_a_microcontroller_is_heard_as_far_as_the_log(tmp_path, emulated):
    ports = (
        f'[ports.right]\npath = "{emulated}"\nstation = "pack-1"\n'
        '[ports.right.streams]\nimu = "imu-rw"\nbutton = "button"\n'
        f'[ports.left]\npath = "{tmp_path / "left"}"\nstation = "pack-1"\n'
        '[ports.left.streams]\nimu = "imu-lw"\n'
    )
    devices = {
        "imu-rw": ("imu", "right_wrist"),
        "imu-lw": ("imu", "left_wrist"),
        "button": ("event", "scanner"),
    }
    with live.mosquitto(tmp_path) as port:
        site = tmp_path / "site.toml"
        site.write_text(live.site_of(port, "imu", devices))
        with (
            live.running(site, tmp_path / "solosense.db", port) as edge,
            plugged(VirtualBoard("glove-l"), tmp_path / "left"),
            bridge(tmp_path, port, ports) as one,
            Heard(port) as heard,
        ):
            heard.wait_for("/pack-1/segment", 1)
            batches = heard.wait_for("/in/imu/imu-rw", 50)
            assert one.stop() == 0
            health = heard.of("/bridge/health")[-1]["ports"]["right"]
            assert edge.stop() == 0
            rows = edge.query("SELECT level, observed FROM segments ORDER BY start_us")
            seen = edge.query(
                "SELECT lost, rejected, duplicated FROM device_states WHERE device = 'imu-rw'"
            )
    assert health["device"] == "emulated-1"
    assert health["wrong"] == health["torn"] == 0
    assert health["clock"]["jumps"] == 0
    assert health["clock"]["error_ms"] < 50
    assert [b["seq"] for b in batches] == list(range(len(batches)))
    assert all(b["acc"][0][2] == pytest.approx(9.80665, rel=1e-3) for b in batches)
    assert len(rows) >= 2
    assert seen == [(0, 0, 0)]


def test_the_arduino_sketch_says_what_its_sensor_measures(tmp_path):
    """The sketch as it is, on this machine: only Arduino's own calls are ours."""
    sketch = FIRMWARE / "examples" / "arduino" / "solosense_imu" / "solosense_imu.ino"
    stubs, made, wire = C / "arduino", tmp_path / "sketch", tmp_path / "wire.o"
    compiled.build("gcc", *STRICT, "-O2", "-c", FIRMWARE / "solosense_wire.c", "-o", wire)
    compiled.build(
        "g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-O2", "-I", stubs, "-x", "c++", sketch,
        stubs / "machine.cpp", "-x", "none", wire, "-o", made,
    )  # fmt: skip
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    board = Board()
    found: list[Placed] = []
    with subprocess.Popen([made, os.ttyname(theirs)]) as process:
        while len(found) < 40:
            now = host()
            if due := board.due(now):
                os.write(ours, due)
            found += board.heard(os.read(ours, 4096), host())
        process.kill()
    os.close(ours)
    os.close(theirs)
    assert board.hello is not None
    assert (board.hello.device, board.hello.firmware) == ("wrist-1", "mpu6050")
    assert board.streams[0].lost == 0
    spans = [after.first_us - before.first_us for before, after in pairwise(found)]
    assert max(abs(span - 50_000) for span in spans) < 10_000
    row = found[0].schema.values(found[0].frame.payload)[0]
    assert row == pytest.approx([0, 0, 1, 33 / 32.8, 0, -33 / 32.8], abs=1e-6)


def test_the_arduino_sketch_compiles_for_an_avr(tmp_path):
    sketch = FIRMWARE / "examples" / "arduino" / "solosense_imu" / "solosense_imu.ino"
    compiled.build(
        "avr-g++", "-mmcu=atmega328p", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-Os", "-I",
        C / "arduino", "-x", "c++", "-c", sketch, "-o", tmp_path / "sketch.o",
    )  # fmt: skip


def test_the_zephyr_example_reads_well_to_a_compiler(tmp_path):
    compiled.build(
        "gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-I", C / "zephyr", "-c",
        FIRMWARE / "examples" / "zephyr" / "src" / "main.c", "-o", tmp_path / "main.o",
    )  # fmt: skip


DATA_SHEETS = {
    # ST DS12814, table 2: mg and mdps a step
    **{f"LSM6DSOX_{g}G": mg / 1000 for g, mg in ((2, 0.061), (4, 0.122), (8, 0.244), (16, 0.488))},
    "LSM6DSOX_125DPS": 4.375e-3, "LSM6DSOX_250DPS": 8.75e-3, "LSM6DSOX_500DPS": 17.5e-3,
    "LSM6DSOX_1000DPS": 35e-3, "LSM6DSOX_2000DPS": 70e-3,
    # TDK DS-000189, tables 1 and 2, and PS-MPU-6000A, 6.1 and 6.2: steps a unit
    **{
        f"{chip}_{scale}": 1 / steps
        for chip in ("ICM20948", "MPU6050")
        for scale, steps in (
            ("2G", 16384), ("4G", 8192), ("8G", 4096), ("16G", 2048), ("250DPS", 131),
            ("500DPS", 65.5), ("1000DPS", 32.8), ("2000DPS", 16.4),
        )
    },
}  # fmt: skip


def test_scales_of_inertial_units_are_those_of_their_data_sheets():
    text = (FIRMWARE / "solosense_imu.h").read_text()
    found = {
        name: float(value) if value else 1 / float(steps)
        for name, value, steps in re.findall(
            r"#define SSW_(\w+) (?:([\d.]+)f|\(1\.0f / ([\d.]+)f\))", text
        )
    }
    assert found == pytest.approx(DATA_SHEETS)
    for name, step in found.items():
        scale = float(re.findall(r"_(\d+)", name)[0])  # a step is the range's 65,536th, about
        assert step * 32768 == pytest.approx(scale, rel=0.16)
