"""solosense-edge db, as a person types it."""

import json
import sqlite3
import threading
from contextlib import closing

import pytest
from typer.testing import CliRunner

from edge.__main__ import app
from edge.sqlite_log import SqliteLog
from edge.storage import look
from edge.storage.copies import copy
from tests.edge.storage.test_start import filled, of_schema, overwritten
from tests.edge.test_sqlite_log import in_a_row, model, read, segment
from tests.live import site_of


@pytest.fixture
def site(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(site_of(1883, "imu", {"wrist": ("imu", "right_wrist")}))
    return file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "solosense.db"


def run(*words: object) -> tuple[int, str]:
    """Return exit code and all that was said, as one line."""
    done = CliRunner().invoke(app, ["db", *map(str, words)])
    return done.exit_code, " ".join(done.output.split())


def test_check_counts_the_rows_of_an_intact_log_and_changes_nothing(site, path):
    before = filled(path)
    code, said = run("check", site, "--json")
    assert code == 0
    assert json.loads(said)["rows"]["segments"] == 2000
    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == ["site.toml", "solosense.db"]


@pytest.mark.fault("F34")
def test_check_ends_with_1_for_a_damaged_log_and_2_for_none(site, path):
    assert run("check", site)[0] == 2
    path.write_bytes(overwritten(filled(path)))
    assert run("check", site)[0] == 1


def test_a_backup_is_whole_while_the_log_is_written(site, path, tmp_path):
    filled(path, 20_000)
    stop = threading.Event()
    with closing(SqliteLog(path)) as log:

        def work() -> None:
            for session in range(2, 10_000):
                if stop.is_set():
                    return
                log.write([segment("Scan", i, i + 1, session=session) for i in range(3)])

        log._connection.close()
        log._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        thread = threading.Thread(target=work)
        thread.start()
        try:
            code, said = run("backup", site, tmp_path / "copy.db")
        finally:
            stop.set()
            thread.join()
    assert code == 0, said
    copied = tmp_path / "copy.db"
    assert look.look(copied, whole=True) == look.newest_version()
    rows = read(copied, "SELECT count(*) FROM segments")[0][0]
    assert rows >= 20_000
    assert (rows - 20_000) % 3 == 0, "of one moment"
    assert run("backup", site, copied)[0] == 2, "what is there is not overwritten"


def test_a_backup_that_fails_leaves_nothing_behind(path, tmp_path, monkeypatch):
    filled(path)

    def broken(done: int, of: int) -> None:
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError):
        copy(path, tmp_path / "copy.db", broken)
    assert not [one for one in tmp_path.iterdir() if "copy" in one.name]


def test_vacuum_gives_room_back_and_refuses_while_the_board_runs(site, path):
    filled(path, 5000)
    with closing(SqliteLog(path)) as log:
        log._connection.execute("DELETE FROM segments")
        code, said = run("vacuum", site)
        assert code == 1
        assert "in use by process" in said
    before = path.stat().st_size
    assert run("vacuum", site)[0] == 0
    assert path.stat().st_size < before / 5
    SqliteLog(path).close()


@pytest.mark.fault("F37")
def test_migrate_keeps_the_log_as_it_was_beside_it(site, path):
    of_schema(path, 2)
    code, said = run("migrate", site)
    assert (code, f"schema 2, now {look.newest_version()}" in said) == (0, True)
    assert look.look(path.with_name(f"{path.name}.before-{look.newest_version()}"), whole=True) == 2
    assert "is the newest" in run("migrate", site)[1]


@pytest.mark.fault("F34")
def test_recover_writes_what_is_left_into_a_new_log(path, tmp_path):
    with closing(SqliteLog(path)) as log:
        log.write([model("imu"), *in_a_row(*[("Picking", 1)] * 100)])
    code, said = run("recover", path, tmp_path / "found.db")
    assert code == 0, said
    assert read(tmp_path / "found.db", "SELECT count(*) FROM segments") == [(100,)]
    assert run("recover", path, tmp_path / "found.db")[0] == 2
