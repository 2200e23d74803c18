"""Decoders are made of training labels and chosen by the segments they make on validation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the trainer's dependencies")

from edge.bundle import Level
from trainer import decoding, online_decoders
from trainer.decoding import Said

LEVEL = Level(name="operation", labels=("a", "b", "c"))
S = 1_000_000


@dataclass
class Labelled:
    """What decoding reads of examples: their targets."""

    target: dict[str, np.ndarray]


def labelled(labels):
    target = np.zeros((len(labels), 3), np.float32)
    for step, label in enumerate(labels):
        if label >= 0:
            target[step, label] = 1
    return Labelled({"operation": target})


DAY = [0] * 20 + [1] * 12 + [2] * 30 + [1] * 8 + [0] * 25


def noisy(labels, seed=0, sure=0.6, flips=0.25):
    """Return what a model says that is wrong in a share of the steps, and sure of boundaries."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(labels)) < flips, rng.integers(0, 3, len(labels)), labels)
    p = np.full((len(labels), 3), (1 - sure) / 2, np.float32)
    p[np.arange(len(labels)), said] = sure
    boundary = np.append(0, np.diff(labels) != 0) * 0.9 + 0.05
    return Said(p, boundary.astype(np.float32))


def test_the_shortest_is_what_a_share_of_the_true_segments_stays_below():
    train = [labelled(DAY)]
    assert decoding.shortest(LEVEL, train, 0.0) == (1, 1, 1)
    assert decoding.shortest(LEVEL, train, 0.2) == (20, 8, 20)  # at most MOST_SHORTEST
    assert decoding.shortest(LEVEL, [labelled([0, 0, -1, 0, 0, 0])], 0.2)[0] == 2


def test_a_label_that_training_never_shows_may_be_as_short_as_can_be():
    assert decoding.shortest(LEVEL, [labelled([0] * 10)], 0.2) == (10, 1, 1)


def test_what_is_chosen_makes_better_segments_than_the_most_likely_label():
    said = noisy(DAY)
    spec, reached = decoding.chosen(LEVEL, [labelled(DAY)], [labelled(DAY)], [said], 8)
    plain = decoding.quality(LEVEL, [labelled(DAY)], [said.probabilities.argmax(1)])
    assert reached.f1_50 > plain.f1_50 + 0.3
    assert reached.edit > plain.edit + 30
    found = decoding.quality(LEVEL, [labelled(DAY)], [decoding.decoded(spec, said)])
    assert found == reached


def test_a_model_that_says_no_boundaries_is_decoded_without():
    said = Said(noisy(DAY).probabilities)
    spec, _ = decoding.chosen(LEVEL, [labelled(DAY)], [labelled(DAY)], [said], 8)
    assert spec.boundary_weight == 0


def test_quality_is_only_of_what_is_known():
    truth = [*DAY[:40], *[-1] * 20, *DAY[60:]]
    said = np.array(DAY)
    said[40:60] = 0
    assert decoding.quality(LEVEL, [labelled(truth)], [said]).mean == 1.0


def test_every_way_to_decode_is_within_its_lag_and_the_soonest_of_the_best_wins():
    train = validation = [labelled(DAY)]
    found = online_decoders.ways(LEVEL, S, train, validation, [noisy(DAY)])
    assert found["arg-max"][0].window_steps == 1
    assert [found[f"viterbi {lag} s"][0].lag_steps for lag in (0, 1, 2, 5, 10)] == [0, 1, 2, 5, 10]
    best = max(quality.mean for _, quality in found.values())
    name = online_decoders.winner(found)
    assert found[name][1].mean >= best - online_decoders.GOOD_ENOUGH
    sooner = [q.mean for s, q in found.values() if s.lag_steps < found[name][0].lag_steps]
    assert all(mean < best - online_decoders.GOOD_ENOUGH for mean in sooner)


def test_at_four_steps_a_second_the_same_seconds_are_more_steps():
    quarter = [label for label in DAY for _ in range(4)]
    both = [labelled(quarter)]
    found = online_decoders.ways(LEVEL, S // 4, both, both, [noisy(quarter)])
    assert found["viterbi 5 s"][0].lag_steps == 20
    assert found["mode"][0].window_steps % 2 == 1
    assert found["mode"][0].lag_steps >= 6


def test_from_no_decoder_none_is_chosen():
    with pytest.raises(ValueError, match="found no decoder"):
        decoding.best_of([], lambda spec: decoding.Quality(0, 0, 0))


ACTION = Level(name="action", labels=("x", "y", "z", "w"), parents=("a", "a", "b", "c"))


def test_two_levels_are_chosen_together_where_every_operation_has_an_action():
    assert decoding.complete((LEVEL, ACTION))
    childless = Level(name="action", labels=("x",), parents=("a",))
    assert not decoding.complete((LEVEL, childless))
    assert not decoding.complete((LEVEL,))


def test_together_both_levels_are_as_good_as_can_be_and_agree():
    fine = [0] * 9 + [1] * 11 + [2] * 12 + [3] * 30 + [2] * 8 + [1] * 25
    parents = np.array([0, 0, 1, 2])
    coarse = parents[fine].tolist()
    target = {
        "operation": labelled(coarse).target["operation"],
        "action": np.eye(4, dtype=np.float32)[fine],
    }
    day = Labelled(target)
    p = np.full((len(fine), 4), 0.1, np.float32)
    rng = np.random.default_rng(3)
    said = np.where(rng.random(len(fine)) < 0.3, rng.integers(0, 4, len(fine)), fine)
    p[np.arange(len(fine)), said] = 0.7
    both = (noisy(coarse), Said(p))
    levels = (LEVEL, ACTION)
    days: list[Any] = [day]
    specs, reached = decoding.chosen_together(levels, days, days, [both], 8)
    assert specs[1].parent_weight > 0
    assert min(one.mean for one in reached) > 0.85
    upper, lower = decoding.decoded_together(levels, specs, both)
    assert (parents[lower] == upper).all()
    assert decoding.quality(LEVEL, days, [upper]) == reached[0]
