"""ESPHome says its states again after every connection, and the broker keeps the last of them."""

import inspect
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from sensor_adapters import imu
from sensor_adapters.device import DeviceSettings, Motion
from sensor_adapters.devices import esphome_imu
from sensor_adapters.gateway.mapped_device import MappedDevice
from sensor_adapters.samples import DecodeError
from tests.sensor_adapters.speaking import NOW_US, Spoken

BATCH = {"n": 0, "t0": NOW_US, "dt": 20_000, "acc": [[0.0, 0.0, 9.8], [0.1, 0.0, 9.8]]}


def batch(**changes):
    return msgspec.json.encode(BATCH | changes)


def test_a_text_that_a_node_says_again_when_it_is_back_is_no_second_scan():
    desk = Spoken("esphome", prefix="desk", component="text_sensor", object="sheet")
    topic = "desk/text_sensor/sheet/state"
    assert desk.hears(topic, "A1") == ["happened A1"]
    assert desk.hears("desk/status", "offline", 10) == ["gone"]
    assert desk.hears("desk/status", "online", 20) == []
    assert desk.hears(topic, "A1", 20.5) == []
    assert desk.hears(topic, "A1", 60) == ["happened A1"]
    assert desk.hears(topic, "A2", 60.1) == ["happened A2"]


def test_an_event_entity_says_the_same_twice_and_means_it():
    remote = Spoken("esphome", prefix="desk", component="event", object="key")
    said = '{"event_type":"double_click"}'
    assert remote.hears("desk/status", "online") == []
    for _ in range(2):
        assert remote.hears("desk/event/key/state", said) == ["happened double_click"]


def test_a_state_that_the_broker_kept_of_a_node_that_is_gone_is_not_believed():
    lid = Spoken("esphome", prefix="pack", component="binary_sensor", object="lid")
    topic = "pack/binary_sensor/lid/state"
    assert lid.hears("pack/status", "offline", retained=True) == ["gone"]
    assert lid.hears(topic, "ON", retained=True) == []
    assert lid.hears(topic, "ON") == ["on"]  # said just now


def test_a_sensor_without_a_value_says_nothing_and_words_are_refused():
    plug = Spoken("esphome", prefix="p", component="sensor", object="w")
    for word in ("nan", "NaN", "None", ""):
        assert plug.hears("p/sensor/w/state", word) == []
    with pytest.raises(DecodeError, match="p/sensor/w/state: found 'many', expected a number"):
        plug.hears("p/sensor/w/state", "many")


def test_a_topic_of_its_own_and_other_words_for_on_are_settings():
    door = Spoken(
        "esphome", prefix="p", component="binary_sensor", topic="p/door", on="open", off="shut"
    )
    assert door.hears("p/door", "open") == ["on"]
    with pytest.raises(DecodeError, match="expected open or shut"):
        door.hears("p/door", "ON")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"component": "lamp", "object": "x"},
            "component is 'lamp', expected one of binary_sensor",
        ),
        ({"component": "sensor"}, "expected one of them"),
        ({"component": "sensor", "object": "x", "topic": "y"}, "expected one of them"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, why):
    with pytest.raises(ValueError, match=why):
        Spoken("esphome", prefix="p", **settings)


def test_a_batch_of_a_node_that_knows_the_time_is_placed_by_it_else_by_when_it_came():
    wrist = Spoken("esphome_imu", prefix="wrist")
    (known,) = wrist.readings("wrist/imu/batch", batch())
    (unknown,) = wrist.readings("wrist/imu/batch", batch(t0=5_120_034))
    assert (known.at_us, unknown.at_us) == (NOW_US, None)


@pytest.mark.fault("F22")
def test_rates_in_degrees_become_radians_and_a_missing_number_stays_missing():
    wrist = Spoken("esphome_imu", prefix="wrist")
    said = batch(gyr=[[180, 0, 0], [0, None, 0]], unit={"acc": "g", "gyr": "deg/s"})
    (motion,) = wrist.readings("wrist/imu/batch", said)
    assert isinstance(motion, Motion)
    assert motion.gyr is not None
    assert motion.gyr[0][0] == pytest.approx(math.pi)
    assert math.isnan(motion.gyr[1][1])
    assert motion.acc[0][2] == pytest.approx(9.8 * 9.80665)


def test_a_batch_reaches_the_board_as_rows_of_an_inertial_unit():
    wrist = Spoken("esphome_imu", prefix="wrist")
    settings = DeviceSettings(station="pack-1", adapter="esphome_imu")
    mapped = MappedDevice("imu-rw", "imu", settings, "b")
    (motion,) = wrist.readings("wrist/imu/batch", batch())
    (out,) = mapped.take(motion, NOW_US + 60_000, retained=False)
    samples = imu.decode("imu-rw", out.payload)
    assert samples.time_us.tolist() == [NOW_US, NOW_US + 20_000]
    assert np.isnan(samples.values[:, 3:]).all()
    assert mapped.take(motion, NOW_US + 60_000, retained=True) == []
    assert mapped.heard.stale == 1


def test_the_package_for_nodes_says_what_the_adapter_reads():
    text = Path(inspect.getfile(esphome_imu)).with_suffix(".yaml").read_text()
    said = {key for key in ("t0", "dt", "acc", "gyr", "unit") if f'root["{key}"]' in text}
    assert said == {"t0", "dt", "acc", "gyr", "unit"}
    assert f"/{esphome_imu.BATCH} " in text
    assert 'root["unit"]["acc"] = "m/s^2";' in text
    assert 'root["unit"]["gyr"] = "deg/s";' in text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"acc": []}, "acc has 0 rows, expected 1 to 2000"),
        ({"acc": [[1, 2]] * 2}, "expected three numbers"),
        ({"acc": [[0, 0, 0]] * 2001}, "acc has 2001 rows"),
        ({"gyr": [[1, 2, 3]]}, "gyr has 1 rows, expected 2"),
        ({"dt": 0}, "dt is 0 for 2 rows"),
        ({"dt": -5}, "dt is -5 for 2 rows"),
        ({"unit": {"acc": "ft"}}, "acc is in 'ft', expected m/s"),
        ({"unit": {"acc": ["g"]}}, "expected m/s"),
    ],
)
def test_batches_that_do_not_add_up_are_refused(changes, why):
    with pytest.raises(DecodeError, match=why):
        Spoken("esphome_imu", prefix="wrist").readings("wrist/imu/batch", batch(**changes))
