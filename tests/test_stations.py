"""Several stations on one board: they share calls of a model, and nothing else."""

import signal

import pytest

from edge import bundle as bundles
from edge.config import DeviceConfig, SiteConfig, Station
from edge.engine import open_engine
from edge.inference import Model
from edge.pipeline import Pipeline
from edge.records import Record, SegmentRecord
from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from sensor_adapters.topics import Message
from tests import live

RECORDINGS = {f"pack-{i}": f"virtual:seed={310 + i},boxes=1" for i in range(3)}
NAMES = ("imu", "iot")


def run(stations: list[str], order: str) -> dict[str, list[tuple]]:
    """Send stations' recordings to one pipeline; return each station's ended segments."""
    recordings = {id_: open_recording(RECORDINGS[id_]) for id_ in stations}
    folders = tuple(str(live.BUNDLES / name) for name in NAMES)
    config = SiteConfig(
        version=1,
        site="s",
        node="n",
        stations={
            id_: Station(
                bundles=folders,
                devices={
                    name: DeviceConfig(adapter=d.adapter, placement=d.placement)
                    for name, d in one.devices.items()
                },
            )
            for id_, one in recordings.items()
        },
    )
    loaded = {
        folder: bundles.load(live.BUNDLES / name)
        for folder, name in zip(folders, NAMES, strict=True)
    }
    models = {folder: Model(one, open_engine(one)) for folder, one in loaded.items()}
    pipeline = Pipeline(config, models, {})
    sent: list[tuple[float, int, Sent]] = []
    for number, (id_, one) in enumerate(recordings.items()):
        start_us, _ = one.span_us()
        for message in messages(one, "s", "n", id_, f"boot-{id_}"):
            at = (message.at_us - start_us) / 1e6 if order == "together" else number
            sent.append((at, len(sent), message))
    records: list[Record] = []
    for number, (_, _, message) in enumerate(sorted(sent)):
        pipeline.push(Message(message.topic, message.payload, message.at_us))
        if number % 40 == 0:
            records += pipeline.advance(0)
    records += pipeline.finish(0)
    assert pipeline.refused == 0
    found: dict[str, list[tuple]] = {id_: [] for id_ in stations}
    for r in records:
        if isinstance(r, SegmentRecord) and r.segment.state != "open":
            found[r.station].append((r.bundle, r.segment))
    return {id_: sorted(rows, key=repr) for id_, rows in found.items()}


@pytest.mark.parametrize("order", ["together", "one after the other"])
def test_a_stations_rows_are_the_same_alone_and_among_others(order):
    together = run(list(RECORDINGS), order)
    for id_ in RECORDINGS:
        assert len(together[id_]) > 20
        assert together[id_] == run([id_], order)[id_]


@pytest.mark.broker
def test_a_killed_board_is_offline_by_its_will_and_goes_on_even_if_it_is_set_otherwise(tmp_path):
    recording = open_recording("virtual:seed=303,boxes=1")
    start_us, _ = recording.span_us()
    half = recording.between(start_us, start_us + 40_000_000)
    folders = [live.BUNDLES / "imu"]
    with live.mosquitto(tmp_path) as port:
        with (
            live.Heard(port, f"act/v1/{live.SITE}/{live.NODE}/status") as status,
            live.board(tmp_path, port, half, folders) as board,
        ):
            assert status.wait_newest(state="online")
            with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
                sent = messages(half, live.SITE, live.NODE, live.STATION, "b")
                publisher.publish((m for m in sent if b'"stopped"' not in m.payload), 0)
                publisher.settle()
            open_rows = "SELECT count(*) FROM segments WHERE state = 'open'"
            assert board.query(open_rows)[0][0] > 0
            board.process.send_signal(signal.SIGKILL)
            assert status.wait_newest(state="offline")
        with live.board(tmp_path, port, half, folders) as board:
            assert board.query(open_rows)[0][0] > 0
            assert "going on from where the last run was cut off" in board.said
            board.process.send_signal(signal.SIGKILL)
            board.process.wait(10)
            site = board.site
        site.write_text(site.read_text() + "[time]\nlateness_s = 3.0\n")
        with live.running(site, tmp_path / "log.db", port) as board:
            assert board.query(open_rows)[0][0] > 0
            assert "goes on with other settings" in board.said
            assert "left open" not in board.said
            assert board.stop() == 0
            assert board.query(open_rows) == [(0,)]
            assert board.query("SELECT DISTINCT session FROM segments") == [(1,)]
