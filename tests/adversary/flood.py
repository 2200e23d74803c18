"""How much a device may flood until others lose something: ``python -m tests.adversary.flood``.

One device of a station sends at a rate for 20 s, while the station's others work in real time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from sensor_adapters.broker_access import let_in
from sensor_adapters.recordings import open_recording
from tests.adversary.scene import MOLES, Devices, Scene, set_up, settled
from tests.live import NODE, ROOT, SITE, STATION

SECONDS = 20.0
MOST_WAITING = 5000
"""Messages that the broker has not taken; then the flood is as fast as it can be."""
MOLE = MOLES[0]


def flood(scene: Scene, rate_hz: float) -> dict[str, float]:
    """Send so many messages a second, as far as they go out; return how many, and how long."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    let_in(client, scene.broker(MOLE))
    client.connect("127.0.0.1", scene.port)
    client.loop_start()
    body = {"v": 1, "dev": MOLE, "boot": "flood", "t0": 1_600_000_000_000_000, "on": [0]}
    taken: list[int] = []
    client.on_publish = lambda c, u, mid, reason, p: taken.append(mid)
    began_s, count = time.monotonic(), 0
    while (passed_s := time.monotonic() - began_s) < SECONDS:
        for seq in range(count, min(int(passed_s * rate_hz) + 1, len(taken) + MOST_WAITING)):
            payload = msgspec.json.encode(body | {"seq": seq})
            info = client.publish(f"act/v1/{SITE}/{NODE}/{STATION}/in/state/{MOLE}", payload, qos=1)
            count = seq + 1
        time.sleep(0.005)
    info.wait_for_publish(60)
    return {"sent": count, "seconds": round(time.monotonic() - began_s, 1)}


def measured(folder: Path, rate_hz: float) -> dict[str, object]:
    """Return what was sent, and what honest devices lost."""
    recording = open_recording("virtual:seed=7,boxes=1")
    start_us, _ = recording.span_us()
    recording = recording.between(start_us, start_us + round(SECONDS * 1e6))
    with set_up(folder, recording, 2.0) as (scene, board, _):
        with Devices(scene, recording) as devices:
            command = [sys.executable, "-m", "tests.adversary.flood", "--rate", str(rate_hz)]
            command += ["--in", str(folder), "--port", str(scene.port)]
            sender = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            devices.work(1)
            said = json.loads(sender.communicate()[0])
        health = settled(scene)
        board.stop()
        lost, late, messages = board.query(
            "SELECT sum(lost), sum(late), sum(messages) FROM device_states"
            " WHERE device NOT LIKE 'mole%'"
        )[0]
    honest = {"honest_messages": messages, "honest_lost": lost, "honest_late": late}
    return {**said, "refused": health["refused"], "board_cpu_s": health["cpu_s"], **honest}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=8000.0, help="Messages a second.")
    parser.add_argument("--in", type=Path, dest="folder", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(flood(Scene(given.folder, given.port), given.rate)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(Path(folder), given.rate)))


if __name__ == "__main__":
    main()
