"""A board that reads its settings again while it works: by SIGHUP, or asked over MQTT."""

import contextlib
import hashlib
import itertools
import shutil
import signal
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge import bundle as bundles, config as configs
from edge.bundle import MANIFEST, Manifest
from edge.lanes import Lane
from edge.pipeline import Pipeline
from edge.records import SegmentRecord
from edge.site_models import load_models
from edge.station import Station
from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from sensor_adapters.topics import Message
from tests import live, restarts

pytestmark = [pytest.mark.broker]
RECORDING = open_recording("virtual:seed=303,boxes=1")
LENGTH_S = (RECORDING.span_us()[1] - RECORDING.span_us()[0]) / 1e6
SPEED = 40.0
BASE = f"act/v1/{live.SITE}/{live.NODE}"
QUEUE = "max_queued_messages 100000\nmax_inflight_messages 2000\n"


def site_text(port: int, bundles_of: dict[str, str], more: str = "") -> str:
    """Return a site's configuration: a bundle by station, all with the recording's devices."""
    devices = "".join(
        f'{name} = {{ adapter = "{d.adapter}", placement = "{d.placement}" }}\n'
        for name, d in RECORDING.devices.items()
    )
    stations = "".join(
        f'[stations.{id_}]\nbundles = ["{folder}"]\n[stations.{id_}.devices]\n{devices}'
        for id_, folder in bundles_of.items()
    )
    return (
        f'version = 1\nsite = "{live.SITE}"\nnode = "{live.NODE}"\n[broker]\nport = {port}\n'
        f'[log]\npath = "log.db"\n{more}{stations}'
    )


def trained_anew(folder: Path, name: str = "imu") -> Path:
    """Return a bundle that is like the shipped one and is another."""
    shutil.copytree(live.BUNDLES / "imu", folder / "anew")
    manifest = msgspec.json.decode((folder / "anew" / MANIFEST).read_bytes(), type=Manifest)
    recipe = {**manifest.recipe, "note": "a second time"}
    bundles.write(folder / "anew", msgspec.structs.replace(manifest, name=name, recipe=recipe))
    return folder / "anew"


class Asking:
    """Sends requests, and hears the answers."""

    def __init__(self, port: int) -> None:
        self._heard = live.Heard(port, f"{BASE}/#")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._port, self._count = port, 0

    def __enter__(self) -> "Asking":
        self._heard.__enter__()
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._heard.__exit__(*exc)

    def ask(self, name: str) -> str:
        """Send a request; return its transaction."""
        self._count += 1
        transaction = f"t{self._count}"
        body = msgspec.json.encode({"transaction": transaction})
        self._client.publish(f"{BASE}/request/{name}", body, qos=1).wait_for_publish(10)
        return transaction

    def answer(self, name: str, transaction: str) -> dict[str, Any]:
        """Wait for the answer to a request."""

        def answers() -> list[dict[str, Any]]:
            said = [body for topic, body in self._heard.said if topic.endswith(f"response/{name}")]
            return [body for body in said if body["transaction"] == transaction]

        self._heard.wait(lambda _: bool(answers()), f"an answer to {name}")
        return answers()[0]

    def reload(self) -> dict[str, Any]:
        return self.answer("reload", self.ask("reload"))

    def health(self, **fields: Any) -> dict[str, Any]:
        """Wait until the newest health's word on the configuration is this; return it."""

        def newest() -> dict[str, Any]:
            return self._heard.of("health")[-1]["config"] if self._heard.of("health") else {}

        self._heard.wait(lambda _: fields.items() <= newest().items(), f"health with {fields}")
        return newest()

    def actions(self, station: str) -> list[dict[str, Any]]:
        return self._heard.of(f"{station}/action")

    def wait_label(self, station: str) -> None:
        """Wait until it was said what is done there; at this speed a label may be passed over."""

        def is_said(_: object) -> bool:
            return any(body["label"] is not None for body in self.actions(station))

        self._heard.wait(is_said, f"a label of {station}")

    def wait_nothing(self, station: str) -> None:
        """Wait until nobody knows what is done there."""
        self._heard.wait(
            lambda _: [b["label"] for b in self.actions(station)][-1:] == [None],
            f"nothing of {station}",
        )


class Played(threading.Thread):
    """Sends the recording to stations, at some speed, and waits until all is durable."""

    def __init__(self, port: int, stations: list[str], speed: float = SPEED) -> None:
        super().__init__(daemon=True)
        self._port, self._stations, self._speed = port, stations, speed
        self.is_durable = False
        self.start()

    def run(self) -> None:
        with Publisher(f"127.0.0.1:{self._port}", live.SITE, live.NODE) as publisher:
            publisher.publish(iter(said_to(self._stations)), self._speed)
            self.is_durable = publisher.settle() is not None

    def wait(self) -> None:
        self.join(120)
        assert self.is_durable


def said_to(stations: list[str]) -> list[Any]:
    """Return the recording's messages to these stations, in the order of time."""
    said = [
        message
        for id_ in stations
        for message in messages(RECORDING, live.SITE, live.NODE, id_, f"boot-{id_}")
    ]
    return sorted(said, key=lambda one: one.at_us)


Row = tuple[str, str, int, int, str, float, float, str]


def rows(one: live.Board, station: str) -> list[Row]:
    """Return a station's rows as the log has them, with the hash of the model."""
    return one.query(
        "SELECT level, label, start_us, end_us, state, confidence, observed, model_sha256"
        f" FROM segments WHERE station = '{station}' ORDER BY level, start_us"
    )


def expected(site: Path, other: Path | None, station: str, from_us: int | None) -> list[Row]:
    """Return a station's rows of an undisturbed run, with another site from this time on."""
    config = configs.load(site)
    models = load_models(config)
    pipeline = Pipeline(config, models, {})
    (folder,) = config.stations[station].bundles
    sha256 = models[folder].bundle.sha256
    said: dict[str, Row] = {}

    def note(records: list[Any]) -> None:
        for r in records:
            if isinstance(r, SegmentRecord) and r.station == station:
                s = r.segment
                made_by = said[r.id][-1] if r.id in said else sha256
                said[r.id] = (s.level, s.label, s.start_us, s.end_us, s.state, s.confidence,
                              s.observed, made_by)  # fmt: skip

    for sent in said_to([station]):
        message = Message(sent.topic, sent.payload, sent.at_us)
        pipeline.push(message)
        note(pipeline.advance(message.received_us))
        one = pipeline.stations[station]
        delay_us = one.lanes[0].manifest.delay_steps * one.lanes[0].manifest.step_us
        if other is not None and one.complete_us - delay_us == from_us:
            config = configs.load(other)
            models, other = load_models(config), None
            note(pipeline.switch(config, models, {}, message.received_us))
            (folder,) = config.stations[station].bundles
            sha256 = models[folder].bundle.sha256
    note(pipeline.finish(message.received_us))
    return sorted(said.values(), key=lambda row: (row[0], row[2]))


@contextlib.contextmanager
def site(folder: Path, bundles_of: dict[str, str]) -> Iterator[tuple[live.Board, int]]:
    """Run a broker, and a board of this site."""
    with live.mosquitto(folder, more=QUEUE) as port:
        file = folder / "site.toml"
        file.write_text(site_text(port, bundles_of))
        with live.running(file, folder / "log.db", port) as one:
            yield one, port


def switched_us(found: list[Row], before: str) -> int | None:
    """Return where the model of this hash ends, if another follows."""
    if {row[-1] for row in found} == {before}:
        return None
    return max(row[3] for row in found if row[-1] == before)


def test_models_change_while_a_station_works_and_its_neighbour_does_not_notice(tmp_path):
    anew, imu = trained_anew(tmp_path, "imu-2"), live.BUNDLES / "imu"
    old = tmp_path / "old.toml"
    with site(tmp_path, {"pack-1": str(imu), "pack-2": str(imu)}) as (one, port):
        shutil.copy(one.site, old)
        with Asking(port) as asking:
            played = Played(port, ["pack-1", "pack-2"])
            asking.wait_label("pack-2")
            one.site.write_text(site_text(port, {"pack-1": str(imu), "pack-2": str(anew)}))
            said = asking.reload()
            assert said["status"] == "ok"
            assert said["data"]["stations"] == {
                "begun": [], "ended": [], "other_models": ["pack-2"], "other_settings": [],
                "untouched": ["pack-1"],
            }  # fmt: skip
            assert asking.health(error=None)["loaded_us"] > 0
            played.wait()
        assert one.stop() == 0
        first, second = rows(one, "pack-1"), rows(one, "pack-2")
        assert first == expected(old, None, "pack-1", None)
        from_us = switched_us(second, first[0][-1])
        assert from_us is not None
        assert second == expected(old, one.site, "pack-2", from_us)
        counts = one.query("SELECT station, sum(messages), sum(lost), max(session) FROM"
                           " device_states GROUP BY station")  # fmt: skip
        assert counts[0][1:] == counts[1][1:] == (len(said_to(["pack-1"])), 0, 1)
        assert one.query("SELECT name FROM models ORDER BY name") == [("imu",), ("imu-2",)]
        assert one.query("SELECT bundles FROM stations WHERE station = 'pack-2'") == [("imu-2",)]


@pytest.mark.fault("F52")
def test_a_broken_configuration_leaves_the_board_as_it_was_and_says_why(tmp_path):
    imu = str(live.BUNDLES / "imu")
    with site(tmp_path, {"pack-1": imu}) as (one, port), Asking(port) as asking:
        sound = one.site.read_text()
        loaded_us = asking.health(error=None)["loaded_us"]
        one.site.write_text(sound.replace("adapter", "adaptor", 1))
        one.process.send_signal(signal.SIGHUP)
        number = sound[: sound.index("adapter")].count("\n") + 1
        device = next(iter(RECORDING.devices))
        text = (
            f"site.toml:{number}: stations.pack-1.devices.{device}.adaptor is not a setting; did"
            " you mean adapter?"
        )
        assert asking.health(error=text)["loaded_us"] == loaded_us
        assert f"not reloaded: {text}" in one.said
        said = asking.reload()
        assert (said["status"], said["error"]) == ("error", text)
        moved = sound.replace(f"port = {port}", "port = 1\nusername = 'u'").replace(
            "log.db", "x.db"
        )
        one.site.write_text(moved + "[time]\nlateness_s = 1.0\n")
        error = asking.reload()["error"]
        assert "broker.port, broker.username, log.path found changed" in error
        assert "nothing was changed" in error
        one.site.unlink()
        assert "No such file" in asking.reload()["error"]
        one.site.write_text(sound + "[time]\nlateness_s = 1.0\n")
        said = asking.reload()
        changed = {"key": "time.lateness_s", "before": 2.0, "after": 1.0}
        assert (said["status"], said["data"]["settings"]) == ("ok", [changed])
        assert asking.health(error=None)["loaded_us"] > loaded_us
        assert one.process.poll() is None


@pytest.mark.fault("F48")
def test_a_damaged_model_is_refused_by_a_reload_and_the_old_one_works_on(tmp_path):
    anew = trained_anew(tmp_path)
    with site(tmp_path, {"pack-1": str(anew)}) as (one, port), Asking(port) as asking:
        model = anew / "model.tflite"
        content = model.read_bytes()
        model.write_bytes(content[:-100])
        assert "model.tflite: SHA-256 is" in asking.reload()["error"]
        model.unlink()
        assert "model.tflite is missing" in asking.reload()["error"]
        played = Played(port, ["pack-1"], speed=0)
        played.wait()
        assert one.stop() == 0
        model.write_bytes(content)
        assert rows(one, "pack-1") == expected(one.site, None, "pack-1", None)


def test_stations_begin_and_end_by_a_reload(tmp_path):
    imu = str(live.BUNDLES / "imu")
    with site(tmp_path, {"pack-1": imu, "pack-2": imu}) as (one, port), Asking(port) as asking:
        played = Played(port, ["pack-1", "pack-2"])
        asking.wait_label("pack-2")
        one.site.write_text(site_text(port, {"pack-1": imu, "pack-3": imu}))
        said = asking.reload()
        assert said["data"]["stations"]["begun"] == ["pack-3"]
        assert said["data"]["stations"]["ended"] == ["pack-2"]
        asking.wait_nothing("pack-2")
        ends = one.query(
            "SELECT state FROM segments WHERE station = 'pack-2' ORDER BY level, start_us"
        )
        assert ends[-1] == ("interrupted",)
        assert ("open",) not in ends
        assert one.query("SELECT station FROM checkpoints ORDER BY station") == [
            ("pack-1",), ("pack-3",),
        ]  # fmt: skip
        played.wait()
        Played(port, ["pack-3"], speed=0).wait()
        assert one.stop() == 0
        assert rows(one, "pack-1") == expected(one.site, None, "pack-1", None)
        assert len(rows(one, "pack-3")) == len(rows(one, "pack-1"))
        stations = one.query("SELECT station FROM stations ORDER BY station")
        assert stations == [("pack-1",), ("pack-2",), ("pack-3",)]


@pytest.mark.slow
def test_a_board_killed_around_a_reload_writes_the_rows_of_one_order_or_the_other(tmp_path):
    imu, was_taken = str(live.BUNDLES / "imu"), []
    shipped = bundles.load(live.BUNDLES / "imu").sha256
    for delay_s in (0.0, 0.02, 0.05, 0.1, 1.0):
        folder = tmp_path / str(delay_s)
        folder.mkdir()
        anew, old = trained_anew(folder), folder / "old.toml"
        with site(folder, {"pack-1": imu}) as (one, port):
            shutil.copy(one.site, old)
            with Asking(port) as asking:
                played = Played(port, ["pack-1"])
                asking.wait_label("pack-1")
                one.site.write_text(site_text(port, {"pack-1": str(anew)}))
                one.process.send_signal(signal.SIGHUP)
                time.sleep(delay_s)
                one.process.kill()
                one.process.wait(10)
                was_taken.append("reloaded: " in one.said)
                one.start()
                played.wait()
            assert one.stop() == 0, one.said
            found = rows(one, "pack-1")
            if shipped in {row[-1] for row in found}:
                from_us = switched_us(found, shipped)
                assert found == expected(old, one.site, "pack-1", from_us), one.said
            else:
                assert found == expected(one.site, None, "pack-1", None), one.said
            lost = one.query("SELECT sum(lost), sum(late), max(session) FROM device_states")
            assert lost == [(0, 0, 1)]
    print(was_taken)
    assert {was_taken[0], was_taken[-1]} == {False, True}, "before, and after"


@pytest.mark.slow
def test_models_that_went_leave_no_memory_behind_and_the_work_hardly_stands(tmp_path):
    def held_kb() -> int:
        status = Path(f"/proc/{one.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    imu, anew = str(live.BUNDLES / "imu"), str(trained_anew(tmp_path))
    with site(tmp_path, {"pack-1": imu}) as (one, port), Asking(port) as asking:
        played, held, stood_ms = Played(port, ["pack-1"], speed=15), [], []
        for number in range(16):
            one.site.write_text(site_text(port, {"pack-1": (anew, imu)[number % 2]}))
            said = asking.reload()
            assert said["data"]["stations"]["other_models"] == ["pack-1"]
            stood_ms.append(said["data"]["switch_ms"])
            held.append(held_kb())
        print(held, stood_ms, said["data"]["load_s"])
        assert held[-1] - held[5] < 1500
        played.wait()
        assert one.stop() == 0
        found = rows(one, "pack-1")
        ends = sorted((row[2], row[3]) for row in found if row[0] == "operation")
        assert all(end == start for (_, end), (start, _) in itertools.pairwise(ends))


def test_unknown_requests_are_answered_with_those_that_are_known(tmp_path):
    imu = str(live.BUNDLES / "imu")
    with site(tmp_path, {"pack-1": imu}) as (one, port), Asking(port) as asking:
        said = asking.answer("reboot", asking.ask("reboot"))
        assert said["status"] == "error"
        assert said["error"] == "request 'reboot' is unknown, expected ping or reload"
        assert said["data"]["known"] == ["ping", "reload"]
        assert one.stop() == 0


# --- a checkpoint that the program fails of ---


def spoilt(db: Path) -> None:
    """Make of the checkpoint one that is taken up and fails at the first step."""
    with contextlib.closing(sqlite3.connect(db)) as one:
        (content,) = one.execute("SELECT content FROM checkpoints").fetchone()
        saved = msgspec.msgpack.decode(content)
        state = msgspec.msgpack.decode(zlib.decompress(saved["state"]))
        (lane,) = state[Station.LASTING.index("lanes")][1]
        array = lane[1][Lane.LASTING.index("state")]
        array[2], array[3] = [7], bytes(28)  # another model's
        saved["state"] = zlib.compress(msgspec.msgpack.encode(state))
        saved["sum"] = hashlib.blake2b(saved["state"], digest_size=16).digest()
        one.execute("UPDATE checkpoints SET content = ?", (msgspec.msgpack.encode(saved),))
        one.commit()


def test_a_checkpoint_with_which_the_program_fails_again_and_again_is_given_up(tmp_path):
    imu = str(live.BUNDLES / "imu")
    with site(tmp_path, {"pack-1": imu}) as (one, port):
        said = said_to(["pack-1"])
        with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
            publisher.publish(iter(said[: len(said) // 2]), 0)
            assert publisher.settle() is not None
            one.process.kill()
            one.process.wait(10)
            spoilt(one.db)
            publisher.publish(iter(said[len(said) // 2 :]), 0)
            for _ in range(3):
                one.start()
                assert one.process.wait(60) == 1
            assert one.said.count("Traceback") == 3
            assert one.query("SELECT starts FROM checkpoints") == [(3,)]
            one.start()
            assert publisher.settle() is not None
        assert "began with it 3 times and ended before the first step" in one.said
        assert one.stop() == 0
        ends = one.query("SELECT session, state, count(*) FROM segments GROUP BY 1, 2")
        assert ("open" in {state for _, state, _ in ends}) is False
        assert (1, "interrupted") in {end[:2] for end in ends}
        assert {session for session, *_ in ends} == {1, 2}
        assert one.query("SELECT sum(lost) FROM device_states WHERE session = 2") == [(0,)]


def test_a_board_that_is_killed_while_nothing_comes_keeps_its_checkpoint(tmp_path):
    imu = str(live.BUNDLES / "imu")
    with site(tmp_path, {"pack-1": imu}) as (one, port):
        said = said_to(["pack-1"])
        with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
            publisher.publish(iter(said[: len(said) // 2]), 0)
            assert publisher.settle() is not None
            for number in range(5):
                one.process.kill()
                one.process.wait(10)
                one.start()
                end_s = time.monotonic() + live.START_S
                while one.said.count("running") < number + 2:
                    assert time.monotonic() < end_s, one.said
                    time.sleep(0.05)
            publisher.publish(iter(said[len(said) // 2 :]), 0)
            assert publisher.settle() is not None
        assert one.said.count("going on from where") == 5
        assert one.stop() == 0
        assert rows(one, "pack-1") == expected(one.site, None, "pack-1", None)


@pytest.mark.slow
@pytest.mark.fault("F54")
def test_restarts_in_a_row_leave_the_same_rows_and_nothing_grows(tmp_path):
    golden, found = (restarts.restarted(tmp_path / str(count), count) for count in (0, 8))
    assert found["rows"] == golden["rows"]
    assert found["lost_late_rejected_sessions"] == (0, 0, 0, 1)
    same = [*restarts.TABLES, "tracebacks"]
    assert [found[name] for name in same] == [golden[name] for name in same]
    assert found["log_bytes"] <= golden["log_bytes"] + 8 * 4096
