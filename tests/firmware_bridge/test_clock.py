"""A device's clock is placed by the host's within the error that is stated, whatever it does."""

import random

import pytest

from firmware_bridge.clock import DeviceTime, unwrapped

S = 1_000_000


class Pair:
    """A device whose clock runs at a rate of its own, asked over a line that is not even."""

    def __init__(self, rate: float, seed: int = 1, usual_us: int = 400, slow_us: int = 20_000):
        self.rate, self.ahead_us = rate, 77_000_000
        self.chance = random.Random(seed)
        self.usual_us, self.slow_us = usual_us, slow_us
        self.time = DeviceTime()

    def device(self, host_us: int) -> int:
        return round(host_us * self.rate) + self.ahead_us

    def way(self) -> int:
        """Most ways are short; some wait behind samples."""
        return round(self.usual_us * (1 + self.chance.random())) + (
            round(self.slow_us * self.chance.random()) if self.chance.random() < 0.3 else 0
        )

    def ask(self, host_us: int) -> None:
        heard_us = host_us + self.way()
        answered_us = heard_us + 50
        back_us = answered_us + self.way()
        self.time.compared(host_us, self.device(heard_us), self.device(answered_us), back_us)

    def off(self, host_us: int) -> int:
        return abs(self.time.host_us(self.device(host_us)) - host_us)

    def error(self, host_us: int) -> float:
        return self.time.error_us(self.device(host_us))


@pytest.mark.parametrize("ppm", [-200, -20, 0, 50, 200])
@pytest.mark.parametrize("seed", range(5))
def test_a_clock_is_never_further_off_than_is_said(ppm, seed):
    pair = Pair(1 + ppm * 1e-6, seed)
    for second in range(0, 600, 10):
        for _ in range(1 if second else 5):
            pair.ask(second * S)
        for later in range(10):
            at = (second + later) * S
            assert pair.off(at) <= pair.error(at) + 1
        if second >= 60:
            assert pair.off((second + 9) * S) < 1500
            assert pair.error((second + 9) * S) < 5000
    assert pair.time.drift == pytest.approx(-ppm * 1e-6, abs=20e-6)


@pytest.mark.parametrize("jump_us", [-30 * S, -20_000, 20_000, 3 * S])
def test_a_fast_clock_that_jumps_is_placed_again(jump_us):
    pair = Pair(1 + 200e-6)
    for second in range(0, 60, 10):
        pair.ask(second * S)
    pair.ahead_us += jump_us
    for second in range(60, 130, 10):
        pair.ask(second * S)
    assert pair.time.jumps == 1
    assert pair.off(121 * S) < 5000


def test_a_clock_as_usual_never_seems_to_jump():
    pair = Pair(1 - 180e-6, slow_us=200_000)
    for second in range(0, 36_000, 10):
        pair.ask(second * S)
    assert pair.time.jumps == 0


def test_delays_all_on_one_side_are_no_jump():
    """A board that was slow to start has all of the first way there, none of the ways back."""
    for seed in range(200):
        pair = Pair(1 + 30e-6, seed)
        for second in range(8):
            sent_us = second * S // 2
            heard_us = max(sent_us, 1_005_182) + pair.chance.randrange(3)
            pair.time.compared(sent_us, pair.device(heard_us), pair.device(heard_us), heard_us)
            assert pair.time.jumps == 0
            assert pair.off(heard_us) <= pair.error(heard_us)


def test_an_answer_that_ran_backwards_is_none():
    time = DeviceTime()
    time.compared(1000, 500, 400, 2000)
    time.compared(1000, 500, 5000, 2000)
    assert not time.is_known
    with pytest.raises(RuntimeError, match="not compared yet"):
        time.host_us(0)


@pytest.mark.parametrize("bits", [16, 32])
def test_a_number_of_which_the_end_is_known_is_found_again(bits):
    chance = random.Random(3)
    for _ in range(1000):
        true = chance.randrange(1 << 50)
        expected = max(true + chance.randrange(-(1 << (bits - 1)) + 1, 1 << (bits - 1)), 0)
        assert unwrapped(true % (1 << bits), expected, bits) == true
