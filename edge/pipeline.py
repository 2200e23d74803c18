"""Messages in, records out: the only room that knows the others. No I/O, no thread, no clock.

``push`` takes a message as it came; ``advance`` infers every step that is complete, all stations
of one model in one call, and returns what the log and the broker shall hear of it.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from edge.complaints import Complaints
from edge.config import SiteConfig
from edge.devices import DeviceState
from edge.handover import hand_over
from edge.health.streams import Streams
from edge.inference import Inference, Model
from edge.records import ClockRecord, Record, UnsyncedRecord
from edge.station import Refused, Station
from edge.station_records import of_change, of_devices, of_lane, of_open, of_relay
from edge.timeline import NEVER_US
from edge.voices import Now
from sensor_adapters.payloads import DeviceStatus, brief, decode as decode_header
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import InTopic, Message, TopicError, base, parse_in

log = logging.getLogger(__name__)
STATUS = "status"
MOST_PASSED_US = 5_000_000  # between two calls of advance; more is a clock that was set, or sleep
MOST_SAID = 400  # characters of a stranger's text in a warning
_status_decoder = msgspec.json.Decoder(DeviceStatus)


@dataclass(frozen=True)
class BoardTime:
    """How the board's clock stands."""

    is_synced: bool = True
    boot_id: str = ""
    """Of the board's start."""
    base_us: int = 0
    """UTC less the time since that start."""


class Pipeline:
    """All stations of one board."""

    def __init__(
        self, config: SiteConfig, models: dict[str, Model], sessions: dict[str, int]
    ) -> None:
        """``models`` by bundle folder, ``sessions`` the number each station starts with."""
        self._config = config
        self._models, self._changed = models, set[str]()
        self.stations: dict[str, Station] = {}
        for id_ in config.stations:
            self.begin(id_, sessions.get(id_, 1))
        self.complaints = Complaints()
        self.inference = Inference(models.values(), self.complaints)
        self.streams = Streams()
        """How each device's messages come in."""
        self.messages = 0
        self.refused = 0
        """Messages that were dropped, for whatever reason but repetition."""
        self._counted = Counter[str]()  # of sessions that ended
        self._ended: list[Record] = []
        self._now_us = 0
        self._advanced_us: int | None = None
        self.board = BoardTime()
        """Told by whoever looks at the clock."""
        self._doubted = dict[str, int]()  # session that was said to be unsynced, by station

    def begin(self, id_: str, session: int) -> None:
        """Let a station begin with nothing heard."""
        station = self._config.stations[id_]
        manifests = [self._models[folder].bundle.manifest for folder in station.bundles]
        time, limits = self._config.time, self._config.limits
        self.stations[id_] = Station(id_, station, manifests, time, session, limits)

    def switch(
        self, config: SiteConfig, models: dict[str, Model], sessions: dict[str, int], now_us: int
    ) -> list[Record]:
        """Take other settings and models between two steps; return what that ends.

        Stations of which nothing changes are left as they are; of others go on session, devices,
        timeline and the models that stay. ``sessions``: of stations that are new.
        """
        self._now_us, before = now_us, self.stations
        for id_, station in before.items():
            if id_ not in config.stations and station.timeline.newest_us != NEVER_US:
                self._end_session(station)
        records, self._ended = self._ended, []
        had, self.stations = (self._config, self._models), {}
        self._config, self._models = config, models
        self.inference.use(models.values())
        for id_ in config.stations:
            if id_ not in before:
                self.begin(id_, sessions[id_])
            elif _made_of(id_, *had) == _made_of(id_, config, models):
                self.stations[id_] = before[id_]
                before[id_].limit(config.limits)
            else:
                records += self.hand_over(before[id_], now_us)
        self._changed &= config.stations.keys()
        return records

    def hand_over(self, old: Station, now_us: int) -> list[Record]:
        """Let a station go on with the present settings and models; return what that ends."""
        self._now_us = now_us
        self.begin(old.id, old.session)
        new, level = self.stations[old.id], old.spared
        old.spare(0)  # what was left out ends, and begins again behind
        records = [
            record for lane in old.lanes for record in of_lane(old, lane, lane.advance(), now_us)
        ]
        records += [
            of_change(new, left.bundle, left.modality, change, now_us)
            for left in hand_over(old, new)
            for change in left.changes
        ]
        new.spare(level)
        new.limit(self._config.limits)
        self._counted.update(_counts(old))  # of the devices that are no more
        return [*records, *of_devices(old)]

    def note_changed(self, ids: Iterable[str]) -> None:
        """Take it that there is something new of these stations."""
        self._changed.update(ids)

    def changed(self) -> list[Station]:
        """Return the stations that were told something since last asked."""
        ids, self._changed = self._changed, set()
        return [station for id_, station in self.stations.items() if id_ in ids]

    def spare(self, level: int) -> None:
        """Leave out work for want of time, see ``Station.spare``; all stations count as changed.

        Comes after ``advance``, before any other message.
        """
        for id_, station in self.stations.items():
            station.spare(level)
            self._changed.add(id_)

    # --- messages in ---

    def push(self, message: Message) -> None:
        """Take one message; what can not be used is counted, said once, and dropped."""
        self.messages += 1
        self._now_us = message.received_us
        try:
            topic = self._route(message)
        except TopicError as error:
            self._refuse(message.topic, str(error))
            return
        self._changed.add(topic.station)
        station = self.stations[topic.station]
        device = station.devices[topic.device]
        try:
            if message.retained and topic.kind == STATUS:
                return  # a birth or will from before our time; the next reading tells
            if message.retained:
                raise Refused("a retained payload is old news, expected a live one")
            if len(message.payload) > self._config.limits.payload_bytes:
                raise Refused(
                    f"payload of {len(message.payload)} bytes, expected at most"
                    f" {self._config.limits.payload_bytes} (limits.payload_bytes)"
                )
            if topic.kind not in (device.adapter, STATUS):
                raise Refused(f"topic is of kind {topic.kind!r}, expected {device.adapter}")
            if topic.kind == STATUS:
                self._status(station, device, message)
            else:
                self._samples(station, device, message)
        except DecodeError as error:
            device.rejected += 1
            self._refuse(f"{topic.station}/{topic.device}", f"{topic.station}: {error}")
        except Refused as error:
            device.rejected += 1
            who = f"{topic.station}/{topic.device}"
            self._refuse(who, f"{who}: {error}")

    def _route(self, message: Message) -> InTopic:
        """Return the topic's parts if it is one of our devices'.

        Raises:
            TopicError: another form, another board's, no station or device of that name.
        """
        topic = parse_in(message.topic)
        ours = (self._config.site, self._config.node)
        if (topic.site, topic.node) != ours:
            raise TopicError(
                f"topic {message.topic!r} is another board's, expected {base(*ours)}/…"
            )
        station = self.stations.get(topic.station)
        if station is None:
            known = ", ".join(self.stations)
            raise TopicError(f"station {topic.station!r} is not configured, expected {known}")
        if topic.device not in station.devices:
            known = ", ".join(station.devices)
            raise TopicError(
                f"{topic.station}: device {topic.device!r} is not configured, expected {known}"
            )
        return topic

    def _refuse(self, key: str, text: str) -> None:
        self.refused += 1
        self.complaints.add(key[:MOST_SAID], text[:MOST_SAID], self._now_us)

    def _samples(self, station: Station, device: DeviceState, message: Message) -> None:
        who, restarts = f"{station.id}/{device.device}", device.restarts
        was_undecided = station.is_undecided
        samples = station.decode(device, message.payload, message.received_us)
        if samples is None:
            return
        if device.restarts > restarts:
            self.complaints.add(
                f"restart {who}",
                f"{who}: seq ran back to {samples.seq} while its time went on,"
                f" expected another boot than {brief(samples.boot)} after a restart",
                self._now_us,
            )
        if station.starts_anew(samples, message.received_us):
            log.info("%s: time begins anew; session %d ends", station.id, station.session)
            has_leapt = station.has_leapt
            self._end_session(station)
            if has_leapt:
                self._ended.append(self._clock(station, "follows"))
            device = station.devices[device.device]
        elif was_undecided and station.has_stayed and not station.is_undecided:
            self._ended.append(self._clock(station, "differs"))
        self.streams.heard(station.id, samples, message.received_us)
        if late := station.add(device, samples):
            behind_s = (station.timeline.watermark_us - int(samples.time_us[0])) / 1e6
            self.complaints.add(
                f"late {who}",
                f"{who}: {late} readings came {behind_s:.1f} s after their time was closed,"
                f" expected within {self._config.time.lateness_s:g} s; they were left out",
                self._now_us,
            )

        if station.is_by_board and not self.board.is_synced:
            self._doubt(station)

    def _doubt(self, station: Station) -> None:
        """Say once that nothing vouches for a session's times."""
        if self._doubted.get(station.id) != station.session:
            self._doubted[station.id] = station.session
            board = self.board
            self._ended.append(
                UnsyncedRecord(station.id, station.session, board.boot_id, board.base_us)
            )

    def _clock(
        self, station: Station, what: Literal["follows", "differs", "synced"]
    ) -> ClockRecord:
        return ClockRecord(station.id, self.board.boot_id, self.board.base_us, what)

    def leapt(self, by_us: int, now_us: int) -> None:
        """Take note that the board's clock was set; ``now_us`` by the new one."""
        if self._advanced_us is not None:
            self._advanced_us += by_us
        for station in self.stations.values():
            station.leapt(by_us, now_us)

    def synced(self) -> None:
        """Take note that the board's clock is found to be right."""
        self._doubted.clear()
        self._ended += [
            self._clock(station, "synced")
            for station in self.stations.values()
            if not station.is_undecided
        ]

    def _status(self, station: Station, device: DeviceState, message: Message) -> None:
        status = decode_header(_status_decoder, device.device, message.payload)
        if status.state == "offline":  # a will: written before the device could know its number
            if status.boot != device.boot:
                return  # of a start before this one, and late
            device.messages += 1
        elif not device.is_new(status.boot, status.seq):
            return
        station.allow(device)
        device.status = status.state
        if status.state != "online" and station.is_over:
            self._end_session(station)

    # --- steps through the models ---

    def advance(self, now_us: int) -> list[Record]:
        """Infer all complete steps; return what changed, oldest first."""
        self._now_us = now_us
        records, self._ended = self._ended, []
        due = []
        passed_us = now_us - (now_us if self._advanced_us is None else self._advanced_us)
        self._advanced_us = now_us
        for station in self.stations.values():
            station.pass_time(min(max(passed_us, 0), MOST_PASSED_US))
            if station.is_due:
                due.append(station)
        records += self.inference.run(due, now_us)
        for station in due:
            records += self._turns(station)
            station.forget()
        return records

    # --- records out ---

    def _turns(self, station: Station) -> list[Record]:
        """Return what changes by all that the models of a station that take turns have said."""
        if station.relay is None:
            return []
        changes = station.relay.decide(station.complete_steps)
        return of_relay(station, station.relay, changes, self._now_us)

    def _end_session(self, station: Station) -> None:
        """Infer what is left of a station's session, end what is open, and begin the next."""
        station.complete()
        self._ended += self.inference.run([station], self._now_us)
        for lane in station.lanes:
            lane.drain()
        self._ended += self.inference.run([station], self._now_us)
        for lane in station.lanes:
            self._ended += of_lane(station, lane, lane.finish(), self._now_us)
        if station.relay is not None:
            self._ended += of_relay(station, station.relay, station.relay.finish(), self._now_us)
        self._ended += of_devices(station)
        self._counted.update(_counts(station))
        station.next_session()

    def finish(self, now_us: int) -> list[Record]:
        """End all sessions: the board stops."""
        self._now_us = now_us
        for station in self.stations.values():
            if station.timeline.newest_us != NEVER_US:
                self._end_session(station)
        records, self._ended = self._ended, []
        return records

    def counts(self) -> dict[str, int]:
        """Return lost, late and duplicated since the start, over all sessions."""
        total = Counter(self._counted)
        for station in self.stations.values():
            total.update(_counts(station))
        return dict(total)

    def open_segments(self) -> list[Record]:
        """Return the segments that go on, as far as committed."""
        return [
            record
            for station in self.stations.values()
            for record in of_open(station, self._now_us)
        ]

    def now(self) -> dict[str, tuple[str, list[Now]]]:
        """Return the provisional labels by station, of its first model or of all with one voice."""
        return {
            station.id: (station.relay.name, station.relay.now)
            if station.relay
            else (station.lanes[0].manifest.name, station.lanes[0].now)
            for station in self.stations.values()
        }


def _made_of(id_: str, config: SiteConfig, models: dict[str, Model]) -> object:
    """Return what a station's work depends on."""
    station = config.stations[id_]
    return station, config.time, [models[folder].bundle.manifest for folder in station.bundles]


def _counts(station: Station) -> dict[str, int]:
    """Return what went wrong with a station's devices in this session."""
    devices = station.devices.values()
    return {name: sum(getattr(d, name) for d in devices) for name in ("lost", "late", "duplicated")}
