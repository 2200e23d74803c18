"""What a large log costs: its start, its check, a copy, and letting old rows go.

``python -m tests.big_log --gb 1`` makes one (2 GB free are needed) and prints what was measured.
The disk's cache is warm; ``--cold`` empties it before each (root only).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edge.sqlite_log import SqliteLog
from edge.storage.copies import copy
from edge.storage.look import look
from edge.storage.retention import DAY_US, TABLES, Retention
from tests.edge.test_sqlite_log import MIDNIGHT_US, model, segment

ROWS = 50_000
FILL = """
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :first + :rows - 1)
INSERT INTO segments
SELECT lower(hex(randomblob(8))), 'pack-' || (i % 20), 'imu', :sha256, 'imu', 1 + i / 200000,
       iif(i % 5, 'action', 'operation'), 'Assemble Box', 'Picking', :start_us + i * 4000000,
       :start_us + i * 4000000 + 3900000, 0.9, 0.8, 'closed', :start_us + i * 4000000 + 9000000
FROM n
"""


def filled(path: Path, size: float) -> int:
    """Make a log of this size in bytes; return how many rows it has."""
    log = SqliteLog(path)
    log.write([model("imu")])
    first = 0
    while log.size_bytes[0] < size:
        values = {"first": first, "rows": ROWS, "sha256": "ab" * 32, "start_us": MIDNIGHT_US}
        log._connection.execute("BEGIN")
        log._connection.execute(FILL, values)
        log._connection.execute("COMMIT")
        first += ROWS
    log.close()
    return first


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()

    def timed(what: str, work: Callable[[], object]) -> object:
        if options.cold:
            os.sync()
            Path("/proc/sys/vm/drop_caches").write_text("1")
        start_s = time.perf_counter()
        found = work()
        print(f"{what}: {time.perf_counter() - start_s:.2f} s", flush=True)
        return found

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "log.db"
        rows = filled(path, options.gb * 1e9)
        print(f"{rows} segments, {path.stat().st_size / 1e6:.0f} MB")
        log = SqliteLog(path)
        log.close()
        timed("a start, after an end in order", lambda: SqliteLog(path).close())
        log = SqliteLog(path)
        assert log._check is not None
        timed("the check beside the work", log._check.wait)
        log.close()
        timed("the whole check (quick_check)", lambda: look(path, whole=True))
        timed("a backup, checked", lambda: copy(path, Path(name) / "copy.db"))
        log = SqliteLog(path)
        retention = Retention(dict.fromkeys(TABLES, 1.0), 0)
        now_us = MIDNIGHT_US + rows * 4_000_000 + DAY_US // 2
        spans_ms = []
        for number in range(1000):
            start_s = time.perf_counter()
            assert log.trim(retention, now_us, 0.0, by_age=True)
            spans_ms.append((time.perf_counter() - start_s) * 1e3)
            log.write([segment("Scan", number, number + 1, session=10_000)])
        spans_ms.sort()
        print(
            f"a step of retention, 100 rows: p50 {spans_ms[500]:.1f} ms, p99 {spans_ms[990]:.1f} ms"
        )
        log.close()


if __name__ == "__main__":
    main()
