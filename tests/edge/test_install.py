"""./deploy.sh install and its kin, on a make-believe board (`board/driver.sh`), cut off anywhere.

The long form is ``python -m tests.fresh_root``: a fresh Debian, a real systemd, real packages.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.sqlite_log import SqliteLog
from tests import own_adapter
from tests.live import ROOT, free_port

DRIVER = Path(__file__).parent / "board" / "driver.sh"
INSTALL = ROOT / "edge" / "install"
UNITS = ["edge", "bridge", "adapters", "camera@"]
ACTS = 60  # more than an installation has


class MadeUpBoard:
    """A folder that is a board's root, and deploy.sh at work on it."""

    def __init__(self, folder: Path, empty_log: Path) -> None:
        self.root = folder / "board"
        self.root.mkdir()
        self.site = folder / "site.toml"
        example = re.sub(r"(?s)\[broker\].*?\n\n", "", (INSTALL / "site.toml").read_text())
        self.site.write_text(example.replace('"/var/lib', f'"{self.root}/var/lib'))
        self.env = os.environ | {
            "PYTHON": sys.executable, "BOARD": str(self.root), "EMPTY_LOG": str(empty_log),
            "PROGRAM": "stub", "TMPDIR": str(folder),
        }  # fmt: skip

    def deploy(self, *arguments: str, **env: str) -> subprocess.CompletedProcess:
        """Run deploy.sh with these arguments."""
        return subprocess.run(
            [str(DRIVER), *arguments, "--root", str(self.root)],
            env=self.env | env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def install(self, release: str, *arguments: str, **env: str) -> subprocess.CompletedProcess:
        """Install a release that bears this name."""
        return self.deploy("install", "--site", str(self.site), *arguments, RELEASE=release, **env)

    def path(self, name: str) -> Path:
        return self.root / name

    @property
    def current(self) -> str:
        link = self.path("opt/solosense/current")
        return link.readlink().name if link.is_symlink() else ""

    @property
    def runs(self) -> str:
        """The release whose program runs."""
        return self.release_of("solosense-edge")

    def release_of(self, service: str) -> str:
        """Return the release from which a service runs; none if it does not."""
        with contextlib.suppress(OSError):
            pid = self.path(f"run/fake-systemd/{service}").read_text()
            found = re.search(r"releases/([^/]+)/", Path(f"/proc/{pid}/cmdline").read_text())
            return found[1] if found else ""
        return ""

    @property
    def log(self) -> Path:
        return self.path("var/lib/solosense/solosense.db")

    def written(self) -> list[str]:
        """Which releases wrote to the log, in order."""
        with contextlib.closing(sqlite3.connect(self.log)) as log:
            return [name for (name,) in log.execute("SELECT release FROM written")]

    def tree(self) -> dict[str, tuple]:
        """All that is there and when it changed, but for what systemd would keep."""
        return {
            str(path): (path.is_dir() or path.lstat().st_mtime_ns, path.lstat().st_mode)
            for path in self.root.rglob("*")
            if not path.is_relative_to(self.path("run"))
            and not path.name.startswith("solosense.db")
        }

    @contextlib.contextmanager
    def as_it_is(self) -> Iterator[Callable[[], None]]:
        """Yield what puts the board back to how it is now, its program started anew."""
        copy = self.root.with_name("kept")
        subprocess.run(["cp", "-a", self.root, copy], check=True)

        def back() -> None:
            self.end()
            shutil.rmtree(self.root)
            subprocess.run(["cp", "-a", copy, self.root], check=True)
            systemctl = [str(DRIVER.with_name("systemctl")), "restart", "solosense-edge"]
            subprocess.run(systemctl, env=self.env, check=True)

        yield back

    def end(self) -> None:
        for file in self.path("run/fake-systemd").glob("solosense-*"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)


@pytest.fixture(scope="session")
def empty_log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "empty.db"
    SqliteLog(path).close()
    return path


@pytest.fixture
def board(tmp_path, empty_log):
    one = MadeUpBoard(tmp_path, empty_log)
    yield one
    one.end()


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_changed(board):
    (board.root / "etc").mkdir()
    (board.root / "proc").mkdir()
    board.path("etc/nv_tegra_release").write_text("# R35 (release), REVISION: 4.1, GCID: 1\n")
    board.path("proc/meminfo").write_text("MemTotal:         409600 kB\n")
    before = board.tree()
    done = board.deploy("install", "--bridge", "nowhere.toml", NOW_S="86400")
    assert done.returncode == 1
    for text in (
        "Jetson Linux 35, expected 36 or later",
        "400 MB of memory, expected 500 or more",
        "the clock says 1970-01-02, before this release was made",
        "--bridge nowhere.toml is not there",
        "no configuration of the site, expected --site FILE",
        "5 of these must be put right first; nothing was changed",
    ):
        assert text in done.stderr
    assert board.tree() == before


def test_a_card_that_wears_out_and_a_clock_that_is_alone_are_minded_and_do_not_stop(
    board, tmp_path
):
    board.path("etc").mkdir()
    board.path("etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1\n")
    (tmp_path / "df").write_text(
        "#!/bin/sh\nprintf 'Used\\n'\ncase $1 in -BM) echo 9000M;; *) echo /dev/mmcblk0p1;; esac\n"
    )
    (tmp_path / "timedatectl").write_text("#!/bin/sh\necho no\n")
    for name in ("df", "timedatectl"):
        (tmp_path / name).chmod(0o755)
    done = board.install("1.0", "--dry-run", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "JetPack 6" in done.stderr
    assert "/dev/mmcblk0p1 is an SD card or eMMC" in done.stderr
    assert "is not synchronised" in done.stderr


def test_a_dry_run_says_every_step_and_does_none(board):
    before = board.tree()
    done = board.install("1.0", "--dry-run")
    assert done.returncode == 0, done.stderr
    for text in (
        "environment of 1.0",
        "bundle imu",
        "solosense-edge.service",
        "link /opt/solosense/current",
        "start solosense-edge",
        "healthy",
        "nothing was done",
    ):
        assert text in done.stderr
    assert board.tree() == before


def test_a_second_run_changes_nothing_and_says_so(board):
    first = board.install("1.0")
    assert first.returncode == 0, first.stderr
    assert "1.0 is installed and healthy" in first.stderr
    assert "mind   nothing comes from imu-rw" in first.stderr, "a sensor stops no release"
    assert board.runs == "1.0"
    before, pid = board.tree(), board.path("run/fake-systemd/solosense-edge").read_text()
    second = board.install("1.0")
    assert "nothing to do: 1.0 is installed and healthy" in second.stderr
    assert board.tree() == before
    assert board.path("run/fake-systemd/solosense-edge").read_text() == pid


def test_an_update_brings_the_onnx_runtime_that_was_asked_for_once(board):
    assert "is no wheel" in board.install("1.0", "--onnx", "gpu").stderr
    board.install("1.0", "--onnx", "lock")
    board.install("1.1")
    assert board.path("opt/solosense/current/onnx/lock").exists()
    board.install("1.2", "--onnx", "none")
    assert not board.path("opt/solosense/current/onnx").exists()


def test_a_settings_file_that_is_there_is_kept_and_that_is_said(board):
    board.install("1.0")
    mine = board.path("etc/solosense/site.toml")
    mine.write_text(mine.read_text() + "# mine\n")
    done = board.install("1.1")
    assert done.returncode == 0, done.stderr
    assert "is kept, it is never overwritten" in done.stderr
    assert mine.read_text().endswith("# mine\n")


@pytest.mark.fault("F55")
def test_an_installation_cut_off_after_every_second_act_gets_there(board):
    for _ in range(ACTS):
        done = board.install("1.0", KILL_AFTER="2")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert board.runs == board.current == "1.0"
    assert "nothing to do" in board.install("1.0").stderr


@pytest.mark.fault("F55")
def test_an_update_cut_off_before_any_act_leaves_the_old_release_running_or_the_new(board):
    board.install("1.0")
    with board.as_it_is() as back:
        for acts in range(ACTS):
            back()
            done = board.install("2.0", KILL_AFTER=str(acts))
            assert board.runs in ("1.0", "2.0")
            # What the board would start after a power cut is whole, too.
            assert board.path("opt/solosense/current/complete").exists()
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            assert board.install("2.0").returncode == 0, "installing again puts it right"
            assert board.runs == board.current == "2.0"
    assert acts >= 5


@pytest.mark.fault("F55")
def test_a_release_that_is_not_healthy_gives_way_to_the_one_before_and_to_its_log(board):
    board.install("1.0")
    done = board.install("1.1", "--patience", "1", MARKS="ill newer")
    assert done.returncode == 1
    assert "1.1 was not healthy; 1.0 runs again" in done.stderr
    assert board.runs == board.current == "1.0"
    assert "no earlier release is kept" in board.deploy("rollback").stderr
    assert board.written() == ["1.0", "1.0"], "the log is the copy, which 1.0 went on with"
    (aside,) = board.log.parent.glob("solosense.db.set-aside-*Z")
    with contextlib.closing(sqlite3.connect(aside)) as log:
        assert ("1.1",) in log.execute("SELECT release FROM written").fetchall()


def test_a_log_that_the_old_release_can_read_is_kept_when_the_new_one_gives_way(board):
    board.install("1.0")
    assert board.install("1.1", "--patience", "1", MARKS="ill").returncode == 1
    assert board.written() == ["1.0", "1.1", "1.0"]
    assert not list(board.log.parent.glob("*.set-aside-*"))


def test_the_first_release_has_none_to_go_back_to_and_says_what_to_do(board):
    done = board.install("1.0", "--patience", "1", MARKS="ill")
    assert done.returncode == 1
    assert "there is no earlier release to go back to" in done.stderr
    board.path("opt/solosense/releases/1.0/ill").unlink()
    assert board.install("1.0").returncode == 0


def test_rollback_goes_to_the_release_before_and_keeps_the_log_or_not_as_asked(board):
    assert "nothing is installed here" in board.deploy("rollback").stderr
    for release in ("1.0", "1.1"):
        board.install(release)
    assert board.deploy("rollback").returncode == 0
    assert board.runs == board.current == "1.0"
    assert board.written() == ["1.0", "1.1", "1.0"]
    assert "no earlier release is kept" in board.deploy("rollback").stderr
    board.install("1.1")
    assert board.deploy("rollback", "--database").returncode == 0
    assert board.written() == ["1.0", "1.1", "1.0", "1.0"]


def test_after_an_update_that_failed_there_is_still_the_way_back_from_before(board):
    for release in ("1.0", "1.1"):
        board.install(release)
    assert board.install("1.2", "--patience", "1", MARKS="ill").returncode == 1
    assert board.runs == "1.1"
    assert board.deploy("rollback").returncode == 0
    assert board.runs == board.current == "1.0"


def test_a_release_that_no_longer_starts_can_be_rolled_back(board):
    for release in ("1.0", "1.1"):
        board.install(release)
    board.end()
    assert board.deploy("rollback").returncode == 0
    assert board.runs == board.current == "1.0"


def test_rollback_refuses_a_log_that_the_old_release_can_not_read_and_names_the_way(board):
    board.install("1.0")
    assert board.install("1.1", MARKS="newer").returncode == 0
    done = board.deploy("rollback")
    assert done.returncode == 1
    assert "rollback --database" in done.stderr
    assert board.runs == board.current == "1.1"
    assert board.deploy("rollback", "--database").returncode == 0
    assert board.runs == "1.0"


@pytest.mark.fault("F55")
def test_a_rollback_cut_off_before_any_act_is_ended_by_the_next(board):
    for release in ("1.0", "2.0"):
        board.install(release)
    with board.as_it_is() as back:
        for acts in range(ACTS):
            back()
            done = board.deploy("rollback", "--database", KILL_AFTER=str(acts))
            assert board.runs in ("1.0", "2.0")
            if done.returncode == 0:
                break
            again = board.deploy("rollback", "--database")
            assert again.returncode == 0 or "no earlier release" in again.stderr
            assert board.runs == board.current == "1.0"
    assert acts >= 4


def test_a_copy_of_the_log_that_is_put_back_survives_any_cut(tmp_path):
    log, script = tmp_path / "solosense.db", tmp_path / "1.0/source/edge/install/restore.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(INSTALL / "restore.sh", script)
    for cut in range(5):
        for name, text in (("", "new"), ("-wal", "new"), ("-shm", "new"), (".restore-1.0", "old")):
            (tmp_path / f"solosense.db{name}").write_text(text)
        cut_off = (
            f"moves=0; mv() {{ [ $moves -lt {cut} ] || kill -9 $$; moves=$((moves+1));"
            f' command mv "$@"; }}; set -- {tmp_path}\n{script.read_text()}'
        )
        subprocess.run(["sh", "-c", cut_off, str(script)], check=False)
        subprocess.run([str(script), str(tmp_path)], check=True)
        assert log.read_text() == "old"
        asides = sorted(tmp_path.glob("*.set-aside-*"))
        assert [path.read_text() for path in asides] == ["new"] * 3
        assert sorted(tmp_path.iterdir()) == sorted([*asides, log, tmp_path / "1.0"])
        for path in asides:
            path.unlink()


def test_a_wish_for_another_release_is_left_alone(tmp_path):
    script = tmp_path / "1.0/source/edge/install/restore.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(INSTALL / "restore.sh", script)
    wish = tmp_path / "solosense.db.restore-2.0"
    wish.write_text("old")
    subprocess.run([str(script), str(tmp_path)], check=True)
    assert wish.exists()
    assert not (tmp_path / "solosense.db").exists()


def test_status_says_until_when_the_brokers_certificate_holds(board):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine, expected one for this test")
    board.install("1.0")
    make = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=broker"]
    make += ["-keyout", "/dev/null", "-out", str(board.path("etc/solosense/broker/server.crt"))]
    for days, is_soon in ((30, True), (300, False)):
        subprocess.run([*make, "-days", str(days)], capture_output=True, check=True)
        done = board.deploy("status")
        assert "certified  until " in done.stdout
        assert ("that is soon" in done.stderr) == is_soon


def test_uninstall_keeps_settings_and_log_unless_told_to_purge(board):
    board.install("1.0")
    assert board.deploy("uninstall").returncode == 0
    assert board.runs == ""
    assert board.log.exists()
    assert board.path("etc/solosense/site.toml").exists()
    left = {path.name for path in board.root.rglob("*") if "solosense" in path.name}
    assert left == {
        "solosense",
        "solosense.db",
        "solosense-deploy",
        "solosense-edge",
        "solosense-edge.log",
    }
    assert board.install("1.0").returncode == 0
    assert board.deploy("uninstall", "--purge").returncode == 0
    assert [
        p for p in board.root.rglob("*solosense*") if not p.is_relative_to(board.path("run"))
    ] == []


def test_the_real_program_refuses_a_site_before_anything_is_switched_to_it(board):
    board.site.write_text(board.site.read_text().replace("bundles/imu", "bundles/ultrasound"))
    done = board.install("1.0", PROGRAM="real")
    assert done.returncode == 1
    assert "ultrasound" in done.stderr
    assert "the new release does not take /etc/solosense/site.toml" in done.stderr
    assert not board.current
    board.path("etc/solosense/site.toml").unlink()
    board.site.write_text(board.site.read_text().replace("ultrasound", "imu"))
    done = board.install("1.0", "--no-start", NO_START="yes", PROGRAM="real")
    assert done.returncode == 0, done.stderr
    assert "imu runs on litert (CPU)" in done.stderr


def test_a_log_outside_of_its_folder_is_refused(board):
    board.site.write_text(re.sub('"/.*/var/lib/solosense/', '"', board.site.read_text()))
    done = board.install("1.0", PROGRAM="real")
    assert done.returncode == 1
    assert "log.path is" in done.stderr
    assert "expected a file below /var/lib/solosense" in done.stderr


ADAPTERS = """version = 1
site = "my-site"
node = "board-1"

[broker]
username = "gateway"
password_file = "broker/secrets/gateway"

[outbox]
path = "/var/lib/solosense/adapters.outbox"

[devices.balance]
station = "pack-1"
adapter = "scale"
topic = "scales/pack-1"
"""


@pytest.fixture
def gateway(board, tmp_path) -> Path:
    """Return a gateway's configuration for this board, which has the secret of its account."""
    file = tmp_path / "adapters.toml"
    file.write_text(ADAPTERS.replace('"/var/lib', f'"{board.root}/var/lib'))
    secret = board.path("etc/solosense/broker/secrets/gateway")
    secret.parent.mkdir(parents=True)
    secret.write_text("made up")
    return file


def test_gateway_and_cameras_start_with_the_board_and_go_back_with_it(board, gateway, tmp_path):
    others = ("solosense-adapters", "solosense-camera@door", "solosense-camera@table-2")
    board.install("1.0")
    assert [board.release_of(one) for one in others] == ["", "", ""], "nobody asked for them"
    cameras = [tmp_path / "camera-door.toml", tmp_path / "camera-table-2.toml"]
    for file in cameras:
        file.write_text('device = "cam"\n')
    files = ["--adapters", gateway, "--camera", cameras[0], "--camera", cameras[1]]
    done = board.install("1.0", *map(str, files))
    assert done.returncode == 0, done.stderr
    assert [board.release_of(one) for one in others] == ["1.0"] * 3
    assert board.install("1.1").returncode == 0
    assert [board.release_of(one) for one in others] == ["1.1"] * 3
    said = board.deploy("status").stdout
    assert "adapters   active" in said
    assert "camera@door active" in said
    assert board.deploy("rollback").returncode == 0
    assert [board.release_of(one) for one in ("solosense-edge", *others)] == ["1.0"] * 4
    board.path("etc/solosense/camera-door.toml").unlink()
    done = board.install("1.0")
    assert done.returncode == 0, done.stderr
    assert [board.release_of(one) for one in others] == ["1.0", "", "1.0"], "its file is gone"
    assert board.deploy("uninstall").returncode == 0
    assert not list(board.path("etc/systemd").rglob("solosense*"))


def test_what_does_not_run_beside_the_board_is_named_and_stops_no_release(board, gateway):
    board.install("1.0")
    done = board.install("1.1", "--adapters", str(gateway), MARKS="lame")
    assert done.returncode == 0, done.stderr
    assert "solosense-adapters does not run; journalctl -u solosense-adapters" in done.stderr
    assert board.runs == "1.1"
    assert board.install("1.2").returncode == 0
    assert board.release_of("solosense-adapters") == "1.2"
    done = board.deploy("rollback")
    assert done.returncode == 0, done.stderr
    assert "solosense-adapters does not run" in done.stderr


def test_a_release_that_knows_nothing_of_a_service_is_a_way_back_too(board, gateway):
    board.install("1.0")
    units = board.path("opt/solosense/releases/1.0/source/edge/install/units")
    (units / "solosense-adapters.service").unlink()
    assert board.install("1.1", "--adapters", str(gateway)).returncode == 0
    done = board.deploy("rollback")
    assert done.returncode == 0, done.stderr
    assert (board.runs, board.release_of("solosense-adapters")) == ("1.0", "")
    assert not list(board.path("etc/systemd").rglob("solosense-adapters*"))
    assert board.install("1.1").returncode == 0
    assert board.release_of("solosense-adapters") == "1.1"


def test_a_unit_of_somebody_else_is_left_alone(board):
    theirs = board.path("etc/systemd/system/multi-user.target.wants/solosense-backup.service")
    theirs.parent.mkdir(parents=True)
    theirs.symlink_to("../solosense-backup.service")
    assert board.install("1.0").returncode == 0
    assert board.deploy("uninstall").returncode == 0
    assert theirs.is_symlink()


def test_two_that_would_share_an_outbox_are_refused(board, gateway, tmp_path):
    pytest.importorskip("onnx", reason="a camera's model is made with onnx")
    one_stage = pytest.importorskip("tests.sensor_adapters.camera_scene").one_stage
    one_stage(tmp_path / "one.onnx")
    camera = ADAPTERS.partition("[devices")[0] + (
        f'[source]\nurl = "rtsp://192.0.2.7/1"\n[model]\npose = "{tmp_path}/one.onnx"\n'
        "[stations.pack-1]\n"
    )
    files = []
    for name in ("door", "my-camera-2"):
        text = camera.replace('"/var/lib', f'"{board.root}/var/lib')
        file = tmp_path / f"camera-{name}.toml"
        file.write_text(text.replace("[broker]", f'device = "{name}"\n[broker]'))
        files += ["--camera", str(file)]
    done = board.install("1.0", *files, "--no-start", NO_START="yes", PROGRAM="real")
    assert done.returncode == 1
    assert "camera-my-camera-2.toml: outbox.path is" in done.stderr
    assert "expected another" in done.stderr


def test_a_release_bears_another_name_with_other_adapters_wherever_one_stands(board, tmp_path):
    def name(*arguments: str) -> str:
        done = subprocess.run(
            [str(DRIVER), "install", "--site", str(board.site), "--dry-run", *arguments,
             "--root", str(board.root)],
            env=board.env | {"RELEASE": "real"}, capture_output=True, text=True, cwd=tmp_path,
            check=True,
        )  # fmt: skip
        found = re.search(r"installing (\S+) would", done.stderr)
        assert found, done.stderr
        return found[1]

    (tmp_path / "wheels").mkdir()
    wheel = tmp_path / "wheels" / "solosense_scale-0.1.0-py3-none-any.whl"
    wheel.write_text("one")
    one = name("--packages", "wheels")
    assert one == name("--packages", str(tmp_path / "wheels")) != name()
    wheel.write_text("another")
    assert one != name("--packages", "wheels")
    (tmp_path / "wheels" / "solosense_scale-0.2.0-py3-none-any.whl").write_text("newer")
    done = board.install("1.0", "--packages", str(tmp_path / "wheels"))
    assert "several wheels of solosense_scale, expected one of each" in done.stderr


def test_a_release_that_is_made_anew_keeps_what_it_was_given(board, gateway, tmp_path):
    packages = str(own_adapter.wheels(tmp_path))
    files = ["--adapters", str(gateway), "--packages", packages]
    options = {"NO_START": "yes", "PROGRAM": "real"}
    done = board.install("1.0", *files, "--no-start", **options)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(board.path("opt/solosense/releases/1.0/venv"))  # its Python went with the system
    shutil.rmtree(packages)
    done = board.install("1.0", "--no-start", **options)
    assert done.returncode == 0, done.stderr
    assert list(board.path("opt/solosense/current/packages").glob("solosense_scale-*.whl"))
    assert sorted(p.name for p in board.path("opt/solosense/releases").iterdir()) == ["1.0"]


def test_a_camera_whose_file_bears_another_name_is_told_how_to_name_it(board, tmp_path):
    (tmp_path / "door.toml").write_text("")
    done = board.install("1.0", "--camera", str(tmp_path / "door.toml"))
    assert done.returncode == 1
    assert "door.toml, expected a file named as camera-door.toml" in done.stderr


def test_adapters_of_your_own_are_installed_and_stay_with_updates(board, gateway, tmp_path):
    pytest.importorskip("hatchling", reason="the package is built with hatchling")
    wheels = str(own_adapter.wheels(tmp_path))
    options = {"NO_START": "yes", "PROGRAM": "real"}
    done = board.install("1.0", "--adapters", str(gateway), "--no-start", **options)
    assert done.returncode == 1
    assert "devices.balance.adapter: adapter 'scale' is not installed" in done.stderr
    assert "does not take /etc/solosense/adapters.toml" in done.stderr
    assert not board.current
    done = board.install("1.1", "--packages", wheels, "--no-start", **options)
    assert done.returncode == 0, done.stderr
    done = board.install("1.2", "--no-start", **options)
    assert done.returncode == 0, done.stderr
    assert list(board.path("opt/solosense/releases/1.2/packages").glob("solosense_scale-*.whl"))
    done = board.install("1.3", "--packages", "none", "--no-start", **options)
    assert "does not take /etc/solosense/adapters.toml" in done.stderr
    assert board.current == "1.2"
    done = board.install("1.4", "--packages", str(tmp_path), "--no-start", **options)
    assert "holds no wheel (*.whl), expected a folder" in done.stderr


@contextlib.contextmanager
def sshd(folder: Path):
    """Run an ssh server of our own on loopback; yield the ssh command that reaches it."""
    found = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None or os.geteuid() != 0:
        pytest.skip("no sshd on this machine, or not root; expected both for this test")
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    (folder / "keys").write_text((folder / "user.pub").read_text())
    Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\n"
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/keys\n"
        f"StrictModes no\nUsePAM no\nPidFile {folder}/pid\nPermitRootLogin yes\n"
        f'SetEnv PYTHON="{sys.executable}"\n'
    )
    (folder / "ssh.conf").write_text(
        f"Host *\nPort {port}\nIdentityFile {folder}/user\nStrictHostKeyChecking no\n"
        f"UserKnownHostsFile {folder}/known\nLogLevel ERROR\nBatchMode yes\n"
    )
    process = subprocess.Popen(
        [found, "-D", "-e", "-f", str(folder / "sshd.conf")], stderr=subprocess.DEVNULL
    )
    try:
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield f"ssh -F {folder}/ssh.conf"
    finally:
        process.terminate()
        process.wait(10)


def test_from_a_laptop_the_same_is_done_over_ssh(board, tmp_path):
    def from_afar(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(ROOT / "deploy.sh"), *arguments, "--root", str(board.root), "root@127.0.0.1"],
            env=board.env | {"SSH": ssh}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    with sshd(tmp_path) as ssh:
        done = from_afar("install", "--site", str(board.site), "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "copying this release to root@127.0.0.1" in done.stderr
        assert f"write {board.root}/etc/solosense/site.toml" in done.stderr
        assert "nothing was done" in done.stderr
        done = from_afar("status")
        assert done.returncode == 1
        assert "nothing is installed here" in done.stderr
    assert not list(Path("/tmp").glob("solosense-deploy.*")), "what was copied is removed"


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine, expected systemd for this test")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_leaves_little_to_an_intruder(name):
    done = systemd_analyze(
        "security", "--offline=true", str(INSTALL / f"units/solosense-{name}.service")
    )
    found = re.search(r"exposure level for solosense-\S+\.service: (\d+\.\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < 3.0


@pytest.mark.fault("F53")
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_one_and_starts_again_what_fails_or_hangs(name, tmp_path):
    text = (INSTALL / f"units/solosense-{name}.service").read_text()
    lines = ["Restart=on-failure", "RestartPreventExitStatus=2"]
    lines += ["Type=notify", "WatchdogSec=60"] if name == "edge" else []
    for line in lines:
        assert f"\n{line}\n" in text
    here = re.sub(r"/opt/solosense/current/\S+", "/bin/true", text)  # it is not installed here
    (tmp_path / f"solosense-{name}.service").write_text(here)
    done = systemd_analyze("verify", "--man=no", str(tmp_path / f"solosense-{name}.service"))
    assert [line for line in done.stderr.splitlines() if "solosense" in line] == []
    assert done.returncode == 0, done.stderr


def test_the_scripts_are_as_shellcheck_wants_them():
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine, expected it for this test")
    for command in (["-x", "-a", "deploy.sh"], ["edge/install/restore.sh"]):
        done = subprocess.run(
            ["shellcheck", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_an_option_that_is_none_ends_with_2_and_says_where_to_look(board):
    done = board.deploy("install", "--sight", "site.toml")
    assert done.returncode == 2
    assert "install does not know --sight" in done.stderr
