"""A board that is killed and started again and again in a row: the same rows, and nothing grows.

``python -m tests.restarts --count 100`` is the long form; the suite has a short one.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from tests import live

RECORDING = open_recording("virtual:seed=303,boxes=1")
TABLES = ("checkpoints", "outbox", "models", "stations", "device_states")


def restarted(folder: Path, count: int) -> dict[str, Any]:
    """Return what a log holds after so many restarts, every second of them in the midst of work."""
    folder.mkdir()
    said = list(messages(RECORDING, live.SITE, live.NODE, live.STATION, "b"))
    queue = "max_queued_messages 100000\nmax_inflight_messages 2000\n"
    with (
        live.mosquitto(folder, more=queue) as port,
        live.board(folder, port, RECORDING, [live.BUNDLES / "imu"]) as one,
        Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher,
    ):
        sizes = []
        for part in range(count + 1):
            first, last = (len(said) * n // (count + 1) for n in (part, part + 1))
            publisher.publish(iter(said[first:last]), 0)
            if part % 2:
                time.sleep(0.05)
            else:
                assert publisher.settle() is not None, one.said
                sizes.append(sum(f.stat().st_size for f in folder.glob("log.db*")))
            if part < count:
                one.process.kill()
                one.process.wait(10)
                one.start()
        assert publisher.settle() is not None, one.said
        assert one.stop() == 0, one.said
        (lost,) = one.query("SELECT sum(lost), sum(late), sum(rejected), max(session) FROM"
                            " device_states")  # fmt: skip
        return {
            "rows": one.segments(),
            "lost_late_rejected_sessions": lost,
            **{name: one.query(f"SELECT count(*) FROM {name}")[0][0] for name in TABLES},
            "log_bytes": (folder / "log.db").stat().st_size,
            "most_bytes_while_running": max(sizes),
            "tracebacks": one.said.count("Traceback"),
        }


def main() -> None:
    """Compare so many restarts with none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        golden, found = (restarted(Path(folder) / str(n), n) for n in (0, count))
    same = golden.pop("rows") == found.pop("rows")
    print(json.dumps({"restarts": count, "same_rows": same, "none": golden, "so_many": found}))


if __name__ == "__main__":
    main()
