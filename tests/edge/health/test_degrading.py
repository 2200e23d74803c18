"""A board that is too slow, with a clock of its own: models cost seconds that do not pass here."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edge import checkpoint
from edge.config import DeviceConfig, SiteConfig, Station, Time
from edge.health.load import MOST_MESSAGES, Heard, Load, most_messages
from edge.inference import Model
from edge.pipeline import Pipeline
from edge.records import CheckpointRecord
from edge.site_models import load_models, made_of, start_records
from edge.sqlite_log import SqliteLog
from edge.timeline import NEVER_US
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from sensor_adapters.topics import Message
from tests.live import BUNDLES, NODE, SITE, STATION

S = 1_000_000
SHIFT = open_recording("virtual:seed=7,boxes=3")
NOW_US = 1_790_000_000 * S
Cost = Callable[[float], float]
"""Seconds that a call takes, by the seconds since the start."""


class Slow:
    """An engine that takes its time, on the test's clock."""

    def __init__(self, board: "Board", engine, cost: Cost) -> None:
        self._board, self._engine, self._cost, self.name = board, engine, cost, engine.name

    def infer(self, tensors):
        self._board.now_s += self._cost(self._board.now_s)
        return self._engine.infer(tensors)


class Board:
    """The service's loop without its threads: messages when they are due, all else as it does."""

    def __init__(self, db: Path, costs: dict[str, Cost], *, failover: bool = False) -> None:
        self.now_s = 0.0
        devices = {
            name: DeviceConfig(adapter=d.adapter, placement=d.placement)
            for name, d in SHIFT.devices.items()
        }
        bundles = tuple(str(BUNDLES / name) for name in costs)
        station = Station(bundles=bundles, failover=failover, devices=devices)
        self._config = SiteConfig(
            version=1, site=SITE, node=NODE, stations={STATION: station}, time=Time(lateness_s=2.0)
        )
        accepted = load_models(self._config)
        self._models = {
            folder: Model(m.bundle, Slow(self, m.engine, costs[m.bundle.manifest.name]))
            for folder, m in accepted.items()
        }
        self._whole = made_of(self._config, STATION, self._models)
        self._db = db
        self._start()

    def _start(self) -> None:
        self.log = SqliteLog(self._db)
        self.pipeline = Pipeline(self._config, self._models, {})
        if saved := self.log.checkpoint(STATION):
            checkpoint.resume(self.station, saved, self._whole)
        self.log.write(start_records(self._config, self._models, NOW_US))
        self.load = Load(self.station.levels, self.station.spared)
        self._kept: list[Message] = []  # by the broker

    @property
    def station(self):
        return self.pipeline.stations[STATION]

    def kill(self) -> list[Message]:
        """Start anew from the log alone; return what the broker sends again."""
        self.log.close()
        kept = self._kept
        self._start()
        return kept

    def play(self, sent: list[Sent], *, speed: float = 1, until=lambda board: False) -> list[Sent]:
        """Take messages when they come; return those that were not taken when ``until`` held."""
        first_us = sent[0].at_us if sent else 0
        begun_s, saved_s, most = self.now_s, self.now_s, MOST_MESSAGES
        while sent and not until(self):
            due_us = first_us + round((self.now_s - begun_s) * speed * S)
            count = sum(1 for one in sent[:most] if one.at_us <= due_us)
            if not count:
                self.now_s += 0.2
                self._round([], 0.2)
                continue
            taken, sent = sent[:count], sent[count:]
            before_s = self.now_s
            self._round([self._received(one) for one in taken], 0.0)
            most = most_messages(most, self.now_s - before_s)
            if self.now_s - saved_s > 5:
                saved_s = self.now_s
                self._save()
        return sent

    def _received(self, one: Sent) -> Message:
        return Message(one.topic, one.payload, self._wall_us, False)

    @property
    def _wall_us(self) -> int:
        return NOW_US + round(self.now_s * S)

    def _round(self, taken: list[Message], waited_s: float) -> None:
        begun_s = self.now_s
        self._kept += taken
        for message in taken:
            self.pipeline.push(message)
        self.log.write(self.pipeline.advance(self._wall_us))
        self.load.round(waited_s, self.now_s - begun_s)
        one = self.station
        heard = [Heard(one.id, one.session, one.timeline.newest_us)]
        heard = [one for one in heard if one.newest_us != NEVER_US]
        if self.load.judge(self.now_s, self._wall_us, heard):
            self.pipeline.spare(self.load.level)
            self._save()

    def _save(self) -> None:
        at = self.station.session, self._wall_us
        self.pipeline.changed()
        saved = checkpoint.content(self.station, self._whole)
        self.log.write([CheckpointRecord(STATION, *at, saved)])
        self._kept.clear()

    def end(self) -> None:
        self.log.write(self.pipeline.finish(self._wall_us))

    def query(self, sql: str) -> list[tuple]:
        with closing(sqlite3.connect(self._db)) as reader:
            return reader.execute(sql).fetchall()

    def segments(self, bundle: str) -> list[tuple]:
        return self.query(
            "SELECT level, label, start_us, end_us, confidence, observed, state FROM segments"
            f" WHERE bundle = '{bundle}' ORDER BY level, start_us"
        )

    def gaps(self) -> list[tuple]:
        return self.query("SELECT bundle, reason, start_us, end_us FROM gaps ORDER BY start_us")


def shift(first_us: int = NOW_US) -> list[Sent]:
    """Return the recording's messages as if it began then."""
    off_us = first_us - SHIFT.span_us()[0]
    moved = replace(
        SHIFT, samples=tuple(replace(s, time_us=s.time_us + off_us) for s in SHIFT.samples)
    )
    return list(messages(moved, SITE, NODE, STATION, "b"))


def quick(now_s: float) -> float:
    return 0.01


def steady(cost_s: float) -> Cost:
    return lambda now_s: cost_s


def slow_at_first(now_s: float) -> float:
    return 1.5 if now_s < 45 else 0.01


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Board:
    board = Board(tmp_path_factory.mktemp("calm") / "log.db", {"imu": quick, "camera": quick})
    board.play(shift())
    board.end()
    assert not board.gaps()
    return board


def overlap(segments: list[tuple], start_us: int, end_us: int) -> list[tuple]:
    return [s for s in segments if s[2] < end_us and s[3] > start_us]


def test_the_camera_pauses_first_and_returns_and_the_wrist_is_not_touched(tmp_path, undisturbed):
    board = Board(tmp_path / "log.db", {"imu": quick, "camera": slow_at_first})
    board.play(shift())
    board.end()
    ((bundle, reason, start_us, end_us),) = board.gaps()
    assert (bundle, reason) == ("camera", "degraded")
    assert end_us - start_us > 60 * S, "it returns after a calm minute, not before"
    assert board.segments("imu") == undisturbed.segments("imu")
    seen = board.segments("camera")
    assert not overlap(seen, start_us, end_us), "nothing is claimed where nothing was looked at"
    calm = undisturbed.segments("camera")
    closed = [s for s in calm if s[3] < start_us - 10 * S and s[6] == "closed"]
    assert closed
    assert set(closed) <= set(seen), "before it, the rows are those of a quick board"
    assert any(s[2] >= end_us for s in seen), "it is heard again"
    assert board.load.times == 1


def test_a_kill_while_it_is_paused_leads_to_the_same_rows(tmp_path, undisturbed):
    board = Board(tmp_path / "log.db", {"imu": quick, "camera": slow_at_first})
    rest = board.play(shift(), until=lambda one: one.load.level == 1)
    assert not board.kill(), "all before it was acknowledged"
    assert board.station.spared == board.load.level == 1
    assert board.station.lanes[1].is_paused, "the checkpoint was written with the decision"
    rest = board.play(rest, until=lambda one: len(one._kept) > 20)
    again = [Sent(m.received_us, m.topic, m.payload) for m in board.kill()]
    board.play([*again, *rest])
    board.end()
    ((bundle, reason, start_us, end_us),) = board.gaps()
    assert (bundle, reason) == ("camera", "degraded")
    assert end_us is None or end_us > start_us
    assert board.segments("imu") == undisturbed.segments("imu")
    assert not overlap(board.segments("camera"), start_us, end_us or 2**62)


@pytest.mark.parametrize("failover", [False, True])
def test_what_is_still_too_slow_looks_at_every_second_step(tmp_path, failover):
    def heavy(now_s: float) -> float:
        return 1.3 if now_s < 120 else 0.01

    board = Board(tmp_path / "log.db", {"imu": heavy, "camera": heavy}, failover=failover)
    board.play(shift(), until=lambda one: one.load.level == 2)
    reached_s = board.now_s
    board = Board(tmp_path / "whole.db", {"imu": heavy, "camera": heavy}, failover=failover)
    board.play(shift())
    board.end()
    reasons = {(bundle, reason) for bundle, reason, _, _ in board.gaps() if reason != "silent"}
    assert reasons == {("camera", "degraded"), ("imu", "hop")}
    (hop,) = [gap for gap in board.gaps() if gap[1] == "hop"]
    assert reached_s < 100
    assert hop[3] is not None, "it ends"
    seen = board.segments("imu>camera" if failover else "imu")
    inside = [s for s in seen if s[2] >= hop[2] and s[3] <= hop[3]]
    assert inside, "segments go on"
    for level in {s[0] for s in seen}:
        ends = [(s[2], s[3]) for s in seen if s[0] == level]
        assert all(a[1] <= b[0] for a, b in pairwise(ends)), "none overlap"
    observed = sum(s[5] * (s[3] - s[2]) for s in inside) / sum(s[3] - s[2] for s in inside)
    assert 0.3 < observed < 0.6, "and say that half of it was looked at"


def test_replays_of_the_past_and_replays_at_speed_are_left_alone(tmp_path):
    week_us = 7 * 86_400 * S
    for name, first_us, speed, cost_s in (
        ("of the past, on a board slower than its time", NOW_US - week_us, 1, 1.5),
        ("at speed, on a board slower than its sender", NOW_US, 20, 0.4),
    ):
        board = Board(tmp_path / f"{speed}.db", {"imu": quick, "camera": steady(cost_s)})
        board.play(shift(first_us), speed=speed)
        assert (board.load.level, board.load.times) == (0, 0), name


def test_a_station_with_cameras_alone_never_loses_its_last_model(tmp_path):
    board = Board(tmp_path / "log.db", {"camera": lambda _: 1.5})
    board.play(shift(), until=lambda one: one.load.level > 0)
    assert board.load.level == 2
    assert not board.station.lanes[0].is_paused
    assert board.station.lanes[0].is_hopping
