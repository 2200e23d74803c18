"""What is said of each stream."""

from typing import Any

from edge.devices import DeviceState
from edge.health.streams import Watch
from edge.pipeline import Pipeline
from edge.timeline import NEVER_US
from sensor_adapters.adapter import load_adapter
from sensor_adapters.samples import US_PER_S


def described(pipeline: Pipeline, silence_s: float, now_s: float) -> dict[str, dict[str, Any]]:
    """Return all streams by ``station/device``; ``now_s`` is monotonic."""
    return {
        f"{station.id}/{device.device}": stream(
            device, pipeline.streams.of(station.id, device.device), silence_s, now_s
        )
        for station in pipeline.stations.values()
        for device in station.devices.values()
    }


def stream(device: DeviceState, watch: Watch, silence_s: float, now_s: float) -> dict[str, Any]:
    """Return one stream's part of the board's health; README: Health."""
    minute, (rate_hz, over_s) = watch.since_mark(device), watch.rate(now_s)
    expected_hz = load_adapter(device.adapter).stream.rate_hz
    if expected_hz is None and watch.usual_s:
        expected_hz = 1 / watch.usual_s
    behind_s = watch.behind_s
    return {
        "status": device.status,
        "state": watch.state(device, silence_s, now_s),
        "last_seen": None if device.last_us == NEVER_US else device.last_us,
        "age_s": None if watch.last_s is None else round(now_s - watch.last_s, 1),
        "rate_hz": None if rate_hz is None else round(rate_hz, 2),
        "rate_over_s": round(over_s, 1),
        "expected_hz": None if expected_hz is None else round(expected_hz, 2),
        "messages": device.messages,
        "rejected": device.rejected,
        "duplicated": device.duplicated,
        "lost": device.lost,
        "late": device.late,
        "unchanged_s": round(watch.unchanged_us / US_PER_S, 1),
        "behind_s": None if behind_s is None else round(behind_s, 2),
        "minute": {
            "messages": minute.messages,
            "late": minute.late,
            "rejected": minute.rejected,
            "lost": minute.lost,
        },
    }
