"""Frigate tells of every object from its first picture to its end, unless the end is lost."""

import msgspec
import pytest

from sensor_adapters.devices.frigate_objects import MOST_TRACKED
from sensor_adapters.samples import US_PER_S, DecodeError
from tests.sensor_adapters.speaking import NOW_US, Spoken

EVENTS, STATS = "frigate/events", "frigate/stats"


def event(kind="update", of="a", at_s=0.0, zones=("packing",), **more):
    after = {
        "id": of, "camera": "cam", "label": "person", "current_zones": list(zones),
        "frame_time": NOW_US / US_PER_S + at_s, "end_time": None, "false_positive": False,
        "stationary": False,
    }  # fmt: skip
    return msgspec.json.encode({"type": kind, "before": {}, "after": after | more})


@pytest.fixture
def zone():
    return Spoken("frigate", camera="cam", zone="packing", forget_s=100)


def test_the_zone_is_in_use_until_the_last_one_has_left(zone):
    assert zone.hears(EVENTS, event("new", "a"), 0) == ["on"]
    assert zone.hears(EVENTS, event("update", "b"), 1) == ["on"]
    assert zone.hears(EVENTS, event("update", "a", zones=()), 2) == ["on"]
    assert zone.hears(EVENTS, event("end", "b"), 3) == ["off"]


def test_the_camera_s_own_time_is_taken(zone):
    (came,) = zone.readings(EVENTS, event(at_s=0.25), 1)
    (left,) = zone.readings(EVENTS, event("end", end_time=NOW_US / US_PER_S + 2), 3)
    assert (came.at_us, left.at_us) == (NOW_US + 250_000, NOW_US + 2_000_000)


def test_others_places_and_kinds_are_not_ours(zone):
    assert zone.hears(EVENTS, event(zones=("aisle",))) == []
    assert zone.hears(EVENTS, event(camera="other")) == []
    assert zone.hears(EVENTS, event(label="cat")) == []
    assert zone.hears(STATS, "{}") == []  # who is there, nobody has said yet


def test_what_turns_out_to_be_nobody_leaves(zone):
    assert zone.hears(EVENTS, event()) == ["on"]
    assert zone.hears(EVENTS, event(false_positive=True)) == ["off"]


def test_someone_whose_end_was_lost_is_forgotten_at_the_next_tick(zone):
    assert zone.hears(EVENTS, event(), 0) == ["on"]
    assert zone.hears(STATS, "{}", 60) == ["on"]
    assert zone.hears(STATS, "{}", 120) == ["off"]


def test_a_count_of_nobody_ends_what_was_lost(zone):
    assert zone.hears(EVENTS, event(), 0) == ["on"]
    assert zone.hears("frigate/packing/person", "1", 1) == []
    assert zone.hears("frigate/packing/person", "0", 2) == ["off"]


def test_those_who_stand_still_count_only_if_wanted():
    moving = Spoken("frigate", zone="packing", stationary=False)
    assert moving.hears(EVENTS, event(stationary=True)) == []
    assert moving.hears(EVENTS, event(stationary=False)) == ["on"]
    assert moving.hears(EVENTS, event(stationary=True)) == ["off"]
    assert "frigate/packing/person/active" in moving.device.topics


def test_while_nobody_is_looking_nothing_is_said(zone):
    assert zone.hears(EVENTS, event(), 0) == ["on"]
    assert zone.hears("frigate/cam/status/detect", "offline", 1) == ["gone"]
    assert zone.hears(STATS, "{}", 2) == []
    assert zone.hears("frigate/available", "offline", 3) == ["gone"]
    assert zone.hears("frigate/available", "online", 30) == []
    assert zone.hears(STATS, "{}", 31) == []  # the camera is still away
    assert zone.hears("frigate/cam/status/detect", "online", 40) == []
    assert zone.hears(EVENTS, event(of="z", zones=()), 41) == []
    assert zone.hears(EVENTS, event("new", "c"), 42) == ["on"]


def test_objects_without_end_fill_no_memory(zone):
    for number in range(3 * MOST_TRACKED):
        zone.hears(EVENTS, event("new", f"p{number}"))
    assert len(zone.device._there) == MOST_TRACKED


def test_how_many_is_a_number():
    count = Spoken("frigate", zone="packing", property="count")
    assert count.hears("frigate/packing/person", "3") == ["3"]
    assert count.hears("frigate/available", "stopped") == ["gone"]
    with pytest.raises(DecodeError, match="expected a number"):
        count.hears("frigate/packing/person", "many")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b'{"type":"gone","after":{}}', "type is 'gone', expected one of new, update, end"),
        (b'{"type":["new"],"after":{}}', "expected one of new"),
        (b'{"type":"new"}', "after is null, expected an object"),
        (event(of=""), "after.id is '', expected a text"),
        (event(current_zones="packing"), "current_zones is 'packing', expected a list"),
    ],
)
def test_events_that_do_not_say_what_or_where_are_refused(zone, said, why):
    with pytest.raises(DecodeError, match=why):
        zone.hears(EVENTS, said)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "expected one of them at least"),
        ({"zone": "a", "property": "speed"}, "property is 'speed', expected present or count"),
        ({"zone": "a", "forget_s": 0.0}, "forget_s is 0, expected more than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, why):
    with pytest.raises(ValueError, match=why):
        Spoken("frigate", **settings)
