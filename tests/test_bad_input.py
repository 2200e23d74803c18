"""Whatever arrives, the board counts it, says so once, and logs the good as if it were alone."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.bundle import Arrays, Bundle
from edge.config import DeviceConfig, SiteConfig, Station, Time
from edge.engine import Engine
from edge.inference import Model
from edge.pipeline import Pipeline
from edge.records import DeviceRecord, GapRecord, Record, SegmentRecord
from sensor_adapters import event, imu, state
from sensor_adapters.adapter import Adapter, load_adapter
from sensor_adapters.samples import Samples
from sensor_adapters.topics import Message
from tests.edge import models
from tests.edge.models import S

FIRST = 1_700_000_000 * S
NEVER = 10**18
PREFIX = "act/v1/osaka/board-1/pack-1/in"
DELAY_US = 50_000


class MeanEngine:
    """Sees the label that the mean acceleration along x says: 0, 1 or 2 m/s^2."""

    name = "mean"

    def infer(self, tensors: Arrays) -> Arrays:
        seen = np.maximum(tensors["imu_observed"][..., 0].sum(axis=1), 1)
        mean = tensors["imu"][..., 0].sum(axis=1) / seen * 2 + 1  # back from the manifest's scale
        p = np.full((len(mean), 3), 0.02, np.float32)
        p[np.arange(len(mean)), mean.round().astype(int).clip(0, 2)] = 0.96
        boundary = np.zeros((len(mean), 1), np.float32)
        return {"p_operation": p, "boundary": boundary, "state": tensors["state"] + 1}


def site(**times: float) -> SiteConfig:
    devices = {
        "imu-rw": DeviceConfig(adapter="imu", placement="right_wrist"),
        "scan": DeviceConfig(adapter="event", placement="scanner"),
        "drawer": DeviceConfig(adapter="state", placement="drawer"),
    }
    station = Station(bundles=("b",), devices=devices)
    return SiteConfig(
        version=1, site="osaka", node="board-1", stations={"pack-1": station}, time=Time(**times)
    )


class Board:
    """A pipeline that is sent messages and asked for news after each, and what it said."""

    def __init__(self, engine: Engine | None = None, **times: float) -> None:
        model = Model(Bundle(Path("b"), models.manifest()), engine or MeanEngine())
        self.pipeline = Pipeline(site(**times), {"b": model}, {})
        self.records: list[Record] = []

    def hear(self, messages: Iterable[Message]) -> "Board":
        for message in messages:
            self.pipeline.push(message)
            self.records += self.pipeline.advance(message.received_us)
        return self

    def wait(self, from_us: int, seconds: int) -> None:
        """Let time pass without a message."""
        for second in range(1, seconds + 1):
            self.records += self.pipeline.advance(from_us + second * S)

    def finish(self) -> "Board":
        self.records += self.pipeline.finish(NEVER)
        return self

    @property
    def segments(self) -> list[tuple]:
        """Session, label, start and end in seconds, state, confidence: of all that ended."""
        return [
            (r.session, s.label, (s.start_us - FIRST) / S, (s.end_us - FIRST) / S, s.state,
             round(s.confidence, 6), round(s.observed, 6))
            for r in self.records
            if isinstance(r, SegmentRecord) and (s := r.segment).state != "open"
        ]  # fmt: skip

    @property
    def gaps(self) -> list[tuple]:
        return [
            ((r.start_us - FIRST) / S, None if r.end_us is None else (r.end_us - FIRST) / S)
            for r in self.records
            if isinstance(r, GapRecord)
        ]

    def device(self, name: str, session: int = 1) -> DeviceRecord:
        return next(
            r
            for r in self.records
            if isinstance(r, DeviceRecord) and (r.device, r.session) == (name, session)
        )


def encoded(
    kind: str, device: str, time_us: np.ndarray, values: np.ndarray, seq: int, boot: str = "b1"
) -> Message:
    """Return the message of a device that sends its readings with the newest of them."""
    adapter = {"imu": imu, "event": event, "state": state}[kind]
    samples = Samples(device, adapter.stream, time_us, values)
    payload = adapter.encode(samples, boot, seq)
    return Message(f"{PREFIX}/{kind}/{device}", payload, int(time_us[-1]) + DELAY_US)


def wrist(second: int, *, seq: int | None = None, boot: str = "b1", shift_us: int = 0) -> Message:
    """Return the wrist's readings of one second; the label changes every ten."""
    time_us = FIRST + second * S + np.arange(10) * 100_000 + shift_us
    values = np.full((10, 6), 0.5, np.float32)
    values[:, 0] = second // 10 % 3
    return encoded("imu", "imu-rw", time_us, values, second + 1 if seq is None else seq, boot)


def beat(kind: str, device: str, second: int, boot: str = "b1", *, shift_us: int = 0) -> Message:
    """Return a heartbeat: nothing happened, nothing is on."""
    at = np.array([FIRST + second * S + 900_000 + shift_us])
    return encoded(kind, device, at, np.zeros((1, 1), np.float32), second // 5 + 1, boot)


def status(device: str, state: str, second: int, seq: int, boot: str = "b1") -> Message:
    body = {"v": 1, "dev": device, "boot": boot, "seq": seq, "t0": FIRST, "state": state}
    topic = f"{PREFIX}/status/{device}"
    return Message(topic, msgspec.json.encode(body), FIRST + second * S + DELAY_US)


def shift(seconds: range, *silent: str) -> list[Message]:
    """Return what the station's devices say in these seconds, in the order of their time."""
    said: list[Message] = []
    for second in seconds:
        if "imu-rw" not in silent:
            said.append(wrist(second))
        if second % 5 == 0:
            pair = (("event", "scan"), ("state", "drawer"))
            said += [beat(kind, device, second) for kind, device in pair if device not in silent]
    return said


def at(second: float, topic: str, payload: bytes, **more: bool) -> Message:
    return Message(topic, payload, FIRST + int(second * S) + DELAY_US, **more)


@pytest.fixture
def warnings(caplog):
    """Return the texts of the warnings said so far."""
    caplog.set_level(logging.WARNING)
    return lambda: [r.getMessage() for r in caplog.records]


@pytest.fixture(scope="module")
def undisturbed() -> list[tuple]:
    segments = Board().hear(shift(range(60))).finish().segments
    assert [s[1:4] for s in segments] == [
        ("pick", 0, 10), ("pack", 10, 20), ("ship", 20, 30),
        ("pick", 30, 40), ("pack", 40, 50), ("ship", 50, 60),
    ]  # fmt: skip
    return segments


# --- refused: counted, said once, without effect ---

IMU = f"{PREFIX}/imu/imu-rw"
STATUS = f"{PREFIX}/status/imu-rw"
GOOD = wrist(30, seq=1000).payload


def changed(**changes: object) -> bytes:
    """Return a good payload of the wrist at second 30 with some fields changed."""
    return msgspec.json.encode(msgspec.json.decode(GOOD) | changes)


def nan_first(payload: bytes) -> bytes:
    return payload.replace(b"0.5", b"NaN", 1)


BAD_TOPICS = {
    "no levels": ("", "expected act/v1/"),
    "one level short": ("act/v1/osaka/board-1/pack-1/in/imu", "expected act/v1/"),
    "one level more": (f"{IMU}/x", "expected act/v1/"),
    "another root": (IMU.replace("act", "sensors"), "expected act/v1/"),
    "another version": (IMU.replace("v1", "v2"), "expected act/v1/"),
    "another direction": (IMU.replace("/in/", "/out/"), "expected act/v1/"),
    "another site": (IMU.replace("osaka", "kyoto"), "kyoto"),
    "another node": (IMU.replace("board-1", "board-2"), "board-2"),
    "an unknown station": (IMU.replace("pack-1", "pack-9"), "'pack-9' is not configured"),
    "an unknown device": (IMU.replace("imu-rw", "imu-lw"), "'imu-lw' is not configured"),
    "an empty site": (IMU.replace("osaka", ""), "site ''"),
    "an empty node": (IMU.replace("board-1", ""), "node ''"),
    "an empty station": (IMU.replace("pack-1", ""), "station ''"),
    "an empty device": (IMU.replace("imu-rw", ""), "device ''"),
    "Unicode": (IMU.replace("imu-rw", "ｉｍｕ"), "is not an id"),
    "a line break": (f"{IMU}\n", "is not an id"),
    "a wildcard": (IMU.replace("imu-rw", "+"), "is not an id"),
    "no UTF-8": ("(not UTF-8)", "expected act/v1/"),
    "64 kB": (f"{IMU}{'x' * 65_000}", "device 'imu-rwxxxxx"),
}
BAD_OF_A_DEVICE = {
    "another kind": (f"{PREFIX}/pose/imu-rw", GOOD, "kind 'pose', expected imu"),
    "an unknown kind": (f"{PREFIX}/thermal/imu-rw", GOOD, "kind 'thermal', expected imu"),
    "an empty kind": (f"{PREFIX}//imu-rw", GOOD, "kind '', expected imu"),
    "nothing": (IMU, b"", "payload of 0 bytes"),
    "no JSON": (IMU, b"hello", "payload of 5 bytes"),
    "no UTF-8": (IMU, GOOD.replace(b'"b1"', b'"\xff1"'), "utf-8"),
    "half a payload": (IMU, GOOD[: len(GOOD) // 2], "malformed"),
    "deep nesting": (IMU, b"[" * 100_000, "payload of 100000 bytes"),
    "two megabytes": (IMU, b'"' + b"x" * 2_000_000 + b'"', "payload of 2000002 bytes"),
    "another version": (IMU, changed(v=2), "version 2, expected 1"),
    "another device": (IMU, changed(dev="imu-lw"), "'imu-lw', expected the topic's device"),
    "another shape": (IMU, changed(acc=[[1, 2]]), "length 3"),
    "too few rows": (IMU, changed(gyr=[[1, 2, 3]]), "gyr has 1 rows, expected 10"),
    "NaN": (IMU, nan_first(GOOD), "invalid"),
    "a number beyond float32": (IMU, changed(acc=[[1e300, 0, 0]] * 10), "beyond float32"),
    "an unknown unit": (IMU, changed(unit={"acc": "lbf"}), "'lbf', expected m/s^2"),
    "a negative dt": (IMU, changed(dt=-100_000), "dt -100000"),
    "a dt beyond 64 bits": (IMU, changed(dt=10**25), "dt"),
    "times running backwards": (IMU, changed(dt=None, t=[*range(9), 0]), "runs backwards"),
    "the year 2200": (IMU, changed(t0=7_258_118_400_000_000), "before the year 2100"),
    "a t0 beyond 64 bits": (IMU, changed(t0=10**25), "t0"),
    "a boot of a megabyte": (IMU, changed(boot="b" * 900_000), "boot has 900000"),
    "a seq beyond 64 bits": (IMU, changed(seq=10**25), "seq"),
    "a negative seq": (IMU, changed(seq=-1), "seq is -1"),
    "a status that is no JSON": (STATUS, b"offline", "payload of 7 bytes"),
    "a status of another word": (STATUS, changed(state="asleep"), "asleep"),
    "a status without state": (STATUS, GOOD, "state"),
    "a status of another device": (STATUS, changed(dev="scan", state="online"), "'scan'"),
}  # fmt: skip


def disturbed(bad: Message, after: int) -> list[Message]:
    """Return a good minute with a bad message said three times within it."""
    said = shift(range(60))
    return [*said[:after], *[bad] * 3, *said[after:]]


@pytest.mark.fault("F12")
@pytest.mark.parametrize("after", [0, 40], ids=["first", "amid"])
@pytest.mark.parametrize("name", BAD_TOPICS)
def test_a_topic_that_is_not_ours_is_refused(name, after, undisturbed, warnings):
    topic, says = BAD_TOPICS[name]
    board = Board().hear(disturbed(at(30, topic, GOOD), after)).finish()
    assert board.pipeline.refused == 3
    assert board.segments == undisturbed
    assert len(warnings()) == 1
    assert says in warnings()[0]
    assert len(warnings()[0]) < 500


@pytest.mark.fault("F11")
@pytest.mark.parametrize("after", [0, 40], ids=["first", "amid"])
@pytest.mark.parametrize("name", BAD_OF_A_DEVICE)
def test_a_payload_that_can_not_be_used_is_refused(name, after, undisturbed, warnings):
    topic, payload, says = BAD_OF_A_DEVICE[name]
    board = Board().hear(disturbed(at(30, topic, payload), after)).finish()
    assert board.pipeline.refused == 3
    assert board.device("imu-rw").rejected == 3
    assert board.segments == undisturbed
    assert len(warnings()) == 1
    assert "pack-1" in warnings()[0]
    assert "imu-rw" in warnings()[0]
    assert says in warnings()[0]
    assert len(warnings()[0]) < 500


@pytest.mark.fault("F9")
def test_a_retained_payload_is_old_news(undisturbed, warnings):
    board = Board().hear(disturbed(at(30, IMU, wrist(3).payload, retained=True), 40)).finish()
    assert (board.pipeline.refused, board.device("imu-rw").rejected) == (3, 3)
    assert board.segments == undisturbed
    assert len(warnings()) == 1
    assert "imu-rw" in warnings()[0]
    assert "retained" in warnings()[0]


def test_a_clock_far_ahead_is_refused_and_does_not_move_the_station(undisturbed, warnings):
    ahead = changed(t0=FIRST + 86_400 * S)
    board = Board().hear(disturbed(at(30, IMU, ahead), 40)).finish()
    d = board.device("imu-rw")
    assert board.pipeline.refused == d.rejected == 1
    assert d.duplicated == 2  # the payload came again
    assert board.segments == undisturbed
    assert len(warnings()) == 1
    for part in ("pack-1/imu-rw", "s ahead of its station", "expected at most 600 s"):
        assert part in warnings()[0]


def test_after_a_minute_a_fault_is_said_again_with_a_count(warnings):
    Board().hear(at(second, IMU, b"?") for second in range(0, 121, 10))
    assert len(warnings()) == 3
    assert "(5 more since)" in warnings()[1]


def test_a_wall_clock_set_back_does_not_silence_the_warnings(warnings):
    Board().hear([at(10_000, IMU, b"?"), at(0, IMU, b"?")])
    assert len(warnings()) == 2


def test_faults_of_two_devices_are_said_one_by_one(warnings):
    Board().hear([at(0, IMU, b"?"), at(0, f"{PREFIX}/event/scan", b"?")])
    assert ["imu-rw" in warnings()[0], "scan" in warnings()[1]] == [True, True]


def test_ten_thousand_faults_hold_no_memory_of_each():
    board = Board().hear(at(0, f"{PREFIX}/imu/x{i}", b"?") for i in range(10_000))
    assert board.pipeline.refused == 10_000
    assert len(board.pipeline.complaints._said) <= 1000


# --- twice, out of order, lost, late ---


@pytest.mark.fault("F10", "F19")
def test_a_message_that_comes_twice_counts_once(undisturbed):
    said = shift(range(60))
    board = Board().hear(m for message in said for m in (message, message)).finish()
    assert board.segments == undisturbed
    assert board.pipeline.refused == 0
    d = board.device("imu-rw")
    assert (d.messages, d.samples, d.duplicated, d.lost, d.late) == (120, 600, 60, 0, 0)


def test_a_message_that_comes_again_much_later_changes_nothing(undisturbed, warnings):
    said = shift(range(60))
    board = Board().hear([*said[:40], *said[:20], *said[40:]]).finish()
    assert board.segments == undisturbed
    assert warnings() == []


def test_what_comes_again_after_the_session_ended_begins_none(undisturbed):
    said = shift(range(60))
    end = [status(d, "stopped", 60, 1000) for d in ("imu-rw", "scan", "drawer")]
    board = Board().hear([*said, *end, said[-1], said[0], end[0]]).finish()
    assert board.segments == undisturbed


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.fault("F10", "F17", "F18")
def test_messages_out_of_order_within_the_lateness_give_the_same_segments(seed, undisturbed):
    rng = np.random.default_rng(seed)
    said = shift(range(60))
    delayed = [m.received_us + int(rng.integers(0, 1_800_000)) for m in said]
    order = np.argsort(delayed, kind="stable")
    board = Board().hear(replace(said[i], received_us=delayed[i]) for i in order).finish()
    assert board.segments == undisturbed
    assert board.device("imu-rw").lost == board.device("imu-rw").late == 0


@pytest.mark.fault("F16")
def test_what_is_lost_is_counted(undisturbed):
    said = [m for m in shift(range(60)) if m.payload != wrist(25).payload]
    board = Board().hear(said).finish()
    assert board.device("imu-rw").lost == 1
    assert [s[:5] for s in board.segments] == [s[:5] for s in undisturbed]


def test_a_leap_of_sequence_numbers_is_a_loss_that_the_log_can_hold():
    board = Board().hear([wrist(0), wrist(1, seq=2**48 - 1)]).finish()
    assert board.device("imu-rw").lost == 2**48 - 3


def test_what_comes_after_its_time_was_closed_is_counted_and_left_out(undisturbed, warnings):
    late = wrist(10, seq=1000)
    said = shift(range(60))
    board = Board().hear([*said[:40], late, *said[40:]]).finish()
    assert board.segments == undisturbed
    d = board.device("imu-rw")
    assert (d.late, d.rejected) == (10, 0)
    assert len(warnings()) == 1
    assert "pack-1/imu-rw: 10 readings came" in warnings()[0]
    assert "expected within 2 s" in warnings()[0]


@pytest.mark.fault("F20")
def test_a_device_that_restarts_counts_anew_and_nothing_is_lost(undisturbed):
    said = shift(range(60))
    again = [
        wrist(second, seq=second - 30, boot="b2") if m.topic == IMU else m
        for m in said
        for second in [(m.received_us - FIRST) // S]
        if second >= 30
    ]
    first = [m for m in said if (m.received_us - FIRST) // S < 30]
    board = Board().hear([*first, *again]).finish()
    assert board.segments == undisturbed
    d = board.device("imu-rw")
    assert (d.boot, d.lost, d.duplicated) == ("b2", 0, 0)


def test_a_device_that_restarts_under_its_old_boot_is_heard_and_named(undisturbed, warnings):
    first = shift(range(30))
    again = [wrist(second, seq=second - 30) for second in range(30, 60)]
    board = Board().hear([*first, *again]).finish()
    assert [s[1:4] for s in board.segments] == [s[1:4] for s in undisturbed]
    assert len(warnings()) == 1
    for part in ("pack-1/imu-rw", "seq", "boot"):
        assert part in warnings()[0]


# --- sessions ---


def test_a_device_that_stopped_and_speaks_again_begins_the_next_session():
    end = [status(d, "stopped", 30, 1000) for d in ("imu-rw", "scan", "drawer")]
    board = Board().hear([*shift(range(30)), *end, *shift(range(30, 60))]).finish()
    assert [s[:4] for s in board.segments] == [
        (1, "pick", 0, 10), (1, "pack", 10, 20), (1, "ship", 20, 30),
        (2, "pick", 30, 40), (2, "pack", 40, 50), (2, "ship", 50, 60),
    ]  # fmt: skip
    assert board.device("imu-rw", 2).status == "online"
    assert board.device("imu-rw", 2).samples == 300


def test_a_session_goes_on_until_its_last_device_stopped(undisturbed):
    said = shift(range(60))
    board = Board().hear([*said[:40], status("scan", "stopped", 30, 1000), *said[40:]]).finish()
    assert board.segments == undisturbed


def test_a_status_before_any_reading_ends_nothing(undisturbed):
    said = [status("imu-rw", "offline", 0, 0), *shift(range(60))]
    board = Board().hear(said).finish()
    assert board.segments == undisturbed
    assert board.device("imu-rw").status == "online"


def test_a_session_that_began_with_a_clock_far_ahead_gives_way_to_the_right_time():
    wrong = [replace(wrist(0, boot="b0", shift_us=86_400 * S), received_us=FIRST)]
    board = Board().hear([*wrong, *shift(range(90))]).finish()
    second = [s[1:4] for s in board.segments if s[0] == 2]
    assert second[-4:] == [
        ("ship", 50, 60), ("pick", 60, 70), ("pack", 70, 80), ("ship", 80, 90),
    ]  # fmt: skip
    assert board.device("imu-rw", 2).late == 0


def test_a_device_alone_whose_clock_is_set_right_is_heard_again():
    year = 365 * 86_400 * S
    before = [replace(wrist(s, shift_us=-year), received_us=FIRST + s * S) for s in range(10)]
    board = Board().hear([*before, *shift(range(10, 90), "scan", "drawer")]).finish()
    assert board.segments[-1][1:4] == ("ship", 80, 90)


# --- silence ---


@pytest.mark.fault("F24")
def test_a_silent_modality_leaves_the_others_at_work():
    board = Board().hear(shift(range(60), "scan", "drawer")).finish()
    assert [s[1] for s in board.segments] == ["pick", "pack", "ship"] * 2
    assert all(0.4 < s[6] < 0.6 for s in board.segments)
    assert board.gaps == []


def test_silence_of_all_is_a_gap_with_its_start_and_then_its_end():
    board = Board().hear(shift(range(20)))
    board.wait(FIRST + 20 * S, 100)
    assert board.gaps == [(45, None)]  # the devices spoke at 15.9 s and count as heard for 30 s
    assert board.segments[-1][3:5] == (45, "interrupted")
    board.hear(shift(range(120, 140))).finish()
    assert board.gaps == [(45, None), (45, 120)]
    assert {s[0] for s in board.segments} == {1}
    assert [s[1:4] for s in board.segments[-2:]] == [("pick", 120, 130), ("pack", 130, 140)]


def test_a_wall_clock_set_forward_is_no_silence(undisturbed):
    said = shift(range(60))
    hour = 3600 * S
    later = [replace(m, received_us=m.received_us + hour) for m in said[40:]]
    board = Board().hear(said[:40])
    board.records += board.pipeline.advance(FIRST + 31 * S + hour)
    board.hear(later).finish()
    assert board.segments == undisturbed
    assert board.device("imu-rw").late == 0


def test_a_wall_clock_set_back_is_no_silence_and_no_restart(undisturbed):
    said = shift(range(60))
    earlier = [replace(m, received_us=m.received_us - 3600 * S) for m in said[40:]]
    board = Board().hear([*said[:40], *earlier])
    assert board.gaps == []
    assert board.finish().segments == undisturbed


def test_the_silence_of_a_board_that_was_asleep_is_not_the_devices():
    board = Board().hear(shift(range(20)))
    board.records += board.pipeline.advance(FIRST + 300 * S)  # asleep; the broker held messages
    woken = [replace(m, received_us=FIRST + 300 * S) for m in shift(range(20, 40))]
    board.hear(woken).finish()
    assert [s[1:4] for s in board.segments] == [
        ("pick", 0, 10), ("pack", 10, 20), ("ship", 20, 30), ("pick", 30, 40)
    ]  # fmt: skip


# --- devices that count from their own start ---


def own_clock(second: int, t0: int, seq: int | None = None) -> Message:
    """Return the wrist's readings of a second, stamped by a clock of unknown origin."""
    good = wrist(second, seq=seq)
    body = msgspec.json.decode(good.payload) | {"t0": t0, "clk": "device"}
    return replace(good, payload=msgspec.json.encode(body))


def test_a_clock_of_its_own_that_leaps_once_does_not_move_what_follows():
    said = [own_clock(second, second * S) for second in range(60)]
    leap = own_clock(30, 86_400 * S, 1000)
    expected = Board().hear(said).finish().segments
    board = Board().hear([*said[:30], leap, *said[30:]]).finish()
    assert len(expected) == 6
    assert board.segments == expected
    assert (board.device("imu-rw").rejected, board.device("imu-rw").late) == (1, 0)


# --- other packages' adapters ---


def test_an_adapter_that_fails_refuses_the_payload_and_is_named(monkeypatch, undisturbed, warnings):
    class Clumsy:
        stream = imu.stream

        def decode(self, device: str, payload: bytes) -> Samples:
            if payload == b"trip":
                raise KeyError("acc")
            return imu.decode(device, payload)

    def load(name: str) -> Adapter:
        return Clumsy() if name == "imu" else load_adapter(name)

    monkeypatch.setattr("edge.station.load_adapter", load)
    board = Board().hear(disturbed(at(30, IMU, b"trip"), 40)).finish()
    assert board.device("imu-rw").rejected == 3
    assert board.segments == undisturbed
    assert len(warnings()) == 1
    for part in ("imu-rw", "adapter imu", "KeyError", "'acc'"):
        assert part in warnings()[0]


def test_a_device_clock_behind_a_host_that_held_it_back_is_placed_by_when_that_received_it():
    """Ten minutes without a broker, say; the device's own clock knows no date."""

    def held(message: Message, later_us: int) -> Message:
        body = msgspec.json.decode(message.payload)
        body |= {"t0": body["t0"] - FIRST, "clk": "device", "rx": message.received_us}
        received_us = message.received_us + later_us
        return replace(message, payload=msgspec.json.encode(body), received_us=received_us)

    told = [held(wrist(second), 600 * S if second < 30 else 0) for second in range(60)]
    at_once = [held(wrist(second), 0) for second in range(60)]
    assert Board().hear(told).finish().segments == Board().hear(at_once).finish().segments


class OnceNoNumber(MeanEngine):
    """Answers what is no number at one step, as long as it was not asked before."""

    broken = 20

    def infer(self, tensors: Arrays) -> Arrays:
        answers = super().infer(tensors)
        self.broken -= 1
        if self.broken == 0:
            answers["p_operation"][:] = np.nan
            answers["state"][:] = np.nan
        return {**answers, "p_operation": answers["p_operation"] + 0 * tensors["state"][:, :1]}


@pytest.mark.fault("F48")
def test_a_model_that_says_no_number_is_told_of_once_and_begins_anew(caplog):
    board = Board(OnceNoNumber()).hear(shift(range(60))).finish()
    untold = Board().hear(shift(range(60))).finish()
    told = [r.getMessage() for r in caplog.records if "no number" in r.getMessage()]
    assert told == [
        "pack-1: test answered with what is no number, expected finite ones; the step is left out"
        " and the model begins anew"
    ]
    assert board.pipeline.complaints.total == 1
    assert [s[:5] for s in board.segments] == [s[:5] for s in untold.segments]
