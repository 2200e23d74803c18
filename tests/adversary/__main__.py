"""Attack a board behind its broker for a while, and see that nobody else notices.

``python -m tests.adversary --minutes 10`` prints JSON; it ends with 1 where something was noticed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sensor_adapters.recordings import open_recording
from tests.adversary.attacks import attack
from tests.adversary.scene import Devices, Scene, rows, set_up, settled
from tests.live import ROOT, STATION

BOX_S = 60.0
"""Of simulated work, at least."""


def trial(folder: Path, seconds: float, speed: float) -> dict[str, Any]:
    """Let an honest station work undisturbed, and then under attack; return both."""
    boxes = max(1, round(seconds * speed / BOX_S))
    recording = open_recording(f"virtual:seed=7,boxes={boxes}")
    start_us, end_us = recording.span_us()
    recording = recording.between(start_us, min(end_us, start_us + round(seconds * speed * 1e6)))
    lateness_s = 2 * speed  # of event time, so that it is 2 s of this machine's
    result: dict[str, Any] = {"seconds": seconds, "speed": speed}
    said = {}
    for name in ("undisturbed", "attacked"):
        place = folder / name
        place.mkdir()
        with set_up(place, recording, lateness_s) as (scene, board, broker):
            with Devices(scene, recording) as devices:
                attackers = start(scene, seconds) if name == "attacked" else None
                began_s = time.monotonic()
                result["messages"] = devices.work(speed if attackers else 0)
                result[f"{name}_s"] = round(time.monotonic() - began_s, 1)
                if attackers:
                    out, err = attackers.communicate(timeout=seconds + 120)
                    assert attackers.returncode == 0, err
                    result["attacks"] = json.loads(out)
                    result["honest_connections_lost"] = devices.lost
            health = settled(scene)
            result[f"{name}_health"] = {
                key: health[key]
                for key in ("messages", "refused", "lost", "late", "peak_mb", "cpu_s")
            }
            result["health_answered"] = answers(scene)
            result["board_lost_broker"] = board.said.count("lost the broker")
            result["broker_ended"] = broker.poll() is not None
            result["board_ended"] = board.process.poll() is not None
            result["board_exit"] = board.stop()
            said[name] = rows(board)
            result["honest_lost"] = (
                result.get("honest_lost", 0)
                + board.query(
                    "SELECT coalesce(sum(lost + late + rejected), 0) FROM device_states"
                    f" WHERE station = '{STATION}' AND device NOT LIKE 'mole%'"
                )[0][0]
            )
            result["tracebacks"] = board.said.count("Traceback")
            result["words"] = len(board.said.splitlines())
    result["rows"] = len(said["undisturbed"])
    result["rows_equal"] = said["attacked"] == said["undisturbed"]
    return result


def start(scene: Scene, seconds: float) -> subprocess.Popen:
    """Start the attackers in a process of their own."""
    command = [sys.executable, "-m", "tests.adversary", "--attack", str(scene.folder)]
    command += ["--port", str(scene.port), "--minutes", str(seconds / 60)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def answers(scene: Scene) -> bool:
    """Does the board answer who asks by the command, without being pushed off the broker?"""
    command = [sys.executable, "-m", "edge", "health", str(scene.folder / "site.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return bool(json.loads(done.stdout)["answered"])


def failures(result: dict[str, Any]) -> list[str]:
    """Return what should not be."""
    attacks = result["attacks"]
    found = {
        "a topic of others was taken": attacks.get("foreign taken", 0),
        "an attacker heard something": attacks.get("heard", 0),
        "the broker ended": result["broker_ended"],
        "the board ended": result["board_ended"],
        "the board did not stop in order": result["board_exit"],
        "the board stumbled": result["tracebacks"],
        "the honest station's rows are others": not result["rows_equal"],
        "the board lost the broker": result["board_lost_broker"],
        "the board did not answer": not result["health_answered"],
        "there were no rows": not result["rows"],
        "messages of honest devices were lost, late or refused": result["honest_lost"],
        "honest devices lost the broker": result["honest_connections_lost"],
        "no topic of others was tried": not attacks.get("foreign refused"),
        "the board refused nothing": not result["attacked_health"]["refused"],
    }
    return [what for what, is_so in found.items() if is_so]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--speed", type=float, default=2.0, help="Of the honest station's work.")
    parser.add_argument("--attack", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        os.nice(10)  # attackers have machines of their own
        print(json.dumps(attack(Scene(given.attack, given.port), given.minutes * 60)))
        return
    with tempfile.TemporaryDirectory() as folder:
        result = trial(Path(folder), given.minutes * 60, given.speed)
    result["failures"] = failures(result)
    print(json.dumps(result, indent=1))
    sys.exit(bool(result["failures"]))


if __name__ == "__main__":
    main()
