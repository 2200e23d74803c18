"""Sparkplug nodes are born with a list of metrics, send aliases, and die by a will of theirs."""

import sys

import pytest
from google.protobuf import message as protobuf

from sensor_adapters.device import Happened, State
from sensor_adapters.devices import sparkplug_payload
from sensor_adapters.samples import DecodeError
from tests.sensor_adapters.speaking import NOW_US, Spoken

ROOT = "spBv1.0/plant"
AT_MS = NOW_US // 1000


def metric(value=None, name=None, alias=None, datatype=11, field="boolean_value", **more):
    fields = {"name": name and name.encode(), "alias": alias, "datatype": datatype, **more}
    fields |= {} if value is None else {field: value}
    return {key: one for key, one in fields.items() if one is not None}


def payload(*metrics, ms=AT_MS):
    schema, _ = sparkplug_payload._schema()
    return schema(timestamp=ms, metrics=metrics).SerializeToString()


def session(number):
    return metric(number, "bdSeq", datatype=8, field="long_value")


@pytest.fixture
def barrier():
    return Spoken("sparkplug", group="plant", node="pi", metric="Barrier")


@pytest.fixture
def behind():
    return Spoken("sparkplug", group="plant", node="pi", device="io", metric="Barrier")


BIRTH, DATA, DEATH = (f"{ROOT}/N{verb}/pi" for verb in ("BIRTH", "DATA", "DEATH"))
D_BIRTH, D_DATA, D_DEATH = (f"{ROOT}/D{verb}/pi/io" for verb in ("BIRTH", "DATA", "DEATH"))


def test_after_the_birth_an_alias_is_enough(barrier):
    assert barrier.hears(BIRTH, payload(session(3), metric(False, "Barrier", 7))) == ["off"]
    assert barrier.hears(DATA, payload(metric(True, alias=7))) == ["on"]
    assert barrier.hears(DATA, payload(metric(False, alias=8))) == []


def test_aliases_before_a_birth_are_told_once_and_then_left_out(barrier):
    with pytest.raises(DecodeError, match="found aliases and no birth yet"):
        barrier.hears(DATA, payload(metric(True, alias=7)))
    assert barrier.hears(DATA, payload(metric(True, alias=7))) == []
    assert barrier.hears(DATA, payload(metric(True, "Barrier"))) == ["on"]


def test_a_new_birth_gives_the_aliases_anew(behind):
    assert behind.hears(D_BIRTH, payload(metric(False, "Barrier", 7))) == ["off"]
    assert behind.hears(BIRTH, payload(session(4))) == []
    assert behind.hears(
        D_BIRTH, payload(metric(False, "Barrier", 9), metric(True, "Other", 7))
    ) == ["off"]
    assert behind.hears(D_DATA, payload(metric(True, alias=7))) == []
    assert behind.hears(D_DATA, payload(metric(True, alias=9))) == ["on"]


def test_a_late_will_of_the_session_before_does_not_end_this_one(barrier):
    barrier.hears(BIRTH, payload(session(3), metric(False, "Barrier", 7)))
    barrier.hears(BIRTH, payload(session(4), metric(False, "Barrier", 7)))
    assert barrier.hears(DEATH, payload(session(3))) == []
    assert barrier.hears(DATA, payload(metric(True, alias=7))) == ["on"]
    assert barrier.hears(DEATH, payload(session(4))) == ["gone"]
    with pytest.raises(DecodeError, match="found no bdSeq"):
        barrier.hears(DEATH, payload())


def test_a_device_goes_alone_or_with_its_node(behind):
    behind.hears(BIRTH, payload(session(1)))
    behind.hears(D_BIRTH, payload(metric(True, "Barrier", 7)))
    assert behind.hears(D_DEATH, payload()) == ["gone"]
    assert behind.hears(DEATH, payload(session(1))) == ["gone"]


def test_what_is_of_the_past_or_null_is_no_reading(barrier):
    said = [
        metric(True, "Barrier", is_historical=True),
        metric(name="Barrier", is_null=True),
        metric(True, "Barrier", is_null=True),
    ]
    assert barrier.hears(DATA, payload(*said)) == []


def test_a_metric_s_own_time_comes_before_the_payload_s(barrier):
    said = payload(metric(True, "Barrier", timestamp=AT_MS - 40), metric(False, "Barrier"))
    assert barrier.readings(DATA, said) == [State(True, NOW_US - 40_000), State(False, NOW_US)]


@pytest.mark.parametrize(
    ("datatype", "field", "raw", "word"),
    [
        (1, "int_value", 0xFF, "-1"),
        (1, "int_value", 0xFFFFFFFF, "-1"),
        (2, "int_value", 0x8000, "-32768"),
        (3, "int_value", 0xFFFFFFFE, "-2"),
        (4, "long_value", 2**64 - 5, "-5"),
        (5, "int_value", 0xFF, "255"),
        (7, "int_value", 0x7FFFFFFF, "2.14748e+09"),
        (9, "float_value", 1.5, "1.5"),
        (10, "double_value", -0.25, "-0.25"),
    ],
)
def test_numbers_of_every_datatype_are_read_also_below_zero(datatype, field, raw, word):
    scale = Spoken("sparkplug", group="plant", node="pi", metric="kg", type="number")
    birth = metric(raw, "kg", 5, datatype, field)
    assert scale.hears(BIRTH, payload(session(0), birth)) == [word]
    assert scale.hears(DATA, payload(metric(raw, None, 5, None, field))) == [word]


def test_a_code_is_an_event_but_not_the_one_that_a_birth_repeats():
    scanner = Spoken("sparkplug", group="plant", node="pi", metric="Code", type="text")
    code = metric(b"4901234567894", "Code", 2, 12, "string_value")
    assert scanner.hears(BIRTH, payload(session(0), code)) == []
    assert scanner.readings(DATA, payload(code)) == [Happened("4901234567894", NOW_US)]


def test_a_number_where_true_or_false_is_expected_says_what_to_do(barrier):
    with pytest.raises(
        DecodeError, match=r'Barrier is 3, expected true or false .or type = "number"'
    ):
        barrier.hears(DATA, payload(metric(3, "Barrier", None, 3, "int_value")))


def test_a_birth_without_the_metric_is_told(barrier):
    with pytest.raises(DecodeError, match="found 1 metrics, expected 'Barrier'"):
        barrier.hears(BIRTH, payload(session(0)))


def test_thousands_of_readings_in_one_payload_are_refused(barrier):
    with pytest.raises(DecodeError, match="found 1001 readings, expected 1000 at most"):
        barrier.hears(DATA, payload(*[metric(True, "Barrier")] * 1001))
    with pytest.raises(DecodeError, match="found 10001 metrics"):
        barrier.hears(DATA, payload(*[metric(True, "x")] * 10_001))


def test_names_that_are_no_text_are_refused(barrier):
    spoilt = payload(metric(True, "Barrier")).replace(b"Barrier", b"\xff\xfe\xfdrier")
    with pytest.raises(DecodeError, match="expected UTF-8"):
        barrier.hears(DATA, spoilt)


def test_our_schema_reads_what_the_specification_s_fields_spell():
    # by hand: 1: timestamp 1, 2: metric {1: "a", 2: 300, 4: 11, 14: true}, 3: seq 5
    body = bytes.fromhex("0801120a0a016110ac02200b70011805")
    (one,) = sparkplug_payload.metrics("x", body)
    assert (one.name, one.alias, one.datatype, one.raw) == ("a", 300, 11, True)


def test_without_the_library_the_settings_say_what_to_install(monkeypatch):
    sparkplug_payload._schema.cache_clear()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "google.protobuf", None)
        with pytest.raises(ValueError, match=r"pip install solosense\[sparkplug\]"):
            Spoken("sparkplug", group="g", node="n", metric="m")
    sparkplug_payload._schema.cache_clear()
    assert issubclass(sparkplug_payload._schema()[1], protobuf.DecodeError)


def test_a_type_that_is_none_is_refused():
    with pytest.raises(ValueError, match="type is 'bool', expected one of boolean, number, text"):
        Spoken("sparkplug", group="g", node="n", metric="m", type="bool")
