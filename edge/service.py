"""The loop of the board: inbox to pipeline to log and broker, until told to stop."""

import logging
import threading
import time
import uuid
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge import checkpoint
from edge.announce import Announcer
from edge.config import SiteConfig
from edge.going_on import WELL_S, go_on
from edge.inbox import Inbox
from edge.pace import Pace
from edge.pipeline import Model, Pipeline
from edge.records import (
    CheckpointRecord,
    OutgoingRecord,
    Record,
    SegmentRecord,
)
from edge.reload import Reload, changes
from edge.site_models import load_models, made_of, start_records
from edge.sqlite_log import SqliteLog
from sensor_adapters.topics import Message, base

log = logging.getLogger(__name__)

WAIT_S = 0.2
MOST_MESSAGES = 256
UPDATE_S, HEALTH_S = 5.0, 30.0
REQUESTS = ("ping", "reload")
MOST_AT_ONCE = 5000
"""Of the outbox; the rest follows when these are gone."""


def now_us() -> int:
    """Return Unix microseconds: the one place where the board reads its clock."""
    return time.time_ns() // 1000


def peak_mb() -> float:
    """Return the most memory this process has held, MB.

    Not ``ru_maxrss``: that remembers what the parent held before this program began.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


class Service:
    """One running board."""

    def __init__(self, config: SiteConfig, site: Path | None = None) -> None:
        """Accept the models, open the log, and let each station go on where it was, or begin.

        ``site``: the configuration's file, for reloads.

        Raises:
            ConfigError: a setting or a model can not be used, or they do not fit.
            LogError: the log can not be used.
        """
        self._config = config
        self._models = load_models(config)
        self._loaded_us, self._reload_error = now_us(), ""
        self._reload = Reload(site)
        self._log = SqliteLog(Path(config.log.path))
        self._pipeline = Pipeline(config, self._models, {})
        self._made_of = {id_: made_of(config, id_, self._models) for id_ in config.stations}
        boot = uuid.uuid4().hex[:12]
        self._announce = Announcer(config.site, config.node, boot, version("solosense"))
        prefix = base(config.site, config.node)
        topics = [f"{prefix}/+/in/+/+", f"{prefix}/request/+"]
        client_id = f"solosense-edge-{config.site}-{config.node}"
        will = self._announce.status("offline", now_us())
        self._inbox = Inbox(config.broker, client_id, topics, will)
        self._request = f"{prefix}/request/"
        self._pace = Pace(config.log.checkpoint_s)
        self._out: dict[int, tuple[str, str]] = {}  # of the outbox, by number on its way
        self._durable_ms: deque[float] = deque(maxlen=10_000)
        self._go_on()

    def _go_on(self) -> None:
        """Let each station go on where it was, or begin; what a run before left open ends."""
        config, at_us = self._config, now_us()
        ended = go_on(self._pipeline, self._log, self._made_of, at_us)
        self._unproven = {id_: one.steps_done for id_, one in self._pipeline.stations.items()}
        self._is_tried = False
        opened = [r for r in self._pipeline.open_segments() if isinstance(r, SegmentRecord)]
        going_on = [record.id for record in opened]
        for id_ in going_on:
            self._announce.knows(id_)
        self._pending: list[Record] = [*ended, *start_records(config, self._models, at_us)]
        self._flush()
        gone = {one.station for one in ended if isinstance(one, CheckpointRecord)}
        for id_ in sorted(gone - config.stations.keys()):
            self._publish(self._announce.nothing(id_), retain=True)
        if orphans := self._log.end_orphans(going_on):
            log.warning("%d segments were left open by a run that did not end in order", orphans)

    def run(self, stop: threading.Event, hung_up: threading.Event | None = None) -> None:
        """Work until ``stop`` is set; end sessions and say farewell then.

        Where ``hung_up`` is set, configuration and models are read again.
        """
        hung_up = hung_up or threading.Event()
        self._inbox.start()
        connections, updated_s, health_s = 0, time.monotonic(), time.monotonic()
        well_s = time.monotonic() + WELL_S
        try:
            while not stop.is_set():
                self._round()
                self._reload_if_asked(hung_up)
                self._prove(is_over=time.monotonic() > well_s)
                if self._inbox.connections != connections:
                    connections = self._inbox.connections
                    self._send_left()
                    self._publish(self._announce.status("online", now_us()), retain=True)
                    self._publish(self._announce.health(self.health()), retain=True)
                if time.monotonic() - updated_s > UPDATE_S:
                    updated_s = time.monotonic()
                    self._pending += self._pipeline.open_segments()
                if time.monotonic() - health_s > HEALTH_S:
                    health_s = time.monotonic()
                    for station in self._pipeline.stations.values():
                        self._pending += self._pipeline.device_records(station)
                    self._send_left()
                    self._publish(self._announce.health(self.health()), retain=True)
        except BaseException:  # nothing is acknowledged: the next start goes on where this was
            self._inbox.stop(self._announce.status("offline", now_us()))
            self._log.close()
            raise
        self._end()

    def _end(self) -> None:
        """End all sessions in order."""
        self._reload.stop()
        try:
            at_us = now_us()
            self._pending += self._pipeline.finish(at_us)
            self._pending += [
                CheckpointRecord(station.id, station.session, at_us, None)
                for station in self._pipeline.stations.values()
            ]
            self._flush()
            self._inbox.acknowledge()
            self._tell_actions()
        finally:
            self._inbox.stop(self._announce.status("stopped", now_us()))
            try:
                self._log.write([], self._sent())
            finally:
                self._log.close()

    def _round(self) -> None:
        """Take what has come, infer what is complete, make it durable, tell it."""
        taken = list(self._inbox.take(WAIT_S, MOST_MESSAGES))
        if taken and not self._is_tried:
            self._try()
        pings = []
        for message in taken:
            if message.topic.startswith(self._request):
                pings.append(message)
            else:
                self._pipeline.push(message)
        self._pending += self._pipeline.advance(now_us())
        is_due = self._pace.due(time.monotonic(), self._inbox.waiting, len(taken)) or bool(pings)
        if is_due:
            self._pending += self._checkpoints()
        self._flush()
        if is_due:
            self._inbox.acknowledge()
            self._pace.done(time.monotonic())
        if taken:
            self._durable_ms.append((now_us() - taken[0].received_us) / 1000)
        self._tell_actions()
        for ping in pings:
            self._answer(ping)

    def _checkpoints(self) -> list[Record]:
        """Return what stations that heard something need to go on where they are."""
        at_us = now_us()
        return [
            CheckpointRecord(
                one.id, one.session, at_us, checkpoint.content(one, self._made_of[one.id])
            )
            for one in self._pipeline.changed()
        ]

    def _try(self) -> None:
        """Note that the first readings since the start are taken on; the program may fail of it."""
        self._is_tried = True
        for id_ in self._unproven:
            self._log.start_from(id_)

    def _prove(self, *, is_over: bool) -> None:
        """Note that stations made a step since the start, or had time enough to make one."""
        for id_, steps in [*self._unproven.items()]:
            station = self._pipeline.stations.get(id_)
            if is_over or station is None or station.steps_done != steps:
                self._log.started_well(id_)
                del self._unproven[id_]

    def _reload_if_asked(self, hung_up: threading.Event) -> None:
        """Begin to load what was asked for; take it, between two rounds, once it is there."""
        if hung_up.is_set():
            hung_up.clear()
            self._reload.ask()
        loaded = self._reload.poll(self._config, self._models)
        if loaded is None:
            return
        data: dict[str, Any] = {"load_s": round(loaded.load_s, 3)}
        if loaded.config is None:
            for line in loaded.error.splitlines():
                log.error("not reloaded: %s", line)
        else:
            data |= self._switch(loaded.config, dict(loaded.models))
            log.warning("reloaded: %s", msgspec.json.encode(data).decode())
        self._reload_error = loaded.error
        for transaction in loaded.asked_by:
            self._publish(self._announce.answer("reload", transaction, data, loaded.error))
        self._publish(self._announce.health(self.health()), retain=True)

    def _switch(self, config: SiteConfig, models: dict[str, Model]) -> dict[str, Any]:
        """Take other settings and models, all in one transaction; return what is different."""
        begun_s = time.monotonic()
        at_us, before = now_us(), self._config
        said = changes(before, self._models, config, models)
        sessions = {id_: self._log.next_session(id_) for id_ in said["stations"]["begun"]}
        self._pending += self._pipeline.switch(config, models, sessions, at_us)
        self._pending += [
            CheckpointRecord(id_, 0, at_us, None)
            for id_ in before.stations
            if id_ not in config.stations
        ]
        self._pending += start_records(config, models, at_us)
        self._config, self._models, self._loaded_us = config, models, at_us
        wholes = {id_: made_of(config, id_, models) for id_ in config.stations}
        other = {id_ for id_ in wholes if wholes[id_] != self._made_of.get(id_)}
        self._made_of = wholes
        self._pipeline.note_changed(other)
        self._pending += self._checkpoints()
        self._flush()
        self._inbox.acknowledge()
        self._pace.every_s = config.log.checkpoint_s
        self._pace.done(time.monotonic())
        for id_ in said["stations"]["ended"]:
            self._publish(self._announce.nothing(id_), retain=True)
        self._tell_actions()
        return said | {"switch_ms": round((time.monotonic() - begun_s) * 1000, 1)}

    def _tell_actions(self) -> None:
        """Say what each station does now, where that is news; at the end, that nobody knows."""
        for station, (bundle, now) in self._pipeline.now().items():
            action = self._announce.action(station, bundle, now)
            if action is not None:
                self._publish(action, retain=True)

    def _flush(self) -> None:
        """Make what is held durable, then tell it."""
        if not self._pending:
            return
        outgoing, passing = [], []
        for record in self._pending:
            if isinstance(record, SegmentRecord):
                kind, message = self._announce.segment(record)
                if kind == "update":
                    if self._inbox.is_connected:
                        passing.append(message)
                    continue
                said = message.payload.decode()
                outgoing.append(OutgoingRecord(record.id, kind, message.topic, said))
        self._log.write([*self._pending, *outgoing], self._sent())
        for one in outgoing:
            self._send(one)
        for message in passing:
            self._publish(message)
        self._pending.clear()

    def _send(self, one: OutgoingRecord) -> None:
        """Publish what the log keeps until the broker has it."""
        number = self._inbox.publish(one.topic, one.payload.encode())
        if number is not None:
            self._out[number] = (one.id, one.type)

    def _send_left(self) -> None:
        """Publish what the log keeps and is not on its way."""
        if not self._inbox.is_connected:
            return
        on_their_way = set(self._out.values())
        for one in self._log.unsent(MOST_AT_ONCE):
            if (one.id, one.type) not in on_their_way:
                self._send(one)

    def _sent(self) -> list[tuple[str, str]]:
        """Return what the broker has taken of the outbox."""
        return [self._out.pop(n) for n in self._inbox.published() if n in self._out]

    def _publish(self, message: Message, *, retain: bool = False) -> None:
        self._inbox.publish(message.topic, message.payload, retain=retain)

    def _answer(self, request: Message) -> None:
        """Answer a request; one that nobody can answer is counted and dropped."""
        name = request.topic.removeprefix(self._request)
        try:
            transaction = msgspec.json.decode(request.payload)["transaction"]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
            self._refuse(request, f"request {name!r} has no transaction, expected one to answer")
            return
        if request.retained:
            self._refuse(request, f"request {name!r} is retained: old news, expected a live one")
        elif name == "ping":
            self._publish(self._announce.answer(name, transaction, self.health()))
        elif name == "reload":
            self._reload.ask(transaction)
        else:
            error = f"request {name!r} is unknown, expected {' or '.join(REQUESTS)}"
            self._refuse(request, error)
            self._publish(self._announce.answer(name, transaction, {"known": REQUESTS}, error))

    def _refuse(self, request: Message, text: str) -> None:
        self._pipeline.complaints.add(request.topic, text, request.received_us)

    def health(self) -> dict[str, Any]:
        """Return counts and delays since the start."""
        spans = np.array(self._durable_ms or [0.0])
        devices = {
            f"{s.id}/{d.device}": {
                "status": d.status, "last_seen": d.last_us, "messages": d.messages,
                "rejected": d.rejected, "lost": d.lost, "late": d.late,
            }
            for s in self._pipeline.stations.values()
            for d in s.devices.values()
            if d.messages or d.rejected
        }  # fmt: skip
        return {
            "ok": True,
            "ts": now_us(),
            "config": {"loaded_us": self._loaded_us, "error": self._reload_error or None},
            "cpu_s": round(time.process_time(), 3),
            "peak_mb": peak_mb(),
            "messages": self._pipeline.messages,
            "refused": self._pipeline.refused,
            **self._pipeline.counts(),
            "steps": self._pipeline.inferred,
            "queued": self._inbox.queued,
            "queue_waits": self._inbox.waited,
            "unacknowledged": self._inbox.waiting,
            "broker_window": self._pace.window,
            "durable_ms": {
                "p50": round(float(np.percentile(spans, 50)), 2),
                "p99": round(float(np.percentile(spans, 99)), 2),
            },
            "devices": devices,
        }
