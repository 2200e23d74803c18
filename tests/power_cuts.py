"""Power cuts, as far as they can be had without a switch: what was not synced may be gone.

A writer's calls on its files are written down in order (``faulty_disk.c``), and a cut is made after
any of them. What came before a file's last sync is there; of what came after, each piece of 4096
bytes is there, or is not, as a coin says. A file that was deleted is gone with the next sync of any
file, as where a file system keeps the order of its own records (ext4). This knows nothing of disks
that lie about a sync, nor of pieces torn within.

``python -m tests.power_cuts --times 1000`` runs the long form; the suite a short one.
"""

import argparse
import contextlib
import random
import sqlite3
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from edge.sqlite_log import SqliteLog
from tests.disks import FaultyDisk

ROOT = Path(__file__).parents[1]
BATCH, LASTING = 3, 10
PIECE = 4096
HEAD = struct.Struct("<cBqq")
MARK = "mark"
WRITER = f"""
import os, sys
from pathlib import Path
from edge import sqlite_log
from edge.records import CheckpointRecord, ModelRecord, SegmentRecord
from edge.segments import Segment

sqlite_log.WAL_BYTES = 256 << 10  # moved to the file often
folder = Path(sys.argv[1])
log = sqlite_log.SqliteLog(folder / "log.db")
mark = os.open(folder / "{MARK}", os.O_WRONLY | os.O_CREAT)
log.write([ModelRecord("imu", "ab", "imu", "litert", "{{}}", 0)], is_lasting=True)
for i in range(int(sys.argv[2])):
    batch = []
    for k in range({BATCH}):
        n = {BATCH} * i + k
        seen = Segment("operation", f"label {{k}}", "", n, n + 1, 0.9, 0.8, "open")
        batch.append(SegmentRecord("packing-1", "imu", "imu", 1, seen, i))
    is_lasting = i % {LASTING} == {LASTING} - 1
    if is_lasting:
        batch.append(CheckpointRecord("packing-1", 1, i, os.urandom(13_000)))
    log.write(batch, is_lasting=is_lasting)
    if is_lasting:
        os.pwrite(mark, str({BATCH} * (i + 1)).encode(), 0)
os._exit(0)
"""


@dataclass
class _File:
    """A file's content as the disk has it, and what it was told since its last sync."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes]] = field(default_factory=list)
    """Offset and content; an offset and no content: cut to that length."""

    def sync(self) -> None:
        """All of it is on the disk."""
        for at, content in self.since:
            _put(self.safe, at, content)
        self.since.clear()

    def after_a_cut(self, rng: random.Random) -> bytes:
        """Return what may be left of it."""
        found = bytearray(self.safe)
        for at, content in self.since:
            if not content:
                if rng.random() < 0.5:
                    del found[at:]
                continue
            while content:
                size = PIECE - at % PIECE
                if rng.random() < 0.5:
                    _put(found, at, content[:size])
                at, content = at + size, content[size:]
        return bytes(found)


def _put(file: bytearray, at: int, content: bytes) -> None:
    if not content:
        del file[at:]
        return
    if len(file) < at:
        file.extend(bytes(at - len(file)))
    file[at : at + len(content)] = content


@dataclass
class Report:
    """What came of so many cuts."""

    cuts: int = 0
    broken_off: int = 0
    """Times when batches behind a broken page were left out, and said to be."""
    set_aside: int = 0
    missing: int = 0
    """Rows of batches that were to last."""
    torn: int = 0
    damaged: int = 0


def run(folder: Path, times: int, seed: int, batches: int = 300) -> Report:
    """Let a writer write, cut its power so often at random moments, open what is left."""
    rng, report = random.Random(seed), Report()
    disk, record = folder / "disk", folder / "record"
    disk.mkdir()
    env = FaultyDisk(disk, folder).env | {"FAULTY_RECORD": str(record)}
    command = [sys.executable, "-c", WRITER, str(disk), str(batches)]
    subprocess.run(command, check=True, cwd=ROOT, env=env)
    calls = list(_calls(record.read_bytes()))
    first = next(
        n for n, (kind, name, *_) in enumerate(calls) if (kind, name) == ("s", "log.db-wal")
    )
    for number, at in enumerate(sorted(rng.choices(range(first, len(calls)), k=times))):
        _judge(folder / str(number), _cut(calls, at, rng), report)
    return report


def _calls(content: bytes) -> list[tuple[str, str, int, bytes]]:
    """Return kind, name, offset and content of each call."""
    found, here = [], 0
    while here < len(content):
        kind, name_length, at, length = HEAD.unpack_from(content, here)
        here += HEAD.size
        name = content[here : here + name_length].decode()
        here += name_length
        found.append((kind.decode(), name, at, content[here : here + length]))
        here += length
    return found


def _cut(
    calls: list[tuple[str, str, int, bytes]], at: int, rng: random.Random
) -> tuple[dict[str, bytes], int]:
    """Return the files after a cut, and how many rows were to last."""
    files: dict[str, _File] = {}
    deleted: dict[str, _File] = {}
    lasting = 0
    for kind, name, offset, content in calls[:at]:
        if name == MARK:
            lasting = int(content)
        elif kind == "s":
            files.setdefault(name, _File()).sync()
            deleted.clear()
        elif kind == "u":
            deleted[name] = files.pop(name, _File())
        else:
            files.setdefault(name, _File()).since.append((offset, content))
    files |= {name: one for name, one in deleted.items() if rng.random() < 0.5}
    left = {name: one.after_a_cut(rng) for name, one in files.items() if not name.endswith("-shm")}
    return left, lasting


def _judge(folder: Path, cut: tuple[dict[str, bytes], int], report: Report) -> None:
    files, lasting = cut
    folder.mkdir()
    for name, content in files.items():
        if name.startswith("log.db") and not name.endswith(".lock"):
            (folder / name).write_bytes(content)
    log = SqliteLog(folder / "log.db")
    report.cuts += 1
    events = {event.event for event in log.events}
    report.set_aside += "set_aside" in events
    report.broken_off += "broken_off" in events
    log.close()
    with contextlib.closing(sqlite3.connect(folder / "log.db")) as reader:
        rows = reader.execute("SELECT count(*) FROM segments").fetchone()[0]
        report.missing += max(lasting - rows, 0)
        report.torn += rows % BATCH != 0
        report.damaged += reader.execute("PRAGMA integrity_check").fetchone() != ("ok",)
    for one in folder.iterdir():
        one.unlink()


def main() -> int:
    """Cut as often as told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = run(Path(name), options.times, options.seed)
    print(report)
    return 1 if report.missing or report.torn or report.damaged else 0


if __name__ == "__main__":
    sys.exit(main())
