"""What the READMEs say exists, exists; what exists, they say."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge import config
from firmware_bridge import config as bridge_config
from sensor_adapters.adapter import GROUP
from sensor_adapters.cameras import config as camera_config
from sensor_adapters.gateway import config as gateway_config
from sensor_adapters.gateway.gateway import Gateway
from sensor_adapters.gateway.scanner_config import ScannerConfig
from sensor_adapters.kit import device_page
from sensor_adapters.kit.subject import subjects
from sensor_adapters.recordings import open_recording
from sensor_adapters.samples import DecodeError
from sensor_adapters.setting_words import bare
from trainer.recipes import names

ROOT = Path(__file__).parents[1]
PACKAGES = ("sensor_adapters", "firmware_bridge", "edge", "trainer")


def readme(folder: str) -> str:
    return (ROOT / folder / "README.md").read_text()


def block(text: str, language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", text, re.S)
    return next(b for b in found if containing in b)


def test_the_page_of_devices_is_what_the_adapters_say():
    page = device_page.page(subjects())
    assert (ROOT / "sensor_adapters" / "DEVICES.md").read_text() == page, (
        "make it anew: solosense-adapters list --markdown > sensor_adapters/DEVICES.md"
    )


def test_the_readmes_gateway_is_a_gateway(tmp_path):
    text = block(readme("sensor_adapters"), "toml", "[devices.lid]")
    file = tmp_path / "adapters.toml"
    file.write_text(text)
    (tmp_path / "badges.key").write_text("0123456789abcdef")
    gateway = Gateway(gateway_config.load(file), file.name, lambda *_: None)
    gateway.stop()
    assert not gateway.failed
    assert "zigbee2mqtt/pack-1/lid" in gateway.topics


def test_every_adapter_is_in_the_table():
    for point in entry_points(group=GROUP):
        assert f"| `{point.name}` |" in readme("sensor_adapters")


def test_the_readmes_adapter_decodes_what_it_says_and_refuses_the_rest():
    scope: dict = {}
    exec(block(readme("sensor_adapters"), "python", "def decode"), scope)
    samples = scope["decode"]("door-1", b"open 1767254400000000")
    assert samples.values.tolist() == [[1.0]]
    assert samples.time_us.tolist() == [1767254400000000]
    with pytest.raises(DecodeError, match="door-1"):
        scope["decode"]("door-1", b"ajar")


def test_the_readmes_payload_is_an_imu_payload():
    from sensor_adapters import imu

    payload = block(readme("sensor_adapters"), "json", '"acc"').encode()
    assert np.isclose(imu.decode("imu-rw", payload).values[0, 0], 0.38 * 9.80665)


def test_the_readmes_other_payloads_are_what_it_says_they_are():
    from sensor_adapters import event, pose, state

    examples = block(readme("sensor_adapters"), "json", '"people"').strip().split("\n{")
    on, scan, frame = (("{" + one.removeprefix("{")).encode() for one in examples)
    assert state.decode("tape", on).values.tolist() == [[1.0]]
    assert event.decode("scanner", scan).values.tolist() == [[1.0]]
    assert pose.decode("cam", frame).values[0, 0] == 1.0


def test_the_readmes_site_takes_the_simulations_devices_by_their_names(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(block(readme("edge"), "toml", "[stations.pack-1]"))
    simulated = open_recording("virtual:seed=7,boxes=1").devices
    for name, device in config.load(site).stations["pack-1"].devices.items():
        assert (device.adapter, device.placement) == (
            simulated[name].adapter,
            simulated[name].placement,
        )


def test_the_readmes_bridge_is_one(tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text(block(readme("firmware_bridge"), "toml", "[ports.glove]"))
    ports = bridge_config.load(file).ports
    assert ports["glove"].targets["imu"].device == "imu-rw"
    assert [name for name, port in ports.items() if port.lines] == ["scanner", "sketch"]


def test_the_readmes_camera_is_one(tmp_path):
    file = tmp_path / "camera.toml"
    file.write_text(block(readme("sensor_adapters"), "toml", "[source]"))
    (tmp_path / "rtmo-s.onnx").touch()
    config = camera_config.load(file)
    assert (config.device, list(config.stations)) == ("cam-1", ["pack-1", "pack-2"])
    defaults = camera_config.TrackingConfig(), camera_config.ModelConfig(pose=config.model.pose)
    assert (config.tracking, config.model) == defaults, "what the README shows is the default"


def test_the_readmes_scanner_is_one(tmp_path):
    text = block(readme("sensor_adapters"), "toml", "[scanners.scanner-1]")
    file = tmp_path / "adapters.toml"
    file.write_text(f'version = 1\nsite = "osaka"\nnode = "jetson-01"\n{text}')
    (scanner,) = gateway_config.load(file).scanners.values()
    assert scanner == ScannerConfig(path=scanner.path, station="pack-1"), "not the default"
    assert set(msgspec.toml.decode(text)["scanners"]["scanner-1"]) == set(
        ScannerConfig.__struct_fields__
    )


def test_the_readmes_site_is_a_site(tmp_path):
    text = block(readme("edge"), "toml", "[stations.pack-1]")
    site = tmp_path / "site.toml"
    site.write_text(text)
    assert config.load(site).stations["pack-1"].devices["scanner"].placement == "scanner"
    said = msgspec.toml.decode(text)
    tables = "broker log time limits bundles access health metrics"
    for name in tables.split():
        fields = set(bare(config.SiteConfig.__annotations__[name])[0].__struct_fields__)
        assert set(said[name]) == fields, f"[{name}] of the README and of the program differ"


@pytest.mark.parametrize("folder", PACKAGES)
def test_every_module_is_named_in_its_folders_readme_or_in_the_list_of_adapters(folder):
    text = readme(folder)
    missing = [
        path.name
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
        and path.name not in text
        and path.with_suffix(".toml") not in path.parent.glob("*.toml")  # DEVICES.md lists those
    ]
    assert not missing


def test_every_recipe_is_in_the_trainers_readme():
    assert [name for name in names() if name not in readme("trainer")] == []


@pytest.mark.parametrize(
    ("module", "commands"),
    [
        (
            "edge",
            ("run", "check", "schema", "migrate-config", "access", "bench", "health", "db"),
        ),
        (
            "sensor_adapters",
            (
                "list",
                "show",
                "site",
                "record",
                "replay",
                "camera",
                "calibrate",
                "run",
                "discover",
                "check",
                "try",
                "new",
            ),
        ),
        (
            "trainer",
            (
                "recipes",
                "fit",
                "export",
                "compare",
                "layers",
                "evaluate",
                "score",
                "reproduce",
                "table",
            ),
        ),
    ],
)
def test_every_command_explains_itself(module, commands):
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", module, command, "--help"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "Usage" in done.stdout
