"""Two numbers bend probabilities; both are chosen by what they are for."""

import numpy as np
import pytest

from trainer.calibration import Bend, adjusted, calibrated, prior

EVEN = (1 / 3, 1 / 3, 1 / 3)


@pytest.fixture
def said():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(3), 200).astype(np.float32)


def surprise(probabilities, label):
    return -np.log(probabilities[np.arange(len(label)), label]).mean()


def test_the_neutral_bend_changes_nothing(said):
    assert Bend(1.0, 0.0, EVEN).of(said) == pytest.approx(said, abs=1e-6)


def test_a_bent_row_is_still_shares(said):
    found = Bend(2.2, -0.6, (0.9, 0.09, 0.01)).of(said)
    assert found.sum(1) == pytest.approx(np.ones(200), abs=1e-6)
    assert found.dtype == np.float32


def test_heat_brings_two_to_one_to_its_root():
    found = Bend(2.0, 0.0, (1.0, 1.0)).of(np.array([[0.8, 0.2]], np.float32))
    assert found[0].tolist() == pytest.approx([2 / 3, 1 / 3])  # sqrt(4) : 1


def test_a_power_of_the_prior_shifts_to_what_is_frequent():
    share = (0.8, 0.2)
    level = np.array([[0.5, 0.5]], np.float32)
    assert Bend(1.0, 1.0, share).of(level)[0].tolist() == pytest.approx([0.8, 0.2])
    assert Bend(1.0, -1.0, share).of(level)[0].tolist() == pytest.approx([0.2, 0.8])


def test_certainties_stay_numbers():
    sure = np.eye(3, dtype=np.float32)
    found = Bend(0.6, -0.6, (1.0, 0.0, 0.0)).of(sure)
    assert np.isfinite(found).all()


def test_the_prior_is_the_share_of_scored_steps_and_never_zero():
    one = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]], np.float32)
    share = prior([one] * 100)
    assert share == pytest.approx([151 / 203, 51 / 203, 1 / 203])


def test_over_sure_probabilities_are_cooled(said):
    rng = np.random.default_rng(1)
    label = np.array([rng.choice(3, p=p / p.sum()) for p in said.astype(np.float64)])
    hot = Bend(1 / 2.2, 0.0, EVEN).of(said)  # as if they were surer
    chosen = calibrated(EVEN, lambda bend: surprise(bend.of(hot), label))
    assert chosen.temperature in (1.7, 2.2, 3.0)
    assert surprise(chosen.of(hot), label) < surprise(hot, label)


def test_the_best_score_is_taken_and_of_equals_the_least_bend():
    assert adjusted(EVEN, lambda bend: -abs(bend.power + 0.4)) == Bend(1.0, -0.4, EVEN)
    assert adjusted(EVEN, lambda bend: 0.0) == Bend(1.0, 0.0, EVEN)
    assert abs(adjusted(EVEN, lambda bend: float(bend.power != 0)).power) == 0.2
