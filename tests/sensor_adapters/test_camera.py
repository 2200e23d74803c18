"""The whole camera, as it runs: films and a network camera, real models, a real broker, a board."""

import json
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from sensor_adapters import pose
from sensor_adapters.cameras.grabber import Frame, Newest, Pace
from tests import live
from tests.live import Heard

pytest.importorskip("cv2", reason="the extra camera is not installed")
pytest.importorskip("onnxruntime", reason="the extra camera is not installed")
pytest.importorskip("onnx", reason="the extra export is not installed")

from sensor_adapters.cameras.pose_model import has_provider
from tests.sensor_adapters import camera_scene as scene
from tests.sensor_adapters.camera_scene import camera, settings
from tests.sensor_adapters.rtsp_camera import RtspCamera

S = 1_000_000
START_US = 1_767_254_400_000_000
TWO = (
    "[stations.pack-1]\nzone = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]\n"
    "[stations.pack-2]\nzone = [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]\n"
)
FILM = f'file = "film.avi"\nstart_us = {START_US}'


def rows(bodies) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) times and (N, 62) values of payloads, none of which is missing."""
    samples = [pose.decode("cam", json.dumps(body).encode()) for body in bodies]
    assert len({one.boot for one in samples}) == 1
    seqs = [one.seq for one in samples if one.seq is not None]
    assert seqs == list(range(1, len(seqs) + 1)), "0 is the birth"
    times_us = np.concatenate([one.time_us for one in samples])
    return times_us, np.concatenate([one.values for one in samples])


def wait_for_end(heard: Heard) -> None:
    """Wait until the last that a camera's process says was heard."""
    heard.wait(
        lambda said: any(
            topic.endswith("/camera-cam/status") and body["state"] == "stopped"
            for topic, body in said
        ),
        "its end",
    )


def points(values: np.ndarray) -> np.ndarray:
    """Return (N, 17, 2) px."""
    found: np.ndarray = values[:, 5:56].reshape(-1, 17, 3)[:, :, :2] * (scene.WIDTH, scene.HEIGHT)
    return found


@pytest.mark.broker
@pytest.mark.slow
def test_two_people_in_a_film_arrive_at_their_stations_and_nobody_as_nobody(tmp_path):
    walks = {
        scene.RED: lambda i: (10 + 1.5 * i, 60),  # stays left of the middle
        scene.BLUE: lambda i: (270 - 1.5 * i, 100) if i < 30 else None,  # stays right, then leaves
    }
    scene.film(tmp_path / "film.avi", 60, walks)
    scene.one_stage(tmp_path / "one.onnx")
    with live.mosquitto(tmp_path) as port, Heard(port) as heard:
        text = settings(port, FILM, stations=TWO)
        with camera(tmp_path, text, "--all") as one:
            assert one.process.wait(60) == 0, one.said
        wait_for_end(heard)
        left, right = (heard.of(f"/{name}/in/pose/cam") for name in ("pack-1", "pack-2"))
        ends = [body["state"] for body in heard.of("/pack-2/in/status/cam")]
        states = [body["state"] for body in heard.of("/camera-cam/status")]
        health = heard.of("/camera-cam/health")[-1]
    expected_us = START_US + np.arange(60) * S // 20
    for bodies, walk in ((left, walks[scene.RED]), (right, walks[scene.BLUE])):
        times_us, values = rows(bodies)
        assert np.abs(times_us - expected_us).max() <= 1
        corners = [walk(i) for i in range(60)]
        assert (values[:, 0] == [corner is not None for corner in corners]).all()
        true = np.stack([scene.truth(corner) for corner in corners if corner is not None])
        assert np.abs(points(values[values[:, 0] == 1]) - true).max() < 4
    assert ends == ["online", "stopped"]
    assert states[-1] == "stopped"
    assert "offline" not in states
    assert (health["frames"], health["looked_at"], health["dropped"]) == (60, 60, 0)
    assert health["provider"].startswith("onnx (")
    assert health["inference_ms"] > 0
    assert health["outbox"] == {"waiting": 0, "dropped": 0}
    kept = {path.name for path in tmp_path.iterdir()} - {"mosquitto.conf", "mosquitto.log"}
    assert kept == {
        "film.avi", "one.onnx", "camera.toml", "camera.log", "camera-outbox.db",
    }, "no image is stored"  # fmt: skip


@pytest.mark.broker
@pytest.mark.slow
def test_frames_for_which_a_slow_model_has_no_time_are_dropped_and_counted(tmp_path):
    scene.film(tmp_path / "film.avi", 100, {scene.RED: lambda i: (10 + 2 * i, 60)})
    scene.one_stage(tmp_path / "one.onnx", slow=6)
    with live.mosquitto(tmp_path) as port, Heard(port) as heard:
        text = settings(port, FILM + "\nrate_hz = 0")
        with camera(tmp_path, text) as one:
            start_s = time.monotonic()
            assert one.process.wait(60) == 0, one.said
            took_s = time.monotonic() - start_s
        wait_for_end(heard)
        times_us, values = rows(heard.of("/pack-1/in/pose/cam"))
        health = heard.of("/camera-cam/health")[-1]
    assert health["frames"] == 100
    assert health["dropped"] > 0
    assert health["looked_at"] + health["dropped"] == 100
    assert len(times_us) == health["looked_at"]
    assert took_s < 30, "it keeps up with a film of 5 s"
    # each is where it was when its frame was taken, not when the model had time
    frame = np.round((times_us - START_US) / 50_000)
    true = np.stack([scene.truth((10 + 2 * i, 60)) for i in frame])
    assert np.abs(points(values) - true).max() < 4


@pytest.mark.broker
@pytest.mark.slow
def test_frames_of_which_the_model_says_nan_are_left_out_and_never_nobody(tmp_path):
    walks = {
        scene.RED: lambda i: (30, 60),
        scene.GREEN: lambda i: (200, 60) if 15 <= i < 25 else None,
    }
    scene.film(tmp_path / "film.avi", 40, walks)
    scene.one_stage(tmp_path / "one.onnx", nan_when_green=True)
    with live.mosquitto(tmp_path) as port, Heard(port) as heard:
        with camera(tmp_path, settings(port, FILM), "--all") as one:
            assert one.process.wait(60) == 0, one.said
        wait_for_end(heard)
        times_us, values = rows(heard.of("/pack-1/in/pose/cam"))
        health = heard.of("/camera-cam/health")[-1]
        said = one.said
    frames = np.round((times_us - START_US) / 50_000).astype(int).tolist()
    assert frames == [*range(15), *range(25, 40)]
    assert (values[:, 0] == 1).all()
    assert health["not_numbers"] == 10
    assert said.count("no number") == 1


@pytest.mark.broker
@pytest.mark.slow
def test_a_film_that_was_cut_off_gives_what_is_in_it_and_says_so(tmp_path):
    film = scene.film(tmp_path / "film.avi", 60, {scene.RED: lambda i: (30, 60)})
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    scene.one_stage(tmp_path / "one.onnx")
    with live.mosquitto(tmp_path) as port, Heard(port) as heard:
        with camera(tmp_path, settings(port, FILM), "--all") as one:
            assert one.process.wait(60) == 0, one.said
        wait_for_end(heard)
        times_us, values = rows(heard.of("/pack-1/in/pose/cam"))
        said = one.said
    assert 20 <= len(times_us) < 40
    assert (values[:, 0] == 1).all()
    assert f"ends after {len(times_us)} frames, expected the 60" in said


@pytest.mark.broker
@pytest.mark.slow
def test_a_network_camera_that_goes_away_and_comes_back_is_opened_again(tmp_path):
    film = scene.film(tmp_path / "film.ts", 1500, {scene.RED: lambda i: (10 + i % 250, 60)}, 25.0)
    scene.one_stage(tmp_path / "one.onnx")
    (tmp_path / "secret").write_text("gehe:im\n")
    shown = RtspCamera(film, 60.0, who="viewer:gehe:im")
    source = f'url = "{shown.url}"\nusername = "viewer"\npassword_file = "secret"'
    with live.mosquitto(tmp_path) as port, Heard(port) as heard:
        with camera(tmp_path, settings(port, source)) as one:
            one.wait_said("trying again")
            with shown:
                heard.wait_for("/in/pose/cam", 5)
            one.wait_said("gone")
            before = len(heard.of("/in/pose/cam"))
            with shown:
                heard.wait_for("/in/pose/cam", before + 5)
                now_us = time.time_ns() // 1000
                assert one.stop() == 0, one.said
        wait_for_end(heard)
        times_us, values = rows(heard.of("/in/pose/cam"))
        health = heard.of("/camera-cam/health")[-1]
        ends = [body["state"] for body in heard.of("/in/status/cam")]
        said = one.said
    assert health["reopened"] == 1
    assert shown.turned_away > 0, "it wanted a password"
    assert (np.diff(times_us) > 0).all()
    assert abs(int(times_us[-1]) - now_us) < 10 * S
    assert (values[:, 0] == 1).all()
    assert ends == ["online", "stopped"]
    for words, often in (("trying again", 1), ("gone", 1), ("there", 2), ("geh", 0), ("rtsp:", 0)):
        assert said.count(words) == often, said


@pytest.mark.broker
@pytest.mark.slow
def test_from_a_film_to_rows_of_the_boards_log(tmp_path):
    walks = {scene.RED: lambda i: (30 + i % 80, 60) if i < 150 else None}
    scene.film(tmp_path / "film.avi", 300, walks)
    scene.one_stage(tmp_path / "one.onnx")
    with live.mosquitto(tmp_path) as port:
        site = tmp_path / "site.toml"
        site.write_text(live.site_of(port, "camera", {"cam": ("pose", "bench")}))
        with live.running(site, tmp_path / "solosense.db", port) as edge, Heard(port) as heard:
            with camera(tmp_path, settings(port, FILM), "--all") as one:
                assert one.process.wait(60) == 0, one.said
            wait_for_end(heard)
            end_s = time.monotonic() + 60
            while not (ended := edge.query("SELECT 1 FROM segments WHERE level = 'action'")):
                assert time.monotonic() < end_s, edge.said
                time.sleep(0.1)
            assert edge.stop() == 0
            spans = edge.query(
                "SELECT min(start_us), max(end_us), avg(observed) FROM segments"
                " WHERE level = 'operation'"
            )
            seen = edge.query("SELECT device, lost, rejected, late FROM device_states")
    assert ended
    assert seen == [("cam", 0, 0, 0)]
    ((start_us, end_us, observed),) = spans
    assert start_us <= START_US + S
    assert end_us >= START_US + 14 * S
    assert observed > 0.9


@pytest.mark.broker
@pytest.mark.slow
def test_without_a_broker_what_was_seen_is_kept_for_it(tmp_path):
    scene.film(tmp_path / "film.avi", 40, {scene.RED: lambda i: (30, 60)})
    scene.one_stage(tmp_path / "one.onnx")
    port = live.free_port()
    with camera(tmp_path, settings(port, FILM), "--all") as one:
        assert one.process.wait(60) == 0, one.said
        assert "they are kept" in one.said
    with live.mosquitto(tmp_path, port), Heard(port) as heard:
        with camera(tmp_path, settings(port, FILM), "--all") as one:
            assert one.process.wait(60) == 0, one.said
        heard.wait_for("/in/status/cam", 4)
        bodies = heard.of("/in/pose/cam")
    by_boot = [[b for b in bodies if b["boot"] == boot] for boot in {b["boot"] for b in bodies}]
    assert [len(rows(some)[0]) for some in by_boot] == [40, 40]


# --- what is refused ---


def refused(folder, text: str, *options: str) -> str:
    """Return what a camera's process says that does not start."""
    with camera(folder, text, *options) as one:
        assert one.process.wait(60) == 2, one.said
        assert one.said.startswith("error: "), one.said
        assert one.said.count("\n") == 1, one.said
        return one.said


@pytest.mark.parametrize(
    ("source", "model", "stations", "words"),
    [
        ('file = "none.avi"', "", "", "none.avi', expected a video file that is there"),
        ('file = "text.avi"', "", "", "text.avi: found nothing that OpenCV can open, expected a"),
        ('file = "film.avi"\ndevice = "/dev/video0"', "", "", "source is 'file and device',"),
        ('url = "rtsp://me:pw@cam/1"', "", "", "source.url holds a name or password, expected"),
        ('url = "cam"', "", "", "source.url is 'cam', expected an address"),
        ('file = "film.avi"', 'pose = "none.onnx"', "", "expected an ONNX file that is there"),
        ('file = "film.avi"', 'pose = "other.onnx"', "", "found outputs dets (1, 3, 5) and heat"),
        ('file = "film.avi"', 'pose = "one.onnx"\nprovider = "gpu"', "", "expected one of auto,"),
        ('file = "film.avi"', 'pose = "one.onnx"\nprovidr = "cpu"', "", "did you mean provider?"),
        ('file = "film.avi"', "", "[stations.a]\nzone = [[0, 0], [0.5, 2], [1, 0]]", "0 to 1"),
        ('file = "film.avi"', "", "[stations.a]\nzone = [[0, 0], [1, 1]]", "three corners or"),
        ('file = "film.avi"', "", "[stations.a]\nzone = [1, 2]", "a list of pairs of numbers"),
        ('file = "film.avi"', "", "[stations.A]", "stations 'A' is not an id"),
    ],
)  # fmt: skip
def test_a_wrong_setting_stops_the_start_in_one_line(tmp_path, source, model, stations, words):
    scene.film(tmp_path / "film.avi", 3, {})
    (tmp_path / "text.avi").write_text("this is no film\n" * 100)
    scene.one_stage(tmp_path / "one.onnx")
    scene.one_stage(tmp_path / "other.onnx", name="heatmaps")
    said = refused(tmp_path, settings(1, source, model or 'pose = "one.onnx"', stations))
    assert words in said
    assert "pw" not in said.split("holds a name or password")[0]


def test_every_frame_of_a_live_camera_is_no_promise(tmp_path):
    scene.one_stage(tmp_path / "one.onnx")
    text = settings(1, 'device = "/dev/video-none"')
    assert "--all is for a file" in refused(tmp_path, text, "--all")


def test_a_check_says_what_the_first_frame_shows_and_sends_nothing(tmp_path):
    scene.film(tmp_path / "film.avi", 10, {scene.RED: lambda i: (30, 60)})
    scene.one_stage(tmp_path / "one.onnx")
    with camera(tmp_path, settings(1, FILM, stations=TWO), "--check", "--json") as one:
        assert one.process.wait(60) == 0, one.said
        found = json.loads(one.said)
    assert found["picture"] == "320 x 240 px"
    assert found["people"] == 1
    assert found["stations"] == {"pack-1": "a person", "pack-2": "nobody"}
    assert not (tmp_path / "camera-outbox.db").exists()


def test_a_file_is_checked_without_its_camera(tmp_path):
    file, nowhere = tmp_path / "camera-door.toml", 'url = "rtsp://192.0.2.7/1"'
    scene.one_stage(tmp_path / "one.onnx")
    command = [sys.executable, "-m", "sensor_adapters", "check", str(file)]
    cuda = settings(1883, nowhere, 'pose = "one.onnx"\nprovider = "cuda"')
    for text, rc, words in (
        (cuda, 0, "is fine") if has_provider("cuda") else (cuda, 2, "or auto"),
        (settings(1883, nowhere), 0, "is fine; onnx (CPU) runs one.onnx"),
        (settings(1883, nowhere, 'pose = "two.onnx"'), 2, "two.onnx"),
        (settings(1883, nowhere, 'pos = "one.onnx"'), 2, "camera-door.toml:12: model.pos"),
        (settings(1883, nowhere).replace("[source]", "[sourc]"), 2, "sourc is not a setting"),
    ):
        file.write_text(text)
        done = subprocess.run(command, capture_output=True, text=True, cwd=live.ROOT, timeout=60)
        assert done.returncode == rc, done.stderr
        assert words in done.stdout + done.stderr


def test_the_bench_looks_at_as_many_frames_as_it_says(tmp_path):
    scene.film(tmp_path / "film.avi", 30, {scene.RED: lambda i: (30, 60)})
    scene.one_stage(tmp_path / "one.onnx")
    with camera(tmp_path, settings(1, FILM), "--bench", "20", "--json") as one:
        assert one.process.wait(60) == 0, one.said
        found = json.loads(one.said)
    assert found["frames"] == 20
    assert found["fps"] > 0
    assert found["share"] == pytest.approx(found["fps"] / found["bare_fps"], abs=0.01)


# --- which frames ---


def test_a_picture_that_comes_before_the_last_was_taken_takes_its_place():
    newest, image = Newest(), np.zeros((1, 1, 3), np.uint8)
    assert newest.take(0) is None
    for time_us in (1, 2, 3):
        newest.put(Frame(image, time_us))
    found = newest.take(0)
    assert found is not None
    assert found.time_us == 3
    assert newest.dropped == 2
    assert newest.take(0) is None


@pytest.mark.parametrize("rate_hz", [25.0, 29.97, 30.0, 60.0])
def test_the_pace_is_kept_whatever_the_cameras_rate_and_jitter(rate_hz):
    rng = np.random.default_rng(7)
    pace = Pace(15.0)
    times_us = (np.arange(3000) / rate_hz * S + rng.normal(0, 2000, 3000)).astype(int)
    taken = [int(t) for t in times_us if pace.takes(int(t))]
    span_s = (taken[-1] - taken[0]) / S
    assert (len(taken) - 1) / span_s == pytest.approx(15.0, rel=0.02)
    assert max(b - a for a, b in pairwise(taken)) < 2 * S / 15 + S / rate_hz


def test_all_frames_of_a_slow_camera_are_taken_and_time_may_jump():
    pace = Pace(15.0)
    assert all(pace.takes(i * S // 10) for i in range(100))
    assert pace.takes(5000 * S)
    assert pace.takes(100 * S), "the clock was set back"
