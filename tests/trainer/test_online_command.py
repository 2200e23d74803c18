"""``online`` and ``costs``: what they print, and what they refuse."""

import json

import pytest

pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.trainer.test_command_line import trainer
from trainer import online_tables

pytestmark = pytest.mark.torch


def results(folder, f1=0.4):
    """Write what a run over 50 Salads' scores leaves, for all folds and one seed."""
    (line,) = [one for one in online_tables.lines("salads") if one.name == "gru"]
    figures = dict.fromkeys(online_tables.DECODER_FIGURES, 0.5) | {"f1_50": f1}
    for run in line.runs:
        ways = {
            way: {**figures, "commit_s": delay, "validation_quality": 0.5, "lag_s": 0.0}
            for way, delay in (("arg-max", 1.0), ("viterbi 5 s", 6.0))
        }
        said = {
            "run": run, "seed": 0, "parameters": 7, "fit_s": 1.0, "map": 0.6, "mcap": 0.7,
            "chosen": "viterbi 5 s", "decoders": ways, "settings": online_tables.settings(run),
        }  # fmt: skip
        (folder / f"{run}-seed0.json").write_text(json.dumps(said))


def test_a_table_is_printed_of_what_was_run_and_drawn(tmp_path):
    results(tmp_path)
    arguments = ("online", "salads", "--results", tmp_path, "--only", "gru", "--json")
    done = trainer(*arguments, "--picture", tmp_path / "delay.svg")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout[done.stdout.index("[") :])
    assert (row["model"], row["map"], row["decoder"]) == ("gru", "0.600", "viterbi 5 s")
    assert (tmp_path / "delay.svg").is_file()
    done = trainer("online", "salads", "--results", tmp_path, "--decoders", "gru", "--json")
    assert [row["decoder"] for row in json.loads(done.stdout)] == ["arg-max", "viterbi 5 s"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("online", "ralt"), "table 'ralt' is unknown, expected sphere, openpack or salads"),
        (("online", "sphere", "--only", "lstm"), "model 'lstm' is unknown, expected one of sigf"),
        (("online", "sphere", "--results", "nowhere"), "nowhere: found no whole line of sphere"),
        (("costs", "virtual-imu", "--heads", "lstm"), "--heads has 'lstm', expected some of gru"),
        (("costs", "virtual-imu", "--stations", "1,x"), "--stations is '1,x', expected numbers"),
    ],
)
def test_what_can_not_be_is_refused_and_told(arguments, told):
    done = trainer(*arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
