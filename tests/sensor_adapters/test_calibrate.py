"""``calibrate`` listens to a device on a real broker, and says what to write."""

import json
import subprocess
import sys
import threading

import msgspec
import pytest

from sensor_adapters.gateway import config as gateway_config
from sensor_adapters.gateway.calibration import opened
from sensor_adapters.gateway.in_use import OneLevel
from sensor_adapters.settings import ConfigError
from sensor_adapters.topics import Message
from tests.live import ROOT, free_port, mosquitto
from tests.sensor_adapters.gateways import said, speaker

PLUG = '[devices.printer]\nadapter = "tasmota"\nstation = "pack-1"\ntopic = "plug"\n'
TOPIC = "tele/plug/SENSOR"


def configured(folder, port=1883, devices=PLUG):
    file = folder / "adapters.toml"
    head = f'version = 1\nsite = "test"\nnode = "board-1"\n[broker]\nport = {port}\n'
    file.write_text(head + devices)
    return file


def calibrated(file, *arguments, device="printer", meanwhile=lambda: None):
    """Run the command; return it with what it printed."""
    command = [sys.executable, "-m", "sensor_adapters", "calibrate", str(file), device, *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    meanwhile()
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def used(port, stop, watts):
    """Let a plug say these watts over and over."""
    with speaker(port) as client:
        said(client, TOPIC, {"ENERGY": {"Power": 900}}, retain=True)
        while not stop.wait(0.02):
            said(client, TOPIC, {"ENERGY": {"Power": next(watts)}})


def watts_of(*levels):
    while True:
        for level in levels:
            for step in range(5):
                yield level + step % 3


@pytest.mark.broker
def test_a_plug_is_learnt_while_it_is_used(tmp_path):
    with mosquitto(tmp_path) as port:
        stop = threading.Event()
        thread = threading.Thread(target=used, args=(port, stop, watts_of(2, 40)))
        thread.start()
        try:
            file = configured(tmp_path, port)
            code, out, err = calibrated(file, "--seconds", "4")
            _, as_json, _ = calibrated(file, "--seconds", "4", "--json")
        finally:
            stop.set()
            thread.join(10)
    assert code == 0, err
    assert " s  41" in err
    assert " s  900" not in err  # retained: of a time that nobody knows
    learnt = msgspec.toml.decode(out)["in_use"]
    assert 4 < learnt["off"] < learnt["on"] < 40
    assert json.loads(as_json)["on"] == learnt["on"]
    file.write_text(file.read_text() + out)  # as it would be pasted
    assert gateway_config.load(file).devices["printer"]["in_use"] == learnt


@pytest.mark.broker
def test_a_plug_that_keeps_quiet_is_told_how_it_would_speak(tmp_path):
    with mosquitto(tmp_path) as port:
        code, out, err = calibrated(configured(tmp_path, port), "--seconds", "0.3")
    assert (code, out) == (1, "")
    assert "printer: found 0 numbers, expected 10 or more" in err
    assert "`TelePeriod 10` and `PowerDelta 105`" in err


def test_without_a_broker_it_says_so(tmp_path):
    code, _, err = calibrated(configured(tmp_path, free_port()))
    assert code == 1
    assert "no broker at 127.0.0.1" in err


def test_a_device_that_is_not_there_is_named_with_those_that_are(tmp_path):
    code, _, err = calibrated(configured(tmp_path), device="scale")
    assert code == 2
    assert "devices has no 'scale', expected printer" in err


def test_a_block_that_makes_no_sense_is_refused(tmp_path):
    config = gateway_config.load(configured(tmp_path, devices=PLUG + "topik = 1\n"))
    with pytest.raises(ConfigError, match="topik is not a setting"):
        opened(config, "adapters.toml", "printer")


def test_what_was_heard_instead_of_numbers_is_told(tmp_path):
    config = gateway_config.load(configured(tmp_path, devices=PLUG + 'property = "POWER"\n'))
    one = opened(config, "adapters.toml", "printer")
    assert one.hear(Message("stat/plug/POWER", b"ON", 0)) == []
    assert one.hear(Message("stat/plug/POWER", b"perhaps", 0)) == []
    with pytest.raises(OneLevel, match=r"it says 'on', which needs no in_use; refused: .*perhaps"):
        one.result(is_low_busy=False)
