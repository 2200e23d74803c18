"""The bench of delays hears a real board in real time, and no step is missed."""

import pytest

from edge import live_bench
from tests import live

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def test_a_few_seconds_of_two_stations_are_heard_whole():
    found = live_bench.measure(live.BUNDLES / "imu", 2, 0.25, lambda _: None)
    rows = {row["what"]: row["value"] for row in found}
    assert (rows["steps missed"], rows["late"], rows["lost"]) == (0, 0, 0)
    assert rows["steps"] > 10
    assert rows["reading to label, counted"] > 0
    # no label before its step has ended, the model's second passed and lateness was waited for
    assert rows["reading to label, p50 s"] > 3.0
