"""Teachers are taught from batches that depend on the seed alone, and judged on validation."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from torch import nn  # noqa: E402

from tests.made_up_teachers import MANIFEST, NO_DROPOUT, PARTS, RECIPE, recording  # noqa: E402
from trainer import teach  # noqa: E402
from trainer.prepared import scaled  # noqa: E402
from trainer.processes import Processes, joined  # noqa: E402
from trainer.saved_teacher import TeachError  # noqa: E402
from trainer.sigformer import TeacherAnswers  # noqa: E402
from trainer.teacher_recipes import build  # noqa: E402
from trainer.whole_recordings import probabilities  # noqa: E402

pytestmark = pytest.mark.torch
ALONE = Processes(0, 1, torch.device("cpu"))
SHORT = replace(RECIPE, updates=2, check_every=1, accumulate=1)


def run(recipe=SHORT, seed=5, processes=ALONE):
    return teach.Run(recipe, PARTS, seed, processes)


def weights(model):
    return torch.cat([x.detach().flatten() for x in model.state_dict().values()])


def assert_same(batch, other):
    for ours, theirs in zip(batch, other, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[n], theirs[n]) for n in ours)


# --- batches ---


def test_a_batch_is_the_same_whatever_was_asked_before():
    one, other = run(), run()
    one.step(one.batches())
    for number in (3, 0, 7):
        one.batch(number)
    torch.manual_seed(123)
    assert_same(one.batch(2), other.batch(2))


def test_batches_and_seeds_differ():
    one = run()
    images = [one.batch(0)[0]["imu"], one.batch(1)[0]["imu"], run(seed=6).batch(0)[0]["imu"]]
    assert not any(torch.equal(images[a], images[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_two_processes_get_all_rows_of_a_batch_and_each_its_own():
    inputs, targets = run().batch(1)
    for rank in (0, 1):
        mine = run(processes=Processes(0, 1, torch.device("cpu")))
        mine.processes = Processes(rank, 2, torch.device("cpu"))
        ours, true = mine.batch(1)
        assert all(torch.equal(ours[n], x[rank::2]) for n, x in inputs.items())
        assert all(torch.equal(true[n], x[rank::2]) for n, x in targets.items())


def test_batches_go_on_from_where_a_run_stands():
    recipe = replace(SHORT, updates=5, accumulate=2)
    one = run(recipe)
    one.progress.update = 3
    found = list(one.batches())
    assert len(found) == 4
    assert_same(found[0], one.batch(6))


def test_hidden_modalities_are_hidden_in_batches_of_the_recipe_that_asks_for_it():
    def whole(recipe):
        one = run(replace(recipe, batch=64))
        seen = one.batch(0)[0]
        return (seen["in_use_observed"].flatten(1).any(1)).float().mean()

    assert whole(replace(SHORT, modality_dropout=0.0)) == 1
    assert whole(replace(SHORT, modality_dropout=1.0)) == pytest.approx(4 / 7, abs=0.2)


# --- updates ---


def test_two_runs_of_a_seed_are_one_and_another_seed_is_another():
    first, second, other = (teach.teach(SHORT, PARTS, seed, ALONE).model for seed in (5, 5, 6))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_gradients_of_accumulated_batches_are_their_mean():
    def gradient(recipe, first):
        one = run(replace(recipe, clip=1e9, learning_rate=0.0))
        one.step(one.batch(n) for n in range(first, first + recipe.accumulate))
        return torch.cat([x.grad.flatten() for x in one.model.parameters()])

    recipe = replace(SHORT, options={**SHORT.options, **NO_DROPOUT})
    both = gradient(replace(recipe, accumulate=2), 0)
    assert both.norm() > 0.1
    expected = (gradient(recipe, 0) + gradient(recipe, 1)) / 2
    assert (both - expected).norm() < 1e-4 * expected.norm()


def test_every_update_draws_its_own_dropout():
    one = run(replace(SHORT, learning_rate=0.0))
    batch = one.batch(0)
    first, second = one.step(iter([batch])), one.step(iter([batch]))
    assert first != second
    one.progress.update = 0
    assert one.step(iter([batch])) == first


def test_teaching_lowers_the_loss():
    one = run(replace(RECIPE, updates=30, accumulate=1, modality_dropout=0.0, learning_rate=1e-2))
    batches = one.batches()
    losses = [one.step(batches) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_the_mean_of_the_weights_is_judged_and_the_last_ones_are_taught_on():
    one = run()
    batches = one.batches()
    one.step(batches)
    one.step(batches)
    last = weights(one.model)
    one.look()
    assert torch.equal(weights(one.model), last)
    assert one.progress.best_update == 2
    mean = torch.cat([x.flatten() for x in one.best.values()])
    assert torch.equal(mean, torch.cat([x.flatten() for x in one.mean.values()]))
    assert not torch.equal(mean, last)


def test_without_a_running_mean_the_last_weights_are_kept():
    one = run(replace(SHORT, ema=0.0))
    one.step(one.batches())
    assert torch.equal(weights(one.model), torch.cat([x.flatten() for x in one.mean.values()]))


def test_only_a_better_look_is_kept_and_patience_ends_a_run(monkeypatch):
    said = iter([0.3, 0.5, 0.4, 0.5, 0.1])
    monkeypatch.setattr(teach, "validation_f1", lambda *_: next(said))
    taught = teach.teach(replace(SHORT, updates=9, patience=3), PARTS, 5, ALONE)
    assert (taught.best_update, taught.validation_f1) == (2, 0.5)
    assert next(said, "none left") == "none left"
    one = run(replace(SHORT, updates=9))
    batches = one.batches()
    one.step(batches)
    one.step(batches)
    assert torch.equal(weights(taught.model), torch.cat([x.flatten() for x in one.mean.values()]))


# --- learning rate ---


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    recipe = replace(RECIPE, updates=100, warm_up=0.1, learning_rate=1.0)
    rates = [teach.rate(recipe, update) for update in (1, 5, 10, 55, 100)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 0.5, 0.0])


def test_the_published_rate_peaks_at_its_50th_of_200_epochs_and_ends_at_half():
    recipe = replace(RECIPE, updates=200, warm_up=0.25, learning_rate=1e-4, schedule="paper")
    rates = [teach.rate(recipe, update) for update in range(1, 201)]
    assert rates[0] == pytest.approx(2e-6)
    assert max(rates) == rates[49] == pytest.approx(1e-4)
    assert rates[199] == pytest.approx(5e-5)


# --- checkpoints ---


def test_a_killed_runs_folder_holds_what_it_takes_to_go_on(tmp_path):
    one = run()
    one.step(one.batches())
    one.look()
    one.save(tmp_path)
    other = run()
    assert other.resume(tmp_path)
    assert other.progress == one.progress
    assert not (tmp_path / "checkpoint.pt.new").exists()
    assert one.step(one.batches()) == other.step(other.batches())
    assert torch.equal(weights(one.model), weights(other.model))
    for name in one.mean:
        assert torch.equal(one.mean[name], other.mean[name])


def test_an_empty_folder_is_where_a_run_begins(tmp_path):
    assert not run().resume(tmp_path)


@pytest.mark.parametrize(
    ("changes", "seed", "text"),
    [
        ({"name": "another"}, 5, "found name made-up-teacher, expected another"),
        ({"batch": 5}, 5, "found batch 4, expected 5"),
        ({"options": {**SHORT.options, "dropout": 0.7}}, 5, "found options.dropout .*expected 0.7"),
        ({}, 6, "found seed 5, expected 6"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_by_name(tmp_path, changes, seed, text):
    run().save(tmp_path)
    with pytest.raises(TeachError, match=text):
        run(replace(SHORT, **changes), seed).resume(tmp_path)


# --- answers ---


class Position(nn.Module):
    """Says the first value of a step, and how many windows it was asked for."""

    asked = 0

    def forward(self, inputs):
        self.asked += len(inputs["imu"])
        first = inputs["imu"][:, :, 0, 0]
        logits = torch.stack([first, torch.zeros_like(first)], -1)
        return TeacherAnswers({"operation": logits}, first, [], [])


def steps(length):
    imu = np.arange(length, dtype=np.float32).reshape(-1, 1, 1) / 10
    return {"imu": imu, "imu_observed": np.ones_like(imu)}


@pytest.mark.parametrize("overlap", [1, 3, 4])
@pytest.mark.parametrize("length", [1, 7, 12, 13, 24, 50])
def test_every_step_of_a_recording_is_answered_once_whatever_its_length(length, overlap):
    found = probabilities(Position(), steps(length), RECIPE, overlap=overlap)["operation"]
    assert found.shape == (length, 2)
    assert found.sum(1) == pytest.approx(np.ones(length))
    # what it says of a step does not depend on the window, so neither does the mean
    assert found[:, 0] == pytest.approx(1 / (1 + np.exp(-np.arange(length) / 10)), abs=1e-6)


@pytest.mark.parametrize(("overlap", "asked"), [(1, 4), (2, 7), (4, 13)])
def test_windows_overlap_as_often_as_was_asked(overlap, asked):
    model = Position()
    probabilities(model, steps(48), RECIPE, overlap=overlap)
    assert model.asked == asked


def test_overlapping_windows_are_averaged():
    one = build(RECIPE, MANIFEST).eval()
    tensors = scaled(recording(4, steps=18), MANIFEST).tensors
    found = probabilities(one, tensors, RECIPE, overlap=2)["operation"]
    with torch.no_grad():
        each = [
            one({n: torch.from_numpy(x[s : s + 12])[None] for n, x in tensors.items()})
            .logits["operation"][0].softmax(-1).numpy()
            for s in (0, 6)
        ]  # fmt: skip
    assert found[:6] == pytest.approx(each[0][:6], abs=1e-6)
    assert found[6:12] == pytest.approx((each[0][6:] + each[1][:6]) / 2, abs=1e-6)
    assert found[12:] == pytest.approx(each[1][6:], abs=1e-6)


def test_a_process_that_torchrun_did_not_start_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with joined() as processes:
        assert (processes.rank, processes.world) == (0, 1)
        count = torch.tensor(3.0, device=processes.device)
        assert processes.total(count) == 3
        model = nn.Linear(1, 1)
        assert processes.wrapped(model) is model
