"""What the board says of its health: gathered from all that runs, now and then."""

import os
import time
from pathlib import Path
from typing import Any

from edge.config import SiteConfig
from edge.health.beats import Beats
from edge.health.load import Heard, Load
from edge.health.machine import Machine, file_bytes, free_bytes
from edge.health.metrics_page import Snapshot
from edge.health.metrics_server import MetricsServer
from edge.health.problems import CALL_SHARE, Board, problems
from edge.health.service_manager import READY_S, ServiceManager
from edge.health.spans import Spans
from edge.health.stream_report import described
from edge.health.streams import MARK_S
from edge.health.timed_engine import TimedEngine
from edge.health.written import Written
from edge.inbox import Inbox
from edge.inference import Model
from edge.pace import Pace
from edge.pipeline import Pipeline
from edge.sqlite_log import SqliteLog
from edge.timeline import NEVER_US
from sensor_adapters.topics import base

MQTT_STILL_S = 90.0
"""paho's thread does something for us at least every 30 s: the broker takes this very health."""
KEEPALIVES = 3  # a half open connection is found out within two
MAIN_STILL_S = 30.0
METRICS_STILL_S = 10.0


def timed(models: dict[str, Model]) -> dict[str, Model]:
    """Return the models with engines whose calls are timed; some may be already."""
    return {
        folder: model
        if isinstance(model.engine, TimedEngine)
        else Model(model.bundle, TimedEngine(model.engine))
        for folder, model in models.items()
    }


class BoardHealth:
    """Gathers; the service tells it of every round, and asks."""

    def __init__(
        self,
        config: SiteConfig,
        models: dict[str, Model],
        pipeline: Pipeline,
        inbox: Inbox,
        log: SqliteLog,
        pace: Pace,
    ) -> None:
        self._config, self._models, self._pipeline = config, models, pipeline
        self._inbox, self._log, self._pace = inbox, log, pace
        self._machine, self._written = Machine(), Written()
        self._manager = ServiceManager(os.environ)
        self._board = _settled(config, models)
        self._database = Path(config.log.path)
        self.durable = Spans()
        """From the arrival of a round's first message to the log."""
        levels = {level for one in pipeline.stations.values() for level in one.levels}
        spared = max((one.spared for one in pipeline.stations.values()), default=0)
        self.load = Load(sorted(levels), spared)
        self._begun_s = self._moved_s = self._marked_s = self._fed_s = time.monotonic()
        self._cpu = self._begun_s, time.process_time(), 0.0
        self._is_ready = False
        self._seen: dict[str, dict[str, Any]] = {}  # streams, when last looked at
        self._seen_s, self._seen_counts = self._begun_s, dict[str, int]()
        self._problems: list[str] = []
        mqtt_s = max(MQTT_STILL_S, KEEPALIVES * config.broker.keepalive_s)
        self._metrics = MetricsServer(config.metrics.host, config.metrics.port)
        others = {
            "mqtt": (lambda: inbox.moved_s if inbox.is_alive else None, mqtt_s),
            "metrics": (self._metrics.moved, METRICS_STILL_S),
        }
        self._others = Beats(others)
        self._metrics.beats = Beats({**others, "main": (lambda: self._moved_s, MAIN_STILL_S)})

    def switched(self, config: SiteConfig, models: dict[str, Model]) -> None:
        """Look at other settings and models from now on; the machine's remain."""
        self._config, self._models = config, models
        self._board = _settled(config, models)
        levels = {level for one in self._pipeline.stations.values() for level in one.levels}
        self.load.levels = sorted(levels)
        self._seen_s -= MARK_S

    def begin(self, now_us: int) -> None:
        """Let Prometheus ask; the network thread runs."""
        self._begun_s = self._moved_s = time.monotonic()
        self._metrics.start()
        self._mark(self._begun_s, now_us)

    def end(self) -> None:
        """Answer no more questions."""
        self._manager.say(STOPPING="1")
        self._metrics.stop()

    def waiting(self) -> None:
        """Note that a round begins."""
        self._pipeline.streams.now_s = time.monotonic()

    def is_overloaded(self, waited_s: float, worked_s: float, now_us: int) -> bool:
        """Take what a round was spent on; return whether how much is left out has changed."""
        self.load.round(waited_s, worked_s)
        heard = [
            Heard(one.id, one.session, one.timeline.newest_us)
            for one in self._pipeline.stations.values()
            if one.timeline.newest_us != NEVER_US
        ]
        return self.load.judge(time.monotonic(), now_us, heard)

    def moved(self, now_us: int) -> None:
        """Note that a round is over: look at what is due, and give the sign of life."""
        now_s = self._moved_s = time.monotonic()
        if now_s - self._marked_s >= MARK_S:
            self._mark(now_s, now_us)
        if not self._is_ready and (self._inbox.is_subscribed or now_s - self._begun_s > READY_S):
            self._is_ready = True
            self._manager.say(READY="1", STATUS="running")
        every_s = self._manager.watchdog_s
        if every_s and now_s - self._fed_s >= every_s / 4:
            self._fed_s = now_s
            if standing := self._others.standing(now_s):
                self._manager.say(STATUS=f"does not move: {', '.join(standing)}")
            else:
                self._manager.say(WATCHDOG="1")

    def _mark(self, now_s: float, now_us: int) -> None:
        self._marked_s = now_s
        streams = self._pipeline.streams
        for station in self._pipeline.stations.values():
            for device in station.devices.values():
                streams.of(station.id, device.device).mark(device, now_s)
        if (written := self._machine.written_bytes()) is not None:
            self._written.note(now_s, now_us, written)
        if self._metrics.is_on:
            calls = {name: engine.calls.counted() for name, engine in self._engines().items()}
            self._metrics.snapshot = Snapshot(self.report(now_us), self.durable.counted(), calls)

    def _engines(self) -> dict[str, TimedEngine]:
        return {
            model.bundle.manifest.name: model.engine
            for model in self._models.values()
            if isinstance(model.engine, TimedEngine)
        }

    def answer(self, now_us: int) -> dict[str, Any]:
        """Return how the board is; streams as they were a second ago, if nothing went wrong since.

        Who sends as fast as the board takes it asks many times a second.
        """
        return self.report(now_us, most_age_s=1.0)

    def report(self, now_us: int, most_age_s: float = 0.0) -> dict[str, Any]:
        """Return how the board is; counts and delays are since the start."""
        now_s, counts = time.monotonic(), self._pipeline.counts()
        is_old = now_s - self._seen_s >= most_age_s or counts != self._seen_counts
        if is_old:
            self._seen_s, self._seen_counts = now_s, counts
            self._seen = described(self._pipeline, self._config.time.silence_s, now_s)
        body: dict[str, Any] = {
            "ok": True,
            "problems": [],
            "degraded": self.degraded(),
            "ts": now_us,
            "clock_synced": self._pipeline.board.is_synced,
            "uptime_s": round(now_s - self._begun_s, 1),
            "base": self._board.base,
            "connected": self._inbox.is_connected,
            "connections": self._inbox.connections,
            "cpu_s": round(time.process_time(), 3),
            "cpu_share": self._cpu_share(now_s),
            **self._machine.memory_mb(),
            "messages": self._pipeline.messages,
            "refused": self._pipeline.refused,
            **counts,
            "steps": self._pipeline.inference.steps,
            "degraded_times": self.load.times,
            "behind_s": self.load.behind_s,
            "queued": self._inbox.queued,
            "queue_waits": self._inbox.waited,
            "unacknowledged": self._inbox.waiting,
            "broker_window": self._pace.window,
            "outbox": self._log.count_unsent(),
            "durable_ms": self.durable.ms(),
            "models": self._model_times(),
            "disk": self._disk(),
            **self._heat(),
            "devices": self._seen,
        }
        if is_old:
            self._problems = problems(self._board, body) + self._metrics.failed
        body["problems"] = self._problems
        body["ok"] = not body["problems"]
        return body

    def said(self, body: dict[str, Any]) -> None:
        """Tell the service manager what was published, as ``systemctl status`` shows it."""
        self._manager.say(STATUS="ok" if body["ok"] else "; ".join(body["problems"])[:500])

    def _cpu_share(self, now_s: float) -> float:
        """Return the share of a core since last asked, if that is a while ago."""
        then_s, cpu_s, share = self._cpu
        if now_s - then_s >= 1.0:
            spent_s = time.process_time()
            share = round((spent_s - cpu_s) / (now_s - then_s), 3)
            self._cpu = now_s, spent_s, share
        return share

    def degraded(self) -> list[str]:
        """Return what is left out because the board is too slow."""
        found = []
        for station in self._pipeline.stations.values():
            for lane in station.lanes:
                if lane.is_paused or lane.is_hopping:
                    does = "is paused" if lane.is_paused else "looks at every second step"
                    found.append(f"{lane.manifest.name} of {station.id} {does}")
        return found

    def _model_times(self) -> dict[str, dict[str, Any]]:
        found = {}
        for model in self._models.values():
            manifest, engine = model.bundle.manifest, model.engine
            if isinstance(engine, TimedEngine):
                ms = engine.calls.ms()
                found[manifest.name] = {
                    "engine": engine.name,
                    "calls": sum(engine.calls.counted().counts),
                    "p50_ms": ms["p50"],
                    "p99_ms": ms["p99"],
                    "budget_ms": manifest.step_us / 1000 * CALL_SHARE,
                }
        return found

    def _disk(self) -> dict[str, Any]:
        wal = self._database.with_name(self._database.name + "-wal")
        daily = self._written.bytes_per_day
        return {
            "database_bytes": file_bytes(self._database),
            "wal_bytes": file_bytes(wal),
            "free_bytes": free_bytes(self._database.parent),
            "written_bytes": self._machine.written_bytes(),
            "written_today_bytes": self._written.today_bytes,
            "written_bytes_per_day": None if daily is None else round(daily),
        }

    def _heat(self) -> dict[str, Any]:
        heat = self._machine.heat()
        return {
            "temperatures_c": None if heat is None else heat.zones_c,
            "too_hot": [] if heat is None else list(heat.too_hot),
            "slowed": None if heat is None else heat.is_slowed,
            "cpu_mhz": self._machine.cpu_mhz(),
        }


def _settled(config: SiteConfig, models: dict[str, Model]) -> Board:
    """Return what does not change while the board runs."""
    adapters, needed_hz = {}, {}
    for id_, station in config.stations.items():
        rows_hz: dict[str, float] = {}
        for folder in station.bundles:
            for block in models[folder].bundle.manifest.inputs:
                for channel in block.channels:
                    place = channel.rpartition(".")[0]
                    rows_hz[place] = max(rows_hz.get(place, 0.0), block.rate_hz)
        for name, device in station.devices.items():
            adapters[f"{id_}/{name}"] = device.adapter
            if device.placement in rows_hz:
                needed_hz[f"{id_}/{name}"] = rows_hz[device.placement]
    return Board(
        broker=f"{config.broker.host}:{config.broker.port}",
        base=base(config.site, config.node),
        silence_s=config.time.silence_s,
        lateness_s=config.time.lateness_s,
        write_budget_bytes=config.health.write_budget_mb_per_day * 1e6,
        adapters=adapters,
        needed_hz=needed_hz,
    )
