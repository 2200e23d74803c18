"""Tasmota as it is set up in the field: topics in any order, several phases, local time."""

import json

import pytest

from sensor_adapters.device import Alive, Happened, Number, State
from sensor_adapters.devices.tasmota import Settings, Tasmota
from sensor_adapters.devices.tasmota_reader import Settings as ReaderSettings, TasmotaReader
from sensor_adapters.gateway.mapped_device import MappedDevice
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message


def plug(**settings) -> Tasmota:
    return Tasmota(Settings(station="pack-1", adapter="tasmota", **{"topic": "plug", **settings}))


def reader(**settings) -> TasmotaReader:
    return TasmotaReader(
        ReaderSettings(station="pack-1", adapter="tasmota_reader", topic="gate", **settings)
    )


def said(topic, body) -> Message:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message(topic, payload, 1_700_000_000_000_000)


@pytest.mark.parametrize(
    ("full_topic", "topic"),
    [
        ("%prefix%/%topic%/", "tele/plug/SENSOR"),
        ("%topic%/%prefix%/", "plug/tele/SENSOR"),
        ("hall/%topic%/%prefix%", "hall/plug/tele/SENSOR"),
        ("hall/%prefix%//%topic%//", "hall/tele/plug/SENSOR"),
    ],
)
def test_a_full_topic_may_be_in_any_order(full_topic, topic):
    assert plug(full_topic=full_topic).topics[0] == topic


@pytest.mark.parametrize("full_topic", ["%prefix%/%hostname%/", "%prefix%/+/", "#"])
def test_a_full_topic_that_only_the_device_can_fill_in_is_refused(full_topic):
    with pytest.raises(ValueError, match="full_topic is"):
        plug(full_topic=full_topic)


def test_prefixes_and_words_may_be_ones_own():
    one = plug(tele="t", stat="s", property="POWER", on="AN", off="AUS", online="da", offline="weg")
    assert one.topics == ("t/plug/STATE", "s/plug/POWER", "t/plug/LWT")
    assert one.read(said("s/plug/POWER", b"AN")) == (State(True),)
    assert one.read(said("t/plug/LWT", b"weg")) == (Alive(False),)
    with pytest.raises(DecodeError, match="expected da or weg"):
        one.read(said("t/plug/LWT", b"Offline"))


def test_several_phases_are_summed_or_named():
    energy = {"ENERGY": {"Power": [3, 4.5], "Voltage": [230, 231]}}
    assert plug().read(said("tele/plug/SENSOR", energy)) == (Number(7.5),)
    second = plug(property="ENERGY.Power.1")
    assert second.read(said("tele/plug/SENSOR", energy)) == (Number(4.5),)
    with pytest.raises(DecodeError, match=r"ENERGY\.Voltage"):
        plug(property="ENERGY.Voltage").read(said("tele/plug/SENSOR", energy))


def test_a_phase_that_is_not_there_is_told_and_a_sensor_without_a_reading_is_silent():
    with pytest.raises(DecodeError, match=r"expected ENERGY\.Power\.1 in it"):
        plug(property="ENERGY.Power.1").read(said("tele/plug/SENSOR", {"ENERGY": {"Power": 3}}))
    warm = plug(property="SI7021.Temperature")
    assert warm.read(said("tele/plug/SENSOR", {"SI7021": {"Temperature": None}})) == ()
    assert warm.read(said("tele/plug/SENSOR", {"ENERGY": {"Power": 3}})) == ()


def test_local_time_is_not_believed():
    body = {"Time": "2001-01-01T00:00:00", "ENERGY": {"Power": 5}}
    assert plug().read(said("tele/plug/SENSOR", body)) == (Number(5.0, at_us=None),)


def test_a_relay_speaks_as_text_and_as_json():
    relay = plug(property="POWER2")
    assert relay.read(said("stat/plug/POWER2", b"ON")) == (State(True),)
    assert relay.read(said("stat/plug/POWER2", {"POWER2": "OFF"})) == (State(False),)
    assert relay.read(said("tele/plug/STATE", {"POWER1": "ON", "POWER2": "OFF"})) == (State(False),)
    assert relay.read(said("tele/plug/STATE", {"Uptime": "0T00:40:09"})) == ()


def test_other_buttons_of_a_board_are_others():
    button = plug(property="Button1")
    assert button.read(said("stat/plug/RESULT", {"Button2": {"Action": "SINGLE"}})) == ()
    assert button.read(said("stat/plug/RESULT", {"POWER": "ON"})) == ()


def test_discovery_names_relays_switches_and_buttons_where_they_are_said():
    config = {
        "t": "drawer", "ft": "%prefix%/%hostname%/%topic%/", "tp": ["cmnd", "stat", "t"],
        "hn": "esp-1", "mac": "E09806F17F56", "md": "ESP32", "ofln": "Offline", "onln": "Online",
        "rl": [0, 1], "swc": [-1, 1], "btn": [1, 0], "so": {"73": 1}, "state": ["0", "1"],
    }  # fmt: skip
    found = list(Tasmota.found(said("tasmota/discovery/E09806F17F56/config", config)))
    assert [one.name for one in found] == ["drawer", "drawer/Button1", "drawer/Switch2"]
    plug_, _, switch = (plug(**one.settings) for one in found)
    assert plug_.topics[0] == "t/esp-1/drawer/SENSOR"
    assert switch.read(said("stat/esp-1/drawer/RESULT", {"Switch2": {"Action": "1"}})) == (
        State(True),
    )


def test_a_discovery_that_lacks_the_topic_is_left_out():
    topic, prefixes = "tasmota/discovery/X/config", ["cmnd", "stat", "tele"]
    assert list(Tasmota.found(said(topic, {"ft": "%prefix%/", "tp": prefixes, "rl": [1]}))) == []
    wild = {"t": "a/#", "ft": "%topic%/", "tp": prefixes, "rl": [1]}
    assert list(Tasmota.found(said(topic, wild))) == []


def test_several_lines_are_several_codes():
    serial = reader(property="SSerialReceived")
    assert serial.read(said("tele/gate/RESULT", {"SSerialReceived": "A1\r\nB2\r"})) == (
        Happened("A1"),
        Happened("B2"),
    )


def test_a_code_that_is_a_number_has_lost_its_zeros_and_is_refused():
    serial = reader(property="SerialReceived")
    with pytest.raises(DecodeError, match="is 4901, expected text"):
        serial.read(said("tele/gate/RESULT", {"SerialReceived": 4901}))
    with pytest.raises(DecodeError, match="expected JSON"):  # as SerialSend5 makes it write bytes
        serial.read(said("tele/gate/RESULT", b'{"SerialReceived":AA 55 01}'))


def test_a_card_that_is_read_twice_at_once_is_one_and_a_retained_one_none():
    rfid = reader()
    mapped = MappedDevice("gate", "event", rfid.settings, "boot")
    card = said("tele/gate/SENSOR", {"RC522": {"UID": "BA839D07"}})
    (reading,) = rfid.read(card)
    first = mapped.take(reading, card.received_us, retained=False)
    assert [one.kind for one in first] == ["event"]
    assert mapped.take(reading, card.received_us + 200_000, retained=False) == []
    assert len(mapped.take(reading, card.received_us + 900_000, retained=False)) == 1
    assert mapped.take(reading, card.received_us + 2_000_000, retained=True) == []
    assert (mapped.heard.repeated, mapped.heard.stale) == (1, 1)
