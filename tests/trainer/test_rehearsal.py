"""Sensors die in a rehearsal: models with one voice against the best one alone."""

import json

import pytest
from typer.testing import CliRunner

from edge import bundle as bundles
from edge.engine import open_engine
from sensor_adapters.outages import drawn, without
from sensor_adapters.recordings import open_recording
from tests.live import BUNDLES
from trainer.__main__ import app
from trainer.rehearsal import rehearse

NAMES = ("imu", "camera", "iot")
RECORDING = "virtual:seed=301,boxes=3"


@pytest.fixture(scope="module")
def models():
    loaded = [bundles.load(BUNDLES / name) for name in NAMES]
    return [(one.manifest, open_engine(one)) for one in loaded]


def test_while_all_live_failover_changes_nothing_and_one_voice_outdoes_every_model_alone(models):
    workers = [open_recording(f"virtual:seed={seed},boxes=3") for seed in (300, 301, 302, 303)]
    found = [one for worker in workers for one in rehearse(models, worker, [0.0], [0], 20.0)]
    assert all(one.failover == one.all_alive for one in found)
    assert all((one.gaps, one.overlaps) == (0, 0) for one in found)
    best = max(sum(one.single[name] for one in found) for name in NAMES)
    assert sum(one.all_alive for one in found) > best + len(found) * 0.01


def test_when_sensors_die_failover_loses_less_than_any_model_alone(models):
    found = list(rehearse(models, open_recording(RECORDING), [0.5], [0, 1, 2], 20.0))
    ahead = [one.failover - max(one.single.values()) for one in found]
    assert sum(ahead) / len(ahead) > 0.05
    assert all(one.overlaps == 0 and one.switches > 3 for one in found)
    assert all(one.failover < one.all_alive for one in found)


def test_the_command_tells_what_it_found_as_json(tmp_path):
    file = tmp_path / "found.json"
    given = ["rehearse", "virtual:seed=301,boxes=1", "--dead", "0.3", "--seeds", "1-1"]
    given += [text for name in NAMES for text in ("--bundle", str(BUNDLES / name))]
    ended = CliRunner().invoke(app, [*given, "--json", str(file)])
    assert ended.exit_code == 0, ended.output
    (row,) = json.loads(file.read_text())
    assert row["best_single"] in NAMES
    assert row["best_single_f1"] == max(row["single"].values())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--bundle", "bundles/imu"], "found one, expected several"),
        (["--bundle", "a", "--bundle", "b", "--dead", "half"], "--dead is 'half'"),
        (["--bundle", "a", "--bundle", "b", "--dead", "2"], "expected shares from 0 to 0.9"),
    ],
)
def test_what_makes_no_sense_is_told(given, told):
    ended = CliRunner().invoke(app, ["rehearse", RECORDING, *given])
    assert ended.exit_code == 2
    assert told in ended.output


# --- outages ---


def test_each_modality_is_dead_about_its_share_of_the_time():
    recording = open_recording("virtual:seed=301,boxes=20")
    start_us, end_us = recording.span_us()
    dead = [drawn(recording, 0.3, seed, mean_s=20) for seed in range(20)]
    for name in ("imu", "camera", "iot"):
        lengths = [sum(b - a for a, b in one[name]) / (end_us - start_us) for one in dead]
        assert sum(lengths) / len(lengths) == pytest.approx(0.3, abs=0.05)
    assert dead[0] == drawn(recording, 0.3, 0, mean_s=20)
    assert dead[0]["imu"] != dead[0]["camera"], "they fail independently"


def test_a_dead_modality_says_nothing_and_the_others_all():
    recording = open_recording("virtual:seed=301,boxes=2")
    start_us, _ = recording.span_us()
    span = (start_us + 20_000_000, start_us + 50_000_000)
    cut = without(recording, {"imu": [span]})
    for before, after in zip(recording.samples, cut.samples, strict=True):
        inside = (before.time_us >= span[0]) & (before.time_us < span[1])
        is_imu = recording.devices[before.device].adapter == "imu"
        assert len(after) == len(before) - (inside.sum() if is_imu else 0)
    assert cut.truth == recording.truth
    assert "imu: cut out 1 stretches, 30 s in all" in cut.notes


def test_a_share_of_all_the_time_is_refused():
    with pytest.raises(ValueError, match="share is 1, expected 0 to less than 1"):
        drawn(open_recording("virtual:seed=1,boxes=1"), 1.0, 0)
