"""What boards that fill their serial lines cost the bridge; too long for a test.

``python -m tests.firmware_bridge.full_lines --boards 4 --seconds 60``: each board sends frames of
ten readings as fast as 921 600 baud carry them. Prints, as JSON, the bridge's share of a core from
``/proc``, and whether every reading was heard at the broker.
"""

import argparse
import contextlib
import json
import os
import tempfile
import threading
import time
from pathlib import Path

from firmware_bridge.bench import BAUD, LINE_BYTES_PER_S
from firmware_bridge.service import host
from firmware_bridge.simulate import Pty
from firmware_bridge.virtual_board import ROWS, VirtualBoard
from tests import live
from tests.firmware_bridge.outage import resident_mb
from tests.firmware_bridge.running import bridge

S = 1_000_000
FRAME_BYTES = 134
"""Of ten readings, as they cross the line."""
DT_US = round(S * FRAME_BYTES / LINE_BYTES_PER_S / ROWS)
STEP_S = 0.01
BROKER = "max_queued_messages 1000000\nmax_inflight_messages 0\n"


class Readings(live.Heard):
    """Counts readings, and forgets them."""

    count = 0

    def _on_message(self, client, userdata, message) -> None:
        if "/in/imu/" not in message.topic:
            super()._on_message(client, userdata, message)
            return
        count = len(json.loads(message.payload)["acc"])
        with self._came:
            self.count += count
            self._came.notify_all()


class Sender(threading.Thread):
    """Lets a board fill its line for some seconds."""

    def __init__(self, board: VirtualBoard, pty: Pty, seconds: float) -> None:
        super().__init__(daemon=True)
        self._board, self._pty = board, pty
        self._frames = list(board.says(round((seconds + 1) * S)))  # made before the clock runs
        self.frames = self.bytes = self.readings = 0
        self._seconds = seconds

    def run(self) -> None:
        """Greet, then send each frame when the line would have carried it."""
        began_us = self._board.started_us = host().now_us
        self._pty.write(self._board.greeting(began_us))
        while (passed_us := host().now_us - began_us) < self._seconds * S:
            if asked := self._pty.read(STEP_S):
                self._pty.write(self._board.told(asked, host().now_us))
            due = passed_us // (ROWS * DT_US)
            for frame in self._frames[self.frames : due]:
                self._pty.write(frame)
                self.bytes += len(frame)
                self.readings += ROWS if len(frame) > FRAME_BYTES // 2 else 0
            self.frames = max(self.frames, due)


def spent_s(one: live.Host) -> float:
    """Return the CPU seconds that a process has used."""
    words = Path(f"/proc/{one.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def run(boards: int, seconds: float) -> dict[str, object]:
    """Return what the bridge did with it."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, port = Path(name), live.free_port()
        ports, senders = "", []
        for number in range(boards):
            pty = Pty(folder / f"port{number}")
            stack.callback(pty.close)
            senders.append(Sender(VirtualBoard(f"glove-{number}", dt_us=DT_US), pty, seconds))
            ports += (
                f'[ports.p{number}]\npath = "{pty.link}"\nstation = "pack-1"\n'
                f'[ports.p{number}.streams]\nimu = "imu-{number}"\n'
            )
        stack.enter_context(live.mosquitto(folder, port, BROKER))
        heard = Readings(port)
        stack.enter_context(heard)
        one = stack.enter_context(bridge(folder, port, ports))
        heard.wait_for("/bridge/health", 1)
        before_s, began_s = spent_s(one), time.monotonic()
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        took_s, used_s = time.monotonic() - began_s, spent_s(one) - before_s
        sent = sum(sender.readings for sender in senders)
        with contextlib.suppress(AssertionError):
            heard.wait(lambda _: heard.count >= sent, "all of them", 60)
        memory_mb = resident_mb(one)
    return {
        "boards": boards,
        "seconds": round(took_s, 1),
        "line_share": round(sum(s.bytes for s in senders) / took_s / boards / LINE_BYTES_PER_S, 3),
        "baud": BAUD,
        "frames_per_s": round(sum(sender.frames for sender in senders) / took_s),
        "readings": sent,
        "heard": heard.count,
        "core_share": round(used_s / took_s, 3),
        "memory_MB": round(memory_mb, 1),
    }


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--boards", type=int, default=4)
    words.add_argument("--seconds", type=float, default=60.0)
    given = words.parse_args()
    found = run(given.boards, given.seconds)
    print(json.dumps(found))
    raise SystemExit(found["heard"] != found["readings"])
