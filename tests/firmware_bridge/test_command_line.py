"""What solosense-bridge says to people: what is wrong with a file, and what a board says."""

import json
import os
import subprocess
import sys

import pytest

from firmware_bridge.simulate import Pty
from firmware_bridge.virtual_board import VirtualBoard
from tests.firmware_bridge.running import plugged
from tests.live import ROOT

GOOD = """version = 1
site = "osaka"
node = "jetson-01"
[ports.glove]
path = "/dev/serial/by-id/glove"
station = "pack-1"
[ports.glove.streams]
imu = "imu-rw"
"""


def called(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "firmware_bridge", *map(str, words)], capture_output=True, text=True,
        cwd=ROOT, timeout=60, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture
def check(tmp_path):
    def one(text: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "bridge.toml"
        file.write_text(text)
        return called("check", file)

    return one


def test_a_good_file_is_fine_and_says_which_ports_are_there(check):
    done = check(GOOD)
    assert done.returncode == 0
    assert "/dev/serial/by-id/glove" in done.stdout
    assert "pack-1: imu-rw" in done.stdout
    assert "is fine" in done.stdout


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("version = 1", "version = 2", "version is 2, expected 1"),
        ("station =", "statoin =", "ports.glove.statoin is not a setting; did you mean station?"),
        ('path = "/dev/serial/by-id/glove"\n', "", "ports.glove.path is missing"),
        ('"pack-1"', '"Pack 1"', "ports.glove.station 'Pack 1' is not an id"),
        ('imu = "imu-rw"', "", "ports.glove.streams is {}, expected a device for a stream"),
        (
            'imu = "imu-rw"', 'imu = "imu-rw"\nscan = "imu-rw"',
            "ports.glove.imu is 'imu-rw', expected a device of its own",
        ),
        (
            'station = "pack-1"\n', 'station = "pack-1"\nbaud = 10\n',
            "ports.glove.baud is 10, expected 300 to 12000000",
        ),
        (
            'imu = "imu-rw"\n', 'imu = "imu-rw"\n[ports.two]\npath = "/dev/serial/by-id/glove"\n'
            'station = "pack-1"\nstreams = {imu = "imu-lw"}\n',
            "ports.two.path is '/dev/serial/by-id/glove', expected a port of its own; glove has it",
        ),
        (
            'imu = "imu-rw"\n', 'imu = "imu-rw"\n[ports.glove.lines]\ndevice = "x"\n'
            'columns = ["acc_x", "speed"]\n',
            "ports.glove.lines.columns is 'speed', expected one of acc_x, acc_y",
        ),
        (
            'imu = "imu-rw"\n', 'imu = "imu-rw"\n[ports.glove.lines]\ndevice = "x"\n'
            'columns = ["acc_x", "acc_y", "acc_z"]\nacc_unit = "G"\n',
            "ports.glove.lines.acc_unit is 'G', expected m/s^2, g or mg",
        ),
        (
            'imu = "imu-rw"\n', 'imu = "imu-rw"\n[outbox]\nmost_mb = 0\n',
            "outbox.most_mb is 0.0, expected 1 or more",
        ),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_was_expected(check, before, after, told):
    assert before in GOOD
    done = check(GOOD.replace(before, after))
    assert done.returncode == 2
    assert told in done.stderr


def test_a_file_that_is_not_there_is_named(tmp_path):
    done = called("run", tmp_path / "none.toml")
    assert done.returncode == 2
    assert "expected a bridge configuration" in done.stderr


def test_sniffing_says_what_a_board_says(tmp_path):
    with plugged(VirtualBoard("glove-7"), tmp_path / "port"):
        done = called("sniff", tmp_path / "port", "--seconds", 4, "--json")
    said = json.loads(done.stdout)
    assert said["device"] == "glove-7"
    assert said["streams"]["imu"]["lost"] == said["broken"] == 0
    assert said["streams"]["imu"]["readings"] == 10 * said["streams"]["imu"]["frames"] > 0
    assert said["clock"]["jumps"] == 0


def test_sniffing_a_port_that_is_not_there_says_so(tmp_path):
    done = called("sniff", tmp_path / "none")
    assert done.returncode == 1
    assert "expected a serial port that is ours to open" in done.stderr


def test_sniffing_lines_of_text_shows_one(tmp_path):
    pty = Pty(tmp_path / "port")
    with subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge", "sniff", str(tmp_path / "port")], cwd=ROOT,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = ""
        while "lines of text" not in line:
            pty.write(b"0.1,0.2,9.8\r\n" * 4)
            line = process.stdout.readline()
        process.terminate()
    pty.close()
    assert "0.1,0.2,9.8" in line


def test_the_bench_reads_back_what_it_wrote():
    rows = json.loads(called("bench", "--frames", 20_000, "--json").stdout)
    assert [row["way"] for row in rows] == ["write", "read", "to MQTT payloads"]
    assert [row["frames"] for row in rows] == [20_000] * 3
