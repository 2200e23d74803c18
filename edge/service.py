"""The loop of the board: inbox to pipeline to log and broker, until told to stop."""

import logging
import threading
import time
import uuid
from importlib.metadata import version
from pathlib import Path

import msgspec

from edge import checkpoint
from edge.announce import Announcer
from edge.board_clock import LEAP_US, BoardClock
from edge.checkpoint import Unfit
from edge.config import SiteConfig
from edge.health.load import MOST_MESSAGES, most_messages
from edge.health.report import BoardHealth, timed
from edge.inbox import Inbox
from edge.pace import Pace
from edge.pipeline import BoardTime, Pipeline
from edge.records import (
    CheckpointRecord,
    OutgoingRecord,
    Record,
    SegmentRecord,
)
from edge.site_models import load_models, made_of, start_records
from edge.sqlite_log import SqliteLog
from sensor_adapters.topics import Message, base

log = logging.getLogger(__name__)

WAIT_S = 0.2
UPDATE_S, HEALTH_S = 5.0, 30.0
MOST_AT_ONCE = 5000
"""Of the outbox; the rest follows when these are gone."""


class Service:
    """One running board."""

    def __init__(self, config: SiteConfig) -> None:
        """Accept the models, open the log, and let each station go on where it was, or begin.

        Raises:
            BundleError: a model can not be used.
            ConfigError: a setting does not fit.
            LogError: the log can not be used.
        """
        self._config = config
        self._clock = BoardClock()
        models = timed(load_models(config))
        self._log = SqliteLog(Path(config.log.path))
        self._pipeline = Pipeline(config, models, {})
        self._made_of = {id_: made_of(config, id_, models) for id_ in config.stations}
        self._look_at_clock()
        self._go_on()
        opened = [r for r in self._pipeline.open_segments() if isinstance(r, SegmentRecord)]
        going_on = [record.id for record in opened]
        if orphans := self._log.end_orphans(going_on):
            log.warning("%d segments were left open by a run that did not end in order", orphans)
        self._log.write(start_records(config, models, self._clock.now_us()))
        boot = uuid.uuid4().hex[:12]
        self._announce = Announcer(config.site, config.node, boot, version("solosense"))
        prefix = base(config.site, config.node)
        topics = [f"{prefix}/+/in/+/+", f"{prefix}/request/+"]
        client_id = f"solosense-edge-{config.site}-{config.node}"
        for id_ in going_on:
            self._announce.knows(id_)
        will = self._announce.status("offline", self._clock.now_us())
        self._inbox = Inbox(config.broker, client_id, topics, will)
        self._request = f"{prefix}/request/"
        self._pace = Pace(config.log.checkpoint_s)
        self._pending: list[Record] = []
        self._most = MOST_MESSAGES
        self._out: dict[int, tuple[str, str]] = {}  # of the outbox, by number on its way
        self._health = BoardHealth(
            config, models, self._pipeline, self._inbox, self._log, self._pace
        )

    def _go_on(self) -> None:
        """Put stations back to their checkpoints, if they have one."""
        found = []
        for id_, whole in self._made_of.items():
            saved = self._log.checkpoint(id_)
            session = self._log.next_session(id_)
            if saved is not None:
                try:
                    checkpoint.resume(self._pipeline.stations[id_], saved, whole)
                    found.append(id_)
                    continue
                except Unfit as error:
                    log.warning("%s does not go on from its checkpoint: %s", id_, error)
            self._pipeline.begin(id_, session)
        for id_, station in self._pipeline.stations.items():
            base_us = self._log.unsynced_base_us(id_, self._clock.boot_id)
            if base_us is not None and abs(self._clock.base_us - base_us) >= LEAP_US:
                station.leapt(self._clock.base_us - base_us, self._clock.now_us())
        if found:
            log.warning("%s: going on from where the last run was cut off", ", ".join(found))

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; end sessions and say farewell then."""
        self._inbox.start()
        self._health.begin(self._clock.now_us())
        connections, updated_s, health_s = 0, time.monotonic(), time.monotonic()
        try:
            while not stop.is_set():
                self._round()
                if self._inbox.connections != connections:
                    connections = self._inbox.connections
                    self._send_left()
                    online = self._announce.status("online", self._clock.now_us())
                    self._publish(online, retain=True)
                    self._publish_health()
                if time.monotonic() - updated_s > UPDATE_S:
                    updated_s = time.monotonic()
                    self._look_at_clock()
                    self._pending += self._pipeline.open_segments()
                if time.monotonic() - health_s > HEALTH_S:
                    health_s = time.monotonic()
                    for station in self._pipeline.stations.values():
                        self._pending += self._pipeline.device_records(station)
                    self._send_left()
                    self._publish_health()
        except BaseException:  # nothing is acknowledged: the next start goes on where this was
            self._inbox.stop(self._announce.status("offline", self._clock.now_us()))
            self._log.close()
            raise
        self._end()

    def _end(self) -> None:
        """End all sessions in order."""
        self._health.end()
        try:
            at_us = self._clock.now_us()
            self._pending += self._pipeline.finish(at_us)
            self._pending += [
                CheckpointRecord(station.id, station.session, at_us, None)
                for station in self._pipeline.stations.values()
            ]
            self._flush()
            self._inbox.acknowledge()
            self._tell_actions()
        finally:
            self._inbox.stop(self._announce.status("stopped", self._clock.now_us()))
            try:
                self._log.write([], self._sent())
            finally:
                self._log.close()

    def _round(self) -> None:
        """Take what has come, infer what is complete, make it durable, tell it."""
        begun_s = time.monotonic()
        stamped = list(self._inbox.take(WAIT_S, self._most))
        taken_s = time.monotonic()
        self._health.waiting()
        self._follow_clock()
        base_us = self._clock.base_us
        taken = [
            Message(one.topic, one.payload, one.received_us + base_us, one.retained)
            for one in stamped
        ]
        pings = []
        for message in taken:
            if message.topic.startswith(self._request):
                pings.append(message)
            else:
                self._pipeline.push(message)
        now_us = self._clock.now_us()
        self._pending += self._pipeline.advance(now_us)
        worked_s = time.monotonic() - taken_s
        self._most = most_messages(self._most, worked_s)
        has_changed = self._health.is_overloaded(taken_s - begun_s, worked_s, now_us)
        if has_changed:
            self._spare()
        is_due = self._pace.due(time.monotonic(), self._inbox.waiting, len(taken)) or bool(pings)
        is_due = is_due or has_changed  # what comes of it must not come without it
        if is_due:
            self._pending += self._checkpoints()
        self._flush()
        if is_due:
            self._inbox.acknowledge()
            self._pace.done(time.monotonic())
        if taken:
            self._health.durable.add((self._clock.now_us() - taken[0].received_us) / 1e6)
        self._tell_actions()
        for ping in pings:
            self._answer(ping)
        self._health.moved(self._clock.now_us())

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

    def _answer(self, ping: Message) -> None:
        """Answer a request; unknown ones are counted and dropped."""
        name = ping.topic.removeprefix(self._request)
        try:
            body = msgspec.json.decode(ping.payload)
            transaction = body["transaction"]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
            name, transaction = f"{name} without transaction", None
        if name != "ping":
            self._pipeline.complaints.add(
                ping.topic, f"request {name!r} is unknown, expected ping", ping.received_us
            )
            return
        self._publish(self._announce.pong(transaction, self._health.answer(self._clock.now_us())))

    def _publish_health(self) -> None:
        body = self._health.report(self._clock.now_us())
        self._health.said(body)
        self._publish(self._announce.health(body), retain=True)
