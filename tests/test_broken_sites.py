"""A hundred configurations, broken in as many ways: what `check` says of each.

All that is said stands in `broken_sites.txt`, to be read as one who has to repair it would;
``python -m tests.test_broken_sites`` writes it anew.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from edge import bundle as bundles
from edge.__main__ import app
from edge.bundle import MANIFEST, REFERENCE, Manifest
from tests import live

SAID = Path(__file__).with_suffix("").with_name("broken_sites.txt")
SITE = """\
# The packing hall
version = 1
site = "osaka"
node = "board-1"

[broker]
host = "127.0.0.1"
port = 1

[log]
path = "solosense.db"
checkpoint_s = 5.0

[time]
lateness_s = 2.0

[stations.pack-1]
bundles = ["models/imu", "models/iot"]

[stations.pack-1.devices]
imu-rw = { adapter = "imu", placement = "right_wrist" }
imu-lw = { adapter = "imu", placement = "left_wrist" }
scanner = { adapter = "event", placement = "scanner" }
printer = { adapter = "event", placement = "printer" }
tape = { adapter = "state", placement = "tape" }
pen = { adapter = "state", placement = "pen" }
shelf = { adapter = "state", placement = "shelf" }
backtable = { adapter = "state", placement = "back_table" }

[stations.pack-2]
bundles = ["models/camera"]
devices.cam = { adapter = "pose", placement = "bench" }
"""
Break = Callable[[Path], None]


def swap(*pairs: tuple[str, str]) -> Break:
    """Return what replaces texts of the file."""

    def break_(home: Path) -> None:
        text = SITE
        for old, new in pairs:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (home / "site.toml").write_text(text, encoding="utf-8")

    return break_


def one(old: str, new: str) -> Break:
    """Return what replaces a text of the file."""
    return swap((old, new))


def line(text: str, below: str = 'node = "board-1"\n') -> Break:
    """Return what adds a line."""
    return one(below, f"{below}{text}\n")


def in_table(table: str, text: str) -> Break:
    """Return what adds a line to a table."""
    return line(text, f"[{table}]\n")


def content(made: Callable[[bytes], bytes]) -> Break:
    """Return what writes other bytes."""
    return lambda home: void((home / "site.toml").write_bytes(made(SITE.encode())))


def void(_: object) -> None:
    """Return nothing."""


def model(name: str, made: Callable[[Path], None]) -> Break:
    """Return what harms a bundle."""

    def harm(home: Path) -> None:
        (home / "models").unlink()
        shutil.copytree(live.BUNDLES, home / "models")
        made(home / "models" / name)

    return harm


def cut(file: str) -> Callable[[Path], None]:
    """Return what leaves half of a file."""

    def half(folder: Path) -> None:
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[: len(whole) // 2])

    return half


def sealed(made: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return what harms a bundle and lets its sums be right."""

    def seal(folder: Path) -> None:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        made(folder)
        bundles.write(folder, manifest)

    return seal


def no_number(folder: Path) -> None:
    """Make a reference whose answers are no numbers."""
    with np.load(folder / REFERENCE) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(
        folder / REFERENCE, **{n: a * np.nan if "out.p" in n else a for n, a in arrays.items()}
    )


def other_model(folder: Path) -> None:
    """Put another bundle's model in its place."""
    for name in ("model.tflite", "model.onnx"):
        if (folder / name).exists():
            shutil.copy(folder.with_name("camera") / name, folder / name)


def renamed(folder: Path) -> None:
    """Give a bundle another's name."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    bundles.write(folder, msgspec.structs.replace(manifest, name="imu"))


def instead(what: Callable[[Path], object]) -> Break:
    """Return what puts something else in the file's place."""

    def break_(home: Path) -> None:
        (home / "site.toml").unlink()
        what(home / "site.toml")

    return break_


IMU = 'imu-rw = { adapter = "imu", placement = "right_wrist" }\n'
CAM = 'devices.cam = { adapter = "pose", placement = "bench" }\n'
BOTH = '["models/imu", "models/iot"]'
BROKEN: dict[str, Break] = {
    # --- the file ---
    "the file is missing": lambda home: (home / "site.toml").unlink(),
    "the file is a folder": instead(lambda path: path.mkdir()),
    "the file is a link to itself": instead(lambda path: path.symlink_to(path)),
    "the file is empty": content(lambda _: b""),
    "the file has comments only": content(lambda _: b"# to be done\n"),
    "the file is of zeros": content(lambda _: bytes(100)),
    "the file is UTF-16": content(lambda whole: whole.decode().encode("utf-16")),
    "the file is latin-1": content(lambda whole: whole.replace(b"packing", b"v\xe4rpack")),
    "the file is a picture": content(lambda _: b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
    "the file is JSON": content(lambda _: b'{"version": 1, "site": "osaka"}\n'),
    "the file is YAML": content(lambda _: b"version: 1\nsite: osaka\n"),
    "the file was cut off": content(lambda whole: whole[:300]),
    "a NUL in the middle": content(lambda whole: whole.replace(b"osaka", b"os\0aka")),
    # --- TOML ---
    "a header that is not closed": one("[broker]", "[broker"),
    "a text that is not closed": one('site = "osaka"', 'site = "osaka'),
    "a text without quotes": one('site = "osaka"', "site = osaka"),
    "no value": one("port = 1\n", "port =\n"),
    "no equals sign": one("port = 1\n", "port 1\n"),
    "a colon for an equals sign": one("port = 1\n", "port: 1\n"),
    "a key twice": line('site = "kyoto"'),
    "a table twice": one("[log]", "[broker]\n[log]"),
    "a comma forgotten": one('"imu", placement = "right_wrist"', '"imu" placement = "right_wrist"'),
    "an inline table over two lines": one(', placement = "right', ',\nplacement = "right'),
    "a backslash in a path": one('"solosense.db"', r'"C:\solosense.db"'),
    "True as Python has it": line("failover = True", 'bundles = ["models/camera"]\n'),
    "a list that is not closed": one('["models/camera"]', '["models/camera"'),
    "a table made of a value": one("[time]", "[site.time]"),
    "typographic quotes": one('"osaka"', "“osaka”"),
    "the number with a comma": one("lateness_s = 2.0", "lateness_s = 2,0"),
    "a number with zeros before it": one("port = 1\n", "port = 01883\n"),
    # --- the version ---
    "no version": one("version = 1\n", ""),
    "a newer version": one("version = 1", "version = 2\nnew = 7"),
    "a version that never was": one("version = 1", "version = 0"),
    "a version as text": one("version = 1", 'version = "1"'),
    "a version as a fraction": one("version = 1", "version = 1.0"),
    "a version that is true": one("version = 1", "version = true"),
    # --- unknown keys, near and far ---
    "a misspelt key": one("lateness_s", "latenes_s"),
    "a misspelt key that is needed": one("imu-rw = { adapter", "imu-rw = { adaptor"),
    "a misspelt table": one("[broker]", "[brokr]"),
    "a key in capitals": one("port = 1", "Port = 1"),
    "a hyphen for an underscore": one("checkpoint_s", "checkpoint-s"),
    "a unit forgotten": one("lateness_s", "lateness"),
    "a key of another table": in_table("broker", "lateness_s = 1.0"),
    "a key of the table at the top": line("port = 1883"),
    "a key of nobody": in_table("broker", "colour = 1"),
    "a password in the file": in_table("broker", 'password = "geheim"'),
    "a version of MQTT without quotes": in_table("broker", "mqtt = 5"),
    "a version of MQTT that nobody speaks": in_table("broker", 'mqtt = "4"'),
    "device for devices": one("[stations.pack-1.devices]", "[stations.pack-1.device]"),
    "station for stations": swap(
        ("[stations.pack-1]", "[station.pack-1]"),
        ("[stations.pack-1.devices]", "[station.pack-1.devices]"),
        ("[stations.pack-2]", "[station.pack-2]"),
    ),
    "bundle for bundles": one('bundles = ["models/camera"]', 'bundle = "models/camera"'),
    "three faults at once": swap(
        ("lateness_s", "latenes_s"), ("port = 1", 'port = "x"'), ('node = "board-1"\n', "")
    ),
    # --- missing keys ---
    "no site": one('site = "osaka"\n', ""),
    "no node": one('node = "board-1"\n', ""),
    "no stations": lambda home: void(
        (home / "site.toml").write_text(SITE[: SITE.index("[stations.pack-1]")])
    ),
    "stations without any": lambda home: void(
        (home / "site.toml").write_text('version = 1\nsite = "a"\nnode = "b"\nstations = {}\n')
    ),
    "stations that are an empty list": lambda home: void(
        (home / "site.toml").write_text('version = 1\nsite = "a"\nnode = "b"\nstations = []\n')
    ),
    "no bundles": one('bundles = ["models/camera"]\n', ""),
    "no devices": one(CAM, ""),
    "no adapter": one('cam = { adapter = "pose", ', "cam = { "),
    "no placement": one(', placement = "bench"', ""),
    # --- types ---
    "a word for a number": one("port = 1", 'port = "1883"'),
    "a fraction for a whole number": one("port = 1", "port = 1883.5"),
    "a word for yes or no": line('failover = "yes"', f"bundles = {BOTH}\n"),
    "one for yes": line("failover = 1", f"bundles = {BOTH}\n"),
    "a number for a text": one('site = "osaka"', "site = 7"),
    "a date for a text": one('site = "osaka"', "site = 2026-03-01"),
    "a text for a list": one('["models/camera"]', '"models/camera"'),
    "a number among texts": one('["models/camera"]', '["models/camera", 7]'),
    "a list of lists": one('["models/camera"]', '[["models/camera"]]'),
    "a number for a table": one('cam = { adapter = "pose", placement = "bench" }', "cam = 7"),
    "a text for a device": one('cam = { adapter = "pose", placement = "bench" }', 'cam = "pose"'),
    "a text for the broker": swap(
        ('[broker]\nhost = "127.0.0.1"\nport = 1\n', ""),
        ("version = 1\n", 'version = 1\nbroker = "127.0.0.1:1883"\n'),
    ),
    "a list of stations": swap(
        ("[stations.pack-1]\n", "[[stations]]\n"),
        ("[stations.pack-1.devices]", "[stations.devices]"),
        ("[stations.pack-2]", "[[stations]]"),
    ),
    "a list of devices": one("[stations.pack-1.devices]\n", "[[stations.pack-1.devices]]\n"),
    # --- ranges ---
    "port 0": one("port = 1", "port = 0"),
    "a port too high": one("port = 1", "port = 65536"),
    "a port below nothing": one("port = 1", "port = -1883"),
    "a huge number": one("port = 1", "port = 99999999999999999999999999"),
    "no host": one("127.0.0.1", ""),
    "a host of blanks": one("127.0.0.1", "   "),
    "a lateness below nothing": one("lateness_s = 2.0", "lateness_s = -1"),
    "a lateness of days": one("lateness_s = 2.0", "lateness_s = 1e9"),
    "a lateness that is no number": one("lateness_s = 2.0", "lateness_s = nan"),
    "a lateness without end": one("lateness_s = 2.0", "lateness_s = inf"),
    "no silence": in_table("time", "silence_s = 0"),
    "no jump": in_table("time", "max_jump_s = 0.5"),
    "checkpoints all the time": one("checkpoint_s = 5.0", "checkpoint_s = 0"),
    "hardly any checkpoints": one("checkpoint_s = 5.0", "checkpoint_s = 3600"),
    "a log without a name": one('"solosense.db"', '""'),
    # --- ids ---
    "a site with a slash": one('"osaka"', '"Osaka/1"'),
    "a node without a name": one('"board-1"', '""'),
    "a node too long": one('"board-1"', f'"{"x" * 33}"'),
    "a station in capitals": one("[stations.pack-2]", "[stations.Pack-2]"),
    "a station with a blank": one("[stations.pack-2]", '[stations."pack 2"]'),
    "a station with a dot": one("[stations.pack-2]", "[stations.pack.2]"),
    "a device with a blank": one("imu-rw =", '"imu rw" ='),
    "a device in Japanese": one("imu-rw =", '"右手" ='),
    # --- stations and devices ---
    "no bundle at all": one('["models/camera"]', "[]"),
    "a bundle without a name": one('["models/camera"]', '[""]'),
    "a bundle twice": one('["models/camera"]', '["models/camera", "models/camera"]'),
    "a bundle by two paths": one('["models/camera"]', '["models/camera", "x/../models/camera"]'),
    "failover with one bundle": line("failover = true", 'bundles = ["models/camera"]\n'),
    "devices without any": one(CAM, "devices = {}\n"),
    "an unknown adapter": one('"pose"', '"lidar"'),
    "a misspelt adapter": one('"pose"', '"pos"'),
    "two devices at one place": one('"printer" }', '"scanner" }'),
    "a misspelt placement": one('"right_wrist"', '"right_wirst"'),
    "a device that a bundle needs and nobody is": one(IMU, ""),
    "a device that gives other channels": one(
        '"imu", placement = "right_wrist"', '"pose", placement = "right_wrist"'
    ),
    "a device of another kind": one(
        '"event", placement = "scanner"', '"state", placement = "scanner"'
    ),
    # --- bundles ---
    "a bundle that is missing": one("models/camera", "elsewhere/camera"),
    "a bundle that is misspelt": one("models/camera", "models/camra"),
    "a bundle's folder that is empty": model("camera", lambda f: (f / MANIFEST).unlink()),
    "a bundle that is a file": one("models/camera", "models/camera/manifest.json"),
    "a manifest cut off": model("camera", cut(MANIFEST)),
    "a model cut off": model("camera", cut("model.tflite")),
    "a model missing": model("camera", lambda folder: (folder / "model.tflite").unlink()),
    "a reference missing": model("camera", lambda folder: (folder / REFERENCE).unlink()),
    "a model cut off before it was sealed": model("camera", sealed(cut("model.tflite"))),
    "another bundle's model": model("imu", sealed(other_model)),
    "a reference of no numbers": model("camera", sealed(no_number)),
    "two bundles of one name": model("camera", renamed),
    # --- secrets and the log ---
    "a password file that is missing": in_table("broker", 'password_file = "mqtt.txt"'),
    "a password file that is a folder": in_table("broker", 'password_file = "models"'),
    "a log in no folder": one('"solosense.db"', '"data/solosense.db"'),
    "a log that is something else": lambda home: void(
        (home / "solosense.db").write_text("a letter to grandmother\n" * 100)
    ),
    "a log that is a folder": one('"solosense.db"', '"models"'),
}
SOUND: dict[str, Break] = {
    "as it should be": content(lambda whole: whole),
    "lines ended as Windows does": content(lambda whole: whole.replace(b"\n", b"\r\n")),
    "a mark at the beginning, as some editors make": content(lambda w: b"\xef\xbb\xbf" + w),
    "tabs": content(lambda whole: whole.replace(b" = ", b"\t=\t").replace(b"\nport", b"\n\tport")),
    "no end of line at the end": content(bytes.strip),
    "tables for what was inline": one(
        CAM, '[stations.pack-2.devices.cam]\nadapter = "pose"\nplacement = "bench"\n'
    ),
    "dotted keys for tables": swap(
        ('[log]\npath = "solosense.db"\ncheckpoint_s = 5.0\n\n', ""),
        ("version = 1\n", 'version = 1\nlog.path = "solosense.db"\nlog.checkpoint_s = 5.0\n'),
    ),
    "quotes around keys": one("[stations.pack-2]", '["stations"."pack-2"]'),
    "whole numbers for seconds": one("lateness_s = 2.0", "lateness_s = 2"),
}


def home_of(folder: Path) -> Path:
    """Make a folder with a sound site and its bundles."""
    folder.mkdir(exist_ok=True)
    (folder / "models").symlink_to(live.BUNDLES)
    (folder / "site.toml").write_text(SITE)
    return folder


def checked(home: Path, break_: Break) -> tuple[int, str]:
    """Return the exit code of `check`, and what it says, without this machine's paths."""
    break_(home)
    result = CliRunner().invoke(app, ["check", str(home / "site.toml")], catch_exceptions=False)
    said = result.stderr.replace(f"{home.resolve()}/", "").replace(f"{home}/", "")
    said = said.replace(str(live.BUNDLES), "models")
    said = re.sub(r"(expected TOML) \(.*\)", r"\1 (here the parser's reason)", said)
    said = re.sub(r"(can not run it) \(.*\),", r"\1 (here the engine's reason),", said)
    return result.exit_code, said.replace(str(home.resolve()), ".").removeprefix("error: ")


def page(name: str, said: str) -> str:
    """Return a case as it stands in the file."""
    return f"{name}\n" + "".join(f"    {one}\n" for one in said.splitlines())


@pytest.fixture
def home(tmp_path) -> Path:
    return home_of(tmp_path / "home")


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.fault("F48")
def test_check_names_file_key_found_and_expected(home, name):
    code, said = checked(home, BROKEN[name])
    assert code == 2
    for fault in said.splitlines():
        assert re.match(r"site\.toml(:\d+)?: ", fault), fault
        assert "expected" in fault or "did you mean" in fault, fault
        assert "geheim" not in fault
    assert page(name, said) in SAID.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SOUND)
def test_what_is_only_written_otherwise_is_fine(home, name):
    code, said = checked(home, SOUND[name])
    assert code == 0, said


def test_there_are_a_hundred_and_no_more_than_those_that_are_written_down():
    written = [one for one in SAID.read_text(encoding="utf-8").splitlines() if one[:1] != " "]
    assert written == [*BROKEN]
    assert len(BROKEN) >= 100


def main() -> None:
    """Write what is said of all."""
    found = []
    for name, break_ in BROKEN.items():
        with tempfile.TemporaryDirectory() as folder:
            _, said = checked(home_of(Path(folder) / "home"), break_)
            found.append(page(name, said))
    SAID.write_text("".join(found), encoding="utf-8")
    sys.stdout.write(f"{len(found)} cases\n")


if __name__ == "__main__":
    main()
