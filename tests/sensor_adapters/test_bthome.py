"""BTHome advertisements come several times, from several gateways, and now and then with more."""

import pytest
from hypothesis import given, settings, strategies as st

from sensor_adapters.devices.bthome_v2 import parse
from sensor_adapters.samples import DecodeError
from tests.sensor_adapters.speaking import Spoken

# bthome.io/format: the examples of its tables
DOCUMENTED = [
    ("518756", "acceleration", 22.151), ("0161", "battery", 97), ("12E204", "co2", 1250),
    ("56E803", "conductivity", 1000), ("0960", "count", 96), ("3D0960", "count", 24585),
    ("3E2A2C0960", "count", 1611213866), ("59EA", "count", -22), ("5AEAEA", "count", -5398),
    ("5BEA0234EA", "count", -365690134), ("434E34", "current", 13.39),
    ("5D02EA", "current", -5.63), ("08CA06", "dewpoint", 17.38), ("400C00", "distance_mm", 12),
    ("414E00", "distance", 7.8), ("424E3400", "duration", 13.390),
    ("4d12138a14", "energy", 344593.170), ("0A138A14", "energy", 1346.067),
    ("4B138A14", "gas", 1346.067), ("4C41018A01", "gas", 25821.505),
    ("528756", "gyroscope", 22.151), ("03BF13", "humidity", 50.55), ("2E23", "humidity", 35),
    ("05138A14", "illuminance", 13460.67), ("065E1F", "mass", 80.3), ("073E1D", "mass_lb", 74.86),
    ("14020C", "moisture", 30.74), ("2F23", "moisture", 35), ("0D120C", "pm2.5", 3090),
    ("0E021C", "pm10", 7170), ("0B021B00", "power", 69.14), ("5C02FBFFFF", "power", -12.78),
    ("04138A01", "pressure", 1008.83), ("3F020C", "rotation", 307.4), ("444E34", "speed", 133.9),
    ("57EA", "temperature", -22), ("58EA", "temperature", -7.7), ("451101", "temperature", 27.3),
    ("02CA09", "temperature", 25.06), ("505d396164", "timestamp", 1684093277),
    ("133301", "tvoc", 307), ("0C020C", "voltage", 3.074), ("4A020C", "voltage", 307.4),
    ("4E87562A01", "volume", 19551.879), ("478756", "volume", 2215.1),
    ("48DC87", "volume_ml", 34780),
    ("5587562A01", "volume_storage", 19551.879), ("49DC87", "volume_flow_rate", 34.78),
    ("4632", "uv_index", 5.0), ("4F87562A01", "water", 19551.879), ("5E9F8C", "direction", 359.99),
    ("5FA00F", "precipitation", 4000), ("F00100", "device_type", 1),
    ("530C48656C6C6F20576F726C6421", "text", "Hello World!"),
    ("540C48656C6C6F20576F726C6421", "raw", "48656c6c6f20576f726c6421"),
    ("1501", "battery_low", True), ("1A00", "door", False), ("0F01", "generic_boolean", True),
    ("1100", "opening", False), ("1001", "power_on", True), ("2100", "motion", False),
    ("2D01", "window", True), ("3A00", "button", ""), ("3A01", "button", "press"),
    ("3A05", "button", "long_double_press"), ("3A80", "button", "hold_press"),
    ("3C0103", "dimmer", "rotate_left 3"), ("3C020A", "dimmer", "rotate_right 10"),
    ("3C0000", "dimmer", ""),
]  # fmt: skip
MAC = "3CDEF571D2A1"
ONE, TWO = f"home/one/BTtoMQTT/{MAC}", f"home/two/BTtoMQTT/{MAC}"


def advert(objects, uuid="0xfcd2", info="44"):
    return f'{{"id":"x","servicedata":"{info}{objects}","servicedatauuid":"{uuid}"}}'


def device(name, **more):
    return Spoken("bthome", mac=MAC, property=name, **more)


@pytest.mark.parametrize(("data", "name", "value"), DOCUMENTED, ids=[d for d, _, _ in DOCUMENTED])
def test_every_object_is_read_as_the_format_says(data, name, value):
    assert parse("x", bytes.fromhex("40" + data)).values == {name: pytest.approx(value)}


def test_the_formats_own_advertisement_is_read():
    found = parse("x", bytes.fromhex("4002C40903BF13"))
    assert found.values == {"temperature": 25.0, "humidity": 50.55}
    assert (found.packet, found.unknown) == (None, None)


def test_what_stands_behind_an_object_that_nobody_knows_is_left_alone():
    found = parse("x", bytes.fromhex("400009016176FFFF2D01"))
    assert (found.values, found.packet, found.unknown) == ({"battery": 97}, 9, 0x76)


def test_the_second_button_has_a_name_of_its_own():
    assert parse("x", bytes.fromhex("403A003A01")).values == {"button": "", "button_2": "press"}
    assert device("button").hears(ONE, advert("3a003a01")) == []
    assert device("button_2").hears(ONE, advert("3a003a01")) == ["happened press"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("41a47266c95f730011223378237214", "encrypted advertisement, expected a plain one"),
        ("2002c409", "BTHome version 1, expected 2"),
        ("4002c4", "object 0x02 has 1 bytes, expected 2"),
        ("40530c4865", "object 0x53 has 3 bytes, expected 13"),
        ("4053", "object 0x53 has 0 bytes"),
        ("", "found 0 bytes"),
        ("40" * 2000, "expected 1 to 1650"),
    ],
)
def test_what_is_cut_off_encrypted_or_of_another_version_is_refused(data, why):
    with pytest.raises(DecodeError, match=why):
        parse("home/x", bytes.fromhex(data))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=40))
def test_any_objects_are_read_or_refused(data):
    try:
        found = parse("x", b"\x40" + data)
    except DecodeError:
        return
    assert len(found.values) <= len(data)


def test_a_press_that_is_sent_many_times_and_heard_by_two_is_one():
    button = device("button")
    assert button.hears(ONE, advert("00073a01"), 0) == ["happened press"]
    assert button.hears(ONE, advert("00073a01"), 0.1) == []
    assert button.hears(TWO, advert("00073a01"), 0.4) == []
    assert button.hears(ONE, advert("00083a01"), 0.6) == ["happened press"]
    assert button.hears(TWO, '{"packet":8,"button":1}', 0.7) == []


def test_a_button_that_begins_with_the_same_packet_after_every_sleep_is_heard_again():
    button = device("button")
    assert button.hears(ONE, advert("00003a01"), 0) == ["happened press"]
    assert button.hears(ONE, advert("00003a01"), 60) == ["happened press"]


def test_a_gateway_that_is_late_does_not_open_the_drawer_again():
    drawer = device("window")
    assert drawer.hears(ONE, advert("00012d01"), 0) == ["on"]
    assert drawer.hears(ONE, advert("00022d00"), 1) == ["off"]
    assert drawer.hears(TWO, advert("00012d01"), 1.2) == []
    assert drawer.hears(TWO, advert("00022d00"), 1.3) == ["off"]  # a heartbeat


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("window", '{"open":true}', ["on"]),
        ("contact", '{"contact":true}', ["off"]),
        ("motion", '{"motion":"on"}', ["on"]),
        ("power", '{"power":43.2}', ["43.2"]),
        ("button", '{"button":9}', ["happened long_press"]),
        ("button", '{"button":0}', []),
        ("button", '{"button":"none"}', []),
        ("window", '{"rssi":-60}', []),
        ("window", advert("2d01", uuid="0xfe9f"), []),
        ("window", advert("2d01", uuid="FCD2"), ["on"]),
    ],
)
def test_what_a_gateway_decoded_means_the_same(name, said, words):
    assert device(name).hears(ONE, said) == words


def test_inverted_is_the_other_way_round():
    assert device("motion", inverted=True).hears(ONE, '{"motion":true}') == ["off"]
    assert device("contact", inverted=True).hears(ONE, '{"contact":true}') == ["on"]


def test_only_a_gateway_that_is_named_takes_the_device_along():
    assert device("motion").device.topics == [f"home/+/BTtoMQTT/{MAC}"]
    assert device("motion", gateway="one").hears("home/one/LWT", "offline") == ["gone"]


def test_a_sum_that_is_no_address_is_refused():
    with pytest.raises(ValueError, match="expected an address as A4:C1:38:52:8F:62"):
        Spoken("bthome", mac="12", property="button")


def test_a_signal_that_no_receiver_reports_is_refused_and_none_is_no_reading():
    tag = Spoken("ble_rssi", tag="3c:de:f5:71:d2:a1", gateway="one")
    assert tag.hears(ONE, '{"rssi":-70}') == ["-70 dBm"]
    assert tag.hears(ONE, '{"id":"x","presence":"absent"}') == []
    with pytest.raises(DecodeError, match="rssi is 300, expected -127 to 20 dBm"):
        tag.hears(ONE, '{"rssi":300}')


def test_a_tag_is_heard_by_one_gateway_each():
    assert Spoken("ble_rssi", tag=MAC, gateway="two").device.topics == (TWO, "home/two/LWT")
    with pytest.raises(ValueError, match=r"gateway is '\+'"):
        Spoken("ble_rssi", tag=MAC, gateway="+")
