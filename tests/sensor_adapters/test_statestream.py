"""Home Assistant publishes a state whenever anything about an entity changes."""

import pytest

from sensor_adapters.device import Happened
from sensor_adapters.samples import US_PER_S, DecodeError
from tests.sensor_adapters.speaking import NOW_US, Spoken

LID = "homeassistant/binary_sensor/lid/"
TAG = "homeassistant/tag/sheet/state"
AT = "2026-01-01T08:00:00.500+00:00"
LATER = "2026-01-01T09:01:00.250+01:00"


def test_with_timestamps_a_state_takes_the_time_that_follows_it():
    lid = Spoken("statestream", entity="binary_sensor.lid", timestamps=True)
    assert lid.hears(LID + "state", "on", 1) == []
    (state,) = lid.readings(LID + "last_updated", AT, 1)
    assert (state.on, state.at_us) == (True, NOW_US + US_PER_S // 2)
    assert lid.hears(LID + "last_updated", AT, 2) == []


def test_a_state_whose_time_never_comes_is_said_before_the_next():
    lid = Spoken("statestream", entity="binary_sensor.lid", timestamps=True)
    assert lid.hears(LID + "state", "on") == []
    assert lid.hears(LID + "state", "off", 5) == ["on"]
    assert lid.hears(LID + "state", "unavailable", 6) == ["off", "gone"]


@pytest.mark.parametrize("word", ["unavailable", "unknown"])
def test_an_entity_that_home_assistant_does_not_know_is_gone(word):
    assert Spoken("statestream", entity="switch.tape").hears(
        "homeassistant/switch/tape/state", word
    ) == ["gone"]


def test_a_scan_is_another_time_and_an_attribute_that_changes_is_none():
    tag = Spoken("statestream", entity="tag.sheet")
    assert tag.hears(TAG, AT, 1) == ["happened"]
    assert tag.hears(TAG, AT, 2) == ["alive"]
    (scan,) = tag.readings(TAG, LATER, 61)
    assert scan == Happened(None, NOW_US + 60_250_000)


def test_what_the_broker_kept_or_home_assistant_restored_is_no_scan():
    kept, restored = (
        Spoken("statestream", entity="tag.sheet"),
        Spoken("statestream", entity="tag.sheet"),
    )
    assert kept.hears(TAG, AT, 5, retained=True) == ["alive"]
    assert kept.hears(TAG, "unavailable", 10) == ["gone"]
    assert kept.hears(TAG, AT, 11) == ["alive"]
    assert restored.hears(TAG, AT, 3600) == ["alive"]
    assert restored.hears(TAG, "2026-01-01T09:00:05Z", 3606) == ["happened"]


def test_a_button_that_nobody_pressed_yet_is_not_gone():
    tag = Spoken("statestream", entity="button.done")
    assert tag.hears("homeassistant/button/done/state", "unknown") == []


def test_a_time_without_an_offset_is_no_time():
    with pytest.raises(DecodeError, match=r"expected a time as 2026-11-20T10:13:52.123\+00:00"):
        Spoken("statestream", entity="tag.sheet").hears(TAG, "2026-01-01T08:00:00")


def test_states_that_mean_in_use_can_be_named():
    robot = Spoken("statestream", entity="vacuum.robot", on=["cleaning"])
    topic = "homeassistant/vacuum/robot/state"
    assert [*robot.hears(topic, "cleaning"), *robot.hears(topic, "docked")] == ["on", "off"]
    with pytest.raises(DecodeError, match="`on` with the states that mean in use"):
        Spoken("statestream", entity="vacuum.robot").hears(topic, "docked")


def test_home_assistant_that_ends_takes_its_entities_along():
    lid = Spoken("statestream", entity="binary_sensor.lid")
    assert lid.hears("homeassistant/status", "online") == []
    assert lid.hears("homeassistant/status", "offline") == ["gone"]


@pytest.mark.parametrize("entity", ["lid", "binary_sensor.", ".lid", "a/b.c"])
def test_what_is_no_entity_is_refused(entity):
    with pytest.raises(ValueError, match=r"expected one as binary_sensor\.lid"):
        Spoken("statestream", entity=entity)
