"""A program that writes without pause, killed at random: no row that it reported is ever missing.

``python -m tests.kills --times 1000`` runs the long form; the suite a short one.
"""

import argparse
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BATCH = 3
WRITER = f"""
import os, sys
from pathlib import Path
from edge.records import CheckpointRecord, ModelRecord, SegmentRecord
from edge.segments import Segment
from edge.sqlite_log import SqliteLog

log = SqliteLog(Path(sys.argv[1]))
session = log.next_session("packing-1")
log.write([ModelRecord("imu", "ab", "imu", "litert", "{{}}", 0)])
for i in range(10**9):
    batch = []
    for k in range({BATCH}):
        n = {BATCH} * i + k
        seen = Segment("operation", f"label {{k}}", "", n, n + 1, 0.9, 0.8, "open")
        batch.append(SegmentRecord("packing-1", "imu", "imu", session, seen, i))
    is_lasting = i % 10 == 0
    if is_lasting:
        batch.append(CheckpointRecord("packing-1", session, i, os.urandom(13_000)))
    log.write(batch, is_lasting=is_lasting)
    print(*[record.id for record in batch[:{BATCH}]], flush=True)
"""


@dataclass
class Report:
    """What came of so many kills."""

    kills: int = 0
    in_starts: int = 0
    """Of these, before the writer had reported anything."""
    reported: int = 0
    missing: int = 0
    torn: int = 0
    """Times when a part of a batch was found."""
    damaged: int = 0
    alarms: int = 0
    """Files that a start kept, as if something had been lost."""


def run(path: Path, times: int, seed: int) -> Report:
    """Kill a writer so often at random moments; all of them go on in one log."""
    rng, report = random.Random(seed), Report()
    all_: set[str] = set()
    for number in range(times):
        is_in_start = rng.random() < 0.1
        wait_s = rng.uniform(0.02, 0.4) if is_in_start else rng.uniform(0, 0.15)
        found = _killed(path, wait_s, is_in_start=is_in_start)
        report.kills += 1
        report.in_starts += not found
        all_ |= found
        report.reported = len(all_)
        if path.exists():
            _judge(path, found, report)
        if number % 100 == 99 or number == times - 1:
            _judge(path, all_, report, whole=True)
            print(f"{number + 1} kills: {report}", file=sys.stderr)
    report.alarms = len(list(path.parent.glob("*.damaged-*")))
    return report


def _killed(path: Path, wait_s: float, *, is_in_start: bool) -> set[str]:
    """Start a writer and kill it; return what it reported as written."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    with process, process.stdout:
        first = b"" if is_in_start else process.stdout.readline()
        time.sleep(wait_s)
        os.kill(process.pid, signal.SIGKILL)
        lines = [first, *process.stdout]
    whole = [line for line in lines if line.endswith(b"\n")]
    return {id_ for line in whole for id_ in line.decode().split()}


def _judge(path: Path, reported: set[str], report: Report, *, whole: bool = False) -> None:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        if not reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'segments'").fetchone():
            report.missing += len(reported)
            return
        newest = "" if whole else "WHERE session = (SELECT max(session) FROM segments)"
        written = {id_ for (id_,) in reader.execute(f"SELECT id FROM segments {newest}")}
        report.missing += len(reported - written)
        report.torn += len(written) % BATCH != 0
        if whole:
            found = reader.execute("PRAGMA integrity_check").fetchall()
            report.damaged += found != [("ok",)]


def main() -> int:
    """Kill as often as told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = run(Path(name) / "log.db", options.times, options.seed)
    print(report)
    return 1 if report.missing or report.torn or report.damaged or report.alarms else 0


if __name__ == "__main__":
    sys.exit(main())
