"""Baselines see what the model sees, no later than it, and tell the steps apart by it."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="trainer needs scikit-learn")

from trainer.baselines import boosted_tree, features, majority, stretches_of
from trainer.stretches import Stretch, joined

STEPS, ROWS, CHANNELS = 40, 4, 2
STATISTICS = ("mean", "deviation", "smallest", "largest", "last 2", "last 5", "last 10")


def tensors(seed=0, steps=STEPS, devices=2):
    """Return what a model sees of some steps; unobserved values are 0, as the cut leaves them."""
    random = np.random.default_rng(seed)
    seen = (random.random((steps, ROWS, CHANNELS)) < 0.8).astype(np.float32)
    values = random.normal(size=seen.shape).astype(np.float32) * seen
    found = {"imu": values, "imu_observed": seen}
    if devices:
        found["in_use"] = (random.random((steps, devices)) < 0.3).astype(np.float32)
        found["in_use_observed"] = np.ones((steps, devices), np.float32)
    return found


def of_channel(found, statistic, channel=0):
    """Return (T,) one statistic of a lone input."""
    return found[:, STATISTICS.index(statistic) * CHANNELS + channel]


def lone(values, seen=None):
    values = np.repeat(np.asarray(values, np.float32)[..., None], CHANNELS, axis=2)
    seen = (
        np.ones_like(values)
        if seen is None
        else np.repeat(np.asarray(seen, np.float32)[..., None], CHANNELS, axis=2)
    )
    return features({"imu": values, "imu_observed": seen})


def test_a_step_is_told_by_its_observed_rows_alone():
    found = lone([[1, 3, 99, 0]], seen=[[1, 1, 0, 0]])
    told = [of_channel(found, name)[0] for name in STATISTICS[:4]]
    assert told == [2, 1, 1, 3]
    assert found[0, -1] == 0.5  # share observed


def test_a_step_without_a_reading_is_not_a_number():
    found = lone([[5, 5], [0, 0]], seen=[[1, 1], [0, 0]])
    assert np.isnan([of_channel(found, name)[1] for name in STATISTICS[:4]]).all()
    assert found[1, -1] == 0


def test_the_past_is_the_mean_of_the_observed_steps_in_it():
    found = lone([[1], [0], [4], [7]], seen=[[1], [0], [1], [1]])
    assert of_channel(found, "last 2").tolist() == [1, 1, 4, 5.5]
    assert of_channel(found, "last 5").tolist() == [1, 1, 2.5, 4]


def test_a_past_without_a_reading_is_not_a_number():
    found = lone([[3], [0], [0]], seen=[[1], [0], [0]])
    assert np.isnan(of_channel(found, "last 2")[2])
    assert of_channel(found, "last 5")[2] == 3


def test_no_feature_looks_at_a_later_step():
    whole = tensors()
    early = {name: values[:25] for name, values in whole.items()}
    np.testing.assert_array_equal(features(whole)[:25], features(early))


def test_a_device_tells_whether_and_how_often_it_was_in_use():
    in_use = np.array([[1], [0], [0], [1]], np.float32)
    found = features({"in_use": in_use, "in_use_observed": np.ones_like(in_use)})
    assert found[3].tolist() == [1, 0.5, 0.5, 0.5]


def test_a_dead_device_is_not_a_device_out_of_use():
    zeros = np.zeros((3, 1), np.float32)
    assert np.isnan(features({"in_use": zeros, "in_use_observed": zeros})).all()


def test_the_order_of_the_tensors_does_not_matter():
    found = tensors()
    turned = dict(reversed(found.items()))
    np.testing.assert_array_equal(features(found), features(turned))


def test_the_majority_is_the_commonest_label_of_the_scored_steps():
    assert majority(np.array([-1, -1, -1, 2, 2, 0])) == 2


def test_no_label_at_all_is_an_error():
    with pytest.raises(ValueError, match="found 3 steps without a label"):
        majority(np.full(3, -1))


def taught(steps=400, seed=0):
    """Return features and labels of runs in which the first channel tells the label."""
    random = np.random.default_rng(seed)
    labels = np.repeat(random.integers(0, 3, steps // 10), 10)
    found = tensors(seed, steps)
    found["imu"][..., 0] += 4 * labels[:, None] * found["imu_observed"][..., 0]
    return features(found), labels


def test_trees_learn_what_the_channels_tell():
    x, labels = taught(seed=0)
    tree = boosted_tree(x, labels, seed=0)
    x, labels = taught(seed=1)
    assert (tree.labels(x) == labels).mean() > 0.9
    assert tree.probabilities(x, 5).argmax(axis=1).tolist() == tree.labels(x).tolist()


def test_trees_say_nothing_of_labels_that_training_had_none_of():
    x, labels = taught()
    tree = boosted_tree(x, np.where(labels == 1, -1, labels), seed=0)
    p = tree.probabilities(x, 5)
    assert p.shape == (len(x), 5)
    assert (p[:, [1, 3, 4]] == 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_steps_without_a_label_teach_nothing():
    x, labels = taught()
    spoilt = x.copy()
    spoilt[:100] = 1e6
    hidden = np.where(np.arange(len(labels)) < 100, -1, labels)
    np.testing.assert_array_equal(
        boosted_tree(spoilt, hidden, seed=0).labels(x), boosted_tree(x, hidden, seed=0).labels(x)
    )


def test_the_same_seed_gives_the_same_trees():
    x, labels = taught()
    one, other = (boosted_tree(x, labels, seed=3).probabilities(x, 3) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_channel_that_is_never_observed_is_passed_over():
    x, labels = taught()
    blind = np.concatenate([x, np.full((len(x), 3), np.nan, np.float32)], axis=1)
    tree = boosted_tree(blind, labels, seed=0)
    assert tree.columns.max() < x.shape[1]
    assert (tree.labels(blind) == labels).mean() > 0.9


def test_one_label_alone_can_not_be_learned():
    x, _ = taught()
    with pytest.raises(ValueError, match="found label 1 alone"):
        boosted_tree(x, np.ones(len(x), np.int64), seed=0)


def test_steps_become_stretches_on_the_utc_grid():
    made = stretches_of(np.array([0, 0, 1, -1, 1]), 100, 500_000, ("a", "b"))
    assert made == [
        Stretch("a", 50_000_000, 51_000_000),
        Stretch("b", 51_000_000, 51_500_000),
        Stretch("b", 52_000_000, 52_500_000),
    ]
    assert joined(made) == made
    assert stretches_of(np.array([], np.int64), 100, 500_000, ("a",)) == []
