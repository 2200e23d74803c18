"""OpenPack's published splits: who is where, and who is on no two sides."""

from itertools import combinations

import pytest

from sensor_adapters.openpack_labels import SAME_PERSON
from trainer.openpack_splits import POOL, USERS, UnknownSplit, parts, people_of, session_of
from trainer.recipe_parts import UnknownRecipe
from trainer.recipes import names, recipe

FIXED = ("debug", "pilot", "challenge-2022")
FAMILIES = [
    *FIXED,
    *(f"benchmark2-{u.lower()}{how}" for u in USERS for how in ("", "-others")),
    *(f"benchmark3-{n}" for n in range(1, len(POOL) + 1)),
    *(f"benchmark5-{u.lower()}{how}" for u in USERS for how in ("", "-as-published")),
]


def test_twenty_one_ids_are_sixteen_people():
    assert len(USERS) == 21
    assert len({SAME_PERSON.get(user, user) for user in USERS}) == 16


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("debug", (3, 1, 1, 1)),
        ("pilot", (15, 2, 3, 4)),
        ("challenge-2022", (44, 7, 4, 22)),
        ("benchmark2-u0101", (1, 1, 4, 0)),
        ("benchmark2-u0108", (1, 1, 3, 0)),
        ("benchmark3", (14, 14, 22, 0)),
        ("benchmark3-3", (3, 3, 22, 0)),
        ("benchmark5-u0101", (93, 5, 5, 0)),
    ],
)
def test_a_split_has_as_many_sessions_as_published(name, sizes):
    one = parts(name)
    assert (len(one.train), len(one.validation), len(one.test), len(one.submission)) == sizes


@pytest.mark.parametrize("name", FAMILIES)
def test_the_session_with_wrong_stamps_is_in_no_split(name):
    one = parts(name)
    given = (*one.train, *one.validation, *one.test, *one.submission)
    assert ("U0108", "S0400") not in {session_of(recording) for recording in given}


@pytest.mark.parametrize("name", FAMILIES)
def test_no_recording_is_in_two_parts(name):
    one = parts(name)
    sides = [set(one.train), set(one.validation), set(one.test)]
    assert not any(a & b for a, b in combinations(sides, 2))


@pytest.mark.parametrize(
    "name", [n for n in FAMILIES if n.startswith("benchmark5") and "published" not in n]
)
def test_who_is_tested_on_after_leave_one_user_out_is_in_no_other_part(name):
    one = parts(name)
    people = [people_of(part) for part in (one.train, one.validation, one.test)]
    assert not any(a & b for a, b in combinations(people, 2))


def test_as_published_a_person_with_two_ids_stands_on_both_sides_and_a_note_says_so():
    one = parts("benchmark5-u0105-as-published")
    assert people_of(one.train) & people_of(one.test) == {"U0105"}
    assert any("U0202" in note and "same person" in note for note in one.notes)


@pytest.mark.parametrize(
    "name", ["pilot", "challenge-2022", "benchmark3", "benchmark2-u0105-others"]
)
def test_figures_are_of_people_whom_training_did_not_see(name):
    one = parts(name)
    assert not people_of(one.judged) & people_of(one.train)


@pytest.mark.parametrize("name", ["benchmark2-u0105", "benchmark3", "benchmark5-u0105"])
def test_where_no_validation_part_is_published_a_note_says_what_it_is(name):
    assert any("no validation part is published" in note for note in parts(name).notes)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("benchmark4", "expected one of debug, pilot"),
        ("benchmark5", "expected one of debug, pilot"),
        ("benchmark5-u0301", "user 'U0301' is unknown, expected one of U0101"),
        ("benchmark3-15", "users is 15, expected 1 to 14"),
    ],
)
def test_a_split_that_nobody_published_is_refused(name, told):
    with pytest.raises(UnknownSplit, match=told):
        parts(name)


def test_a_recipe_joins_any_split_with_any_sensors():
    one = recipe("openpack-benchmark5-u0104-imu-e4-camera-scanner-actions")
    assert one.name == "openpack-benchmark5-u0104-imu-e4-camera-scanner-actions"
    assert one.modality == ("imu", "camera", "iot")
    assert [(b.name, b.rate_hz, len(b.channels)) for b in one.inputs] == [
        ("imu", 30, 24), ("e4", 32, 6), ("camera", 15, 39),
    ]  # fmt: skip
    assert [d.placement for d in one.devices] == ["scanner"]
    assert one.levels == ("operation", "action")
    assert one.split.test == parts("benchmark5-u0104").test


def test_the_printer_comes_only_when_asked_for_by_its_name():
    without = recipe("openpack-challenge-2022-imu-scanner")
    assert "printer" not in [device.placement for device in without.devices]


def test_every_recipe_that_is_listed_is_one():
    assert all(recipe(name).name == name for name in names())


def test_the_single_session_recipes_are_what_they_were():
    one = recipe("openpack-u0209-imu-iot")
    assert one.modality == ("imu", "iot")
    assert [d.placement for d in one.devices] == ["scanner", "printer"]
    assert one.levels == ("operation",)
    assert (one.updates, one.check_every, len(one.inputs[0].channels)) == (400, 20, 24)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("openpack-nope-imu", "split 'nope' is unknown"),
        ("openpack-debug-scanner-imu", "sensors of imu, e4, camera, scanner, printer"),
        ("openpack-debug", "expected one of virtual-imu"),
    ],
)
def test_a_recipe_of_unknown_split_or_sensors_is_refused(name, told):
    with pytest.raises(UnknownRecipe, match=told):
        recipe(name)
