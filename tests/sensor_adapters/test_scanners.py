"""A scanner that types, played into a pipe: its codes reach the broker, and so does its absence."""

import errno
import os
import struct
import time
from pathlib import Path

import pytest

from sensor_adapters.gateway import config as gateway_config
from sensor_adapters.gateway.hid_layouts import LAYOUTS
from sensor_adapters.gateway.hid_reader import INPUT_EVENT, HidReader
from sensor_adapters.gateway.scanner_config import ScannerConfig
from sensor_adapters.gateway.scanners import Scanners
from sensor_adapters.settings import ConfigError
from tests.live import Heard, mosquitto
from tests.sensor_adapters.gateways import gateway
from tests.sensor_adapters.test_hid_keys import strokes

PATIENCE_S = 20.0


class Played:
    """A scanner: a pipe in place of its device file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self.plug()

    def plug(self) -> None:
        os.mkfifo(self.path)

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self._file)
        self._file = -1

    def scan(self, text: str, layout: str = "us") -> None:
        """Type a code, as soon as somebody listens."""
        if self._file < 0:
            self._file = self._open()
        for key, value in strokes(text, LAYOUTS[layout]):
            now_us = time.time_ns() // 1000
            for one in ((4, 4, 0x70000 | key), (1, key, value), (0, 0, 0)):
                event = struct.pack(INPUT_EVENT, now_us // 1_000_000, now_us % 1_000_000, *one)
                os.write(self._file, event)

    def _open(self) -> int:
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            try:
                return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                time.sleep(0.01)
        raise AssertionError("nobody listens")


def codes(heard: Heard) -> list[str]:
    return [e["data"] for body in heard.of("/in/event/scanner-1") for e in body["events"] if e]


def states(heard: Heard) -> list[str]:
    return [body["state"] for body in heard.of("/in/status/scanner-1")]


@pytest.mark.broker
def test_codes_come_as_events_and_an_unplugged_scanner_is_offline_until_it_is_back(tmp_path):
    played = Played(tmp_path / "usb-scanner-event-kbd")
    (tmp_path / "secret").write_text("a secret of this site")
    key = 'badge_key_file = "secret"\n'
    block = (
        f'[scanners.scanner-1]\npath = "{played.path}"\nstation = "pack-1"\nlayout = "de"\n'
        "badges = 'P\\d+'"
    )
    with mosquitto(tmp_path) as port, Heard(port) as heard:
        with gateway(tmp_path, port, block, more=key) as host:
            played.scan("Größe/4901234567894", "de")
            heard.wait(lambda _: codes(heard) == ["Größe/4901234567894"], "a code")
            played.scan("P1234", "de")
            heard.wait(lambda _: len(codes(heard)) == 2, "a badge")
            assert codes(heard)[1].startswith("person-")
            played.unplug()
            heard.wait(lambda _: states(heard)[-1:] == ["offline"], "its absence")
            played.plug()
            played.scan("ITEM301", "de")
            heard.wait(lambda _: "ITEM301" in codes(heard), "a code after it was plugged in again")
            assert states(heard)[-1] == "online"
            heard.wait(  # alive, nothing happened
                lambda _: any(b["events"] == [None] for b in heard.of("/in/event/scanner-1")),
                "a heartbeat",
            )
            assert host.stop() == 0, host.said
            heard.wait(lambda _: states(heard)[-1:] == ["offline"], "that nobody listens to it")
        scanner = heard.of("/adapters/health")[-1]["devices"]["scanner-1"]
        assert (scanner["readings"], scanner["unended"], scanner["unknown_keys"]) == (3, 0, 0)
    assert host.said.count("it was unplugged") == 1
    assert host.said.count("it is there") == 1


def waited(reader: HidReader, count: int) -> list:
    found: list = []
    end_s = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < end_s, found
        found += reader.take()
        time.sleep(0.005)
    return [one for one, _ in found]


def test_a_scanner_that_is_missing_is_told_once_and_found_when_it_comes(tmp_path, caplog):
    path = tmp_path / "scanner"
    reader = HidReader("scanner-1", str(path), LAYOUTS["us"])
    reader.start()
    (gone,) = waited(reader, 1)
    assert not gone.is_alive
    played = Played(path)
    played.scan("A1")
    there, code = waited(reader, 2)
    assert (there.is_alive, code.data) == (True, "A1")
    reader.stop()
    missing, found = (record.message for record in caplog.records)
    assert "No such file" in missing
    assert "it is there" in found


@pytest.mark.parametrize("path", ["/dev/null", "/dev"])
def test_what_is_no_scanner_is_told(path, caplog):
    reader = HidReader("scanner-1", path, LAYOUTS["us"])
    reader.start()
    waited(reader, 1)
    reader.stop()
    assert "expected a scanner there" in caplog.text


def test_a_reader_ends_at_once_and_leaves_no_file_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    played = Played(tmp_path / "scanner")
    reader = HidReader("scanner-1", str(played.path), LAYOUTS["us"])
    reader.start()
    waited(reader, 1)
    began_s = time.monotonic()
    reader.stop()
    assert time.monotonic() - began_s < 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_scanners_that_never_began_can_be_stopped():
    one = ScannerConfig(path="/dev/input/by-id/x", station="pack-1")
    Scanners({"scanner-1": one}, b"", lambda *_: None).stop(0)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ('path = "scanner"\nstation = "a"', "scanners.s.path is 'scanner', expected such as"),
        ('path = "/dev/x"\nstation = "a"\nlayout = "uk"', "layout is 'uk', expected us, de,"),
        ('path = "/dev/x"', "scanners.s.station is missing"),
        ('path = "/dev/x"\nstation = "A b"', "scanners.s.station 'A b' is not an id"),
        ('path = "/dev/x"\nstation = "a"\nbadges = "("', "badges is '(', expected a pattern"),
        ('path = "/dev/x"\nstation = "a"\nlayuot = "us"', "did you mean layout"),
        ('path = "/dev/x"\nstation = "a"\ndebounce_s = -1', "debounce_s is -1"),
        ('path = "/dev/x"\nstation = "a"\n[scanners.t]\npath = "/dev/x"\nstation = "a"',
         "scanners.t.path is '/dev/x', expected another than scanners.s's"),
        ('path = "/dev/x"\nstation = "a"\n[devices.s]\nadapter = "x"\nstation = "a"',
         "scanners is ['s'], expected ids that no device has"),
    ],
)  # fmt: skip
def test_a_scanner_that_makes_no_sense_is_refused(tmp_path, block, said):
    file = tmp_path / "adapters.toml"
    file.write_text(f'version = 1\nsite = "a"\nnode = "b"\n[scanners.s]\n{block}\n')
    with pytest.raises(ConfigError) as refused:
        gateway_config.load(file)
    assert said in str(refused.value)


def test_badges_of_a_scanner_want_a_key(tmp_path):
    file = tmp_path / "adapters.toml"
    file.write_text(
        'version = 1\nsite = "a"\nnode = "b"\n[scanners.s]\npath = "/dev/x"\nstation = "a"\n'
        'badges = "P.*"\n'
    )
    with pytest.raises(ConfigError, match=r"scanners\.s\.badges: found no badge_key_file"):
        gateway_config.load(file).badge_key()
