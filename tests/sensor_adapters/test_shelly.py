"""Shelly, old and new: deltas that leave out the rest, counts that repeat, sleepers."""

import json

import pytest

from sensor_adapters.device import Alive, Happened, InUse, Number, State
from sensor_adapters.devices import shelly, shelly1
from sensor_adapters.gateway.mapped_device import MappedDevice
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message

NOW_US = 1_736_603_811_000_000


def new(**settings) -> shelly.Shelly:
    return shelly.Shelly(shelly.Settings(station="s", adapter="shelly", name="plug", **settings))


def old(name="plug", **settings) -> shelly1.Shelly1:
    return shelly1.Shelly1(
        shelly1.Settings(station="s", adapter="shelly1", name=name, **settings)
    )  # fmt: skip


def notified(method="NotifyStatus", **params) -> Message:
    body = {"src": "shellyplusplugs-1", "dst": "plug/events", "method": method}
    return Message("plug/events/rpc", json.dumps({**body, "params": params}).encode(), NOW_US)


def delta(**switch) -> Message:
    return notified(**{"ts": 1736603810.49, "switch:0": {"id": 0, **switch}})


def test_a_delta_without_the_property_says_nothing_of_it():
    one = new()
    assert one.read(delta(voltage=232.7)) == ()
    assert one.read(delta(apower=None)) == ()
    assert one.read(notified(ts=1.0, sys={"cfg_rev": 35})) == ()
    assert one.read(delta(apower=43.1)) == (Number(43.1, 1736603810490000),)


def test_the_power_of_a_plug_holds_through_deltas_of_other_things():
    one = new(in_use=InUse(on=8.0, off=4.0))
    mapped = MappedDevice("plug", "state", one.settings, "boot")
    for message in (delta(apower=43.1), delta(voltage=230.0), delta(aenergy={"total": 1.0})):
        for reading in one.read(message):
            mapped.take(reading, NOW_US, retained=False)
    (beat,) = mapped.due(NOW_US + 6_000_000)
    assert json.loads(beat.payload)["on"] == [True]


def test_a_shelly_whose_clock_is_not_set_yet_is_timed_by_its_message():
    early = notified(**{"ts": 1.61, "switch:0": {"id": 0, "output": True}})
    assert new(property="output").read(early) == (State(True, None),)


def test_components_are_told_apart():
    both = notified(ts=1.0, **{"switch:0": {"apower": 1.0}, "switch:1": {"apower": 2.0}})
    assert new(component="switch:1").read(both) == (Number(2.0),)


def test_pushes_count_and_what_else_happens_at_an_input_does_not():
    button = new(component="input:0", property="event")
    events = [
        {"component": "input:0", "event": "btn_down", "ts": 1736603810.1},
        {"component": "input:0", "event": "btn_up", "ts": 1736603810.2},
        {"component": "input:1", "event": "single_push", "ts": 1736603810.3},
        {"component": "input:0", "event": "single_push", "ts": 1736603810.3},
        {"component": "input:0", "event": "config_changed", "ts": 1736603810.3},
    ]
    pushed = button.read(notified("NotifyEvent", ts=1736603810.3, events=events))
    assert list(pushed) == [Happened("single_push", 1736603810300000)]
    assert button.read(delta(apower=1.0)) == ()
    down = new(component="input:0", property="event", events=("btn_down",))
    assert len(list(down.read(notified("NotifyEvent", events=events)))) == 1


def test_a_state_that_is_a_number_is_refused():
    with pytest.raises(DecodeError, match=r"switch:0\.output is 1, expected true or false"):
        new(property="output").read(delta(output=1))


def test_the_last_will_of_a_shelly_is_believed():
    assert new().read(Message("plug/online", b"false", NOW_US, True)) == (Alive(False),)
    with pytest.raises(DecodeError, match="expected true or false"):
        new().read(Message("plug/online", b"offline", NOW_US))


def test_what_others_say_on_topics_like_ours_discovers_nothing():
    assert list(shelly.Shelly.found(Message("zigbee/online", b"true", 0))) == []
    assert list(shelly.Shelly.found(Message("x/events/rpc", b'{"src":"else"}', 0))) == []


def test_a_custom_prefix_is_discovered_by_what_it_measures():
    found = list(shelly.Shelly.found(delta(apower=3.0)))
    assert [(one.name, one.is_number) for one in found] == [("plug", True)]


def push(event, count, retained=False) -> Message:
    body = json.dumps({"event": event, "event_cnt": count}).encode()
    return Message("shellies/shellyix3-1/input_event/0", body, NOW_US, retained)


def test_a_push_that_is_told_every_30_seconds_is_one_push():
    button = old("shellyix3-1", property="input_event/0")
    heard = [push("S", 7, True), push("S", 7), push("S", 7), push("L", 8), push("L", 8)]
    assert [list(button.read(message)) for message in heard] == [[], [], [], [Happened("L")], []]


def test_a_count_that_began_anew_says_nothing_until_the_next_push():
    button = old("shellyix3-1", property="input_event/0")
    heard = [push("S", 7), push("", 0), push("", 0), push("S", 1)]
    assert [list(button.read(message)) for message in heard] == [[], [], [], [Happened("S")]]


def test_a_sleeper_that_is_said_to_be_offline_is_still_there():
    assert old("shellydw2-73C75E", property="sensor/state").topics == (
        "shellies/shellydw2-73C75E/sensor/state",
    )
    assert "shellies/plug/online" in old().topics


def test_a_word_that_no_relay_says_is_refused():
    with pytest.raises(DecodeError, match="found 'open', expected one of on, off, overpower"):
        old(property="relay/0").read(Message("shellies/plug/relay/0", b"open", NOW_US))


@pytest.mark.parametrize("name", ["", "a/+", "#"])
def test_a_name_that_is_a_wildcard_is_refused(name):
    with pytest.raises(ValueError, match="name is"):
        old(name)
