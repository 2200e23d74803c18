"""Disks that are full, read-only or slow, for a process of its own; nothing else sees them."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SHIM = Path(__file__).with_name("faulty_disk.c")


class SmallDisk:
    """A small file system in memory, mounted where only its own processes see it."""

    def __init__(self, folder: Path, mb: int) -> None:
        """Mount it on ``folder``; skips where that is not allowed."""
        folder.mkdir()
        self._folder = folder
        mount = f"mount -t tmpfs -o size={mb}m none '{folder}' && echo ready && exec sleep 3600"
        self._holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", mount],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"ready\n":
            said = self._holder.stderr.read().decode()
            self.close()
            pytest.skip(f"no file system may be mounted here ({said.strip()})")

    @property
    def where(self) -> tuple[str, ...]:
        """What runs a command that sees the disk."""
        return ("nsenter", "-t", str(self._holder.pid), "-m", "--")

    @property
    def seen(self) -> Path:
        """The folder, as those see it who are outside."""
        return Path(f"/proc/{self._holder.pid}/root{self._folder}")

    def fill(self) -> None:
        """Leave no byte free."""
        number = os.open(self.seen / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (1 << 16, 1 << 12, 1):
                while self._takes(number, b"\0" * size):
                    pass
        finally:
            os.close(number)

    @staticmethod
    def _takes(number: int, content: bytes) -> bool:
        try:
            return os.write(number, content) > 0
        except OSError:
            return False

    def free(self) -> None:
        """Make room."""
        (self.seen / "filler").unlink()

    def close(self) -> None:
        """Let it go, with all that is on it."""
        self._holder.kill()
        self._holder.communicate()


class FaultyDisk:
    """Calls of one process on files in a folder fail or take long, as told."""

    def __init__(self, folder: Path, build: Path) -> None:
        """``build`` is where the library that does it is compiled; skips without a compiler."""
        if shutil.which("gcc") is None:
            pytest.skip("no gcc on this machine, expected one for a disk that fails")
        library = build / "faulty_disk.so"
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"]
        subprocess.run(command, check=True)
        self._control = build / "control"
        self.tell()
        self.env = {
            "LD_PRELOAD": str(library),
            "FAULTY_DIR": str(folder),
            "FAULTY_CONTROL": str(self._control),
        }

    def tell(self, *, write_errno: int = 0, sync_ms: int = 0) -> None:
        """Say how calls go from now on."""
        number = os.open(self._control, os.O_RDWR | os.O_CREAT)
        try:
            os.pwrite(number, struct.pack("ii", write_errno, sync_ms), 0)
        finally:
            os.close(number)
