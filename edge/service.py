"""The loop of the board: inbox to pipeline to log and broker, until told to stop."""

import logging
import threading
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from edge import checkpoint
from edge.announce import Announcer
from edge.board_clock import LEAP_US, BoardClock
from edge.config import SiteConfig
from edge.delivery import Batch, Delivery
from edge.going_on import Trial, go_on
from edge.health.load import MOST_MESSAGES, most_messages
from edge.health.report import BoardHealth, timed
from edge.inbox import Inbox
from edge.inference import Model
from edge.pace import Pace
from edge.pipeline import BoardTime, Pipeline
from edge.records import (
    CheckpointRecord,
    Record,
    SegmentRecord,
)
from edge.reload import Reload, changes
from edge.site_models import load_models, made_of, start_records
from edge.sqlite_log import SqliteLog
from edge.station_records import of_devices
from edge.storage.clock_trust import ClockTrust
from edge.storage.reserve import Reserve
from edge.storage.retention import Retention
from edge.storage.writing import Writing
from sensor_adapters.topics import Message, base

log = logging.getLogger(__name__)

WAIT_S = 0.2
UPDATE_S, HEALTH_S = 5.0, 30.0
REQUESTS = ("ping", "reload")
END_S = 5.0
"""At the end, a log that can not be written is waited for this long."""


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
        self._clock = BoardClock()
        self._models = timed(load_models(config))
        self._loaded_us, self._reload_error = self._clock.now_us(), ""
        self._reload = Reload(site)
        path = Path(config.log.path)
        reserve = Reserve(path, config.log.reserve_mb * 1_000_000)
        self._log = reserve.lend(lambda: SqliteLog(path, self._clock.now_us()))
        if not reserve.make() and reserve.is_wanted:
            log.warning("there is no room for log.reserve_mb = %d", config.log.reserve_mb)
        retention = Retention(config.log.keeps_days(), config.log.max_mb * 1_000_000)
        self._writing = Writing(self._log, reserve, retention)
        newest_us = self._log.newest_us() or self._clock.now_us()
        self._clock_trust = ClockTrust(newest_us, time.monotonic())
        self._pipeline = Pipeline(config, self._models, {})
        self._made_of = {id_: made_of(config, id_, self._models) for id_ in config.stations}
        boot = uuid.uuid4().hex[:12]
        self._announce = Announcer(config.site, config.node, boot, version("solosense"))
        prefix = base(config.site, config.node)
        topics = [f"{prefix}/+/in/+/+", f"{prefix}/request/+"]
        client_id = f"solosense-edge-{config.site}-{config.node}"
        will = self._announce.status("offline", self._clock.now_us())
        self._inbox = Inbox(config.broker, client_id, topics, will)
        self._request = f"{prefix}/request/"
        self._pace = Pace(config.log.checkpoint_s)
        self._most = MOST_MESSAGES
        self._delivery = Delivery(self._log, self._writing, self._inbox, self._announce)
        self._go_on()
        self._health = BoardHealth(
            config, self._models, self._pipeline, self._inbox, self._log, self._pace
        )

    def _go_on(self) -> None:
        """Let each station go on where it was, or begin; what a run before left open ends."""
        config, at_us = self._config, self._clock.now_us()
        self._look_at_clock()
        ended = go_on(self._pipeline, self._log, self._made_of, at_us)
        self._trial = Trial(self._log, self._pipeline.stations, time.monotonic())
        for id_, station in self._pipeline.stations.items():
            base_us = self._log.unsynced_base_us(id_, self._clock.boot_id)
            if base_us is not None and abs(self._clock.base_us - base_us) >= LEAP_US:
                station.leapt(self._clock.base_us - base_us, at_us)
        opened = [r for r in self._pipeline.open_segments() if isinstance(r, SegmentRecord)]
        going_on = [record.id for record in opened]
        for id_ in going_on:
            self._announce.knows(id_)
        self._delivery.pending += [*ended, *start_records(config, self._models, at_us)]
        self._flush([], is_checkpoint=False)
        gone = {one.station for one in ended if isinstance(one, CheckpointRecord)}
        for id_ in sorted(gone - config.stations.keys()):
            self._delivery.publish(self._announce.nothing(id_), retain=True)
        if orphans := self._log.end_orphans(going_on):
            log.warning("%d segments were left open by a run that did not end in order", orphans)

    def run(self, stop: threading.Event, hung_up: threading.Event | None = None) -> None:
        """Work until ``stop`` is set; end sessions and say farewell then.

        Where ``hung_up`` is set, configuration and models are read again.
        """
        hung_up = hung_up or threading.Event()
        self._inbox.start()
        self._health.begin(self._clock.now_us())
        connections, updated_s, health_s = 0, time.monotonic(), time.monotonic()
        was_waiting = False
        try:
            while not stop.is_set():
                self._round()
                self._reload_if_asked(hung_up)
                self._trial.look(self._pipeline.stations, time.monotonic())
                if self._inbox.connections != connections:
                    connections = self._inbox.connections
                    self._delivery.send_left()
                    online = self._announce.status("online", self._clock.now_us())
                    self._delivery.publish(online, retain=True)
                    self._publish_health()
                if time.monotonic() - updated_s > UPDATE_S:
                    updated_s = time.monotonic()
                    self._look_at_clock()
                    self._writing.watch(updated_s)
                    if not self._writing.is_waiting:
                        self._delivery.pending += self._pipeline.open_segments()
                turned = self._writing.is_waiting != was_waiting
                was_waiting = self._writing.is_waiting
                if turned or time.monotonic() - health_s > HEALTH_S:
                    health_s = time.monotonic()
                    if not self._writing.is_waiting:
                        for station in self._pipeline.stations.values():
                            self._delivery.pending += of_devices(station)
                    self._delivery.send_left()
                    self._publish_health()
        except BaseException:  # nothing is acknowledged: the next start goes on where this was
            self._inbox.stop(self._announce.status("offline", self._clock.now_us()))
            self._log.close()
            raise
        self._end()

    def _end(self) -> None:
        """End all sessions in order; what can not be written is left to the next start.

        Raises:
            LogError: the log can not be written. Nothing of it is acknowledged: the next start
                goes on from the last checkpoint.
        """
        self._health.end()
        self._reload.stop()
        state = "offline"
        try:
            self._insist()
            at_us = self._clock.now_us()
            self._delivery.pending += self._pipeline.finish(at_us)
            self._delivery.pending += [
                CheckpointRecord(station.id, station.session, at_us, None)
                for station in self._pipeline.stations.values()
            ]
            self._flush([], is_checkpoint=True)
            self._insist()
            self._tell_actions()
            state = "stopped"
        finally:
            self._inbox.stop(self._announce.status(state, self._clock.now_us()))
            try:
                self._delivery.end()
            finally:
                self._log.close()

    def _insist(self) -> None:
        """Wait until what is held is written.

        Raises:
            LogError: it could not be for ``END_S``.
        """
        if batch := self._delivery.insist(END_S):
            self._delivered(batch)

    def _round(self) -> None:
        """Take what has come, infer what is complete, make it durable, tell it."""
        if self._delivery.is_held:
            held = self._delivery.again()
            if held is None:
                time.sleep(WAIT_S)
                self._health.moved(self._clock.now_us())
                return
            self._delivered(held)
        begun_s = time.monotonic()
        stamped = list(self._inbox.take(WAIT_S, self._most))
        taken_s = time.monotonic()
        self._health.waiting()
        self._follow_clock()
        base_us = self._clock.base_us
        taken = [
            Message(one.topic, one.payload, one.at_us + base_us, one.is_retained) for one in stamped
        ]
        if taken:
            self._trial.begin()
        requests = []
        for message in taken:
            if message.topic.startswith(self._request):
                requests.append(message)
            else:
                self._pipeline.push(message)
        now_us = self._clock.now_us()
        self._delivery.pending += self._pipeline.advance(now_us)
        worked_s = time.monotonic() - taken_s
        self._most = most_messages(self._most, worked_s)
        has_changed = self._health.is_overloaded(taken_s - begun_s, worked_s, now_us)
        if has_changed:
            self._spare()
        is_due = self._pace.due(time.monotonic(), self._inbox.waiting, len(taken))
        is_due = is_due or bool(requests) or has_changed  # what comes of it not without it
        if is_due:
            self._delivery.pending += self._checkpoints()
        self._flush(requests, is_checkpoint=is_due)
        if taken:
            self._health.durable.add((self._clock.now_us() - taken[0].received_us) / 1e6)
        now_us = self._clock.now_us()
        self._writing.trim(now_us, time.monotonic(), by_age=self._is_clock_trusted)
        self._health.moved(now_us)

    def _is_clock_trusted(self) -> bool:
        return self._clock_trust.is_trusted(
            self._clock.now_us(), time.monotonic(),
            is_synchronised=self._pipeline.board.is_synced,
        )  # fmt: skip

    def _spare(self) -> None:
        """Leave out more, or less, of what the models could do, and say so."""
        level, before = self._health.load.level, len(self._health.degraded())
        self._pipeline.spare(level)
        now = self._health.degraded()
        found = "can not keep up" if len(now) > before else "keeps up again"
        log.warning("the board %s: %s", found, "; ".join(now) or "nothing is left out any more")

    def _follow_clock(self) -> None:
        """Let all stations know where the board's clock was set."""
        if leap_us := self._clock.look():
            log.warning("the board's clock was set by %+.1f s", leap_us / 1e6)
            self._look_at_clock()
            self._pipeline.leapt(leap_us, self._clock.now_us())

    def _look_at_clock(self) -> None:
        """See whether anything vouches for the clock."""
        clock, before = self._clock, self._pipeline.board
        is_synced = clock.is_synced()
        self._pipeline.board = BoardTime(is_synced, clock.boot_id, clock.base_us)
        if is_synced and not (before.is_synced and before.boot_id):
            self._pipeline.synced()

    def _checkpoints(self) -> list[Record]:
        """Return what stations that heard something need to go on where they are."""
        at_us = self._clock.now_us()
        return [
            CheckpointRecord(
                one.id, one.session, at_us, checkpoint.content(one, self._made_of[one.id])
            )
            for one in self._pipeline.changed()
        ]

    def _reload_if_asked(self, hung_up: threading.Event) -> None:
        """Begin to load what was asked for; take it, between two rounds, once it is there."""
        if hung_up.is_set():
            hung_up.clear()
            self._reload.ask()
        if self._delivery.is_held:  # one after the other
            return
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
            self._delivery.publish(self._announce.answer("reload", transaction, data, loaded.error))
        self._publish_health()

    def _switch(self, config: SiteConfig, models: dict[str, Model]) -> dict[str, Any]:
        """Take other settings and models, all in one transaction; return what is different."""
        begun_s = time.monotonic()
        models = timed(models)
        at_us, before = self._clock.now_us(), self._config
        said = changes(before, self._models, config, models)
        sessions = {id_: self._log.next_session(id_) for id_ in said["stations"]["begun"]}
        self._delivery.pending += self._pipeline.switch(config, models, sessions, at_us)
        self._delivery.pending += [
            CheckpointRecord(id_, 0, at_us, None)
            for id_ in before.stations
            if id_ not in config.stations
        ]
        self._delivery.pending += start_records(config, models, at_us)
        self._config, self._models, self._loaded_us = config, models, at_us
        self._health.switched(config, models)
        wholes = {id_: made_of(config, id_, models) for id_ in config.stations}
        other = {id_ for id_ in wholes if wholes[id_] != self._made_of.get(id_)}
        self._made_of = wholes
        self._pipeline.note_changed(other)
        self._delivery.pending += self._checkpoints()
        self._flush([], is_checkpoint=True)
        self._pace.every_s = config.log.checkpoint_s
        for id_ in said["stations"]["ended"]:
            self._delivery.publish(self._announce.nothing(id_), retain=True)
        return said | {"switch_ms": round((time.monotonic() - begun_s) * 1000, 1)}

    def _tell_actions(self) -> None:
        """Say what each station does now, where that is news; at the end, that nobody knows."""
        for station, (bundle, now) in self._pipeline.now().items():
            action = self._announce.action(station, bundle, now)
            if action is not None:
                self._delivery.publish(action, retain=True)

    def _flush(self, requests: list[Message], *, is_checkpoint: bool) -> None:
        """Make what is pending durable, then tell it; a log that can not be written holds it."""
        opened = self._pipeline.open_segments() if is_checkpoint else []
        now_us = self._clock.now_us()
        batch = self._delivery.flush(requests, opened, now_us, is_checkpoint=is_checkpoint)
        if batch is not None:
            self._delivered(batch)

    def _delivered(self, batch: Batch) -> None:
        """Let the broker forget what a batch came of, and answer those who asked for it."""
        if batch.is_checkpoint:
            self._inbox.acknowledge()
            self._pace.done(time.monotonic())
        self._tell_actions()
        for request in batch.requests:
            self._answer(request)

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
            health = self._said_health(self._health.answer(self._clock.now_us()))
            self._delivery.publish(self._announce.answer(name, transaction, health))
        elif name == "reload":
            self._reload.ask(transaction)
        else:
            error = f"request {name!r} is unknown, expected {' or '.join(REQUESTS)}"
            self._refuse(request, error)
            self._delivery.publish(
                self._announce.answer(name, transaction, {"known": REQUESTS}, error)
            )

    def _refuse(self, request: Message, text: str) -> None:
        self._pipeline.complaints.add(request.topic, text, request.received_us)

    def _publish_health(self) -> None:
        body = self._said_health(self._health.report(self._clock.now_us()))
        self._health.said(body)
        self._delivery.publish(self._announce.health(body), retain=True)

    def _said_health(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return how the board is, with how its configuration and its log are."""
        wrong = list(body["problems"])
        if self._writing.is_waiting:
            wrong.append(f"the log can not be written, and waits: {self._writing.why}")
        if self._reload_error:
            wrong.append(f"the configuration was not reloaded: {self._reload_error}")
        config = {"loaded_us": self._loaded_us, "error": self._reload_error or None}
        return body | {
            "ok": not wrong,
            "problems": wrong,
            "config": config,
            "log": self._writing.health(),
        }
