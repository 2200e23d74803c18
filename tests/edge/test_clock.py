"""Devices whose clocks count from their own start are placed in UTC by their fastest message."""

import numpy as np
import pytest

from edge.clock import DeviceClock
from sensor_adapters import imu
from sensor_adapters.samples import Samples
from tests.edge.models import S

START = 1_700_000_000 * S


def message(device_us: int, boot: str = "b") -> Samples:
    values = np.zeros((1, 6), np.float32)
    return Samples("w", imu.stream, np.array([device_us]), values, boot, 0, "device")


def placed(clock: DeviceClock, true_us: int, device_us: int, delay_us: int = 20_000) -> int:
    """Return how much later than it was a reading is placed, in microseconds."""
    found = clock.event_time_us(message(device_us), START + true_us + delay_us)
    return int(found[0]) - START - true_us


@pytest.mark.fault("F28")
def test_a_crystal_that_is_slow_or_fast_is_followed_for_a_whole_day():
    for parts_per_million in (-100, 100):
        clock = DeviceClock()
        for second in range(0, 86_400, 10):
            device_us = second * (S + parts_per_million)
            off_us = placed(clock, second * S, device_us)
            assert abs(off_us) < 30_000, (parts_per_million, second)


def test_drift_is_allowed_for_however_small_the_messages_are():
    clock = DeviceClock()
    for number in range(1_000_000 // 4):
        true_us = number * 4000
        off_us = placed(clock, true_us, true_us - true_us // 10_000)
    assert abs(off_us) < 30_000


def test_a_late_message_does_not_bend_the_clock():
    clock = DeviceClock()
    prompt = [placed(clock, second * S, second * S) for second in range(100)]
    late = [placed(clock, second * S, second * S, 60 * S) for second in range(100, 200)]
    assert max(prompt) == 20_000
    assert max(late) - max(prompt) < 25_000
    assert placed(clock, 200 * S, 200 * S) == 20_000


@pytest.mark.fault("F20")
def test_a_device_clock_that_begins_anew_under_the_same_boot_is_placed_anew():
    clock, wraps_us = DeviceClock(), 1 << 32
    for second in range(4000, 4600):
        device_us = second * S % wraps_us
        found = clock.event_time_us(message(device_us), START + second * S, is_in_order=True)
        assert abs(int(found[0]) - START - second * S) < 10_000


def test_an_old_message_out_of_order_does_not_place_the_clock_anew():
    clock = DeviceClock()
    for second in range(100, 200):
        placed(clock, second * S, second * S)
    found = clock.event_time_us(message(10 * S), START + 200 * S, is_in_order=False)
    assert abs(int(found[0]) - START - 10 * S) < 30_000


def test_another_boot_is_another_clock():
    clock = DeviceClock()
    placed(clock, 0, 5_000 * S)
    found = clock.event_time_us(message(0, "b2"), START + 10 * S)
    assert int(found[0]) == START + 10 * S
