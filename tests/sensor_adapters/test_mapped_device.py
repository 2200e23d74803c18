"""Whatever a device says, in whatever order, its payloads are ones a board can believe."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from sensor_adapters import event, imu, state
from sensor_adapters.device import (
    Alive,
    DeviceSettings,
    Happened,
    InUse,
    Kind,
    Motion,
    Number,
    State,
)
from sensor_adapters.gateway.in_use import Hysteresis
from sensor_adapters.gateway.mapped_device import BEAT_US, CLOCK_US, MappedDevice
from sensor_adapters.samples import US_PER_S, DecodeError

T0 = 1_767_254_400_000_000
FAST = settings(max_examples=200, deadline=None, derandomize=True)
own_times = st.none() | st.integers(-20 * US_PER_S, 20 * US_PER_S)
READINGS: dict[Kind, st.SearchStrategy] = {
    "state": st.builds(State, st.booleans()) | st.builds(Number, st.floats(-5, 50)),
    "event": st.builds(Happened, st.none() | st.sampled_from(["A", "B"])),
    "imu": st.builds(
        lambda rows: Motion(acc=[(0.0, 0.0, 9.8)] * rows, dt_us=10_000), st.integers(1, 5)
    ),
}
DECODERS = {"state": state, "event": event, "imu": imu}


def mapped(kind: Kind, silent_s: float | None = None) -> MappedDevice:
    in_use = InUse(on=8.0, off=4.0) if kind == "state" else None
    wanted = DeviceSettings(station="p", adapter="x", in_use=in_use, silent_s=silent_s)
    return MappedDevice("d1", kind, wanted, "boot")


@pytest.mark.parametrize("kind", READINGS)
@FAST
@given(data=st.data())
def test_payloads_are_numbered_and_can_be_read_and_the_dead_say_nothing(kind, data):
    one, now_us, seq, alive = mapped(kind, silent_s=60.0), T0, 0, None
    said = st.one_of(st.none(), st.builds(Alive, st.booleans()), READINGS[kind])
    for reading, wait_us, own_us, retained in data.draw(
        st.lists(st.tuples(said, st.integers(0, 40 * US_PER_S), own_times, st.booleans()))
    ):
        now_us += wait_us
        if reading is None:
            found = one.due(now_us)
        else:
            if own_us is not None and not isinstance(reading, Alive):
                reading = msgspec.structs.replace(reading, at_us=now_us + own_us)
            found = one.take(reading, now_us, retained=retained)
        for each in found:
            body = msgspec.json.decode(each.payload)
            assert body["seq"] == seq
            if each.kind == "status":
                assert (body["state"] == "online") != alive
                alive = body["state"] == "online"
                seq += alive
                continue
            assert alive is not False, "a device that is gone has nothing to say"
            alive, seq = True, seq + 1
            samples = DECODERS[kind].decode("d1", each.payload)
            assert abs(int(samples.time_us[-1]) - now_us) <= CLOCK_US
            assert samples.received_us == now_us
        assert one.is_alive in (alive, True if alive is None else alive)


def test_a_level_is_repeated_while_its_device_lives():
    one = mapped("state")
    assert one.due(T0) == []  # nothing is known yet
    one.take(State(on=True), T0, retained=False)
    assert one.due(T0 + BEAT_US - 1) == []
    (beat,) = one.due(T0 + BEAT_US)
    assert msgspec.json.decode(beat.payload)["on"] == [True]
    one.take(Alive(False), T0 + BEAT_US, retained=False)
    assert one.due(T0 + 10 * BEAT_US) == []


def test_silence_ends_a_device_only_where_it_is_told_to():
    patient, strict = mapped("state"), mapped("state", silent_s=10.0)
    for one in (patient, strict):
        one.take(State(on=True), T0, retained=False)
        one.due(T0 + 11 * US_PER_S)
    assert patient.is_alive
    assert not strict.is_alive


def test_what_is_retained_holds_if_it_is_a_level_and_is_stale_if_not():
    lid, scanner = mapped("state"), mapped("event")
    (said,) = lid.take(State(on=True, at_us=T0 - US_PER_S), T0, retained=True)
    assert msgspec.json.decode(said.payload)["t0"] == T0
    assert scanner.take(Happened("A"), T0, retained=True) == []
    assert scanner.heard.stale == 1


def test_what_is_retained_does_not_bring_a_device_back():
    lid = mapped("state")
    lid.take(Alive(False), T0, retained=True)
    assert lid.take(State(on=True), T0, retained=True) == []
    assert not lid.is_alive


def test_a_code_that_bounces_is_one_event():
    scanner = mapped("event")
    count = sum(
        len(scanner.take(Happened(code), T0 + at_ms * 1000, retained=False))
        for code, at_ms in (("A", 0), ("A", 100), ("B", 150), ("A", 200), ("A", 600))
    )
    assert count == 4
    assert scanner.heard.repeated == 1


def test_a_badge_is_hashed_whatever_blanks_stand_around_it():
    wanted = DeviceSettings(station="p", adapter="x", badges="EMP[0-9]+")
    reader = MappedDevice("d1", "event", wanted, "boot", b"0123456789abcdef")
    said = [
        reader.take(Happened(code), T0 + at_us, retained=False)[0].payload
        for at_us, code in ((0, "EMP1"), (US_PER_S, "EMP1\r"))
    ]
    assert not any(b"EMP1" in payload for payload in said)
    first, second = (msgspec.json.decode(payload)["events"] for payload in said)
    assert first == second
    assert "EMP1" not in reader.heard.last


def test_a_pulse_is_an_event_when_it_begins():
    wanted = DeviceSettings(station="p", adapter="x", pulse=True)
    lid = MappedDevice("d1", "event", wanted, "boot")
    said = [
        each
        for second, on in enumerate([False, True, True, False, True])
        for each in lid.take(State(on), T0 + second * US_PER_S, retained=False)
    ]
    assert [msgspec.json.decode(one.payload)["t0"] for one in said] == [
        T0 + US_PER_S, T0 + 4 * US_PER_S,
    ]  # fmt: skip


def test_what_a_device_of_its_kind_can_not_say_is_refused():
    with pytest.raises(DecodeError, match="d1: found 'happened A', expected what state says"):
        mapped("state").take(Happened("A"), T0, retained=False)


@FAST
@given(
    st.lists(st.tuples(st.floats(-10, 60), st.integers(0, 5 * US_PER_S))),
    st.sampled_from([InUse(on=8.0, off=4.0), InUse(on=4.0, off=8.0)]),
)
def test_a_number_changes_the_state_only_beyond_both_thresholds_and_for_long_enough(said, wanted):
    one, now_us, beyond_us = Hysteresis(wanted), T0, None
    for value, wait_us in said:
        for _ in range(4):  # time goes on by parts
            now_us += wait_us // 4
            before = one.on
            changed = one.due(now_us)
            if changed is None:
                continue
            least_s = wanted.on_s if changed else wanted.off_s
            assert changed is not before
            assert beyond_us is not None
            assert now_us - beyond_us >= least_s * US_PER_S
            beyond_us = None
        is_over = value >= wanted.on if wanted.on > wanted.off else value <= wanted.on
        is_under = value <= wanted.off if wanted.on > wanted.off else value >= wanted.off
        one.hear(value, now_us)
        if is_under if one.on else is_over:
            beyond_us = now_us if beyond_us is None else beyond_us
        else:
            beyond_us = None
