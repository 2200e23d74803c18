"""Probabilities are judged by their distance from the truth, and by whether they hold."""

import json

import numpy as np
import pytest

from trainer.probability_scores import calibration, weighted_brier
from trainer.truth import ScoreError


def test_the_brier_score_of_a_case_worked_by_hand():
    p = np.array([[0.5, 0.5], [1.0, 0.0]], np.float32)
    y = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    # (1 * .25 + 3 * .25 = 1) and (1 + 3 = 4)
    assert weighted_brier(p, y, np.array([1, 3], np.float32)) == pytest.approx(2.5)


def test_the_brier_score_leaves_out_unlabelled_seconds():
    p = np.array([[1.0, 0.0], [0.3, 0.7]], np.float32)
    y = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    assert weighted_brier(p, y, np.ones(2, np.float32)) == 0
    with pytest.raises(ScoreError, match="no second"):
        weighted_brier(p, np.zeros_like(y), np.ones(2, np.float32))


def sure(*confidences):
    """Return (N, 2) probabilities whose likelier label is the first."""
    return np.array([[p, 1 - p] for p in confidences], np.float32)


def test_the_calibration_error_of_a_case_worked_by_hand():
    # two of about .86, one of them right, and two of about .57, both right; in ten bins
    right, wrong = [1, 0], [0, 1]
    y = np.array([right, wrong, right, right], np.float32)
    found = calibration(sure(0.87, 0.85, 0.58, 0.56), y, bins=10)
    assert found.error == pytest.approx((2 * (0.86 - 0.5) + 2 * (1 - 0.57)) / 4)
    assert found.seconds.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 2, 0]
    assert found.confidence[[5, 8]] == pytest.approx([0.57, 0.86])
    assert found.accuracy[[5, 8]] == pytest.approx([1.0, 0.5])


def test_a_shared_second_is_right_by_the_share_of_the_predicted_label():
    y = np.array([[0.75, 0.25]], np.float32)
    assert calibration(sure(0.75), y).error == 0
    assert calibration(sure(0.95), y).error == pytest.approx(0.2)


def test_certainty_that_holds_is_perfect_and_certainty_that_fails_is_not():
    y = np.array([[1, 0], [1, 0]], np.float32)
    assert calibration(sure(1.0, 1.0), y).error == 0
    assert calibration(sure(1.0, 1.0), y[:, ::-1]).error == 1


def test_calibration_leaves_out_unlabelled_seconds():
    y = np.array([[1, 0], [0, 0]], np.float32)
    found = calibration(sure(1.0, 0.7), y)
    assert found.error == 0
    assert found.seconds.sum() == 1
    with pytest.raises(ScoreError, match="no second"):
        calibration(sure(1.0, 0.7), np.zeros_like(y))
    with pytest.raises(ScoreError, match="found 0 bins"):
        calibration(sure(1.0, 0.7), y, bins=0)


def test_reliability_becomes_json_without_its_empty_bins():
    told = calibration(sure(0.9, 0.6), np.array([[1, 0], [0, 1]], np.float32), bins=10).as_dict()
    assert told["reliability"]["seconds"] == [1, 1]
    assert told["reliability"]["accuracy"] == [0.0, 1.0]
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.parametrize("seed", range(5))
def test_reliability_points_are_those_of_scikit_learn(seed):
    sklearn = pytest.importorskip("sklearn.calibration", reason="trainer needs scikit-learn")
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(5) / 2, 400)
    true = random.integers(0, 5, 400)
    found = calibration(p, np.eye(5)[true], bins=10)
    right = p.argmax(axis=1) == true
    accuracy, confidence = sklearn.calibration_curve(right, p.max(axis=1), n_bins=10)
    filled = found.seconds > 0
    assert found.confidence[filled] == pytest.approx(confidence)
    assert found.accuracy[filled] == pytest.approx(accuracy)
    weight = found.seconds[filled] / 400
    assert found.error == pytest.approx(weight @ np.abs(accuracy - confidence))
