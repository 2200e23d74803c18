"""Detectors over streams of scores: read, taught, judged; what is wrong with the files is told."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from sensor_adapters.recording import RecordingError  # noqa: E402
from trainer import online_runs, online_tables, salads, score_detectors  # noqa: E402
from trainer.progress_tcn import ProgressTcn, ramps  # noqa: E402
from trainer.score_detectors import ScoreDetector  # noqa: E402

pytestmark = pytest.mark.torch
LABELS = ("cut", "mix", "serve")


@pytest.fixture
def folder(tmp_path):
    """Return made-up videos of four people, two each; scores are right three times in four."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for person in range(4):
        for take in (1, 2):
            label = np.repeat(rng.permutation(3), rng.integers(15, 25, 3))
            seen = np.where(rng.random(len(label)) < 0.75, label, rng.integers(0, 3, len(label)))
            scores = rng.normal(0, 0.2, (len(label), 3)) + np.eye(3)[seen]
            name = f"rgb-0{person}-{take}"
            arrays |= {f"{name}/S": scores.astype(np.float32), f"{name}/Y": label.astype(np.int16)}
    np.savez(tmp_path / "mid_scores.npz", **arrays)
    (tmp_path / "classes.txt").write_text("\n".join(LABELS) + "\n")
    (tmp_path / "test.fold1.txt").write_text("rgb-00-1\nrgb-00-2\n")
    salads.read.cache_clear()
    return tmp_path


def test_no_person_is_in_two_parts(folder):
    train, validation, test = salads.split(folder, 1)
    people = [{one.recording.subject for one in part} for part in (train, validation, test)]
    assert people == [{"rgb-01"}, {"rgb-02", "rgb-03"}, {"rgb-00"}]


def test_a_run_is_judged_and_kept(folder, monkeypatch):
    monkeypatch.setattr(score_detectors, "UPDATES", 80)
    name = "salads-gru-fold1"
    (run,) = online_runs.taught(name, folder, 0).values()
    figures = online_tables.judged(run)
    plain = online_tables.judged(
        online_runs.taught("salads-scores-fold1", folder, 0)["salads-scores-fold1"]
    )
    assert figures["map"] > plain["map"]
    chosen = figures["decoders"][figures["chosen"]]
    assert chosen["f1_50"] > plain["decoders"]["arg-max"]["f1_50"] + 0.3
    assert chosen["onset_s"] >= 1.0
    kept = folder / "kept" / "run.npz"
    online_runs.write(run, kept, "these settings")
    assert online_runs.is_kept(kept, "these settings")
    assert not online_runs.is_kept(kept, "others")
    assert not online_runs.is_kept(folder / "nothing.npz", "these settings")
    again = online_runs.read(name, folder, kept)
    assert online_tables.judged(again) == figures


def test_a_table_is_filled_once_and_read_again(folder, monkeypatch):
    monkeypatch.setattr(online_tables, "SALADS_FOLDS", (1,))
    (line,) = [one for one in online_tables.lines("salads") if one.name == "scores"]
    said: list[str] = []
    for _ in range(2):
        online_tables.fill(
            [line], [0, 1], folder, folder / "results", folder / "work", 1, said.append
        )
    assert [text for text in said if "to go" in text] == ["2 runs to go", "0 runs to go"]
    (row,) = online_tables.summary([line], [0, 1], folder / "results")
    assert row["seeds"] == "2"
    assert row["map"].endswith("± 0.000")
    ways = [row["decoder"] for row in online_tables.decoder_summary(line, [0], folder / "results")]
    assert ways[:3] == ["arg-max", "hysteresis", "mode"]
    curves = online_tables.curves([line], [0], folder / "results")
    assert curves["scores"]["viterbi 10 s"][0] > curves["scores"]["arg-max"][0]


@pytest.mark.parametrize("model", score_detectors.MODELS)
def test_no_detector_sees_what_is_to_come(model):
    torch.manual_seed(0)
    net = ProgressTcn(3, 3, layers=4) if model == "protas" else ScoreDetector(model, 3)
    net.eval()

    def said(x):
        answers = net(x)
        return answers[-1].logits if model == "protas" else answers[0]

    x = torch.randn(1, 60, 3)
    later = x.clone()
    later[:, 30:] += 3
    with torch.no_grad():
        before, after = said(x), said(later)
    assert torch.equal(before[:, :30], after[:, :30])
    assert not torch.equal(before[:, 30:], after[:, 30:])


def test_progress_rises_from_the_beginning_of_a_segment_to_its_end():
    found = ramps(torch.tensor([2, 2, 2, 2, 0, 2]), 3)
    assert found[:, 2].tolist() == [0.25, 0.5, 0.75, 1.0, 0.0, 1.0]
    assert found[:, 0].tolist() == [0, 0, 0, 0, 1.0, 0]


def test_background_is_no_action(folder):
    (folder / "classes.txt").write_text("cut\nbackground\nserve\n")
    salads.read.cache_clear()
    assert salads.manifest(folder).levels[0].labels == ("cut", "Null", "serve")


def test_a_fold_of_videos_that_are_not_there_is_told(folder):
    (folder / "test.fold1.txt").write_text("rgb-00-1\nrgb-99-1\n")
    with pytest.raises(RecordingError, match="found rgb-99-1, expected one of rgb-00-1, rgb-00-2"):
        salads.split(folder, 1)


def test_a_folder_without_scores_is_told(tmp_path):
    salads.read.cache_clear()
    with pytest.raises(RecordingError, match=r"classes\.txt.*expected a name a line"):
        salads.read(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(RecordingError, match="expected 50 Salads' scores"):
        salads.read(tmp_path)
    wrong: dict[str, Any] = {"v/S": np.zeros((5, 3)), "v/Y": np.zeros(5)}
    np.savez(tmp_path / "mid_scores.npz", **wrong)
    with pytest.raises(RecordingError, match=r"v has scores \(5, 3\), expected \(5, 2\)"):
        salads.read(tmp_path)
