"""Who may say and hear what at a mosquitto whose files we made: asked of the real one."""

import contextlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from edge.__main__ import app
from edge.access import certificates
from tests import live

pytestmark = pytest.mark.broker
BASE = "act/v1/osaka/board-1"
SITE = f"""
version = 1
site = "osaka"
node = "board-1"
[broker]
port = {{port}}
tls = {{tls}}
[access]
analysts = ["anna"]
others = {{{{ zigbee2mqtt = ["zigbee2mqtt/#"] }}}}
[stations.pack-1]
bundles = ["{live.BUNDLES / "imu"}"]
[stations.pack-1.devices]
imu-rw = {{{{ adapter = "imu", placement = "right_wrist" }}}}
scanner = {{{{ adapter = "event", placement = "scanner" }}}}
lid = {{{{ adapter = "state", placement = "lid" }}}}
cam-1 = {{{{ adapter = "pose", placement = "bench" }}}}
"""
BRIDGE = """
version = 1
site = "osaka"
node = "board-1"
[ports.scanner]
path = "/dev/ttyUSB0"
station = "pack-1"
lines = { device = "scanner" }
"""
GATEWAY = """
version = 1
site = "osaka"
node = "board-1"
[devices.lid]
station = "pack-1"
adapter = "zigbee2mqtt"
name = "pack-1/lid"
property = "contact"
"""
CAMERA = """
version = 1
site = "osaka"
node = "board-1"
device = "cam-1"
[stations.pack-1]
"""


def site(folder: Path, *, tls: bool = False) -> Path:
    """Return a site's configuration, with those of its hosts beside it."""
    file = folder / "site.toml"
    file.write_text(SITE.format(port=live.free_port(), tls=str(tls).lower()))
    (folder / "bridge.toml").write_text(BRIDGE)
    (folder / "adapters.toml").write_text(GATEWAY)
    (folder / "camera.toml").write_text(CAMERA)
    return file


def made(file: Path, *more: str) -> dict:
    """Make the access files; return what the command says as JSON."""
    if "--tls" in more and shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine, expected one for this test")
    folder = file.parent / "access"
    arguments = ["access", str(file), "--to", str(folder), "--state", str(folder / "state")]
    arguments += ["--json", *more]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def refused(file: Path, *more: str) -> tuple[int, str]:
    folder = file.parent / "access"
    arguments = ["access", str(file), "--to", str(folder), "--state", str(folder / "state"), *more]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return done.exit_code, done.stderr


def test_two_cameras_are_not_one_device(tmp_path):
    file = site(tmp_path)
    (tmp_path / "camera-door.toml").write_text(CAMERA)
    rc, said = refused(file)
    assert rc == 2
    assert "camera-door.toml: device is 'cam-1', expected one of its own" in said


def test_a_camera_named_by_its_file_has_its_account_as_the_one_that_is_alone(tmp_path):
    file = site(tmp_path)
    (tmp_path / "camera.toml").rename(tmp_path / "camera-door.toml")
    assert f"{BASE}/camera-cam-1/+" in made(file)["users"]["cam-1"]["writes"]


@contextlib.contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """Run mosquitto by the files that were made, as whoever runs this."""
    conf = folder / "for-test.conf"
    who = "user root\n" if os.geteuid() == 0 else ""  # it may not come to where tests write
    conf.write_text((folder / "mosquitto.conf").read_text() + who)
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip("no mosquitto on this machine, expected one for this test")
    with (folder / "said").open("ab") as said:
        process = subprocess.Popen([found, "-c", str(conf)], stdout=said, stderr=said)
    try:
        live.wait_for_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


class User:
    """Somebody at the broker: says, hears, and is told what was refused."""

    def __init__(
        self,
        folder: Path,
        port: int,
        user: str,
        *,
        id_: str = "",
        secret: str = "",
        ca: bool = True,
    ) -> None:
        self.heard: list[str] = []
        self._answers: dict[int, bool] = {}
        self._came = threading.Condition()
        self._state = ""
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=id_ or f"any-{user}",
            protocol=mqtt.MQTTv5, reconnect_on_failure=False,
        )  # fmt: skip
        if ca and (folder / "ca.crt").exists():
            cert = folder / "clients" / f"{user}.crt"
            self.client.tls_set(str(folder / "ca.crt"), str(cert), str(cert.with_suffix(".key")))
        kept = folder / "secrets" / user
        self.client.username_pw_set(
            user, secret or (kept.read_text().strip() if kept.exists() else "")
        )
        self.client.on_connect = lambda c, u, f, reason, p: self._note(str(reason))
        self.client.on_disconnect = lambda c, u, f, reason, p: self._note("gone")
        self.client.on_subscribe = lambda *_: self._note("subscribed")
        self.client.on_publish = lambda c, u, mid, reason, p: self._answer(mid, reason)
        self.client.on_message = lambda c, u, message: self._hear(message.topic)
        self._port = port

    def __enter__(self) -> "User":
        self.client.connect("127.0.0.1", self._port)
        self.client.loop_start()
        self.wait("Success", "Not authorized", "gone")
        if self._state == "Success":
            self.client.subscribe([("#", 1), ("$SYS/broker/version", 1)])
            self.wait("subscribed")
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    @property
    def state(self) -> str:
        return self._state

    def _note(self, state: str) -> None:
        with self._came:
            if self._state != "Not authorized":
                self._state = state
            self._came.notify_all()

    def _answer(self, mid: int, reason: object) -> None:
        with self._came:
            self._answers[mid] = "Not authorized" not in str(reason)
            self._came.notify_all()

    def _hear(self, topic: str) -> None:
        with self._came:
            self.heard.append(topic)
            self._came.notify_all()

    def wait(self, *states: str) -> None:
        with self._came:
            assert self._came.wait_for(lambda: self._state in states, 10), (states, self._state)

    def may_say(self, topic: str) -> bool:
        """Say something; was it taken?"""
        mid = self.client.publish(topic, b"?", qos=1).mid
        with self._came:
            assert self._came.wait_for(lambda: mid in self._answers, 10), topic
            return self._answers[mid]

    def wait_heard(self, topic: str) -> None:
        with self._came:
            assert self._came.wait_for(lambda: topic in self.heard, 10), (topic, self.heard)


IN = f"{BASE}/pack-1/in"
SAYS = {
    "edge": {f"{BASE}/status", f"{BASE}/health", f"{BASE}/pack-1/action", f"{BASE}/pack-1/segment",
             f"{BASE}/response/ping"},
    "bridge": {f"{BASE}/bridge/status", f"{IN}/event/scanner", f"{IN}/status/scanner"},
    "gateway": {f"{BASE}/adapters/health", f"{IN}/state/lid", f"{IN}/status/lid"},
    "operator": {f"{BASE}/request/ping"},
    "analyst": set(),
    "anna": set(),
    "imu-rw": {f"{IN}/imu/imu-rw", f"{IN}/status/imu-rw"},
    "cam-1": {f"{IN}/pose/cam-1", f"{IN}/status/cam-1", f"{BASE}/camera-cam-1/status"},
    "zigbee2mqtt": {"zigbee2mqtt/bridge/state", "zigbee2mqtt/pack-1/lid"},
}  # fmt: skip
NOBODY_SAYS = {
    f"{BASE}/pack-1/in/imu/imu-lw", f"{BASE}/pack-2/in/imu/imu-rw", f"{IN}/event/imu-rw", "other",
    "act/v1/osaka/board-2/status", f"{IN}/imu/imu-rw/more", "homeassistant/x", f"{BASE}/a/b/c",
}  # fmt: skip
ALL = set().union(*SAYS.values())
OUT = SAYS["edge"] - {f"{BASE}/response/ping"} | {
    f"{BASE}/bridge/status", f"{BASE}/adapters/health", f"{BASE}/camera-cam-1/status"
}  # fmt: skip
HEARS = {
    "edge": {one for one in ALL if "/in/" in one} | {f"{BASE}/request/ping"},
    "bridge": set(),
    "gateway": {"zigbee2mqtt/pack-1/lid", "zigbee2mqtt/bridge/state"},
    "operator": ALL | {"$SYS/broker/version"},
    "analyst": OUT,
    "anna": OUT,
    "imu-rw": set(),
    "cam-1": set(),
    "zigbee2mqtt": SAYS["zigbee2mqtt"],
}  # fmt: skip


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_everybody_may_what_its_work_needs_and_nothing_else(tmp_path, tls):
    file = site(tmp_path, tls=tls)
    said = made(file, *(["--tls"] if tls else []))
    assert set(said["users"]) == set(SAYS)
    assert said["of_nobody"] == said["said_by_nobody"] == []
    folder = tmp_path / "access"
    with contextlib.ExitStack() as stack:
        stack.enter_context(broker(folder, said["port"]))
        users = {name: stack.enter_context(User(folder, said["port"], name)) for name in SAYS}
        taken = {
            name: {topic for topic in ALL | NOBODY_SAYS if user.may_say(topic)}
            for name, user in users.items()
        }
        assert taken == SAYS
        last = f"{BASE}/request/ping"
        for name in ("operator", "edge"):  # who hears it has heard what came before
            users[name].wait_heard(last)
        assert users["edge"].may_say(f"{BASE}/health")
        for name in ("analyst", "anna"):
            users[name].wait_heard(f"{BASE}/health")
        users["gateway"].wait_heard("zigbee2mqtt/pack-1/lid")
        users["zigbee2mqtt"].wait_heard("zigbee2mqtt/bridge/state")
        users["operator"].wait_heard("$SYS/broker/version")
        assert {name: set(user.heard) for name, user in users.items()} == HEARS


@pytest.mark.fault("F2")
def test_without_the_right_secret_nobody_comes_in(tmp_path):
    said = made(site(tmp_path))
    folder = tmp_path / "access"
    with broker(folder, said["port"]):
        other = (folder / "secrets" / "imu-rw").read_text().strip()
        for user, secret in (("edge", "?"), ("edge", other), ("nobody", "?"), ("", "")):
            with User(folder, said["port"], user or "nobody", secret=secret or "-") as one:
                assert one.state == "Not authorized"
        with User(folder, said["port"], "edge") as one:
            assert one.state == "subscribed"


@pytest.mark.fault("F5")
def test_the_boards_client_id_is_of_no_use_to_a_device(tmp_path):
    said = made(site(tmp_path))
    folder, id_ = tmp_path / "access", "solosense-edge-osaka-board-1"
    with (
        broker(folder, said["port"]),
        User(folder, said["port"], "edge", id_=id_) as edge,
        User(folder, said["port"], "imu-rw", id_=id_) as thief,
    ):
        assert thief.may_say(f"{IN}/imu/imu-rw")
        edge.wait_heard(f"{IN}/imu/imu-rw")
        assert edge.may_say(f"{BASE}/status")
        assert edge.state == "subscribed"


BY_SECRET = 'username = "edge"\npassword_file = "access/secrets/edge"'
BY_CERTIFICATE = 'cert_file = "access/clients/edge.crt"\nkey_file = "access/clients/edge.key"'


@pytest.mark.parametrize(
    ("known_by", "more"),
    [
        (BY_SECRET, ()),
        (BY_SECRET, ("--tls",)),
        (BY_CERTIFICATE, ("--tls", "--require-certificates")),
    ],
)
def test_who_asks_for_health_does_not_push_the_board_off_its_broker(tmp_path, known_by, more):
    file, folder = site(tmp_path, tls=bool(more)), tmp_path / "access"
    ca = 'ca_file = "access/ca.crt"\n' if more else ""
    file.write_text(file.read_text().replace("[broker]", f"[broker]\n{ca}{known_by}"))
    port = made(file, *more)["port"]
    with broker(folder, port), User(folder, port, "edge") as board:
        done = CliRunner().invoke(app, ["health", str(file), "--wait-s", "1"])
        assert done.exit_code == 1
        assert "no board has ever spoken" in " ".join(done.stderr.split())
        assert board.may_say(f"{BASE}/status")
        assert board.state == "subscribed"


def test_who_asks_for_health_goes_the_boards_own_way_to_the_broker(tmp_path):
    file, folder = site(tmp_path), tmp_path / "access"
    file.write_text(file.read_text().replace("[broker]", f"[broker]\n{BY_SECRET}"))
    port = made(file)["port"]
    elsewhere = live.free_port()
    file.write_text(file.read_text().replace(f"port = {port}", f"port = {elsewhere}"))
    with broker(folder, port):
        done = CliRunner().invoke(app, ["health", str(file), "--wait-s", "1"])
    assert done.exit_code == 1
    assert f"nothing listens at 127.0.0.1:{elsewhere}" in " ".join(done.stderr.split())


def test_a_will_on_anothers_topic_is_not_carried_out(tmp_path):
    said = made(site(tmp_path))
    folder = tmp_path / "access"
    with (
        broker(folder, said["port"]),
        User(folder, said["port"], "operator") as ear,
    ):
        for topic in (f"{BASE}/status", f"{IN}/status/scanner", f"{IN}/status/imu-rw"):
            one = User(folder, said["port"], "imu-rw")
            one.client.will_set(topic, b"offline", qos=1, retain=True)
            with one:
                assert one.state in ("subscribed", "Not authorized")
                gone = one.client.socket()
                assert gone is not None
                gone.close()  # without a word
        ear.wait_heard(f"{IN}/status/imu-rw")
        assert f"{BASE}/status" not in ear.heard
        assert f"{IN}/status/scanner" not in ear.heard


def test_a_second_run_changes_nothing_and_a_new_device_only_what_is_its(tmp_path):
    file = site(tmp_path, tls=True)
    first = made(file, "--tls")
    folder = tmp_path / "access"
    assert "ca.crt" in first["changed"]
    before = {one: (one.stat().st_mtime_ns, one.read_bytes()) for one in files(folder)}
    assert made(file, "--tls")["changed"] == []
    assert {one: (one.stat().st_mtime_ns, one.read_bytes()) for one in files(folder)} == before
    file.write_text(file.read_text() + 'imu-lw = { adapter = "imu", placement = "left_wrist" }\n')
    changed = made(file, "--tls")["changed"]
    assert sorted(changed) == [
        "acl", "clients/imu-lw.crt", "clients/imu-lw.key", "passwords", "secrets/imu-lw"
    ]  # fmt: skip
    lines = (folder / "passwords").read_text().splitlines()
    old = before[folder / "passwords"][1].decode().splitlines()
    assert [one for one in lines if not one.startswith("imu-lw:")] == old
    file.write_text(file.read_text().replace("imu-lw = ", "# imu-lw = "))
    assert [Path(one).name for one in made(file, "--tls")["of_nobody"]] == [
        "imu-lw.crt", "imu-lw.key", "imu-lw"
    ]  # fmt: skip


def test_secrets_that_were_taken_to_their_devices_stay_theirs(tmp_path):
    file, folder = site(tmp_path, tls=True), tmp_path / "access"
    port = made(file, "--tls")["port"]
    secret = (folder / "secrets/imu-rw").read_text().strip()
    own = [folder / f"clients/imu-rw.{kind}" for kind in ("crt", "key")]
    for one in (folder / "secrets/imu-rw", *own, folder / "ca.key"):
        one.unlink()
    assert made(file, "--tls")["changed"] == []
    assert not any(one.exists() for one in own)
    (folder / "secrets/edge").unlink()
    assert made(file, "--tls")["changed"] == ["secrets/edge", "passwords"], "it is used here alone"
    with broker(folder, port):
        device = User(folder, port, "imu-rw", secret=secret, ca=False)
        device.client.tls_set(str(folder / "ca.crt"))
        with device:
            assert device.may_say(f"{IN}/imu/imu-rw")
    code, said = refused(file, "--tls", "--listen", "192.168.1.5")
    assert (code, "ca.key is not here, expected the authority's key" in said) == (1, True), said
    file, lines = site(tmp_path), (folder / "passwords").read_text().splitlines(keepends=True)
    (folder / "passwords").write_text("".join(x for x in lines if not x.startswith("imu-rw:")))
    made(file)
    assert (folder / "secrets/imu-rw").read_text().strip() != secret, "a new one, as asked for"


def files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file())


def test_secrets_and_keys_are_nobody_elses_to_read(tmp_path):
    made(site(tmp_path, tls=True), "--tls")
    folder = tmp_path / "access"
    for one in files(folder):
        mode = stat.S_IMODE(one.stat().st_mode)
        if one.parent.name in ("secrets", "clients") or one.name == "ca.key":
            assert mode == 0o600, one
        else:
            assert mode == (0o644 if one.name == "ca.crt" else 0o640), one
    secrets = [one.read_text() for one in (folder / "secrets").iterdir()]
    assert len(set(secrets)) == len(SAYS)
    assert min(map(len, secrets)) > 30


def test_certificates_that_end_soon_are_made_anew_with_the_same_keys(tmp_path, monkeypatch):
    file, folder = site(tmp_path, tls=True), tmp_path / "access"
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "DAYS", certificates.RENEW_DAYS - 1)
        made(file, "--tls")
    keys = {one: one.read_bytes() for one in folder.rglob("*.key")}
    (folder / "ca.key").rename(tmp_path / "elsewhere")
    assert made(file, "--tls")["changed"] == [], "there is time yet, and nobody here who may sign"
    (tmp_path / "elsewhere").rename(folder / "ca.key")
    changed = made(file, "--tls")["changed"]
    assert set(changed) == {"server.crt", *(f"clients/{name}.crt" for name in SAYS)}
    assert {one: one.read_bytes() for one in folder.rglob("*.key")} == keys
    file.write_text(file.read_text().replace("[access]", 'host = "broker.example"\n[access]'))
    assert made(file, "--tls")["changed"] == ["server.crt"], "another name to be reached by"


def test_the_brokers_certificate_holds_the_names_by_which_devices_reach_the_board(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(socket, "gethostname", lambda: "board-1")
    made(site(tmp_path, tls=True), "--tls", "--listen", "192.168.1.5")
    certificate = tmp_path / "access/server.crt"
    said = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in ("DNS:board-1", "DNS:board-1.local", "DNS:localhost", "IP Address:192.168.1.5"):
        assert name in re.split(r",\s*|\n\s*", said)


def test_with_certificates_required_a_user_is_who_its_certificate_says(tmp_path):
    said = made(site(tmp_path, tls=True), "--tls", "--require-certificates")
    folder = tmp_path / "access"
    with broker(folder, said["port"]):
        with User(folder, said["port"], "imu-rw", secret="no password is asked for") as one:
            assert one.may_say(f"{IN}/imu/imu-rw")
        thief = User(folder, said["port"], "imu-rw")
        thief.client.username_pw_set("edge", (folder / "secrets" / "edge").read_text().strip())
        with thief:
            assert not thief.may_say(f"{BASE}/status"), "its certificate is not the board's"
        bare = User(folder, said["port"], "edge", ca=False)
        bare.client.tls_set(str(folder / "ca.crt"))
        with contextlib.suppress(OSError):
            bare.client.connect("127.0.0.1", said["port"])
            bare.client.loop_start()
            bare.wait("gone")
            bare.client.loop_stop()
        assert bare.state in ("gone", "")


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("site.toml", "imu-rw =", "edge =", "user 'edge' would be two"),
        ("site.toml", '["anna"]', '["imu-rw"]', "user 'imu-rw' would be two"),
        ("site.toml", '["anna"]', '["An na"]', "access.analysts holds 'An na', expected an id"),
        ("site.toml", "zigbee2mqtt/#", "a#", "access.others.zigbee2mqtt is 'a#'"),
        ("site.toml", "zigbee2mqtt/#", "a\\nuser edge", "access.others.zigbee2mqtt is"),
        ("bridge.toml", '"scanner" }', '"scaner" }', "device 'scaner' at station 'pack-1' is not"),
        ("bridge.toml", "board-1", "board-2", "expected 'osaka' and 'board-1'"),
        ("adapters.toml", "pack-1", "pack-9", "is not in the site's configuration"),
        ("camera.toml", "cam-1", "cam-2", "is not in the site's configuration"),
        ("bridge.toml", "[ports", "[ports", ""),
    ],
)
def test_settings_that_fit_nobody_are_refused(tmp_path, name, old, new, says):
    file = site(tmp_path)
    one = tmp_path / name
    one.write_text(one.read_text().replace(old, new, 1))
    code, said = refused(file)
    assert (code == 2) == bool(says), said
    assert says in said.replace("\n", " ")


def test_what_the_gateway_hears_and_nobody_may_say_is_said(tmp_path):
    file = site(tmp_path)
    file.write_text(file.read_text().replace("others", "# others"))
    heard = ["zigbee2mqtt/pack-1/lid", "zigbee2mqtt/bridge/state"]
    assert set(heard) <= set(made(file)["said_by_nobody"])
    code, said = refused(file)
    assert code == 0
    assert "nobody may say zigbee2mqtt/pack-1/lid" in said


def test_no_certificates_are_made_while_the_clock_is_in_1970(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    code, said = refused(site(tmp_path, tls=True), "--tls")
    assert code == 1
    assert "this machine's clock says" in said
