"""The site's file for people: its schema, its table of keys, an example, older versions."""

import shutil
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from edge import config as configs, config_versions, site_schema
from edge.__main__ import app
from sensor_adapters import setting_words, toml_file
from sensor_adapters.recordings import open_recording
from sensor_adapters.settings import ConfigError, upgraded
from sensor_adapters.toml_places import line_of
from tests import live

EXAMPLE = live.ROOT / "edge" / "examples" / "site.toml"


def called(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout + result.stderr


def test_the_example_of_four_stations_is_fine():
    code, said = called("check", EXAMPLE)
    assert code == 0, said
    config = configs.load(EXAMPLE)
    assert len(config.stations) == 4
    virtual = open_recording("virtual:seed=7,boxes=1").devices
    for station in config.stations.values():
        for name, device in station.devices.items():
            said_of = (virtual[name].adapter, virtual[name].placement)
            assert (device.adapter, device.placement) == said_of


def test_every_key_has_its_row_in_the_readme():
    readme = (live.ROOT / "edge" / "README.md").read_text(encoding="utf-8")
    assert site_schema.table() in readme, "make it anew: solosense-edge schema --markdown"
    assert called("schema", "--markdown") == (0, site_schema.table())


def test_every_key_says_what_it_is_for():
    for key in setting_words.keys(configs.SiteConfig):
        struct, field = site_schema.where(key)
        assert setting_words.meanings(struct).get(field), f"{key} has no sentence under it"


def keys_of(schema: dict, part: dict, before: str = "") -> set[str]:
    """Return the keys that a schema knows."""
    part = schema["$defs"][part["$ref"].split("/")[-1]] if "$ref" in part else part
    found = set()
    for name, inner in part.get("properties", {}).items():
        found |= {before + name} | keys_of(schema, inner, f"{before}{name}.")
    if isinstance(inner := part.get("additionalProperties"), dict):
        found |= keys_of(schema, inner, f"{before}<id>.")
    return found


def test_the_schema_knows_every_key_its_range_and_no_other():
    code, said = called("schema")
    assert code == 0
    schema = msgspec.json.decode(said)
    assert keys_of(schema, schema) == {*setting_words.keys(configs.SiteConfig)}
    defs = schema["$defs"]
    assert all(one["additionalProperties"] is False for one in defs.values())
    checkpoint = defs["Log"]["properties"]["checkpoint_s"]
    assert (checkpoint["exclusiveMinimum"], checkpoint["maximum"]) == (0, 600)
    assert checkpoint["description"].startswith("From one checkpoint")
    assert defs["SiteConfig"]["properties"]["broker"]["x-applies"] == "restart"
    assert "x-applies" not in checkpoint


OLDER = {
    1: lambda raw: {
        **raw,
        "time": {"lateness_ms": raw["time"]["lateness"]},
    },
    2: lambda raw: {
        **{name: value for name, value in raw.items() if name != "time"},
        "time": {"lateness_s": raw["time"]["lateness_ms"] / 1000},
    },
}
"""Made up: versions that there never were."""
OLD = """# from the first day
version = 1
site = "osaka"

[time]
lateness = 500

[stations."pack-1".devices]
imu-rw = { adapter = "imu", placement = "right_wrist" }
"""


def test_a_file_of_an_older_version_is_brought_up_step_by_step(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(OLD)
    content, changes = config_versions.upgrade(file, 3, OLDER)
    assert content["version"] == 3
    assert content["time"] == {"lateness_s": 0.5}
    assert changes == [
        "version = 1 becomes 3", "time.lateness = 500 goes", "time.lateness_s = 0.5 is new",
    ]  # fmt: skip
    assert file.read_text() == OLD, "nothing is written yet"
    file.chmod(0o640)
    kept = config_versions.write(file, content, 1)
    assert kept == tmp_path / "site.v1.toml"
    assert kept.read_text() == OLD
    assert toml_file.toml(file, "") == content
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site.toml", "site.v1.toml"]


def test_the_old_file_is_never_written_over(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(OLD)
    (tmp_path / "site.v1.toml").write_text("dear")
    with pytest.raises(ConfigError, match=r"site\.v1\.toml: is there already"):
        config_versions.write(file, {"version": 3}, 1)
    assert (tmp_path / "site.v1.toml").read_text() == "dear"
    assert file.read_text() == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site.toml", "site.v1.toml"]


def test_a_newer_version_and_one_that_nobody_knows_are_refused():
    with pytest.raises(ConfigError, match=r"version is 4, expected 3: .* update this one"):
        upgraded("site.toml", {"version": 4}, 3, OLDER)
    with pytest.raises(ConfigError, match="version is 0, expected 3"):
        upgraded("site.toml", {"version": 0}, 3, OLDER)


def test_the_commands_speak_of_an_older_file_and_write_it_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(configs, "OLDER", {0: lambda raw: {**raw, "site": raw["site"].lower()}})
    file: Path = tmp_path / "site.toml"
    shutil.copytree(live.BUNDLES, tmp_path / "bundles")
    text = EXAMPLE.read_text(encoding="utf-8").replace("../../bundles", "bundles")
    file.write_text(text.replace("version = 1", "version = 0").replace('"osaka"', '"Osaka"'))
    code, said = called("check", file)
    assert code == 0, said
    assert "site = 'Osaka' becomes 'osaka'" in said
    assert "migrate-config" in said
    code, said = called("migrate-config", file)
    assert code == 0, said
    assert "without its comments" in said
    assert (tmp_path / "site.v0.toml").exists()
    assert {*configs.load(file).stations} == {*configs.load(EXAMPLE).stations}
    code, said = called("migrate-config", file)
    assert (code, "nothing was changed" in said) == (0, True)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("a = 1\n[b]\nc = 2\n", "b.c", 3),
        ("[b.d]\nc = 2\n[b]\ne = 1\n", "b.e", 4),
        ("[b]\nc.d = 2\n", "b.c.d", 2),
        ("[b]\nx = 1\n", "b.y", 1),
        ('[b]\nt = """\nc = 1\n"""\nc = 2\n', "b.c", 5),
        ("[[b]]\nc = 1\n[[b]]\nc = 2\n", "b.1.c", 4),
        ("[b]\n'c d' = 1\n", "b.c d", 2),
        ("a = 1\n", "z", None),
    ],
)
def test_the_line_of_a_key_is_found(text, key, line):
    assert line_of(text, key) == line
