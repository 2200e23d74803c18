"""Training on recordings of one's own: split, inputs and labels come from their folder."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from sensor_adapters.recording import RecordingError
from tests.own_example import write_recording
from tests.trainer.test_command_line import trainer
from trainer import own_labels
from trainer.own_recordings import by_order, completed
from trainer.recipes import recipe

DAYS = ("monday", "tuesday", "wednesday")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for seed, day in enumerate(DAYS, 100):
        write_recording(folder / day, seed, boxes=1)
    return folder


@pytest.fixture
def mine(written, tmp_path):
    return shutil.copytree(written, tmp_path / "mine")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_folder_says_what_a_model_sees_and_names(mine):
    one = completed(recipe("own-imu-camera-iot"), mine).recipe
    imu, camera = one.inputs
    assert imu.rate_hz == 30
    assert imu.channels == tuple(
        f"right_wrist.{what}_{axis}" for what in ("acc", "gyr") for axis in "xyz"
    )
    boxes = ("person", "box_cx", "box_cy", "box_w", "box_h")
    assert camera.channels == tuple(f"bench.{name}" for name in boxes)
    assert [(d.placement, d.kind) for d in one.devices] == [("scanner", "event"), ("tape", "level")]
    assert one.levels == ("operation", "action"), "the level with fewer segments is the coarser"


def test_without_a_split_file_the_order_of_names_splits_and_it_is_said(mine):
    done = completed(recipe("own-imu"), mine)
    assert done.recipe.split.train == ("monday",)
    assert done.recipe.split.test == ("wednesday",)
    assert any("no split.toml: by order of name, training on monday" in n for n in done.notes)


@pytest.mark.parametrize(("count", "sizes"), [(3, (1, 1, 1)), (5, (3, 1, 1)), (10, (6, 2, 2))])
def test_a_fifth_tests_and_a_fifth_validates(count, sizes):
    split = by_order([f"r{i:02d}" for i in range(count)])
    assert (len(split.train), len(split.validation), len(split.test)) == sizes


def test_a_split_file_decides(mine):
    (mine / "split.toml").write_text(
        'train = ["tuesday"]\n'
        'validation = ["wednesday:part=0-50"]\n'
        'test = ["wednesday:part=50-100"]\n'
    )
    done = completed(recipe("own-imu"), mine)
    assert done.recipe.split.train == ("tuesday",)
    assert "split.toml does not use monday" in done.notes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('train = ["sunday"]\nvalidation = ["monday"]', "found 'sunday', expected recordings of"),
        ('train = ["monday"]\nvalidation = ["monday"]', "found 'monday' twice"),
        (
            'train = ["monday", "tuesday:part=0-50"]\nvalidation = ["tuesday:part=40-60"]',
            "'tuesday:part=0-50' and 'tuesday:part=40-60' share time",
        ),
        ('train = ["monday"]\nvalidation = []', "validation is empty"),
        ('train = ["monday"]', "missing required field `validation`"),
        ("train =", "expected lists train, validation, test"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(mine, text, told):
    (mine / "split.toml").write_text(text)
    with pytest.raises(RecordingError, match=told):
        completed(recipe("own-imu"), mine)


def relabelled(path, change):
    header, *rows = path.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    path.write_text("\n".join([header, *(",".join(change(row)) for row in cells)]) + "\n")


def test_a_label_that_training_lacks_is_told(mine):
    relabelled(
        mine / "tuesday/labels.csv",
        lambda row: [row[0], row[1].replace("Scan Label", "Scan"), *row[2:]],
    )
    notes = completed(recipe("own-imu"), mine).notes
    assert (
        "validation has operation labels that training lacks, so no model learns them: Scan"
        in notes
    )


def test_a_validation_part_of_which_training_knows_nothing_is_refused(mine):
    relabelled(mine / "tuesday/labels.csv", lambda row: [row[0], row[1].upper(), *row[2:]])
    with pytest.raises(RecordingError, match="in validation, expected labels of training: "):
        completed(recipe("own-imu"), mine)


def test_a_channel_that_one_recording_lacks_is_not_used_and_it_is_said(mine):
    edit(mine / "tuesday/recording.toml", 'columns.gyr_z = { column = "gz", unit = "deg/s" }\n', "")
    done = completed(recipe("own-imu"), mine)
    assert "right_wrist.gyr_z" not in done.recipe.inputs[0].channels
    assert any("right_wrist.gyr_z" in note for note in done.notes)
    assert done.recipe.rotate_rad == 0, "two axes of three can not be turned"


def test_a_sensor_that_nobody_recorded_is_refused(mine):
    for day in DAYS:
        text = (mine / day / "recording.toml").read_text()
        head, _, rest = text.partition("[devices.cam]")
        (mine / day / "recording.toml").write_text(
            head + "[devices.s" + rest.partition("[devices.s")[2]
        )
    with pytest.raises(
        RecordingError, match=r"found no camera that all 3 recordings have.*right_wrist"
    ):
        completed(recipe("own-imu-camera"), mine)


def test_one_person_in_training_and_test_is_told(mine):
    edit(mine / "wednesday/recording.toml", "worker-102", "worker-100")
    notes = completed(recipe("own-imu"), mine).notes
    assert any(note.startswith("worker-100: in training and in test") for note in notes)


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="found no recording in it, expected folders that"):
        completed(recipe("own-imu"), tmp_path)


# --- labels in a database --------------------------------------------------------------------

TABLE = """
CREATE TABLE ground_truth (
    level TEXT NOT NULL, label TEXT NOT NULL, start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL CHECK (end_us > start_us), box INTEGER)
"""


def database(path, *rows, table=TABLE):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(table)
        connection.executemany("INSERT INTO ground_truth VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()


def in_database(mine, day, db="truth.db"):
    """Move a recording's labels into a database."""
    truth = own_labels.open_labelled(str(mine / day)).truth
    (mine / day / "labels.csv").unlink()
    with (mine / day / "recording.toml").open("a") as file:
        file.write(f'\n[labels]\nsqlite = "{db}"\n')
    database(mine / day / db, *((t.level, t.label, t.start_us, t.end_us, t.box) for t in truth))
    return truth


def test_labels_may_lie_in_a_database(mine):
    truth = in_database(mine, "monday")
    assert own_labels.open_labelled(str(mine / "monday")).truth == truth
    first_half = own_labels.open_labelled(f"{mine / 'monday'}:part=0-50")
    assert 0 < len(first_half.truth) < len(truth)
    assert completed(recipe("own-imu"), mine).recipe.levels == ("operation", "action")


def test_a_board_s_log_becomes_labels_by_a_view(mine, tmp_path):
    from edge.sqlite_log import SqliteLog

    truth = in_database(mine, "monday", "unused.db")
    log = mine / "monday/log.db"
    SqliteLog(log).close()
    one = truth[0]
    with closing(sqlite3.connect(log)) as connection:
        view = own_labels.__doc__.partition("CREATE VIEW")[2].partition(";")[0]
        connection.execute(f"CREATE VIEW {view}")
        connection.execute(
            "INSERT INTO models (name, sha256, modality, engine, manifest, loaded_us)"
            " VALUES ('imu', 'x', 'imu', 'e', '{}', 0)"
        )
        connection.execute(
            "INSERT INTO segments VALUES ('i', 's', 'imu', 'x', 'imu', 1, ?, ?, '', ?, ?, 1, 1,"
            " 'closed', 0)",
            (one.level, one.label, one.start_us, one.end_us),
        )
        connection.commit()
    edit(mine / "monday/recording.toml", "unused.db", "log.db")
    (found,) = own_labels.open_labelled(str(mine / "monday")).truth
    assert (found.level, found.label, found.start_us) == (one.level, one.label, one.start_us)


def test_the_table_of_the_documentation_holds_labels(tmp_path):
    text = own_labels.__doc__.partition("CREATE TABLE")[2].partition(";")[0]
    db = tmp_path / "truth.db"
    database(db, ("operation", "Pack", 1, 2, None), table=f"CREATE TABLE {text}")
    (found,) = own_labels.read_labels(db)
    assert (found.label, found.box) == ("Pack", None)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("operation", "Pack", "noon", 2, None), "column start_us: found 'noon', expected a whole"),
        (("operation", "Pack", 5, 2, None), "found 5 to 2, expected microseconds"),
        (("operation", "", 1, 2, None), "column label: found '', expected text"),
        (("operation", "Pack", 1, 2, "x"), "column box: found 'x', expected a whole number"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path, row, told):
    loose = "CREATE TABLE ground_truth (level, label, start_us, end_us, box)"
    database(tmp_path / "truth.db", row, table=loose)
    with pytest.raises(RecordingError, match=told):
        own_labels.read_labels(tmp_path / "truth.db")


def test_what_is_no_database_of_labels_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE segments (a)")
    with pytest.raises(RecordingError, match="found tables segments, expected a table ground_tru"):
        own_labels.read_labels(tmp_path / "other.db")
    with pytest.raises(RecordingError, match="does not exist, expected a SQLite file with a table"):
        own_labels.read_labels(tmp_path / "nope.db")


# --- the command line ------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.slow
def test_a_folder_of_recordings_becomes_a_judged_model(mine, tmp_path):
    in_database(mine, "tuesday")
    fit, bundle = tmp_path / "fit", tmp_path / "bundle"
    done = trainer("fit", "own-imu-iot", "--data", mine, "--out", fit, "--updates", 4)
    assert done.returncode == 0, done.stderr
    assert "note: no split.toml: by order of name, training on monday" in done.stderr
    done = trainer(
        "export", "own-imu-iot", "--data", mine, "--from", fit, "--out", bundle, "--name", "mine"
    )
    assert done.returncode == 0, done.stderr
    done = trainer("evaluate", bundle, mine / "wednesday", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert [row["level"] for row in json.loads(done.stdout)] == ["operation", "action"]


@pytest.mark.torch
def test_a_recording_without_labels_stops_the_fit_with_the_list(mine, tmp_path):
    (mine / "monday/labels.csv").unlink()
    command = ("fit", "own-imu", "--data", mine, "--out", tmp_path / "fit", "--updates", 1)
    done = trainer(*command)
    assert done.returncode == 2
    assert "monday: can not be used" in done.stderr
    assert "missing: no labels of operation" in done.stderr
    assert "1 of 2 recordings can be used; missing: monday" in done.stderr
    assert not (tmp_path / "fit").exists()
