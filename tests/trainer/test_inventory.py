"""Before anything trains, all that is missing is said at once."""

import json
from dataclasses import replace

import pytest

from sensor_adapters import sphere
from sensor_adapters.recording import RecordingError
from tests.trainer.test_command_line import trainer
from trainer.inventory import check, without_missing
from trainer.recipe_parts import Split
from trainer.recipes import recipe

ATR = "unixtime,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))


def session(data, user, name):
    """Write a session with four inertial units, a scanner and both levels of labels."""
    for unit in range(1, 5):
        write(data / user / f"atr/atr0{unit}/{name}.csv", ATR, "1,0,0,0,0,0,0", "2,0,0,0,0,0,0")
    write(data / user / f"system/ht/{name}.csv", "unixtime,item", "1,a")
    for level in ("operations", "actions"):
        write(data / user / f"annotation/openpack-{level}-1hz/{name}.csv", "unixtime,box,id")


@pytest.fixture
def debug(tmp_path):
    for number in range(1, 6):
        session(tmp_path, "U0102", f"S0{number}00")
    return tmp_path


def problems(found):
    return {entry.name: entry.problems for entry in found.missing}


def test_a_whole_data_set_has_nothing_missing(debug):
    found = check(recipe("openpack-debug-imu-scanner-actions"), debug)
    assert found.missing == ()
    assert found.last_line() == "5 of 5 recordings can be used"
    rows = {file.what: file.rows for file in found.entries[0].files}
    assert (rows["atr01"], rows["scanner"], rows["kinect"]) == (2, 1, None)


def test_everything_that_is_missing_is_listed_at_once(debug):
    (debug / "U0102/atr/atr02/S0100.csv").unlink()
    write(debug / "U0102/atr/atr03/S0200.csv", ATR.replace("gyro_y,", ""), "1,0,0,0,0,0")
    (debug / "U0102/annotation/openpack-operations-1hz/S0400.csv").unlink()
    for file in list(debug.glob("U0102/**/S0500.csv")):
        file.unlink()
    found = check(recipe("openpack-debug-imu"), debug)
    assert problems(found) == {
        "U0102/S0100": ("U0102/atr/atr02/S0100.csv is missing",),
        "U0102/S0200": ("U0102/atr/atr03/S0200.csv has no column gyro_y",),
        "U0102/S0400": ("no labels of operation",),
        "U0102/S0500": ("U0102/S0500: no file of this session is there",),
    }
    assert found.last_line().startswith("1 of 5 recordings can be used; missing: U0102/S0100, ")


def test_a_file_that_the_recipe_does_not_look_at_may_be_missing(debug):
    (debug / "U0102/system/ht/S0100.csv").unlink()
    assert not check(recipe("openpack-debug-imu"), debug).missing
    assert len(check(recipe("openpack-debug-imu-scanner"), debug).missing) == 1


def test_a_stream_known_not_to_have_been_recorded_is_no_fault_of_the_copy(tmp_path):
    session(tmp_path, "U0203", "S0400")
    write(tmp_path / "U0203/e4/e402/acc/S0400.csv", "time,acc_x,acc_y,acc_z", "1,0,0,0")
    only = ("U0203/S0400",)
    one = replace(recipe("openpack-debug-imu-e4"), split=Split(only, only, only))
    found = check(one, tmp_path)
    assert not found.missing
    assert "e401 was not recorded (flagged: " in found.entries[0].known[0]


def test_known_errors_are_told_with_what_is_done(tmp_path):
    session(tmp_path, "U0104", "S0200")
    session(tmp_path, "U0108", "S0400")
    names = ("U0104/S0200", "U0108/S0400")
    one = replace(recipe("openpack-debug-imu"), split=Split(names, names, names))
    swapped, unfit, *_ = check(one, tmp_path).entries
    assert swapped.can_be_used
    assert swapped.known == ("atr03 and atr04 are swapped (applied: swapped back)",)
    assert unfit.problems == ("U0108/S0400: its stamps are wrong",)


def test_parts_of_one_session_are_looked_at_each(tmp_path):
    session(tmp_path, "U0209", "S0500")
    found = check(recipe("openpack-u0209-imu"), tmp_path)
    assert [entry.part for entry in found.entries] == ["train", "validation", "test"]
    assert not found.missing


def test_a_home_lacks_what_its_folder_lacks(tmp_path):
    write(tmp_path / "00001/acceleration.csv", "t,x,y,z", "0,0,0,0")
    write(tmp_path / "00001/targets.csv", ",".join(("start", "end", *sphere.ACTIVITIES)))
    write(tmp_path / "00003/acceleration.csv", "t,x,y,z", "0,0,0,0")
    write(tmp_path / "00003/targets.csv", "start,end,p_sit")
    one = replace(recipe("sphere-imu"), split=Split(("00001",), ("00002",), ("00003",)))
    found = problems(check(one, tmp_path))
    assert found["00002"] == (
        "00002/acceleration.csv is missing", "00002/targets.csv is missing",
        "no labels of activity",
    )  # fmt: skip
    assert found["00003"][0].startswith("00003/targets.csv has no column a_ascend, a_descend")


def test_the_simulation_lacks_nothing():
    assert check(recipe("virtual-imu"), None).last_line() == "40 of 40 recordings can be used"


def test_without_a_data_folder_nothing_is_looked_for(tmp_path):
    with pytest.raises(RecordingError, match="found no --data, expected the folder that holds"):
        check(recipe("openpack-debug-imu"), None)
    with pytest.raises(RecordingError, match="is no folder"):
        check(recipe("openpack-debug-imu"), tmp_path / "nope")


def test_what_is_missing_can_be_left_out_but_not_all_of_a_part(debug):
    (debug / "U0102/atr/atr02/S0100.csv").unlink()
    one = recipe("openpack-debug-imu")
    assert without_missing(one, check(one, debug)).split.train == ("U0102/S0200", "U0102/S0300")
    (debug / "U0102/atr/atr02/S0400.csv").unlink()
    with pytest.raises(RecordingError, match="no recording that can be used for validation"):
        without_missing(one, check(one, debug))


# --- the command line ------------------------------------------------------------------------


def test_the_command_prints_the_list_and_fails_where_something_is_missing(debug):
    done = trainer("inventory", "openpack-debug-imu", "--data", debug)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("5 of 5 recordings can be used")
    (debug / "U0102/atr/atr02/S0100.csv").unlink()
    done = trainer("inventory", "openpack-debug-imu", "--data", debug, "--json")
    assert done.returncode == 1
    body = json.loads(done.stdout)
    assert [r["name"] for r in body["recordings"] if not r["can_be_used"]] == ["U0102/S0100"]


@pytest.mark.torch
@pytest.mark.parametrize("command", ["fit", "reproduce"])
def test_training_stops_at_the_whole_list_before_it_reads_anything(debug, tmp_path, command):
    for name in ("S0100", "S0400"):
        (debug / f"U0102/atr/atr02/{name}.csv").unlink()
    out = tmp_path / "out"
    done = trainer(command, "openpack-debug-imu", "--data", debug, "--out", out)
    assert done.returncode == 2
    for name in ("S0100", "S0400"):
        assert f"U0102/atr/atr02/{name}.csv is missing" in done.stderr
    assert "--skip-missing goes on without" in done.stderr


@pytest.mark.torch
def test_going_on_without_is_said_aloud(debug, tmp_path):
    (debug / "U0102/atr/atr02/S0400.csv").unlink()
    command = ("fit", "openpack-debug-imu", "--data", debug, "--out", tmp_path, "--skip-missing")
    done = trainer(*command)
    assert done.returncode == 2
    assert "note: 3 of 4 recordings can be used; missing: U0102/S0400; going on without" in (
        done.stderr
    )
    assert "found no recording that can be used for validation" in done.stderr


@pytest.mark.data
def test_the_published_session_is_all_there(data):
    folder = data / "openpack/v1.0.0"
    if not (folder / "U0209").is_dir():
        pytest.skip(f"no OpenPack session: {folder}/U0209 is not a folder")
    found = check(recipe("openpack-u0209-imu-scanner-printer-actions"), folder)
    assert not found.missing
    assert {file.what: file.rows for file in found.entries[0].files}["atr01"] == 46800


# --- openHAB ---


def test_a_house_without_labels_is_told_before_anything_trains(tmp_path):
    one = recipe("ralt-session3")
    missing = check(one, tmp_path).missing
    assert len(missing) == 7
    assert "openhab_events.csv" in missing[0].problems[0]
    write(tmp_path / "openhab_events.csv", "item,unix_timestamp,value", "a,1563960526000,ON")
    (problem,) = check(one, tmp_path).missing[0].problems
    assert problem == "openhab_events.csv has no column activity_label"


def test_every_session_of_the_house_is_tested_once_and_validates_once():
    splits = [recipe(f"ralt-session{n}").split for n in range(1, 8)]
    assert len({s.test for s in splits}) == len({s.validation for s in splits}) == 7
    for split in splits:
        assert len({*split.train, *split.validation, *split.test}) == 7
