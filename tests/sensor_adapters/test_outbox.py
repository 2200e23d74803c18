"""Nothing that waits for the broker is lost or doubled unseen, whatever happens meanwhile."""

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sensor_adapters.outbox import MOST_IN_MEMORY, Outbox, OutboxError

S = 1_000_000
HOUR = 3600 * S
REPOSITORY = Path(__file__).parents[2]


def outbox(path: Path, most_bytes: int = 10_000_000, most_age_us: int = HOUR) -> Outbox:
    return Outbox(path / "outbox.db", most_bytes, most_age_us)


def numbers(entries) -> list[int]:
    return [int(one.payload) for one in entries]


def on_disk(path: Path) -> int:
    with sqlite3.connect(path / "outbox.db") as file:
        return file.execute("SELECT count(*) FROM waiting").fetchone()[0]


def test_what_the_broker_takes_soon_never_touches_the_disk(tmp_path):
    box = outbox(tmp_path)
    for number in range(100):
        box.put("t", b"%d" % number, number * 1000)
        box.done(one.id for one in box.take(10))
        box.keep(number * 1000)
    assert len(box) == 0
    assert on_disk(tmp_path) == 0


def test_what_waits_longer_is_written_down_and_outlives_the_process(tmp_path):
    box = outbox(tmp_path)
    for number in range(100):
        box.put("t", b"%d" % number, 0)
    box.keep(2 * S)
    assert on_disk(tmp_path) == 100
    again = outbox(tmp_path)
    assert again.take(0) == []
    assert numbers(again.take(1000)) == list(range(100))


@pytest.mark.fault("F4")
def test_everything_comes_once_and_in_order_while_the_broker_comes_and_goes(tmp_path):
    chance, box, now_us = random.Random(5), outbox(tmp_path), 0
    handed, taken, put = [], [], 0
    for _ in range(3000):
        now_us += 50_000
        for _ in range(chance.randrange(4)):
            box.put("t", b"%d" % put, now_us)
            put += 1
        what = chance.random()
        if what < 0.5:
            handed += box.take(chance.randrange(1, 20))
        elif what < 0.8 and handed:
            count = chance.randrange(1, len(handed) + 1)
            box.done(one.id for one in handed[:count])
            taken += numbers(handed[:count])
            handed = handed[count:]
        elif what < 0.85:
            box.again()
            handed = []
        elif what < 0.9:
            box.close(now_us)
            box = outbox(tmp_path)
            handed = []
        else:
            box.keep(now_us)
        assert numbers(handed) == sorted(numbers(handed))
    box.again()
    while some := box.take(100):
        taken += numbers(some)
        box.done(one.id for one in some)
    assert taken == list(range(put))
    assert len(box) == 0
    assert box.dropped == 0


def test_the_oldest_go_where_there_is_no_room_and_are_counted_for_good(tmp_path):
    box = outbox(tmp_path, most_bytes=100_000)
    for number in range(1000):
        box.put("t", b"%05d" % number + bytes(395), 0)
    box.keep(2 * S)
    left = [int(one.payload[:5]) for one in box.take(2000)]
    assert left == list(range(1000 - len(left), 1000))
    assert 150 <= len(left) <= 200
    assert box.dropped == 1000 - len(left)
    box.close(2 * S)
    assert outbox(tmp_path).dropped == 1000 - len(left)


def test_what_is_too_old_goes_and_is_counted(tmp_path):
    box = outbox(tmp_path, most_age_us=60 * S)
    for second in range(100):
        box.put("t", b"%d" % second, second * S)
        box.keep(second * S)
    box.keep(110 * S)
    assert numbers(box.take(200)) == list(range(50, 100))
    assert box.dropped == 50


def test_a_disk_that_can_not_be_written_loses_nothing_that_memory_holds(tmp_path, caplog):
    box = outbox(tmp_path)
    box.put("t", b"0", 0)
    box.keep(2 * S)
    other = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    box._file.execute("PRAGMA busy_timeout = 0")
    for number in range(1, 50):
        box.put("t", b"%d" % number, 0)
        box.keep(10 * S)
    assert len([r for r in caplog.records if "locked" in r.getMessage()]) == 1
    assert numbers(box.take(100)) == list(range(50))
    other.execute("ROLLBACK")
    box.again()
    box.keep(10 * S)
    assert on_disk(tmp_path) == 50
    assert numbers(box.take(100)) == list(range(50))


def test_memory_is_bounded_and_what_goes_is_counted(tmp_path):
    box = outbox(tmp_path)
    for number in range(MOST_IN_MEMORY + 10):
        box.put("t", b"%d" % number, 0)
    assert box.dropped == 10
    assert numbers(box.take(1)) == [10]


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "outbox.db").write_text("no database, and long enough to be seen as such" * 10)
    with pytest.raises(OutboxError, match=r"outbox\.db: file is not a database"):
        outbox(tmp_path)


def test_a_power_cut_costs_nothing_that_was_written_down(tmp_path):
    program = (
        "import sys; from pathlib import Path; from sensor_adapters.outbox import Outbox\n"
        "box = Outbox(Path(sys.argv[1]), 10**9, 10**15)\n"
        "for n in range(100_000):\n"
        "    box.put('t', b'%d' % n, n)\n"
        "    if n % 20 == 19:\n"
        "        box.keep(n + 2_000_000); print(n, flush=True)\n"
    )
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", program, folder / "outbox.db"], cwd=REPOSITORY,
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for _, line in zip(range(50), process.stdout, strict=False):
                newest = int(line)
            process.kill()
        found = numbers(outbox(folder).take(10**6))
        assert found == list(range(len(found)))
        assert len(found) > newest
