"""What attackers do, each in a thread of its own, over and over until it is time to stop.

Each has the secrets of the devices it holds, the authority's certificate, and no more.
"""

import contextlib
import os
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from sensor_adapters.broker_access import let_in
from tests.adversary.scene import MOLES, OTHER_STATION, OTHERS, Scene
from tests.live import NODE, SITE, STATION
from tests.test_bad_input import BAD_OF_A_DEVICE

BASE = f"act/v1/{SITE}/{NODE}"
FOREIGN = [
    f"{BASE}/{STATION}/in/imu/imu-rw", f"{BASE}/{STATION}/in/status/imu-rw", f"{BASE}/status",
    f"{BASE}/health", f"{BASE}/{STATION}/action", f"{BASE}/{STATION}/segment",
    f"{BASE}/request/ping", f"{BASE}/response/ping", f"{BASE}/{STATION}/in/state/mole-99",
    "act/v1/other/board/status", "$SYS/broker/uptime", "$CONTROL/dynamic-security/v1",
    "homeassistant/device/x/config", "a" * 65_000, f"{BASE}/{OTHER_STATION}/in/state/m-tape",
]  # fmt: skip


class Attack:
    """One attacker, and what came of it."""

    def __init__(self, scene: Scene, stop: threading.Event, seed: int) -> None:
        self.scene, self.stop, self.rng = scene, stop, random.Random(seed)
        self.counts = Counter[str]()
        self.user = MOLES[seed]
        self.own = f"{BASE}/{STATION}/in/state/{self.user}"
        self.spelt = [
            f"{self.own}/more", f"{self.own}/", f"/{self.own}", self.own.upper(),
            self.own.replace("/in/", "//in/"), self.own.replace("mole", "ｍole"),
        ]  # fmt: skip

    def client(self, user: str = "", *, id_: str = "", version: int = mqtt.MQTTv5) -> mqtt.Client:
        """Return a client that counts what is refused and what it hears."""
        made = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=id_ or f"x-{self.rng.random()}",
            protocol=MQTTProtocolVersion(version), reconnect_on_failure=False,
        )  # fmt: skip
        let_in(made, self.scene.broker(user or self.user))
        made.on_message = lambda *_: self.counts.update(["heard"])
        return made

    @contextlib.contextmanager
    def connected(self, client: mqtt.Client):
        """Connect, and go without a word."""
        came = threading.Event()
        client.on_connect = lambda *_: came.set()
        with contextlib.suppress(OSError):
            client.connect("127.0.0.1", self.scene.port)
            client.loop_start()
            came.wait(5)
            self.counts["connections"] += 1
        try:
            yield client
        finally:
            self.cut(client)
            with contextlib.suppress(AttributeError):  # paho's thread ended at that very moment
                client.loop_stop()

    def wait(self, info: mqtt.MQTTMessageInfo) -> None:
        """Wait until the broker has taken something, if it still talks to us."""
        with contextlib.suppress(ValueError, RuntimeError):
            info.wait_for_publish(3)

    def cut(self, client: mqtt.Client) -> None:
        """Tear a connection down."""
        gone = client.socket()
        if isinstance(gone, socket.socket):
            with contextlib.suppress(OSError):
                gone.shutdown(socket.SHUT_RDWR)

    def impersonate(self) -> None:
        """Say what others may say; hear what is not for us."""
        taken: dict[int, str] = {}
        client = self.client()

        def answered(c: object, u: object, mid: int, reason: object, p: object) -> None:
            is_refused = "Not authorized" in str(reason) or "invalid" in str(reason)
            self.counts["foreign refused" if is_refused else "foreign taken"] += 1
            if not is_refused:
                self.counts[f"taken: {taken.get(mid, '?')[:80]} ({reason})"] += 1

        client.on_publish = answered
        with self.connected(client):
            client.subscribe([("#", 1), (f"{BASE}/#", 1), ("$SYS/#", 1), ("$share/x/#", 1)])
            for topic in (*FOREIGN, *self.spelt):
                for retain in (False, True):
                    info = client.publish(topic, self.payload(), qos=1, retain=retain)
                    taken[info.mid] = topic
                    self.wait(info)

    def payload(self) -> bytes:
        """Return what looks as it should."""
        body = {"v": 1, "dev": "imu-rw", "boot": "x", "seq": 1 << 40, "t0": time.time_ns() // 1000}
        return msgspec.json.encode(body | {"state": "offline", "on": [1]})

    def take_places(self) -> None:
        """Come in under the client ids of others; guess secrets."""
        for id_ in (f"solosense-edge-{SITE}-{NODE}", "edge", "imu-rw", "operator"):
            with self.connected(self.client(id_=id_)):
                time.sleep(0.05)
        for user in ("edge", "operator", "imu-rw", "", "x" * 60_000, "\u0001"):
            client = self.client()
            client.username_pw_set(user, "guess")
            client.on_connect_fail = None
            with self.connected(client):
                self.counts["guesses"] += 1

    def leave_wills(self) -> None:
        """Leave wills on the topics of others, and be gone."""
        for topic in (f"{BASE}/status", f"{BASE}/{STATION}/in/status/imu-rw", FOREIGN[4]):
            client = self.client(version=mqtt.MQTTv311)
            client.will_set(topic, self.payload(), qos=1, retain=True)
            with self.connected(client):
                self.counts["wills"] += 1

    def poison(self) -> None:
        """Retain what is old; say all that is malformed, and what is too long."""
        client = self.client(version=mqtt.MQTTv311)
        with self.connected(client):
            for number, (_, payload, _) in enumerate(BAD_OF_A_DEVICE.values()):
                if len(payload) < 1_000_000:
                    client.publish(self.own, payload, qos=number % 2, retain=not number % 5)
                    self.counts["malformed"] += 1
            self.wait(client.publish(self.own, b"[" * 900_000, qos=1))
            self.counts["malformed"] += 1
        too_long = self.client(version=mqtt.MQTTv311)
        with self.connected(too_long):
            too_long.publish(self.own, bytes(3_000_000), qos=1)
            self.counts["too long"] += 1
            time.sleep(0.2)

    def flood(self) -> None:
        """Send as fast as it goes for a while; all of one moment, with numbers of its own."""
        client = self.client(version=mqtt.MQTTv311)
        client.max_queued_messages_set(0)
        body = {
            "v": 1,
            "dev": self.user,
            "boot": f"b{self.rng.random()}",
            "t0": 1_600_000_000_000_000,
        }
        with self.connected(client):
            for seq in range(FLOOD):
                payload = msgspec.json.encode(body | {"seq": seq, "on": [0]})
                info = client.publish(self.own, payload, qos=seq % 2)
                if seq % 200 == 199:
                    self.wait(info)
                    if self.stop.is_set():
                        break
            self.counts["flooded"] += seq + 1

    def lie_about_time(self) -> None:
        """Claim every time there is, at a station of which we hold all devices."""
        name, (adapter, _) = self.rng.choice(list(OTHERS.items()))
        client = self.client(name, version=mqtt.MQTTv311)
        topic = f"{BASE}/{OTHER_STATION}/in"
        with self.connected(client):
            for seq in range(200):
                t0 = self.rng.choice((0, 10**15, 4_102_444_799_999_999, time.time_ns() // 1000))
                t0 += self.rng.randrange(-(10**9), 10**9)
                body = {"v": 1, "dev": name, "boot": str(seq % 7), "seq": seq, "t0": t0}
                more = {"on": [1]} if adapter == "state" else {}
                client.publish(f"{topic}/{adapter}/{name}", msgspec.json.encode(body | more), qos=1)
                state = {"state": self.rng.choice(("online", "stopped", "offline"))}
                client.publish(f"{topic}/status/{name}", msgspec.json.encode(body | state), qos=1)
                self.counts["lies"] += 1

    def speak_garbage(self) -> None:
        """Send bytes that are no TLS, and then bytes that are no MQTT."""
        address = ("127.0.0.1", self.scene.port)
        for _ in range(5):
            with contextlib.suppress(OSError), socket.create_connection(address, 5) as plain:
                plain.sendall(os.urandom(self.rng.randrange(1, 4000)))
                self.counts["no TLS"] += 1
        context = ssl.create_default_context(cafile=str(self.scene.access / "ca.crt"))
        for start in GARBAGE:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(address, 5) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as tls,
            ):
                tls.sendall(start + os.urandom(self.rng.randrange(0, 200)))
                tls.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    tls.recv(100)
                self.counts["no MQTT"] += 1

    def say_raw(self) -> None:
        """Say topics that no library would: wildcards, nothing, no UTF-8, a zero."""
        for topic in (b"+/#", b"", b"\xff\xfe", b"a\x00b", self.own.encode() + b"\x00", b"#", b"$"):
            client = self.client(version=mqtt.MQTTv311)
            with self.connected(client):
                packet = struct.pack("!H", len(topic)) + topic + struct.pack("!H", 7) + b"{}"
                raw = client.socket()
                with contextlib.suppress(OSError):
                    if isinstance(raw, socket.socket):
                        raw.send(bytes([0x32, len(packet)]) + packet)
                        self.counts["raw topics"] += 1
                time.sleep(0.05)

    def stand_in_the_door(self) -> None:
        """Open hundreds of connections and say nothing, or half of a greeting."""
        address = ("127.0.0.1", self.scene.port)
        context = ssl.create_default_context(cafile=str(self.scene.access / "ca.crt"))
        with contextlib.ExitStack() as stack:
            for number in range(MANY):
                with contextlib.suppress(OSError):
                    one = stack.enter_context(socket.create_connection(address, 2))
                    if number % 10 == 0:
                        one = stack.enter_context(
                            context.wrap_socket(one, server_hostname="localhost")
                        )
                        one.sendall(CONNECT[:7])
                    self.counts["in the door"] += 1
            self.stop.wait(3)


FLOOD, MANY = 20_000, 550
CONNECT = b"\x10\x20\x00\x04MQTT\x04\x02\x00\x00\x00\x14half-of-a-greeting..."
GARBAGE = [
    b"", b"\x10", b"\x10\xff\xff\xff\xff\xff", b"\x10\xff\xff\xff\x7f", b"\xf0\x00", b"\x00\x00",
    b"\x30\x02\x00\x00", b"\x82\x05\x00\x01\x00\x00\x01", b"\xc0\x00", b"\x10\x02\x00\x04",
    b"\x10\x10\x00\x04MQTT\x09\x02\x00\x00\x00\x04abcd", b"GET / HTTP/1.1\r\n\r\n", CONNECT[:12],
]  # fmt: skip
ALL: list[Callable[[Attack], None]] = [
    Attack.impersonate, Attack.take_places, Attack.leave_wills, Attack.poison, Attack.flood,
    Attack.lie_about_time, Attack.speak_garbage, Attack.say_raw, Attack.stand_in_the_door,
]  # fmt: skip


def attack(scene: Scene, seconds: float) -> dict[str, int]:
    """Attack in all ways at once; return what was done, and what came of it."""
    stop, total, errors = threading.Event(), Counter[str](), list[BaseException]()
    attackers = [Attack(scene, stop, seed) for seed in range(len(ALL))]

    def run(one: Attack, way: Callable[[Attack], None]) -> None:
        try:
            while not stop.is_set():
                way(one)
                one.counts["rounds"] += 1
                stop.wait(0.2)
        except BaseException as error:  # an attacker that stumbles proves nothing
            errors.append(error)
            stop.set()

    threads = [
        threading.Thread(target=run, args=(one, way), daemon=True)
        for one, way in zip(attackers, ALL, strict=True)
    ]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]
    for one in attackers:
        total.update(one.counts)
    return dict(total)
