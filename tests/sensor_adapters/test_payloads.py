"""Any bytes are either readings or a DecodeError; what we encode, we decode to the same."""

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sensor_adapters import event, imu, payloads, pose, radio, state
from sensor_adapters.samples import DecodeError, Samples

T0 = 1_700_000_000_000_000
FAST = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
HEAD = {"v": 1, "dev": "d1", "boot": "b", "seq": 3, "t0": T0}
PERSON = {
    "box": [10.0, 20.0, 30.0, 40.0],
    "kpt": [[float(i), 2.0 * i, 0.5] for i in range(17)],
    "box3d": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
}
BODIES = {
    "imu": {
        "dt": 10_000,
        "acc": [[0.1, 0.2, 0.3], [None, 0.5, 0.6]],
        "gyr": [[1, 2, 3], [4, 5, 6]],
        "unit": {"acc": "g", "gyr": "deg/s"},
    },
    "pose": {"t": [0, 66_667], "w": 640, "h": 480, "people": [PERSON, None]},
    "state": {"t": [0, 5], "on": [True, False]},
    "event": {"dt": 1_000_000, "events": [{"data": "ITEM301"}, None]},
    "radio": {"dt": 50_000, "rssi": [-93.0, None]},
}
ADAPTERS = {"imu": imu, "pose": pose, "state": state, "event": event, "radio": radio}
kinds = pytest.mark.parametrize("kind", ADAPTERS)


def payload(kind: str, **changes: object) -> bytes:
    """Return a good payload with some fields changed; None takes a field out."""
    body = HEAD | BODIES[kind] | changes
    return msgspec.json.encode({k: v for k, v in body.items() if v is not None})


def refusal(kind: str, raw: bytes) -> str:
    """Return why the adapter refuses a payload; it names the device."""
    with pytest.raises(DecodeError) as caught:
        ADAPTERS[kind].decode("d1", raw)
    assert str(caught.value).startswith("d1: ")
    assert len(str(caught.value)) < 500
    return str(caught.value)


def decode_or_refuse(kind: str, raw: bytes) -> Samples | None:
    """Return sound samples, or None for a DecodeError; anything else fails the test."""
    try:
        samples = ADAPTERS[kind].decode("d1", raw)
    except DecodeError:
        return None
    assert samples.time_us.dtype == np.int64
    assert samples.values.dtype == np.float32
    assert (np.diff(samples.time_us) >= 0).all()
    assert not np.isinf(samples.values).any()
    if len(samples):
        assert 0 <= samples.time_us[0] <= samples.time_us[-1]
        assert samples.time_us[-1] <= payloads.LAST_US + payloads.MAX_SPAN_US
    return samples


# --- round trips ---

times = st.lists(st.integers(0, 200_000_000), min_size=1, max_size=8).map(
    lambda t: np.array(sorted(t), np.int64) + T0
)
float32s = st.floats(width=32, allow_infinity=False, allow_nan=True)
shares = st.integers(-(2**22), 2**22).map(lambda n: n / 2**20)  # of the image, to a millionth


def rows(width: int, count: int, numbers: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(numbers, min_size=width * count, max_size=width * count).map(
        lambda flat: np.array(flat, np.float32).reshape(count, width)
    )


def assert_comes_back(adapter, samples: Samples) -> None:
    back = adapter.decode("d1", adapter.encode(samples, "b", 7))
    assert (back.device, back.boot, back.seq, back.clock) == ("d1", "b", 7, samples.clock)
    np.testing.assert_array_equal(back.time_us, samples.time_us)
    np.testing.assert_array_equal(back.values, samples.values)


@FAST
@given(st.data(), times, st.sampled_from(["utc", "device"]))
def test_readings_of_an_inertial_unit_come_back_as_the_same_float32(data, time_us, clock):
    values = data.draw(rows(6, len(time_us), float32s))
    assert_comes_back(imu, Samples("d1", imu.stream, time_us, values, clock=clock))


@FAST
@given(st.data(), times)
def test_frames_of_a_camera_come_back_as_the_same_float32(data, time_us):
    values = np.full((len(time_us), 62), np.nan, np.float32)
    for row in values:
        row[0] = data.draw(st.booleans())
        if row[0]:
            for part in (slice(1, 5), slice(5, 56), slice(56, 62)):
                if data.draw(st.booleans()):
                    row[part] = data.draw(rows(part.stop - part.start, 1, shares))[0]
    assert_comes_back(pose, Samples("d1", pose.stream, time_us, values))


strengths = st.just(float("nan")) | st.floats(radio.LOWEST, radio.HIGHEST, width=32)


@FAST
@given(st.data(), times, st.sampled_from(["utc", "device"]))
def test_signal_strengths_come_back_as_the_same_float32(data, time_us, clock):
    values = data.draw(rows(1, len(time_us), strengths))
    assert_comes_back(radio, Samples("d1", radio.stream, time_us, values, clock=clock))


@FAST
@given(st.data(), times, st.sampled_from([state, event]))
def test_states_and_events_come_back(data, time_us, adapter):
    values = data.draw(rows(1, len(time_us), st.sampled_from([0.0, 1.0])))
    assert_comes_back(adapter, Samples("d1", adapter.stream, time_us, values))


@kinds
def test_the_good_payloads_of_these_tests_are_good(kind):
    samples = decode_or_refuse(kind, payload(kind))
    assert samples is not None
    assert len(samples) == 2


# --- any bytes ---


@kinds
@FAST
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_readings_or_a_decode_error(kind, raw):
    decode_or_refuse(kind, raw)


@kinds
@FAST
@given(cut=st.integers(0, 10_000), at=st.integers(0, 10_000), instead=st.binary(max_size=6))
def test_a_damaged_payload_is_readings_or_a_decode_error(kind, cut, at, instead):
    good = payload(kind)
    at %= len(good)
    damaged = good[:at] + instead + good[at + cut % 8 :]
    decode_or_refuse(kind, damaged)


@kinds
def test_a_payload_cut_anywhere_is_refused(kind):
    good = payload(kind)
    for length in range(len(good)):
        refusal(kind, good[:length])


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@kinds
@FAST
@given(st.data())
def test_a_field_of_any_other_value_is_readings_or_a_decode_error(kind, data):
    body = HEAD | BODIES[kind]
    name = data.draw(st.sampled_from([*body, "clk", "t", "dt"]))
    decode_or_refuse(kind, msgspec.json.encode({**body, name: data.draw(json)}))


# --- what an adversary thinks of ---


@kinds
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"\x00" * 100,
        b"\xef\xbb\xbf{}",
        b"[" * 200_000,
        b'{"x":' * 100_000,
        b" " * 2_000_000,
        b'{"v":' + b"1" * 5000 + b"}",
        b'{"v":1,"dev":"d1","boot":"\xff"}',
        b'{"v":1,"dev":"d1","boot":"\\ud800"}',
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_garbage_is_refused(kind, raw):
    refusal(kind, raw)


@kinds
@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
@pytest.mark.fault("F22")
def test_numbers_that_json_does_not_have_are_refused(kind, literal):
    for field in (b'"t0":', b'"seq":'):
        good = payload(kind)
        start = good.index(field) + len(field)
        refusal(kind, good[:start] + literal + good[good.index(b",", start) :])
    refusal("imu", payload("imu").replace(b"0.1", literal))
    refusal("pose", payload("pose").replace(b"0.6", literal))
    refusal("radio", payload("radio").replace(b"-93.0", literal))


@kinds
def test_a_nested_unknown_field_is_skipped_or_refused_without_harm(kind):
    deep = b'{"new":' + b"[" * 5000 + b"]" * 5000 + b"," + payload(kind)[1:]
    decode_or_refuse(kind, deep)
    assert decode_or_refuse(kind, payload(kind, new={"a": [1]})) is not None


@kinds
def test_of_a_key_given_twice_the_last_counts(kind):
    twice = payload(kind).replace(b'"seq":3', b'"seq":2,"seq":4')
    samples = decode_or_refuse(kind, twice)
    assert samples is not None
    assert samples.seq == 4


@kinds
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"v": 2}, "version 2, expected 1"),
        ({"v": True}, "bool"),
        ({"v": "1"}, "str"),
        ({"dev": "d2"}, "'d2'"),
        ({"dev": "x" * 2_000_000}, "expected the topic's device"),
        ({"dev": None}, "dev"),
        ({"boot": None}, "boot"),
        ({"boot": 7}, "boot"),
        ({"boot": "b" * 65}, "boot"),
        ({"seq": -1}, "seq is -1"),
        ({"seq": 2**53}, "seq is 9007199254740992"),
        ({"seq": 10**30}, "seq"),
        ({"seq": 1.5}, "seq"),
        ({"t0": -1}, "t0 is -1"),
        ({"t0": 7_258_118_400_000_000}, "before the year 2100"),
        ({"t0": 2**63 - 1}, "before the year 2100"),
        ({"t0": 10**40}, "t0"),
        ({"clk": "gps"}, "gps"),
        ({"dt": 0, "t": None}, "dt 0"),
        ({"dt": -5, "t": None}, "dt -5"),
        ({"dt": 2**63, "t": None}, "dt 9223372036854775808"),
        ({"dt": 2**62, "t": None}, "dt"),
        ({"dt": None, "t": None}, "dt None"),
        ({"dt": 5, "t": [0, 5]}, "and dt"),
        ({"dt": None, "t": [0]}, "t of length 1"),
        ({"dt": None, "t": [5, 0]}, "runs backwards"),
        ({"dt": None, "t": [-1, 0]}, "runs backwards"),
        ({"dt": None, "t": [0, 2**63]}, "beyond an hour"),
        ({"dt": None, "t": [0, 10**30]}, "beyond an hour"),
        ({"dt": None, "t": [0, 3_600_000_001]}, "beyond an hour"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_header_that_makes_no_sense_is_refused_with_what_was_found(kind, changes, says):
    assert says in refusal(kind, payload(kind, **changes))


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("imu", {"acc": [[1, 2, 3]] * 100_001, "gyr": None, "dt": 1}, "at most 100000"),
        ("pose", {"people": [None] * 100_001, "t": None, "dt": 1}, "at most 100000"),
        ("state", {"on": [True] * 100_001, "t": None, "dt": 1}, "at most 100000"),
        ("event", {"events": [None] * 100_001, "dt": 1}, "at most 100000"),
        ("imu", {"acc": [[1, 2]] * 2}, "length 3"),
        ("imu", {"acc": [[1, 2, 3, 4]] * 2}, "length 3"),
        ("imu", {"acc": [["1", 2, 3]] * 2}, "str"),
        ("imu", {"acc": None}, "acc"),
        ("imu", {"gyr": [[1, 2, 3]]}, "gyr has 1 rows, expected 2"),
        ("imu", {"unit": {"acc": "lbf"}}, "'lbf', expected m/s^2 or g or mg"),
        ("imu", {"unit": {"acc": "u" * 2_000_000}}, "expected m/s^2"),
        ("imu", {"acc": [[1e300, 2, 3]] * 2}, "acc holds a number beyond float32"),
        ("imu", {"gyr": [[1, 1e300, 3]] * 2}, "gyr holds a number beyond float32"),
        ("imu", {"acc": [[10**25 * 10**25, 2, 3]] * 2}, "acc"),
        ("pose", {"w": 0}, "image is 0"),
        ("pose", {"h": -480}, "-480"),
        ("pose", {"w": 1e-300}, "image is"),
        ("pose", {"people": [{"kpt": [[1, 2, 3]] * 16}, None]}, "16 key points, expected 17"),
        ("pose", {"people": [{"kpt": [[1, 2]] * 17}, None]}, "length 3"),
        ("pose", {"people": [{"box": [1, 2, 3]}, None]}, "length 4"),
        ("pose", {"people": [{"box": [1e308] * 4}, None]}, "beyond float32"),
        ("pose", {"people": [{"box3d": [1e300] * 6}, None]}, "beyond float32"),
        ("pose", {"people": [{"kpt": [[1e300, 1, 1]] * 17}, None]}, "beyond float32"),
        ("pose", {"people": [7, None]}, "object"),
        ("state", {"on": [1, 0]}, "bool"),
        ("state", {"on": "yes"}, "array"),
        ("event", {"events": ["scan", None]}, "object"),
        ("radio", {"rssi": [-90] * 100_001, "dt": 1}, "at most 100000"),
        ("radio", {"rssi": [-90, "-91"]}, "str"),
        ("radio", {"rssi": [[-90], [-91]]}, "array"),
        ("radio", {"rssi": [-90, -127.5]}, "reading 2 is -127.5 dBm, expected -127 to 20"),
        ("radio", {"rssi": [20.5, -90]}, "reading 1 is 20.5 dBm, expected -127 to 20"),
        ("radio", {"rssi": [1e300, -90]}, "expected -127 to 20"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_rows_that_make_no_sense_are_refused_with_what_was_found(kind, changes, says):
    assert says in refusal(kind, payload(kind, **changes))


def test_two_megabytes_of_readings_are_readings():
    acc = [[0.123456, 0.234567, 0.345678]] * 60_000
    raw = payload("imu", acc=acc, gyr=None, dt=10_000)
    assert len(raw) > 1_600_000
    assert len(imu.decode("d1", raw)) == 60_000


@kinds
def test_a_payload_of_no_readings_is_fine(kind):
    rows = {"imu": "acc", "pose": "people", "state": "on", "event": "events", "radio": "rssi"}[kind]
    empty: dict[str, object] = {rows: [], "t": None, "dt": 10, "gyr": None}
    assert len(ADAPTERS[kind].decode("d1", payload(kind, **empty))) == 0


@kinds
def test_the_last_microsecond_allowed_does_not_overflow(kind):
    last = payload(kind, t0=payloads.LAST_US - 1, dt=None, t=[0, payloads.MAX_SPAN_US])
    samples = decode_or_refuse(kind, last)
    assert samples is not None
    assert samples.time_us[-1] == payloads.LAST_US - 1 + payloads.MAX_SPAN_US


def test_random_bytes_between_good_payloads_leave_the_decoder_as_it_was():
    before = imu.decode("d1", payload("imu"))
    for size in range(50):
        decode_or_refuse("imu", bytes(range(size)))
    after = imu.decode("d1", payload("imu"))
    np.testing.assert_array_equal(before.values, after.values)
