"""TLS to the broker: every program that talks MQTT, and what each says of a wrong certificate."""

import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edge.config import BoardBroker
from edge.inbox import BrokerRefused, Inbox
from sensor_adapters.broker_access import context
from sensor_adapters.broker_option import broker_of
from sensor_adapters.publisher import BrokerError, Publisher
from sensor_adapters.recorder.subscriber import Subscriber
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from sensor_adapters.settings import Broker, ConfigError
from sensor_adapters.topics import Message
from tests.broker_certificates import Authority, listener
from tests.live import (
    NODE,
    ROOT,
    SITE,
    STATION,
    Board,
    free_port,
    mosquitto,
    running,
    site_of,
    start_mosquitto,
)

pytestmark = pytest.mark.broker
IOT = {
    "scanner": ("event", "scanner"), "printer": ("event", "printer"), "tape": ("state", "tape"),
    "pen": ("state", "pen"), "shelf": ("state", "shelf"), "backtable": ("state", "back_table"),
}  # fmt: skip


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def good(ours) -> tuple[Path, Path]:
    return ours.sign("broker")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "stranger", "a stranger")


def broker_table(port: int, **more: object) -> str:
    """Return a ``[broker]`` with these settings."""
    lines = [
        f"{key} = {json.dumps(str(v) if isinstance(v, Path) else v)}" for key, v in more.items()
    ]
    return "\n".join(["[broker]", f"port = {port}", "tls = true", *lines, ""])


def bridge_toml(folder: Path, table: str) -> Path:
    file = folder / "bridge.toml"
    file.write_text(
        f'version = 1\nsite = "{SITE}"\nnode = "{NODE}"\n{table}'
        '[ports.glove]\npath = "/dev/nobody"\nstation = "pack-1"\nstreams = { imu = "imu-rw" }\n'
    )
    return file


def adapters_toml(folder: Path, table: str) -> Path:
    file = folder / "adapters.toml"
    file.write_text(
        f'version = 1\nsite = "{SITE}"\nnode = "{NODE}"\n{table}'
        '[scanners.scanner]\npath = "/dev/input/nobody"\nstation = "pack-1"\n'
    )
    return file


def site_toml(folder: Path, table: str) -> Path:
    file = folder / "site.toml"
    text = site_of(1, "iot", IOT).replace("[broker]\nport = 1\n", table)
    file.write_text(text)
    return file


def broker_toml(folder: Path, table: str) -> Path:
    file = folder / "broker.toml"
    file.write_text(table)
    return file


def spawned(module: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env=os.environ | {"COLUMNS": "400", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def programs(folder: Path, table: str) -> dict[str, subprocess.Popen]:
    """Start every program that is to end at a wrong setting."""
    site, toml = site_toml(folder, table), broker_toml(folder, table)
    adapters = "sensor_adapters"
    return {
        "edge": spawned("edge", "run", site),
        "edge check": spawned("edge", "check", site),
        "health": spawned("edge", "health", site, "--wait-s", 3),
        "bridge": spawned("firmware_bridge", "run", bridge_toml(folder, table)),
        "gateway": spawned(adapters, "run", adapters_toml(folder, table)),
        "record": spawned(adapters, "record", folder / "a.mcap", "--broker", toml),
        "replay": spawned(adapters, "replay", "virtual:seed=7,boxes=1", "--broker", toml),
        "discover": spawned(adapters, "discover", "--broker", toml),
    }


def ended(programs: dict[str, subprocess.Popen]) -> dict[str, tuple[int, str]]:
    """Return each program's exit code and words."""
    said = {name: one.communicate(timeout=60)[0] for name, one in programs.items()}
    return {name: (one.returncode, said[name]) for name, one in programs.items()}


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "mosquitto").mkdir()
    return tmp_path


@pytest.mark.fault("F13")
def test_every_program_ends_at_a_broker_of_another_authority(home, good, ours, stranger):
    with mosquitto(home / "mosquitto", more=listener(ours.ca, *good)) as port:
        for name, (code, said) in ended(
            programs(home, broker_table(port, ca_file=stranger.ca))
        ).items():
            assert code == 2, (name, said)
            assert "is of another authority" in said, (name, said)
            assert f"broker.ca_file is '{stranger.ca}'" in said, (name, said)
            assert "Traceback" not in said, (name, said)


@pytest.mark.fault("F2")
def test_every_program_ends_at_a_password_that_is_refused_and_does_not_say_it(home):
    secret = "a-secret-that-nobody-says"
    (home / "password").write_text(secret)
    (home / "nobody").touch()
    more = f"password_file {home / 'nobody'}\nuser {getpass.getuser()}\n"
    with mosquitto(home / "mosquitto", more=more) as port:
        table = broker_table(port, username="edge", password_file=home / "password")
        for name, (code, said) in ended(programs(home, table.replace("tls = true\n", ""))).items():
            assert secret not in said, (name, said)
            if name == "edge check":
                assert code == 0, "it asks no broker for a place"
                continue
            assert code == 2, (name, said)
            assert "Not authorized; check broker.username and broker.password_file" in said, name


@pytest.mark.fault("F13")
def test_a_certificate_that_is_wrong_today_is_tried_again_and_one_for_another_name_is_a_setting(
    home, ours
):
    """Expired and not yet valid: a clock, or the broker's, may be set right meanwhile."""
    wrong = {
        "expired": (ours.sign("expired", years=(-5, -1)), "has expired"),
        "early": (ours.sign("early", years=(1, 5)), "not valid yet"),
        "other": (ours.sign("other", names="DNS:elsewhere"), "for another name than 127.0.0.1"),
    }
    boards, brokers = {}, {}
    try:
        for name, ((cert, key), _) in wrong.items():
            folder = home / name
            (folder / "mosquitto").mkdir(parents=True)
            for one, to in ((cert, "now.crt"), (key, "now.key")):
                shutil.copy(one, folder / to)
            port = free_port()
            more = listener(ours.ca, folder / "now.crt", folder / "now.key")
            brokers[name] = start_mosquitto(folder / "mosquitto", port, more)
            site = site_toml(folder, broker_table(port, ca_file=ours.ca))
            boards[name] = Board(site, folder / "log.db", sys.executable)
        assert boards["other"].process.wait(60) == 2
        for name, (_, says) in wrong.items():
            wait_said(boards[name], says)
            assert "Traceback" not in boards[name].said
        assert time.strftime("machine's clock says %Y-") in boards["early"].said
        folder = home / "early"
        cert, key = ours.sign("renewed")
        shutil.copy(cert, folder / "now.crt")
        shutil.copy(key, folder / "now.key")
        brokers["early"].send_signal(signal.SIGHUP)
        early = broker_of(str(folder / "site.toml"))
        with reached(early) as asks:
            assert asks.wait_for_board(30, lambda: boards["early"].process.poll() is None)
        assert boards["early"].said.count("not valid yet") == 1, "said once"
        assert boards["early"].stop() == 0
    finally:
        for process in (*brokers.values(), *(one.process for one in boards.values())):
            process.kill()
            process.wait(10)


def reached(to: Broker) -> Publisher:
    """Return a publisher to a broker that will be well soon."""
    end_s = time.monotonic() + 20
    while True:
        try:
            with Publisher(to, SITE, NODE):
                return Publisher(to, SITE, NODE)
        except BrokerError:
            assert time.monotonic() < end_s
            time.sleep(0.1)


def wait_said(board: Board, text: str) -> None:
    end_s = time.monotonic() + 60
    while text not in board.said:
        assert time.monotonic() < end_s, (text, board.said)
        time.sleep(0.05)


def wait_in_vain(inbox: Inbox) -> None:
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        assert not list(inbox.take(0.1, 1))


@pytest.mark.fault("F13")
def test_a_broker_that_asks_for_a_certificate_is_told_ours_or_told_of(home, good, ours, stranger):
    mine, theirs = ours.sign("edge"), stranger.sign("edge")
    more = f"{listener(ours.ca, *good)}require_certificate true\n"
    with mosquitto(home / "mosquitto", more=more) as port:
        for given, says in (((), "asks for a certificate of ours"), (theirs, "does not accept")):
            cert, key = map(str, given or ("", ""))
            to = BoardBroker(
                port=port, tls=True, ca_file=str(ours.ca), cert_file=cert, key_file=key
            )
            with pytest.raises(ConfigError, match=says), Publisher(to, SITE, NODE):
                pass
            with pytest.raises(ConfigError, match=says), Subscriber(to, ["#"], print):
                pass
            inbox = Inbox(to, "edge", ["a"], Message("s", b"offline", 0))
            inbox.start()
            with pytest.raises(BrokerRefused, match=says):
                wait_in_vain(inbox)
            inbox.stop(Message("s", b"stopped", 0))
        known = Broker(
            port=port, tls=True, ca_file=str(ours.ca), cert_file=str(mine[0]), key_file=str(mine[1])
        )
        with Publisher(known, SITE, NODE):
            pass


@pytest.mark.fault("F1")
def test_a_broker_that_is_killed_and_comes_back_is_found_again_over_tls(
    home, good, ours, caplog: pytest.LogCaptureFixture
):
    port, more = free_port(), listener(ours.ca, *good)
    broker = start_mosquitto(home / "mosquitto", port, more)
    to = BoardBroker(port=port, tls=True, ca_file=str(ours.ca))
    inbox = Inbox(to, "edge", ["a"], Message("s", b"offline", 0))
    inbox.start()
    try:
        assert inbox.wait_subscribed()
        broker.kill()
        broker.wait(10)
        broker = start_mosquitto(home / "mosquitto", port, more)
        end_s = time.monotonic() + 30
        while inbox.connections < 2:
            assert time.monotonic() < end_s
            list(inbox.take(0.1, 1))
    finally:
        inbox.stop(Message("s", b"stopped", 0))
        broker.kill()
        broker.wait(10)
    said = [record.getMessage() for record in caplog.records]
    assert any("lost the broker" in one for one in said), said
    assert not any("does not speak TLS" in one for one in said), said


def test_a_name_may_be_another_than_the_address(home, ours):
    cert, key = ours.sign("named", names="DNS:broker.example")
    with mosquitto(home / "mosquitto", more=listener(ours.ca, cert, key)) as port:
        to = Broker(port=port, tls=True, ca_file=str(ours.ca), server_name="broker.example")
        with Publisher(to, SITE, NODE):
            pass
        with pytest.raises(ConfigError, match=r"another name than 127\.0\.0\.1"):
            Publisher(msgspec.structs.replace(to, server_name=""), SITE, NODE).__enter__()


def test_tls_to_a_broker_without_it_and_none_to_one_with_it_are_said(home, good, ours):
    with mosquitto(home / "mosquitto") as port:
        to = Broker(port=port, tls=True, ca_file=str(ours.ca))
        with pytest.raises(BrokerError, match=r"are broker.tls and broker.port .* right"):
            Publisher(to, SITE, NODE).__enter__()
    with (
        mosquitto(home / "mosquitto", more=listener(ours.ca, *good)) as port,
        pytest.raises(BrokerError, match="does it expect TLS"),
    ):
        Publisher(Broker(port=port), SITE, NODE).__enter__()


def test_files_that_can_not_be_what_they_are_to_be_are_named(tmp_path, good, ours):
    cert, key = good
    none = tmp_path / "none"
    another = ours.sign("another")[1]
    for wrong, says in (
        (Broker(tls=True, ca_file=str(none)), f"broker.ca_file: {none}"),
        (Broker(tls=True, ca_file=str(key)), "broker.ca_file"),
        (Broker(tls=True, cert_file=str(none), key_file=str(key)), "broker.cert_file"),
        (Broker(tls=True, cert_file=str(cert), key_file=str(another)), "its own key"),
    ):
        with pytest.raises(ConfigError, match=re.escape(says)):
            context(wrong)
    for table, says in (
        ('ca_file = "a"', "broker.ca_file is 'a', expected none without broker.tls"),
        ('tls = true\ncert_file = "a"', "expected a file, with its broker.key_file"),
        ("tls = true\ninsecure = true", "broker.insecure is not a setting"),
    ):
        file = tmp_path / "b.toml"
        file.write_text(f"[broker]\n{table}\n")
        with pytest.raises(ConfigError, match=re.escape(says)):
            broker_of(str(file))


def test_a_shift_over_tls_is_logged_and_recorded(home, good, ours):
    shift = open_recording("virtual:seed=7,boxes=1")
    with mosquitto(home / "mosquitto", more=listener(ours.ca, *good)) as port:
        table = broker_table(port, ca_file=ours.ca)
        to = broker_of(str(broker_toml(home, table)))
        with running(site_toml(home, table), home / "solosense.db", to) as board:
            record = spawned(
                "sensor_adapters", "record", home / "a.mcap", "--broker", broker_toml(home, table)
            )
            with Publisher(to, SITE, NODE) as publisher:
                publisher.publish(messages(shift, SITE, NODE, STATION, publisher.boot), speed=0)
                assert publisher.settle() is not None
            assert board.stop() == 0
            record.send_signal(signal.SIGINT)
            assert "0 lost" in record.communicate(timeout=30)[0]
        assert board.query("SELECT count(*) FROM segments")[0][0] > 10
