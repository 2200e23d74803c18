"""The gate to prometheus_client: health as a page of metrics. No I/O but of ``/proc``.

Names follow Prometheus' conventions: base units at the end, ``_total`` for what only rises.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from edge.health.spans import EDGES_S, Counted

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("ok", "late", "stale", "silent", "unknown")
BOARD_COUNTERS = (
    ("messages", "messages", "Messages that came"),
    ("refused", "refused", "Messages that could not be used"),
    ("steps", "steps", "Steps that models inferred"),
    ("degraded", "degraded_times", "Times that more was left out because the board was too slow"),
    ("queue_waits", "queue_waits", "Messages that found the inbox full"),
    ("broker_connections", "connections", "Times that the broker let the board in"),
)
BOARD_GAUGES = (
    ("ok", "ok", "1 if nothing is wrong"),
    ("broker_connected", "connected", "1 if the broker listens"),
    ("queue_messages", "queued", "Messages that wait in the inbox"),
    ("unacknowledged_messages", "unacknowledged", "Messages taken and not acknowledged yet"),
    ("outbox_messages", "outbox", "Messages that the broker has not taken yet"),
)
DISK_GAUGES = (
    ("database_bytes", "database_bytes", "Size of the log"),
    ("wal_bytes", "wal_bytes", "Size of the write-ahead log"),
    ("disk_free_bytes", "free_bytes", "Room beside the log"),
)
STREAM_COUNTS = (
    ("rejected_messages", "rejected", "Payloads that could not be used, in this session"),
    ("duplicated_messages", "duplicated", "Payloads that came again, in this session"),
    ("lost_messages", "lost", "Sequence numbers that never came, in this session"),
    ("late_readings", "late", "Readings left out because they came too late, in this session"),
    ("messages", "messages", "Payloads that came, in this session"),
    ("age_seconds", "age_s", "Since its newest reading came"),
    ("rate_hertz", "rate_hz", "Readings a second over the last minute"),
    ("expected_rate_hertz", "expected_hz", "Readings a second as its adapter says, or as learnt"),
    ("unchanged_seconds", "unchanged_s", "How long its readings have been the same"),
    ("clock_behind_seconds", "behind_s", "How far its clock is behind the board's"),
)


@dataclass(frozen=True)
class Snapshot:
    """The board's health as it was at a moment; nobody changes it."""

    body: dict[str, Any]
    durable: Counted
    calls: dict[str, Counted]
    """By model."""


class _Health(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        body = self._snapshot.body
        for name, key, text in BOARD_COUNTERS:
            yield CounterMetricFamily(f"solosense_{name}", text, body[key])
        for name, key, text in BOARD_GAUGES:
            yield GaugeMetricFamily(f"solosense_{name}", text, float(body[key]))
        problems = len(body["problems"])
        yield GaugeMetricFamily("solosense_problems", "How many things are wrong", problems)
        parts = GaugeMetricFamily(
            "solosense_degraded_parts", "Models paused or looking at every second step",
            len(body["degraded"]),
        )  # fmt: skip
        yield parts
        yield _histogram(
            "durable", "From the arrival of a message to the log", {"": self._snapshot.durable}, []
        )
        yield from self._models(body["models"])
        yield from self._machine(body)
        yield from self._streams(body["devices"])

    def _models(self, models: dict[str, Any]) -> Iterator[Metric]:
        text = "A call of a model, all stations' steps together"
        yield _histogram("model_call", text, self._snapshot.calls, ["model"])
        budget = GaugeMetricFamily(
            "solosense_model_budget_seconds", "What a call may take", labels=["model"]
        )
        for name, model in models.items():
            budget.add_metric([name], model["budget_ms"] / 1000)
        yield budget

    def _machine(self, body: dict[str, Any]) -> Iterator[Metric]:
        for name, key, text in DISK_GAUGES:
            if body["disk"][key] is not None:
                yield GaugeMetricFamily(f"solosense_{name}", text, body["disk"][key])
        if (written := body["disk"]["written_bytes"]) is not None:
            text = "Written to disks since the start"
            yield CounterMetricFamily("solosense_written_bytes", text, written)
        if body["temperatures_c"] is not None:
            zones = GaugeMetricFamily(
                "solosense_temperature_celsius", "Of the machine's zones", labels=["zone"]
            )
            for zone, value in body["temperatures_c"].items():
                zones.add_metric([zone], value)
            yield zones
        if body["slowed"] is not None:
            text = "1 if the kernel holds CPU or GPU back for the heat"
            yield GaugeMetricFamily("solosense_slowed", text, float(body["slowed"]))

    def _streams(self, streams: dict[str, Any]) -> Iterator[Metric]:
        labels = ["station", "device"]
        state = GaugeMetricFamily(
            "solosense_stream_state", "1 for the state it is in", labels=[*labels, "state"]
        )
        for name, stream in streams.items():
            for one in STATES:
                state.add_metric([*name.split("/"), one], float(stream["state"] == one))
        yield state
        for name, key, text in STREAM_COUNTS:
            family = GaugeMetricFamily(f"solosense_stream_{name}", text, labels=labels)
            for stream_name, stream in streams.items():
                if stream[key] is not None:
                    family.add_metric(stream_name.split("/"), stream[key])
            yield family


def _histogram(name: str, text: str, spans: dict[str, Counted], labels: list[str]) -> Metric:
    """Return counts of lengths, cumulated by edge as Prometheus wants them."""
    family = HistogramMetricFamily(f"solosense_{name}_seconds", text, labels=labels)
    edges = [*(str(edge) for edge in EDGES_S), "+Inf"]
    for value, counted in spans.items():
        sums = list(zip(edges, accumulate(counted.counts), strict=True))
        family.add_metric([value] if labels else [], sums, counted.total_s)
    return family


def page(snapshot: Snapshot | None) -> bytes:
    """Return the metrics in Prometheus' text format; the process' own where there is no more."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    if snapshot is not None:
        registry.register(_Health(snapshot))
    return generate_latest(registry)
