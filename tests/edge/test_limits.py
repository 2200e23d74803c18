"""What one device may ask of the board: more is refused, and nobody else pays for it."""

import logging
import time
from dataclasses import replace

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge import checkpoint
from edge.allowance import Allowance
from edge.config import BoardBroker, Limits
from edge.inbox import MOST_QUEUED_BYTES, Inbox
from edge.pipeline import Pipeline
from sensor_adapters.topics import Message
from tests import live
from tests.edge.models import S
from tests.test_bad_input import (
    DELAY_US,
    FIRST,
    Board,
    encoded,
    shift,
    site,
    status,
    wrist,
)


@pytest.fixture
def warnings(caplog):
    """Return the texts of the warnings said so far."""
    caplog.set_level(logging.WARNING)
    return lambda: [r.getMessage() for r in caplog.records]


@pytest.fixture
def undisturbed() -> list[tuple]:
    return Board().hear(shift(range(60))).finish().segments


def board(**limits: float) -> Board:
    """Return a board that allows a device so much."""
    one = Board()
    config = msgspec.structs.replace(site(), limits=msgspec.convert(limits, Limits))
    one.pipeline = Pipeline(config, one.pipeline._models, {})
    return one


def scans(second: float, count: int, first_seq: int) -> list[Message]:
    """Return as many scans, all of one moment."""
    at = np.array([FIRST + round(second * S)])
    off = np.zeros((1, 1), np.float32)
    return [encoded("event", "scan", at, off, first_seq + i, "flood") for i in range(count)]


def flooded(count: int) -> list[Message]:
    said = shift(range(60), "scan")
    return [*said[:40], *scans(said_second(said, 40), count, 1), *said[40:]]


def said_second(said: list[Message], index: int) -> float:
    return (said[index].received_us - DELAY_US - FIRST) / S


def test_a_device_that_floods_is_refused_and_the_others_rows_are_as_if_it_was_silent(warnings):
    alone = Board().hear(shift(range(60), "scan")).finish()
    one = board(messages_per_s=10, burst_messages=50).hear(flooded(5000)).finish()
    without = [row[:6] for row in alone.segments]  # of what was observed the scanner is a part
    assert [row[:6] for row in one.segments] == without
    scanner = one.device("scan")
    assert (scanner.rejected, scanner.messages) == (4950, 5000)
    assert one.device("imu-rw").rejected == 0
    assert one.pipeline.refused == 4950
    assert len(warnings()) == 1
    assert "pack-1/scan: sends more than 10 messages in a second of its own time" in warnings()[0]


def test_what_waited_for_hours_may_come_at_once(undisturbed):
    late_us = FIRST + 7200 * S
    said = [replace(message, received_us=late_us + i) for i, message in enumerate(shift(range(60)))]
    one = board(messages_per_s=2, burst_messages=3).hear(said).finish()
    assert one.pipeline.refused == 0
    assert one.segments == undisturbed


def test_a_clock_that_is_set_back_or_begins_anew_costs_a_device_nothing():
    """Its allowance follows its own time, whatever that is; and gives nothing for a restart."""
    one = Allowance(per_s=2, burst=10)
    for start_us in (10**15, 10**15 - 3600 * S, 0, 5 * S, 10**15 + 86_400 * S):
        assert all(one.take("b", start_us + second * S) for second in range(100))
    one = Allowance(per_s=2, burst=10)
    assert [one.take(str(boot), boot * S) for boot in range(20)] == [True] * 10 + [False] * 10


@pytest.mark.parametrize("cut", [45, 90, 300])
def test_after_a_kill_the_same_messages_are_refused(cut):
    """Whenever they come again, and however fast."""
    limits = {"messages_per_s": 5, "burst_messages": 20}
    said = flooded(400)
    whole = board(**limits).hear(said)
    killed = board(**limits).hear(said[:cut])
    saved = checkpoint.content(killed.pipeline.stations["pack-1"], "same")
    again = board(**limits)
    again.records = killed.records
    checkpoint.resume(again.pipeline.stations["pack-1"], saved, "same")
    later = [
        replace(m, received_us=said[-1].received_us + 3600 * S + i) for i, m in enumerate(said)
    ]
    again.hear(later[cut:])
    for one in (whole, again):
        one.finish()
    assert again.device("scan") == whole.device("scan")
    assert again.device("scan").rejected == 380
    assert again.segments == whole.segments


def test_a_new_session_gives_nothing_anew():
    one = board(messages_per_s=1, burst_messages=100)
    one.hear(scans(0, 90, 1)).hear([status("scan", "stopped", 1, 91, "flood")])
    one.hear(scans(2, 50, 100)).finish()
    assert one.device("scan", 1).rejected == 0
    assert one.device("scan", 2).rejected == 50 - (100 - 91) - 2  # seconds that passed


def test_other_limits_hold_after_a_reload():
    one = board(messages_per_s=1, burst_messages=100)
    one.hear(scans(0, 60, 1))
    config = msgspec.structs.replace(site(), limits=Limits(messages_per_s=1, burst_messages=10))
    one.pipeline.switch(config, one.pipeline._models, {}, FIRST)
    one.hear(scans(5, 60, 100)).finish()
    assert one.device("scan").rejected == 50, "of the 40 that were left ten are"


def test_births_count_as_well(warnings):
    one = board(messages_per_s=1, burst_messages=10)
    one.hear(status("scan", "online", 1, seq) for seq in range(1, 101)).finish()
    assert one.pipeline.refused == 90
    assert len(warnings()) == 1


@pytest.mark.fault("F11")
def test_a_payload_beyond_the_limit_is_not_even_read(monkeypatch, undisturbed, warnings):
    said = shift(range(60))
    long = replace(wrist(30), payload=b" " * 4000 + wrist(30).payload)
    one = board(payload_bytes=4000)
    with monkeypatch.context() as patch:
        patch.setattr(one.pipeline.stations["pack-1"], "decode", None)
        one.hear([long] * 3)
    one.hear(said).finish()
    assert one.segments == undisturbed
    assert one.device("imu-rw").rejected == 3
    assert len(warnings()) == 1
    assert "expected at most 4000 (limits.payload_bytes)" in warnings()[0]


@pytest.mark.broker
@pytest.mark.fault("F8")
def test_what_waits_on_the_board_is_bounded_in_bytes_and_nothing_is_lost(tmp_path):
    count, size = 150, 1_000_000
    with live.mosquitto(tmp_path, more="max_inflight_messages 2000\n") as port:
        one = Inbox(BoardBroker(port=port), "board", ["big"], Message("s", b"offline", 0))
        one.start()
        assert one.wait_subscribed()
        sender = mqtt.Client(CallbackAPIVersion.VERSION2)
        sender.connect("127.0.0.1", port)
        sender.loop_start()
        for info in [sender.publish("big", bytes(size), qos=1) for _ in range(count)]:
            info.wait_for_publish(20)
        end_s = time.monotonic() + 20
        while not one.waited:
            assert time.monotonic() < end_s
            time.sleep(0.01)
        assert one.queued * size <= MOST_QUEUED_BYTES + 2 * size
        taken = 0
        while taken < count:
            assert time.monotonic() < end_s
            taken += len(list(one.take(1, 10)))
            one.acknowledge()
        sender.disconnect()
        sender.loop_stop()
        one.stop(Message("s", b"stopped", 0))
