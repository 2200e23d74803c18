"""A timeline holds what may still be read, and no more."""

import numpy as np

from edge.timeline import Timeline
from sensor_adapters import imu
from sensor_adapters.samples import Samples
from tests.edge.models import S


def test_a_device_that_no_model_reads_is_forgotten_like_the_others():
    timeline = Timeline(2 * S)
    for second in range(1000):
        time_us = second * S + np.arange(10) * 100_000
        timeline.push("chest", Samples("c", imu.stream, time_us, np.zeros((10, 6), np.float32)))
        timeline.forget(timeline.watermark_us)
    track = timeline.tracks["chest"]
    assert track._pending == []
    assert len(track.time_us) <= 21 + 1  # one lateness, and the one before it
