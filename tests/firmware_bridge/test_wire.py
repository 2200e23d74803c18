"""Frames: Python and C write the same bytes, read each other's, and nothing broken passes.

SOLOSENSE_WIRE_FRAMES says how many cross a line; 20 000 where it is not set.
"""

import ctypes
import os
import pty
import random
import subprocess
import threading
import tty
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice

import pytest
from hypothesis import given, strategies as st

from firmware_bridge import messages
from firmware_bridge.frames import (
    END,
    MOST_ENCODED,
    MOST_PAYLOAD,
    Deframer,
    Frame,
    Type,
    encode,
)
from firmware_bridge.messages import Channel, Hello, Kind, MessageError, Schema
from tests.firmware_bridge import compiled
from tests.firmware_bridge.compiled import FIRMWARE, STRICT, WireFrame

FRAMES = int(os.environ.get("SOLOSENSE_WIRE_FRAMES", "20000"))
IMU = Schema(
    "imu", Kind.SAMPLED, 10_000,
    tuple(Channel(f"acc_{a}", "m/s^2", "<i2", 0.00119641) for a in "xyz")
    + tuple(Channel(f"gyr_{a}", "rad/s", "<i2", 0.00106526) for a in "xyz"),
)  # fmt: skip
frames = st.builds(
    Frame,
    type=st.integers(1, 255).filter(lambda t: t != Type.SAMPLES),
    stream=st.integers(0, 255),
    seq=st.integers(0, 0xFFFF),
    time_us=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=MOST_PAYLOAD)
    | st.integers(240, 520).map(bytes)
    | st.integers(240, 520).map(lambda n: b"\x01" * n),
)


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    return compiled.library(tmp_path_factory.mktemp("wire"))


def by_c(wire: ctypes.CDLL, frame: Frame, seed: int = 0) -> bytes:
    out = ctypes.create_string_buffer(2 * MOST_ENCODED)
    given = WireFrame(
        frame.type, frame.stream, frame.seq, frame.time_us, frame.payload, len(frame.payload)
    )
    size = wire.ssw_encode(ctypes.byref(given), ctypes.c_uint32(seed), out, len(out))
    return out.raw[:size]


def heard(data: bytes, seeds: dict[int, int] | None = None) -> list[Frame]:
    return list(Deframer(seeds or {}).feed(data))


@given(frames)
def test_python_and_c_write_the_same_bytes(wire, frame):
    assert by_c(wire, frame) == encode(frame)
    assert heard(encode(frame)) == [frame]


@given(frames, st.integers(0, 0xFFFFFFFF))
def test_python_and_c_sum_alike_from_any_beginning(wire, frame, seed):
    assert by_c(wire, frame, seed) == encode(frame, seed)
    assert wire.ssw_crc32(ctypes.c_uint32(seed), frame.payload, len(frame.payload)) == zlib.crc32(
        frame.payload, seed
    )


def test_no_frame_is_longer_than_the_wire_allows():
    for byte in (b"\x00", b"\x01"):
        frame = Frame(Type.LOG, 0, 0, 0, byte * MOST_PAYLOAD)
        assert len(encode(frame)) <= MOST_ENCODED
        assert heard(encode(frame)) == [frame]
    with pytest.raises(ValueError, match=f"found {MOST_PAYLOAD + 1} bytes, expected at most"):
        encode(Frame(Type.LOG, 0, 0, 0, bytes(MOST_PAYLOAD + 1)))


def test_c_refuses_what_does_not_fit(wire):
    out = ctypes.create_string_buffer(MOST_ENCODED)
    frame = WireFrame(Type.LOG, 0, 0, 0, bytes(MOST_PAYLOAD + 1), MOST_PAYLOAD + 1)
    assert wire.ssw_encode(ctypes.byref(frame), 0, out, len(out)) == 0
    frame = WireFrame(Type.LOG, 0, 0, 0, b"abc", 3)
    assert wire.ssw_encode(ctypes.byref(frame), 0, out, 16) == 0


@given(st.lists(frames, max_size=5), st.randoms(use_true_random=False))
def test_bytes_in_any_pieces_give_the_same_frames(some, chance):
    data = b"".join(map(encode, some))
    one_by_one, pieces = Deframer(), Deframer()
    assert [f for i in range(len(data)) for f in one_by_one.feed(data[i : i + 1])] == some
    found: list[Frame] = []
    at = 0
    while at < len(data):
        size = chance.choice((1, 2, 3, 7, 64, 1000))
        found += pieces.feed(data[at : at + size])
        at += size
    assert found == some


@given(st.binary(min_size=3000, max_size=3000), frames, frames)
@pytest.mark.fault("F40")
def test_garbage_costs_one_frame_at_most(garbage, first, second):
    assert heard(garbage + encode(first) + encode(second))[-1] == second


@pytest.mark.fault("F40")
def test_a_boot_log_in_front_costs_one_frame():
    noise = bytes(random.Random(1).randbytes(3000)).replace(END, b"\x01")
    some = [Frame(Type.EVENT, 1, n, n, b"4901234567894") for n in range(5)]
    deframer = Deframer()
    found = list(deframer.feed(noise + b"".join(map(encode, some))))
    assert found == some[1:]
    assert deframer.counts.too_long == 1
    assert list(Deframer().feed(noise + END + b"".join(map(encode, some)))) == some


@given(frames, st.data())
@pytest.mark.fault("F41")
def test_a_frame_with_a_bit_turned_is_none(frame, data):
    raw = bytearray(encode(frame))
    bit = data.draw(st.integers(0, 8 * (len(raw) - 1) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert frame not in heard(bytes(raw))


@pytest.mark.fault("F23")
def test_samples_of_another_layout_are_no_samples():
    raw = encode(Frame(Type.SAMPLES, 2, 7, 9, bytes(12)), IMU.seed)
    deframer = Deframer({2: IMU.seed ^ 1})
    assert list(deframer.feed(raw)) == []
    assert deframer.counts.wrong == 1
    assert heard(raw, {2: IMU.seed}) == [Frame(Type.SAMPLES, 2, 7, 9, bytes(12))]


def test_samples_before_their_schema_are_counted_by_themselves():
    deframer = Deframer()
    assert list(deframer.feed(encode(Frame(Type.SAMPLES, 2, 7, 9, bytes(12)), IMU.seed))) == []
    assert (deframer.counts.unknown, deframer.counts.wrong) == (1, 0)


def test_a_line_that_never_ends_does_not_fill_the_memory():
    deframer = Deframer()
    for _ in range(1000):
        assert list(deframer.feed(b"\x01" * 1000)) == []
    assert len(deframer._waiting) < MOST_ENCODED
    assert deframer.counts.too_long == 1


def test_c_says_hello_and_schema_as_python_reads_them(wire):
    room = ctypes.create_string_buffer(200)
    size = wire.ssw_hello(room, 200, b"glove-7", ctypes.c_uint32(0x9F2C), b"1.4.0")
    assert messages.read_hello(room.raw[:size]) == Hello("glove-7", 0x9F2C, "1.4.0")
    size = wire.ssw_schema(room, 200, b"imu", Kind.SAMPLED, ctypes.c_uint32(10_000))
    for one in IMU.channels:
        number = messages.NUMBERS.index(one.number)
        size = wire.ssw_channel(
            room, size, 200, one.name.encode(), one.unit.encode(), number,
            ctypes.c_float(one.scale),
        )  # fmt: skip
    schema = messages.read_schema(room.raw[:size])
    assert schema.channels[5].scale == pytest.approx(0.00106526)
    assert messages.pack_schema(schema) == room.raw[:size]
    assert schema.seed == wire.ssw_crc32(0, room.raw[:size], size)
    assert wire.ssw_channel(room, size, size + 3, b"x", b"1", 0, ctypes.c_float(1)) == 0


@given(st.binary(max_size=200))
def test_what_no_device_would_say_is_no_other_error(payload):
    for read in (
        messages.read_hello, messages.read_schema, messages.read_ack, messages.read_sync_answer
    ):  # fmt: skip
        with suppress(MessageError):
            read(payload)


def test_records_are_readings_in_the_channels_units():
    raw = b"".join(int(v).to_bytes(2, "little", signed=True) for v in (8196, 0, -8196, 0, 939, 0))
    (row,) = IMU.values(raw)
    assert row == pytest.approx([9.80577, 0, -9.80577, 0, 1.00028, 0], abs=1e-4)
    with pytest.raises(MessageError, match="found 11 bytes, expected records of 12"):
        IMU.values(raw[:11])


def some_frames(seed: int, count: int) -> Iterator[Frame]:
    """Give frames of all kinds and sizes, with numbers that count."""
    chance = random.Random(seed)
    for number in range(count):
        size = int(chance.random() ** 3 * 300)
        payload = bytes(size) if number % 5 == 0 else chance.randbytes(size)  # zeros cost most
        kind = chance.choice([1, 2, 4, 5, 6, 8, 127])
        yield Frame(kind, chance.randrange(256), number % 65536, chance.randrange(2**32), payload)


def test_over_a_line_c_gives_back_what_python_sends(tmp_path):
    echo = tmp_path / "echo"
    compiled.build(
        "gcc", *STRICT, "-D_DEFAULT_SOURCE", "-O2", FIRMWARE / "solosense_wire.c",
        compiled.REPOSITORY / "tests" / "firmware_bridge" / "c" / "echo.c", "-o", echo,
    )  # fmt: skip
    ours, theirs = pty.openpty()
    tty.setraw(theirs)

    def send() -> None:
        wire = map(encode, chain(some_frames(2, FRAMES), [Frame(0, 0, 0, 0)]))
        while data := b"".join(islice(wire, 100)):
            while data:
                data = data[os.write(ours, data) :]

    sender = threading.Thread(target=send, daemon=True)
    with subprocess.Popen([echo, os.ttyname(theirs)]) as process:
        deframer, came = Deframer(), 0
        expected = some_frames(2, FRAMES)
        sender.start()
        while came < FRAMES:
            for found in deframer.feed(os.read(ours, 65536)):
                assert found == next(expected)
                came += 1
        sender.join(10)
        assert process.wait(10) == 0
    os.close(ours)
    os.close(theirs)
    assert deframer.counts.wrong == deframer.counts.torn == 0


@pytest.mark.parametrize(
    ("compiler", "chip"),
    [("arm-none-eabi-gcc", ("-mcpu=cortex-m0", "-mthumb")), ("avr-gcc", ("-mmcu=atmega328p",))],
)
def test_the_c_reference_is_small_and_clean_on_a_microcontroller(tmp_path, compiler, chip):
    made = tmp_path / "wire.o"
    compiled.build(compiler, *chip, *STRICT, "-Os", "-c", FIRMWARE / "solosense_wire.c", "-o", made)
    size = compiled.tool(compiler.replace("gcc", "size"))
    said = subprocess.run([size, made], capture_output=True, text=True, check=True).stdout
    text, data, bss = map(int, said.splitlines()[1].split()[:3])
    assert text < 4096
    assert data + bss < 100
