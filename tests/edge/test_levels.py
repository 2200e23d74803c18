"""Operations and actions: decoded together, an action never lies in another operation."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from edge.bundle import Level
from edge.levels import Levels
from tests.edge.models import S, decoder

OPERATION = Level(name="operation", labels=("pick", "pack"))
ACTION = Level(
    name="action", labels=("reach", "scan", "tape"), parents=("pick", "pick", "pack")
)  # fmt: skip
PARENT = dict(zip(ACTION.labels, ACTION.parents, strict=True))
APART = (decoder("operation", 2), decoder("action", 3))
TOGETHER = (APART[0], msgspec.structs.replace(APART[1], parent_weight=1.0))

SHARES = st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5)


def said(shares):
    upper, lower = np.array(shares[:2], np.float32), np.array(shares[2:], np.float32)
    return {"operation": upper / upper.sum(), "action": lower / lower.sum()}


def heard(steps, specs):
    """Return ended segments of both levels, and what was now at each step."""
    levels = Levels((OPERATION, ACTION), specs, S)
    found, now = [], []
    for index, step in enumerate(steps):
        found += levels.update(index, None if step is None else said(step), 1.0)
        now.append({name: label for name, label, _ in levels.provisional})
    found += levels.finish()
    return [s for s in found if s.state != "open"], now


@given(st.lists(SHARES, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_together_every_action_lies_whole_in_its_own_operation(steps):
    ended, now = heard(steps, TOGETHER)
    operations = [s for s in ended if s.level == "operation"]
    for action in (s for s in ended if s.level == "action"):
        around = [
            o for o in operations if o.start_us <= action.start_us and action.end_us <= o.end_us
        ]
        assert [o.label for o in around] == [PARENT[action.label]] == [action.parent]
    for operation, following in pairwise(operations):
        assert operation.end_us == following.start_us
        assert operation.label != following.label
    assert all(PARENT[step["action"]] == step["operation"] for step in now)


def test_apart_they_may_contradict_each_other():
    steps = [[0.05, 0.95, 0.9, 0.05, 0.05]] * 10  # sure of packing, and of reaching
    ended, _ = heard(steps, APART)
    assert [(s.level, s.label) for s in ended] == [("operation", "pack"), ("action", "reach")]
    together, _ = heard(steps, TOGETHER)
    assert {s.label for s in together} in ({"pick", "reach"}, {"pack", "tape"})


def test_what_is_said_of_the_operation_decides_between_actions():
    steps = [[0.05, 0.95, 0.4, 0.2, 0.4]] * 10
    ended, _ = heard(steps, TOGETHER)
    assert [(s.level, s.label) for s in ended] == [("operation", "pack"), ("action", "tape")]


def test_confidence_is_that_of_each_level():
    ended, _ = heard([[0.1, 0.9, 0.1, 0.1, 0.8]] * 6, TOGETHER)
    assert [round(s.confidence, 3) for s in ended] == [0.9, 0.8]


def test_a_step_of_which_nothing_is_known_goes_on_as_it_was():
    ended, now = heard([[0.1, 0.9, 0.1, 0.1, 0.8]] * 3 + [None] * 3, TOGETHER)
    assert [(s.label, s.end_us // S) for s in ended] == [("pack", 6), ("tape", 6)]
    assert now[-1] == {"operation": "pack", "action": "tape"}


@pytest.mark.parametrize("specs", [APART, TOGETHER])
def test_before_anything_is_known_there_is_nothing(specs):
    levels = Levels((OPERATION, ACTION), specs, S)
    assert levels.update(3, None, 0.0) == []
    assert levels.provisional == []
    sure = said([0.9, 0.1, 0.8, 0.1, 0.1])
    found = [change for i in range(4, 8) for change in levels.update(i, sure, 1.0)]
    found += levels.finish()
    assert {(s.start_us // S, s.end_us // S) for s in found if s.state != "open"} == {(4, 8)}
    assert levels.provisional == []


def test_a_model_that_says_no_numbers_says_nothing():
    nothing = {"operation": np.full(2, np.nan, np.float32), "action": np.ones(3, np.float32)}
    levels = Levels((OPERATION, ACTION), TOGETHER, S)
    for index in range(6):
        known = said([0.1, 0.9, 0.1, 0.1, 0.8])
        levels.update(index, nothing if index == 3 else known, 1.0)
    ended = [s for s in levels.finish() if s.state != "open"]
    assert [(s.label, s.end_us // S) for s in ended] == [("pack", 6), ("tape", 6)]


def test_a_level_above_that_is_sure_of_another_makes_no_nonsense():
    strong = (APART[0], msgspec.structs.replace(APART[1], parent_weight=8.0))
    steps = [[1.0, 0.0, 0.0, 0.0, 1.0]] + [[0.0, 1.0, 0.0, 0.0, 1.0]] * 8
    ended, _ = heard(steps, strong)
    assert ended[-1].label == "tape"


@pytest.mark.parametrize("specs", [APART, TOGETHER])
def test_it_starts_anew_after_its_end(specs):
    levels = Levels((OPERATION, ACTION), specs, S)
    first = [levels.update(i, said([0.9, 0.1, 0.8, 0.1, 0.1]), 1.0) for i in range(5)]
    levels.finish()
    assert levels.open == []
    again = [levels.update(i, said([0.9, 0.1, 0.8, 0.1, 0.1]), 1.0) for i in range(5)]
    assert again == first
