"""Other settings or models while a station works: what stays goes on, what ends ends once."""

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edge import bundle as bundles, checkpoint, config as configs
from edge.config import SiteConfig
from edge.engine import open_engine
from edge.going_on import go_on
from edge.inference import Model
from edge.pipeline import Pipeline
from edge.records import (
    CheckpointRecord,
    DeviceRecord,
    GapRecord,
    Record,
    SegmentRecord,
    SwitchRecord,
)
from edge.site_models import made_of, start_records
from edge.sqlite_log import SqliteLog
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages, site_toml
from sensor_adapters.topics import Message
from tests import live

S = 1_000_000
BOX = open_recording("virtual:seed=7,boxes=1")
RECORDING = BOX.between(BOX.span_us()[0], BOX.span_us()[0] + 90 * S)
SAID = [
    Message(sent.topic, sent.payload, sent.at_us)
    for sent in messages(RECORDING, live.SITE, live.NODE, live.STATION, "b")
]
HALF = len(SAID) // 2
MODELS = {
    str(live.BUNDLES / name): Model(
        loaded := bundles.load(live.BUNDLES / name), open_engine(loaded)
    )
    for name in ("imu", "camera", "iot")
}
Board = tuple[SiteConfig, dict[str, Model]]


def board(folder: Path, *names: str, failover: bool = False, **times: float) -> Board:
    """Return a site of one station with these bundles."""
    site = folder / "site.toml"
    folders = [str(live.BUNDLES / name) for name in names]
    site.write_text(
        site_toml(
            RECORDING, folders, "127.0.0.1:1", "x.db", live.SITE, live.NODE, live.STATION,
            failover=failover,
        )
    )  # fmt: skip
    config = msgspec.structs.replace(configs.load(site), time=configs.Time(**times))
    return config, {one: MODELS[one] for one in folders}


def trained_anew(board: Board, name: str) -> Board:
    """Return a site whose model of that name is another."""
    config, models = board
    folder = str(live.BUNDLES / name)
    bundle = models[folder].bundle
    other = msgspec.structs.replace(bundle.manifest, seal="another")
    bundle = replace(bundle, manifest=other, text=msgspec.json.encode(other))
    return config, {**models, folder: Model(bundle, models[folder].engine)}


def rows(
    before: Board, after: Board | None = None, at: int = HALF, said: list[Message] = SAID
) -> tuple[Pipeline, list[Record]]:
    """Return what a run says that is given other settings at this message."""
    pipeline, found = Pipeline(*before, {}), []
    for index, message in enumerate(said):
        pipeline.push(message)
        found += pipeline.advance(message.received_us)
        if index == at and after is not None:
            found += pipeline.switch(*after, {"pack-2": 1}, message.received_us)
    return pipeline, [*found, *pipeline.finish(said[-1].received_us)]


def ended(found: list[Record], bundle: str = "imu", level: str = "operation") -> list[tuple]:
    """Return start, end and state of a model's segments."""
    return [
        (r.segment.start_us, r.segment.end_us, r.segment.state)
        for r in found
        if isinstance(r, SegmentRecord)
        and (r.bundle, r.segment.level) == (bundle, level)
        and r.segment.state != "open"
    ]


def spans(found: list[Record], bundle: str = "imu") -> list[tuple]:
    """Return from when to when a model's segments follow each other."""
    joined: list[list[int]] = []
    for start_us, end_us, _ in sorted(ended(found, bundle)):
        assert not joined or start_us >= joined[-1][1], "two segments at one time"
        if joined and start_us == joined[-1][1]:
            joined[-1][1] = end_us
        else:
            joined.append([start_us, end_us])
    return [tuple(one) for one in joined]


@pytest.mark.parametrize("at", [0, 7, HALF, len(SAID) - 1])
@pytest.mark.parametrize("failover", [False, True])
def test_a_station_of_which_nothing_changes_says_what_it_would_have_said(tmp_path, at, failover):
    one = board(tmp_path, "imu", "iot", failover=failover)
    golden, again = rows(one), rows(one, one, at)
    assert again[1] == golden[1]


@pytest.mark.parametrize("at", [7, HALF])
@pytest.mark.parametrize("failover", [False, True])
def test_models_that_stay_go_on_under_other_settings(tmp_path, at, failover):
    one = board(tmp_path, "imu", "iot", failover=failover)
    patient = board(tmp_path, "imu", "iot", failover=failover, silence_s=40.0)
    _, found = rows(one, patient, at)
    assert found == rows(one)[1]
    dropped = msgspec.structs.replace(
        one[0].stations[live.STATION],
        devices={k: d for k, d in one[0].stations[live.STATION].devices.items() if k != "camera"},
    )
    fewer = msgspec.structs.replace(one[0], stations={live.STATION: dropped})
    _, found = rows(one, (fewer, one[1]), at)
    segments = [r for r in found if isinstance(r, SegmentRecord)]
    assert segments == [r for r in rows(one)[1] if isinstance(r, SegmentRecord)]


def test_another_model_begins_where_the_one_before_it_ends_and_no_step_is_left_out(tmp_path):
    one = board(tmp_path, "imu", "iot")
    golden, found = rows(one)[1], rows(one, trained_anew(one, "imu"))[1]
    assert [s for *_, s in ended(golden)].count("interrupted") == 1
    assert [s for *_, s in ended(found)].count("interrupted") == 2
    assert spans(found) == spans(golden)
    assert spans(found, "iot") == spans(golden, "iot")
    assert ended(found, "iot") == ended(golden, "iot"), "a model that stays does not notice"
    assert not [r for r in found if isinstance(r, GapRecord)]
    devices = [replace(r, status="") for r in golden if isinstance(r, DeviceRecord)]
    assert [replace(r, status="") for r in found if isinstance(r, DeviceRecord)] == devices


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("imu",), ("imu", "iot")),
        (("imu", "iot"), ("imu",)),
        (("imu", "iot"), ("iot", "imu")),
    ],
)
def test_models_come_and_go_beside_one_that_stays(tmp_path, before, after):
    golden = rows(board(tmp_path, "imu"))[1]
    found = rows(board(tmp_path, *before), board(tmp_path, *after))[1]
    assert ended(found) == ended(golden)


def test_several_models_get_one_voice_and_lose_it(tmp_path):
    apart, one = board(tmp_path, "imu", "iot"), board(tmp_path, "imu", "iot", failover=True)
    golden = spans(rows(apart)[1])
    joined = rows(apart, one)[1]
    ((first_us, until_us),), ((from_us, last_us),) = spans(joined), spans(joined, "imu>iot")
    assert (first_us, last_us) == golden[0]
    assert until_us == from_us
    parted = rows(one, apart)[1]
    ((first_us, until_us),), ((from_us, last_us),) = spans(parted, "imu>iot"), spans(parted)
    assert (first_us, last_us) == golden[0]
    assert until_us == from_us
    voice = rows(one, trained_anew(one, "iot"))[1]
    assert spans(voice, "imu>iot") == golden
    heard = [(r.before, r.after) for r in voice if isinstance(r, SwitchRecord)]
    assert heard[-2:] == [("", "imu"), ("imu", "imu+iot")]


def quiet(from_s: int, to_s: int) -> list[Message]:
    """Return what was said but for some seconds of silence."""
    begin_us = RECORDING.span_us()[0]
    return [m for m in SAID if not from_s * S <= m.received_us - begin_us < to_s * S]


@pytest.mark.parametrize("failover", [False, True])
def test_a_gap_goes_on_beyond_the_model_that_saw_it_begin(tmp_path, failover):
    one = board(tmp_path, "imu", failover=False)
    if failover:
        one = board(tmp_path, "imu", "camera", failover=True)
    said = quiet(30, 70)
    at = next(i for i, m in enumerate(said) if m.received_us >= RECORDING.span_us()[0] + 70 * S)
    pipeline, found = Pipeline(*one, {}), []
    for index, message in enumerate(said):
        if index == at:
            for second in range(31, 69):  # nobody speaks; time goes on by the wall clock
                found += pipeline.advance(RECORDING.span_us()[0] + second * S)
            pipeline.stations[live.STATION].timeline.complete(RECORDING.span_us()[0] + 65 * S)
            found += pipeline.advance(message.received_us)
            found += pipeline.switch(*trained_anew(one, "imu"), {}, message.received_us)
        pipeline.push(message)
        found += pipeline.advance(message.received_us)
    found += pipeline.finish(said[-1].received_us)
    gaps: dict[int, int | None] = {}
    for record in found:
        if isinstance(record, GapRecord):
            gaps[record.start_us] = record.end_us
    (first_us, middle_us), (from_us, last_us) = sorted(gaps.items())
    assert middle_us == from_us
    assert last_us is not None
    assert (last_us - first_us) / S == pytest.approx(40, abs=3)


def test_stations_begin_and_end_while_others_work(tmp_path):
    one = board(tmp_path, "imu")
    two = {live.STATION: one[0].stations[live.STATION], "pack-2": one[0].stations[live.STATION]}
    both = msgspec.structs.replace(one[0], stations=two), one[1]
    other = msgspec.structs.replace(one[0], stations={"pack-2": two["pack-2"]}), one[1]
    golden = rows(one)[1]
    pipeline, found = rows(one, both)
    assert found == golden
    assert [*pipeline.stations] == [live.STATION, "pack-2"]
    pipeline, found = rows(one, other)
    assert [*pipeline.stations] == ["pack-2"]
    assert [state for *_, state in ended(found)][-1] == "interrupted"
    assert pipeline.refused == len(SAID) - HALF - 1
    assert any(isinstance(r, DeviceRecord) for r in found)


Written = list[tuple]


def killed(folder: Path, before: Board, after: Board, at: int, until: int) -> Written:
    """Return the log of a run that saved itself at a message, said more, and was killed.

    Then it was started with other settings, and told again what came behind the checkpoint.
    """
    log = SqliteLog(folder / "killed.db")
    pipeline = Pipeline(*before, {})
    log.write(start_records(*before, 0))
    whole = made_of(before[0], live.STATION, before[1])
    for index, message in enumerate(SAID[: until + 1]):
        pipeline.push(message)
        log.write([*pipeline.advance(message.received_us), *pipeline.open_segments()])
        if index == at:
            station = pipeline.stations[live.STATION]
            saved = checkpoint.content(station, whole)
            log.write([CheckpointRecord(live.STATION, station.session, 0, saved)])
    pipeline = Pipeline(*after, {})
    wholes = {live.STATION: made_of(after[0], live.STATION, after[1])}
    log.write([*go_on(pipeline, log, wholes, SAID[at].received_us), *start_records(*after, 1)])
    for message in SAID[at + 1 :]:
        pipeline.push(message)
        log.write(pipeline.advance(message.received_us))
    log.write(pipeline.finish(SAID[-1].received_us))
    log.close()
    return written(folder / "killed.db")


def reloaded(folder: Path, before: Board, after: Board, at: int) -> Written:
    """Return the log of a run that is given other settings at a message."""
    log = SqliteLog(folder / "reloaded.db")
    log.write(start_records(*before, 0))
    pipeline = Pipeline(*before, {})
    for index, message in enumerate(SAID):
        pipeline.push(message)
        log.write(pipeline.advance(message.received_us))
        if index == at:
            log.write(pipeline.switch(*after, {}, message.received_us))
            log.write(start_records(*after, 1))
    log.write(pipeline.finish(SAID[-1].received_us))
    log.close()
    return written(folder / "reloaded.db")


def written(path: Path) -> Written:
    with contextlib.closing(sqlite3.connect(path)) as one:
        return [
            *one.execute(
                "SELECT bundle, model_sha256, session, level, label, start_us, end_us, confidence,"
                " observed, state FROM segments ORDER BY bundle, level, start_us"
            ),
            *one.execute("SELECT * FROM gaps ORDER BY bundle, start_us"),
            *one.execute("SELECT * FROM switches ORDER BY bundle, at_us"),
            *one.execute("SELECT * FROM device_states ORDER BY device"),
        ]


CHANGES: dict[str, Callable[[Path], tuple[Board, Board]]] = {
    "another model": lambda p: (one := board(p, "imu", "iot"), trained_anew(one, "imu")),
    "one voice": lambda p: (board(p, "imu", "iot"), board(p, "imu", "iot", failover=True)),
    "no voice": lambda p: (board(p, "imu", "iot", failover=True), board(p, "imu")),
    "another voice": lambda p: (
        one := board(p, "imu", "iot", failover=True), trained_anew(one, "iot"),
    ),
    "another lateness": lambda p: (board(p, "imu"), board(p, "imu", lateness_s=4.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("at", [0, HALF])
@pytest.mark.parametrize("more", [0, 200])
def test_a_start_with_other_settings_writes_what_a_reload_would_have_written(
    tmp_path, name, at, more
):
    before, after = CHANGES[name](tmp_path)
    found = killed(tmp_path, before, after, at, at + more)
    assert found == reloaded(tmp_path, before, after, at)
    assert len(found) > 10
