"""How the bridge takes a long time without a broker, and a power cut; too long for a test.

``python -m tests.firmware_bridge.outage --minutes 10 --boards 20``: that many virtual boards, ten
frames a second each. Prints what was written down, what arrived and what did not, as JSON.
"""

import argparse
import contextlib
import json
import signal
import sqlite3
import tempfile
import time
from pathlib import Path

from firmware_bridge.virtual_board import VirtualBoard
from tests import live
from tests.firmware_bridge.running import bridge, plugged

PATIENCE_S = 300.0
QUEUE = "max_queued_messages 1000000\n"
"""For a listener that is slower than what comes: a broker drops what it may not hold."""
Number = tuple[str, str, int]


def kept(path: Path) -> set[Number]:
    """Return device, boot and number of all that waits on disk."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        bodies = [json.loads(p) for (p,) in file.execute("SELECT payload FROM waiting")]
    return {(body["dev"], body["boot"], body["seq"]) for body in bodies}


def resident_mb(one: live.Host) -> float:
    """Return how much memory the bridge holds."""
    for line in Path(f"/proc/{one.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Numbers(live.Heard):
    """Keeps the numbers alone of what boards said: there are hundreds of thousands."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.came: set[Number] = set()
        self.missing: set[Number] = set()
        self.twice = 0

    def expect(self, numbers: set[Number]) -> None:
        """Say what must come; what of it has come already counts."""
        with self._came:
            self.missing = numbers - self.came

    def _on_message(self, client, userdata, message) -> None:
        if "/in/imu/" not in message.topic:
            super()._on_message(client, userdata, message)
            return
        body = json.loads(message.payload)
        number = (body["dev"], body["boot"], body["seq"])
        with self._came:
            self.twice += number in self.came
            self.came.add(number)
            self.missing.discard(number)
            self._came.notify_all()


def run(minutes: float, boards: int) -> dict[str, object]:
    """Return what became of what was said."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, port = Path(name), live.free_port()
        ports = ""
        for number in range(boards):
            link = folder / f"port{number}"
            stack.enter_context(plugged(VirtualBoard(f"glove-{number}"), link))
            ports += (
                f'[ports.p{number}]\npath = "{link}"\nstation = "pack-1"\n'
                f'[ports.p{number}.streams]\nimu = "imu-{number}"\n'
            )
        one = stack.enter_context(bridge(folder, port, ports))
        one.wait_said("no broker")
        time.sleep(30 * minutes)
        before_mb = resident_mb(one)
        one.kill()
        accepted = kept(folder / "bridge-outbox.db")
        one.again()
        time.sleep(30 * minutes)
        heard = Numbers(port)
        one.process.send_signal(signal.SIGSTOP)  # or it finds the broker before we listen
        with live.mosquitto(folder, port, QUEUE), heard:
            one.process.send_signal(signal.SIGCONT)
            # the moment before the broker is found again: all that waits by now must arrive
            accepted |= kept(folder / "bridge-outbox.db")
            size_mb = sum(one.stat().st_size for one in folder.glob("bridge-outbox.db*")) / 1e6
            back_s = time.monotonic()
            heard.expect(accepted)
            with contextlib.suppress(AssertionError):  # the figures tell
                heard.wait(lambda _: not heard.missing, "all of them", PATIENCE_S)
            took_s = time.monotonic() - back_s
            health = heard.wait_for("/bridge/health", 1)[-1]
    return {
        "minutes": minutes,
        "frames_per_s": 10 * boards,
        "written_down": len(accepted),
        "arrived_of_them": len(accepted & heard.came),
        "arrived_twice": heard.twice,
        "dropped": health["outbox"]["dropped"],
        "outbox_MB": round(size_mb, 1),
        "memory_MB": round(before_mb, 1),
        "sent_in_s": round(took_s, 1),
    }


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--minutes", type=float, default=10.0)
    words.add_argument("--boards", type=int, default=20)
    given = words.parse_args()
    found = run(given.minutes, given.boards)
    print(json.dumps(found))
    raise SystemExit(found["arrived_of_them"] != found["written_down"])
