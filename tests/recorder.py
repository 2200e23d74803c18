"""A `solosense-adapters record` process, and what is in its file."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sensor_adapters.recorder.mcap_reader import McapReader
from sensor_adapters.recording import RecordingError
from sensor_adapters.topics import Message
from tests import live


class Recorder:
    """A process that records; ended in order by ``stop``."""

    def __init__(self, file: Path, process: subprocess.Popen) -> None:
        self.file, self.process = file, process

    def stop(self, number: int = signal.SIGINT) -> dict:
        """End it; return what it says of itself."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, code: int = 0) -> dict:
        """Wait until it ends with this code; return what it says of itself."""
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == code, err
        self.err = err
        return json.loads(out)

    def wait_until(self, count: int, patience_s: float = 30) -> list[Message]:
        """Wait until so many messages can be read from the file, while it is written."""
        end_s = time.monotonic() + patience_s
        found: list[Message] = []
        while time.monotonic() < end_s:
            with contextlib.suppress(RecordingError):
                found = list(McapReader(self.file))
                if len(found) >= count:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"{len(found)} messages in the file, expected {count}")


@contextlib.contextmanager
def recorder(file: Path, port: int, *arguments: str, shell: str = "") -> Iterator[Recorder]:
    """Run one; yield once the broker has confirmed its subscriptions."""
    command = [sys.executable, "-m", "sensor_adapters", "record", str(file), "--json"]
    command += ["--broker", f"127.0.0.1:{port}", *arguments]
    if shell:
        command = ["bash", "-c", f'{shell}; exec "$@"', "bash", *command]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=live.ROOT
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("recording "), said
        yield Recorder(file, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
