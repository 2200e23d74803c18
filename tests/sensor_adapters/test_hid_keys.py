"""What scanners type is read as the codes that they saw."""

import struct

import pytest
from hypothesis import given, strategies as st

from sensor_adapters.device import Happened
from sensor_adapters.gateway.hid_keys import KeyDecoder, Scanned
from sensor_adapters.gateway.hid_layouts import LAYOUTS, Layout
from sensor_adapters.gateway.hid_reader import INPUT_EVENT, EventStream

SHIFT, ALTGR, ALT, CTRL, CAPS, ENTER, TAB, KP_ENTER, NUMLOCK = 42, 100, 56, 29, 58, 28, 15, 96, 69
T_US = 1_491_586_389_048_072


def strokes(text: str, layout: Layout, end: int = ENTER) -> list[tuple[int, int]]:
    """Return keys pressed and released as a scanner does that types a text."""
    found = []
    for character in text:
        key, made = next((k, m) for k, m in layout.items() if character in m)
        held = [None, SHIFT, ALTGR][made.index(character)]
        found += [(held, 1)] if held else []
        found += [(key, 1), (key, 0)]
        found += [(held, 0)] if held else []
    return [*found, (end, 1), (end, 0)]


def typed(pressed, layout="us", step_us=1000, decoder=None) -> list[str]:
    decoder = decoder or KeyDecoder(LAYOUTS[layout])
    found = [decoder.key(key, value, T_US + i * step_us) for i, (key, value) in enumerate(pressed)]
    return [one.text for one in found if one]


@given(data=st.data())
@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_what_is_typed_in_a_layout_is_read_in_it(name, data):
    characters = sorted({c for made in LAYOUTS[name].values() for c in made if c})
    text = data.draw(st.text(st.sampled_from(characters), min_size=1, max_size=30))
    end = data.draw(st.sampled_from([ENTER, TAB, KP_ENTER]))
    assert typed(strokes(text, LAYOUTS[name], end), name) == [text]


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_types_what_barcodes_are_made_of(name):
    code39 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-. $/+%"
    assert set(code39) <= {c for made in LAYOUTS[name].values() for c in made}


def test_a_code_that_a_scanner_typed_by_numbers_is_read():
    """The first keys of a Datalogic Gryphon GFS4400, stackoverflow.com/questions/43558559."""
    recorded = [
        (NUMLOCK, 1), (NUMLOCK, 0), (ALT, 1), (82, 1), (82, 0), (76, 1), (76, 0), (80, 1), (80, 0),
        (ALT, 0), (ALT, 1), (82, 1), (82, 0), (76, 1), (76, 0), (77, 1), (77, 0), (ALT, 0),
    ]  # fmt: skip
    assert typed([*recorded, (ENTER, 1)]) == ["48"]
    enter_by_number = [(ALT, 1), (82, 1), (79, 1), (81, 1), (ALT, 0)]  # Alt 013
    assert typed([*recorded, *enter_by_number]) == ["48"]


def test_keys_with_control_are_no_characters():
    """As another scanner types a control character, stackoverflow.com/questions/19732978."""
    decoder = KeyDecoder(LAYOUTS["us"])
    recorded = [
        (2, 1), (2, 0), (3, 1), (3, 0), (CTRL, 1), (SHIFT, 1), (36, 1), (36, 0), (CTRL, 0),
        (SHIFT, 0), (32, 1), (32, 0), (48, 1), (48, 0), (ENTER, 1),
    ]  # fmt: skip
    assert typed(recorded, decoder=decoder) == ["12db"]
    assert decoder.unknown == 1


def test_caps_lock_turns_letters_and_nothing_else():
    keys = [(CAPS, 1), (CAPS, 0), (30, 1), (2, 1), (SHIFT, 1), (48, 1), (SHIFT, 0), (CAPS, 1)]
    assert typed([*keys, (30, 1), (ENTER, 1)]) == ["A1ba"]


def test_a_key_held_down_is_typed_once():
    assert typed([(30, 1), (30, 2), (30, 2), (30, 0), (ENTER, 1), (ENTER, 2)]) == ["a"]


def test_enter_alone_is_no_code():
    assert typed([(ENTER, 1), (ENTER, 0), (TAB, 1)]) == []


def test_a_code_that_is_not_ended_in_time_is_dropped_and_counted():
    decoder = KeyDecoder(LAYOUTS["us"])
    assert decoder.key(30, 1, T_US) is None
    decoder.expire(T_US + 400_000)
    assert decoder.is_amid
    decoder.expire(T_US + 600_000)
    assert (decoder.is_amid, decoder.unended) == (False, 1)
    assert decoder.key(30, 1, T_US + 700_000) is None
    assert decoder.key(48, 1, T_US + 1_300_000) is None  # a begins another that b is not part of
    assert decoder.key(ENTER, 1, T_US + 1_301_000) == Scanned("b", T_US + 1_300_000)
    assert decoder.unended == 2


def test_a_code_is_of_the_time_of_its_first_key():
    decoder = KeyDecoder(LAYOUTS["us"])
    decoder.key(30, 1, T_US)
    decoder.key(48, 1, T_US + 8000)
    assert decoder.key(ENTER, 1, T_US + 16_000) == Scanned("ab", T_US)


def test_a_jammed_scanner_fills_no_memory():
    decoder = KeyDecoder(LAYOUTS["us"])
    assert typed([(30, 1), (30, 0)] * 5000, step_us=10, decoder=decoder) == []
    assert decoder.unended == 4
    assert typed([(30, 1), (ENTER, 1)], decoder=KeyDecoder(LAYOUTS["us"])) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(-(2**31), 2**31 - 1),
                          st.integers(-(2**62), 2**62))))  # fmt: skip
def test_any_keys_at_any_time_are_taken(keys):
    decoder = KeyDecoder(LAYOUTS["de"])
    for key, value, at_us in keys:
        decoder.key(key, value, at_us)


def packed(form: str, events) -> bytes:
    return b"".join(struct.pack(form, 1_491_586_389, i, *one) for i, one in enumerate(events))


A_CODE = [(4, 4, 0x70004), (1, 30, 1), (0, 0, 0), (1, 30, 0), (0, 0, 0), (1, ENTER, 1), (0, 0, 0)]


@pytest.mark.parametrize(("form", "size"), [("=qqHHi", 24), ("=iiHHi", 16)])
@given(data=st.data())
def test_events_of_64_and_of_32_bits_are_read_however_they_are_cut(form, size, data):
    stream, body = EventStream(KeyDecoder(LAYOUTS["us"]), form), packed(form, A_CODE * 3)
    assert len(body) == size * 3 * len(A_CODE)
    found = []
    while body:
        count = data.draw(st.integers(1, len(body)))
        found += stream.feed(body[:count])
        body = body[count:]
    assert [one.data for one in found] == ["a"] * 3
    assert found[0] == Happened("a", 1_491_586_389_000_001)


def test_a_code_of_which_the_kernel_lost_keys_is_dropped_and_counted():
    decoder = KeyDecoder(LAYOUTS["us"])
    stream = EventStream(decoder)
    lossy = [(1, 30, 1), (0, 0, 0), (0, 3, 0), (1, 48, 1), (1, ENTER, 1), (0, 0, 0), *A_CODE]
    assert [one.data for one in stream.feed(packed(INPUT_EVENT, lossy))] == ["a"]
    assert decoder.unended == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(body):
    EventStream(KeyDecoder(LAYOUTS["jp"])).feed(body)
