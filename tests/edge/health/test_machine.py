"""What Linux says of a machine: read from a made-up tree, as a Jetson and a bare server have it."""

from pathlib import Path

from edge.health.machine import Machine, file_bytes, free_bytes
from edge.health.problems import problems
from edge.health.spans import RECENT, Spans
from edge.health.written import Written
from tests.edge.health.test_streams import BOARD, WELL

DAY_US = 86_400_000_000


def put(root: Path, files: dict[str, object]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


def jetson(root: Path, cpu_milli_c: int, *, held_back: int = 0) -> Machine:
    """Return a machine with a cool GPU, a zone that can not be read, a fan, and two cores."""
    zone = "class/thermal/thermal_zone"
    core = "devices/system/cpu/cpu"
    put(root, {
        f"{zone}0/type": "cpu-thermal", f"{zone}0/temp": cpu_milli_c,
        f"{zone}0/trip_point_0_type": "active", f"{zone}0/trip_point_0_temp": 50_000,
        f"{zone}0/trip_point_1_type": "passive", f"{zone}0/trip_point_1_temp": 97_000,
        f"{zone}0/trip_point_2_type": "critical", f"{zone}0/trip_point_2_temp": 104_500,
        f"{zone}1/type": "gpu-thermal", f"{zone}1/temp": 45_500,
        f"{zone}2/type": "cv0-thermal", f"{zone}2/temp": "",
        "class/thermal/cooling_device0/type": "pwm-fan",
        "class/thermal/cooling_device0/cur_state": 3,
        "class/thermal/cooling_device1/type": "cpufreq-cpu0",
        "class/thermal/cooling_device1/cur_state": held_back,
        f"{core}0/cpufreq/scaling_cur_freq": 729_600,
        f"{core}0/cpufreq/cpuinfo_max_freq": 1_510_400,
        f"{core}1/cpufreq/scaling_cur_freq": 1_510_400,
        f"{core}1/cpufreq/cpuinfo_max_freq": 1_510_400,
    })  # fmt: skip
    return Machine(proc=root, sys=root)


def test_a_jetsons_heat_and_clock_rates_are_read(tmp_path):
    machine = jetson(tmp_path, 51_500)
    heat = machine.heat()
    assert heat is not None
    assert heat.zones_c == {"cpu-thermal": 51.5, "gpu-thermal": 45.5}
    assert (heat.too_hot, heat.is_slowed) == ((), False), "a fan that turns is no harm"
    assert machine.cpu_mhz() == {"now": 1120.0, "most": 1510.4}


def test_heat_that_slows_the_machine_down_is_said(tmp_path):
    heat = jetson(tmp_path, 97_500, held_back=2).heat()
    assert heat is not None
    assert (heat.too_hot, heat.is_slowed) == (("cpu-thermal",), True)
    hot = {"temperatures_c": heat.zones_c, "too_hot": [*heat.too_hot], "slowed": heat.is_slowed}
    said = problems(BOARD, {**WELL, **hot, "devices": {}})
    assert said == [
        "cpu-thermal is at 98 °C, where the machine slows down: cool it",
        "the kernel holds CPU or GPU back for the heat: cool the machine",
    ]


def test_what_a_machine_does_not_say_is_not_guessed(tmp_path):
    bare = Machine(proc=tmp_path, sys=tmp_path)
    assert (bare.heat(), bare.cpu_mhz(), bare.written_bytes()) == (None, None, None)
    assert free_bytes(tmp_path / "nowhere") is None
    assert file_bytes(tmp_path / "nowhere") == 0


def test_this_machine_says_what_it_wrote_and_holds(tmp_path):
    here = Machine()
    before = here.written_bytes()
    (tmp_path / "a").write_bytes(b"x" * 8192)
    assert before is not None
    assert here.memory_mb()["peak_mb"] >= here.memory_mb()["rss_mb"] > 10
    assert file_bytes(tmp_path / "a") == 8192
    assert (free_bytes(tmp_path) or 0) > 0


def test_what_is_written_a_day_is_told_by_the_last_day_and_a_budget_overrun_is_said():
    written, now_us = Written(), 20_000 * DAY_US + DAY_US // 2
    for minute in range(60 * 30):
        written.note(minute * 60.0, now_us + minute * 60_000_000, minute * 1_000_000)
        if minute < 10:
            assert written.bytes_per_day is None, "too soon to tell"
    assert written.bytes_per_day is not None
    assert abs(written.bytes_per_day / 1.44e9 - 1) < 0.01
    assert written.today_bytes == (18 * 60 - 1) * 1_000_000, "since midnight"
    disk = {
        "written_bytes_per_day": 12.3e9,
        "free_bytes": 10**8,
        "wal_bytes": 10**8,
    }
    said = problems(BOARD, {**WELL, "disk": disk, "devices": {}})
    assert said[0] == "only 100 MB are free beside the log: make room"
    assert said[1].startswith("the write-ahead log has grown to 100 MB")
    assert said[2].startswith("12.3 GB a day are written, the budget is 10.0")


def test_lengths_are_counted_by_edges_and_told_as_percentiles():
    spans = Spans()
    assert spans.ms() == {"p50": 0.0, "p99": 0.0}
    for span_s in (0.001, 0.002, 0.002, 20.0):
        spans.add(span_s)
    counted = spans.counted()
    assert (counted.counts[0], counted.counts[1], counted.counts[-1]) == (1, 2, 1)
    assert spans.ms()["p50"] == 2.0


def test_percentiles_are_those_of_the_newest_lengths():
    spans = Spans()
    for number in range(RECENT + RECENT // 4):
        spans.add(1.0 if number < RECENT else 3.0)
    assert spans.ms() == {"p50": 1000.0, "p99": 3000.0}
    for _ in range(RECENT):
        spans.add(2.0)
    assert spans.ms() == {"p50": 2000.0, "p99": 2000.0}


def test_a_model_that_takes_longer_than_its_share_is_said():
    models = {"camera": {"p99_ms": 310.0, "budget_ms": 250.0}}
    (said,) = problems(BOARD, {**WELL, "models": models, "devices": {}})
    assert said.startswith("model camera takes 310 ms a call, it has 250")
