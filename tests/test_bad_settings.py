"""A wrong setting stops the start with exit code 2 and words that say what to write instead."""

import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from paho.mqtt import publish
from typer.testing import CliRunner

from edge import bundle as bundles
from edge.bundle import MANIFEST, REFERENCE, Manifest, Quantization
from edge.engine import OnnxEngine
from sensor_adapters.publisher import Publisher
from tests import live
from tests.edge import models

SITE = """
version = 1
site = "osaka"
node = "board-1"

[broker]
port = {port}

[stations.pack-1]
bundles = ["bundle"]

[stations.pack-1.devices]
imu-rw = {{ adapter = "imu", placement = "right_wrist" }}
scan = {{ adapter = "event", placement = "scanner" }}
drawer = {{ adapter = "state", placement = "drawer" }}
"""
FREE_PORT = live.free_port()
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}


class Said(NamedTuple):
    """What a program left behind."""

    code: int
    out: str
    err: str


def called(program: str, *arguments: object) -> Said:
    """Run one of our programs in this process: what it does not refuse itself fails the test."""
    app = importlib.import_module(f"{program}.__main__").app
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return Said(result.exit_code, result.stdout, result.stderr)


def spawned(module: str, *arguments: object) -> Said:
    """Run one of our programs as a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=live.ROOT, env=ENV, timeout=60, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


def refused(code: int, said: Said) -> str:
    """Return what a program that refuses says on stderr; it says it once, and nothing else.

    Beside it, it may say on what a model computes.
    """
    assert said.code == code, said.out + said.err
    assert said.out == ""
    lines = said.err.splitlines(keepends=True)
    rest = [line for line in lines if not line.startswith("WARNING edge.engine: ")]
    assert len(rest) == 1, said.err
    assert rest[0].startswith("error: ")
    return rest[0]


# --- a bundle small enough to make here: its model only means and adds ---


def write_model(path: Path) -> None:
    """Write an ONNX model of the manifest's tensors whose answers follow its inputs."""
    onnx = pytest.importorskip("onnx", reason="needs the extra `export`")
    from onnx import TensorProto, helper

    def tensor(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    nodes = [
        helper.make_node("ReduceMean", ["imu"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["imu_observed"], ["seen"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["seen", "last"], ["boundary"]),
        helper.make_node("Concat", ["mean", "boundary"], ["logits"], axis=1),
        helper.make_node("Softmax", ["logits"], ["p_operation"], axis=1),
        helper.make_node("Sum", ["state", "in_use", "in_use_observed"], ["state_out"]),
    ]
    inputs = [tensor("imu", 10, 2), tensor("imu_observed", 10, 2)]
    inputs += [tensor(name, 2) for name in ("in_use", "in_use_observed", "state")]
    outputs = [tensor("p_operation", 3), tensor("boundary", 1), tensor("state_out", 2)]
    last = helper.make_tensor("last", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "means", inputs, outputs, [last])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))


def reference(model: Path, manifest: Manifest) -> dict[str, Any]:
    """Return three steps of inputs, and what the model answers to them."""
    rng = np.random.default_rng(7)
    shapes = {"imu": (10, 2), "imu_observed": (10, 2), "in_use": (2,), "in_use_observed": (2,)}
    given = {name: rng.random((3, *shape)).astype(np.float32) for name, shape in shapes.items()}
    given["state"] = np.zeros((3, 2), np.float32)
    engine, state, answers = OnnxEngine(model, manifest), given["state"][:1], []
    for step in range(3):
        one = {name: value[step : step + 1] for name, value in given.items()}
        answers.append(engine.infer({**one, "state": state}))
        state = answers[-1]["state"]
    out = {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}
    return {f"in.{n}": v for n, v in given.items()} | {f"out.{n}": v for n, v in out.items()}


@pytest.fixture(scope="session")
def sound_bundle(tmp_path_factory) -> Path:
    """Return a bundle that an engine accepts."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    folder.mkdir()
    quantization = {"onnx": Quantization(scheme="float32", tolerance=1e-5)}
    manifest = models.manifest(quantization=quantization)
    write_model(folder / "model.onnx")
    np.savez(folder / REFERENCE, **reference(folder / "model.onnx", manifest))
    bundles.write(folder, manifest)
    return folder


@pytest.fixture
def home(tmp_path, sound_bundle) -> Path:
    """Return a folder with a bundle and a configuration of it, all as it should be."""
    shutil.copytree(sound_bundle, tmp_path / "bundle")
    (tmp_path / "site.toml").write_text(SITE.format(port=FREE_PORT))
    return tmp_path


def edited(home: Path, old: str, new: str) -> Path:
    """Return the site's file with one text replaced by another."""
    file = home / "site.toml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    return file


def test_the_settings_that_these_tests_spoil_are_sound(home):
    done = called("edge", "check", home / "site.toml")
    assert done.code == 0, done.err
    assert "site.toml is fine" in done.out
    assert "not reached now" in done.out


# --- the site's file; what `check` says of all that can be wrong with it: test_broken_sites.py ---


def test_run_stops_at_the_same_words_as_check(home):
    file = edited(home, "imu-rw = { adapter", "imu-rw = { adaptor")
    assert refused(2, spawned("edge", "run", file)) == refused(2, called("edge", "check", file))
    assert not (home / "solosense.db").exists()


def test_a_password_file_that_is_missing_is_refused(home):
    file = edited(home, "[broker]", '[broker]\nusername = "u"\npassword_file = "nope.txt"')
    for said in (called("edge", "check", file), spawned("edge", "run", file)):
        text = refused(2, said)
        assert "broker.password_file" in text
        assert "nope.txt" in text


# --- bundles ---


@pytest.mark.parametrize("name", ["model.onnx", REFERENCE])
def test_a_bundle_with_one_changed_byte_is_refused(home, name):
    file = home / "bundle" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    said = refused(2, called("edge", "check", home / "site.toml"))
    assert f"{name}: SHA-256 is" in said
    assert "copy the bundle again" in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"format_version": 1', '"format_version": 9', "format_version is 9, expected 1"),
        ('"format_version"', '"format_versiom"', "format_versiom"),
        ('"name": "test",', '"name": "test"', "manifest.json"),
        ('"state_size": 2', '"state_size": "2"', "state_size"),
        ('"rate_hz": 10', '"rate_hz": 10.5', "rate_hz"),
        ('"reset_after_us": 10000000', '"reset_after_us": 10000001', "seal is"),
    ],
)
def test_a_damaged_manifest_is_refused(home, old, new, says):
    file = home / "bundle" / MANIFEST
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))
    assert says in refused(2, called("edge", "check", home / "site.toml"))


def test_a_bundle_that_lacks_a_file_is_refused(home):
    (home / "bundle" / REFERENCE).unlink()
    assert f"{REFERENCE} is missing" in refused(2, called("edge", "check", home / "site.toml"))


def test_a_model_that_answers_other_than_its_reference_is_refused(home):
    folder = home / "bundle"
    with np.load(folder / REFERENCE) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    arrays["out.p_operation"] = arrays["out.p_operation"] + np.float32(0.25)
    np.savez(folder / REFERENCE, **arrays)
    raw = (folder / MANIFEST).read_bytes()
    bundles.write(folder, msgspec.json.decode(raw, type=Manifest))
    said = refused(2, called("edge", "check", home / "site.toml"))
    assert "answers its reference 0.25 off at step 0" in said


# --- the log ---


def test_a_log_in_no_folder_is_refused(home):
    file = edited(home, "[broker]", '[log]\npath = "nope/log.db"\n[broker]')
    assert "expected one" in refused(2, spawned("edge", "run", file))


def test_a_log_that_is_something_else_is_refused_and_left_alone(home):
    (home / "solosense.db").write_text("a letter to grandmother\n" * 100)
    said = refused(2, spawned("edge", "run", home / "site.toml"))
    assert "solosense.db" in said
    assert "expected" in said
    assert (home / "solosense.db").read_text().startswith("a letter")


# --- brokers ---


@contextlib.contextmanager
def running(site: Path, *more: str) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Run a board; yield its process and the file of what it says."""
    said = site.with_suffix(".said")
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge", "run", str(site), *more],
            stdout=file, stderr=file, cwd=live.ROOT, env=ENV,
        )  # fmt: skip
    try:
        yield process, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def wait_for(said: Path, text: str, times: int = 1, most_s: float = 20) -> None:
    """Return once a program has said something so many times."""
    end_s = time.monotonic() + most_s
    while said.read_text().count(text) < times:
        assert time.monotonic() < end_s, said.read_text()
        time.sleep(0.02)


class Refuser:
    """A port on which every connection is closed at once; counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(20)
        self.port = int(self._socket.getsockname()[1])

    def wait_for_calls(self, calls: int) -> None:
        for _ in range(calls):
            self._socket.accept()[0].close()

    def close(self) -> None:
        self._socket.close()


@pytest.mark.broker
def test_a_board_without_broker_says_so_once_keeps_trying_and_stops_when_told(home):
    with running(home / "site.toml") as (process, said):
        wait_for(said, "no broker at")
        with live.mosquitto(home, FREE_PORT), Publisher(NO_BROKER, "osaka", "board-1") as publisher:
            assert publisher.wait_for_board(20, lambda: process.poll() is None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        text = said.read_text()
    assert text.count("no broker at") <= 2  # once before, and once after the broker went
    assert f"no broker at 127.0.0.1:{FREE_PORT}" in text
    assert "Traceback" not in text


def test_a_board_whose_broker_hangs_up_does_not_flood_the_journal(home):
    refuser = Refuser()
    file = edited(home, f"port = {FREE_PORT}", f"port = {refuser.port}")
    try:
        with running(file) as (process, said):
            refuser.wait_for_calls(3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            lines = said.read_text().splitlines()
        assert len(lines) <= 3, lines
        assert not any("Traceback" in line for line in lines)
    finally:
        refuser.close()


GARBAGE = [
    b"",
    b"?",
    b"\xff",
    b"[]",
    b'"x"',
    b"{}",
    b"[" * 100_000,
    b'{"transaction":' + b"[" * 9000,
]


@pytest.mark.broker
def test_requests_that_make_no_sense_do_not_stop_the_board(home):
    nested = b'{"transaction":' + b"[" * 500 + b"]" * 500 + b"}"
    with (
        live.mosquitto(home, FREE_PORT),
        running(home / "site.toml") as (process, said),
        Publisher(NO_BROKER, "osaka", "board-1") as publisher,
    ):
        assert publisher.wait_for_board(20, lambda: process.poll() is None), said.read_text()
        base = "act/v1/osaka/board-1"
        topics = [f"{base}/request/{name}" for name in ("ping", "reboot", "", "\u00e9")]
        topics += [f"{base}/response/ping", f"{base}/pack-1/in/imu/imu-rw"]
        publish.multiple(
            [(topic, payload, 1, False) for topic in topics for payload in [*GARBAGE, nested]],
            port=FREE_PORT,
        )
        health = publisher.settle()
        assert health is not None
        assert health["refused"] == len(GARBAGE) + 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "Traceback" not in said.read_text()
    assert "request 'reboot' has no transaction" in said.read_text()


@pytest.mark.broker
@pytest.mark.fault("F5")
def test_two_boards_of_one_name_are_told_so(home):
    other = home / "other"
    shutil.copytree(home, other, ignore=shutil.ignore_patterns("other"))
    with (
        live.mosquitto(home, FREE_PORT),
        running(home / "site.toml") as (one, one_said),
        running(other / "site.toml") as (two, two_said),
    ):
        end_s = time.monotonic() + 30
        while "another board" not in one_said.read_text() + two_said.read_text():
            assert time.monotonic() < end_s, one_said.read_text() + two_said.read_text()
            time.sleep(0.05)
        for process in (one, two):
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        said = one_said.read_text() + two_said.read_text()
    assert "another board as solosense-edge-osaka-board-1" in said
    assert said.count("lost the broker:") <= 2


def test_the_embedded_broker_says_that_its_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(1, spawned("edge.embedded_broker", port))
    assert f"no broker on 127.0.0.1:{port}" in said
    assert "in use" in said


@pytest.mark.parametrize("given", [(), ("x",), ("99999",), ("1883", "1884")])
def test_the_embedded_broker_wants_one_port(given):
    assert "expected a port, 1 to 65535" in refused(2, spawned("edge.embedded_broker", *given))


# --- replaying and training ---

NO_BROKER = f"127.0.0.1:{FREE_PORT}"


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (1, ("replay", "virtual:boxes=1", "--broker", NO_BROKER), f"no broker at {NO_BROKER}"),
        (1, ("replay", "virtual:boxes=1", "--broker", f"{'a' * 70}:1"), "no broker at aaa"),
        (2, ("replay", "virtual:boxes=1", "--broker", "localhost"), "expected HOST:PORT"),
        (2, ("replay", "virtual:boxes=1", "--broker", "x:99999"), "expected HOST:PORT"),
        (2, ("replay", "virtual:boxes=1", "--speed", "-1"), "--speed is -1"),
        (2, ("replay", "virtual:boxes=1", "--speed", "nan"), "--speed is nan"),
        (2, ("replay", "virtual:boxes=1", "--seconds", "0"), "--seconds is 0"),
        (2, ("replay", "virtual:boxes=1", "--station", "A"), "station 'A' is not an id"),
        (2, ("replay", "nowhere/S0500"), "does not exist, expected an OpenPack session"),
        (2, ("show", "tests"), "expected an OpenPack session"),
        (2, ("show", "virtual:boxs=1"), "found 'boxs' as a key, expected seed and boxes"),
        (2, ("show", "virtual:boxes=0"), "boxes is 0, expected 1 to 400"),
        (2, ("site", "virtual:boxes=1", "--bundle", "x", "--broker", "b"), "expected HOST:PORT"),
        (2, ("site", "virtual:boxes=1", "--bundle", "x", "--site", "a b"), "site 'a b' is not"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_adapters_command_line_refuses(code, arguments, says):
    assert says in refused(code, called("sensor_adapters", *arguments))


def test_the_site_file_of_a_replay_holds_whatever_the_paths_are_called(tmp_path):
    log = 'a "quoted" \\ näme.db'
    done = called("sensor_adapters", "site", "virtual:boxes=1", "--bundle", 'x"y', "--log", log)
    body = msgspec.toml.decode(done.out)
    assert body["log"]["path"] == log
    assert body["stations"]["pack-1"]["bundles"] == [str(live.ROOT / 'x"y')]


@pytest.mark.torch
def test_the_trainer_refuses_what_it_does_not_know(home):
    assert "nope.db: does not exist, expected the board's log" in refused(
        2, called("trainer", "score", "virtual:boxes=1", "--db", home / "nope.db")
    )
    (home / "bundle" / "model.onnx").write_bytes(b"")
    assert "model.onnx: SHA-256 is" in refused(
        2, called("trainer", "evaluate", home / "bundle", "virtual:boxes=1")
    )
    assert "recipe 'nope' is unknown, expected one of" in refused(
        2, called("trainer", "fit", "nope", "--out", home / "fitted")
    )
    assert not (home / "fitted").exists()
