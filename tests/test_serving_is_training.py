"""What the board's model sees is what the trainer's model saw, element for element."""

from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from edge.bundle import Arrays, Bundle, Manifest
from edge.config import DeviceConfig, SiteConfig, Station
from edge.inference import Model
from edge.pipeline import Pipeline
from sensor_adapters.recording import Recording
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from sensor_adapters.topics import Message
from tests.edge.models import decoder
from trainer import datasets
from trainer.recipes import recipe

pytestmark = pytest.mark.torch


@dataclass
class Witness:
    """An engine that answers the first label always, and remembers what it was shown."""

    manifest: Manifest
    name: str = "witness"
    seen: list[Arrays] = field(default_factory=list)

    def infer(self, tensors: Arrays) -> Arrays:
        self.seen.append({name: array[0].copy() for name, array in tensors.items()})
        out: Arrays = {"boundary": np.zeros((1, 1), np.float32), "state": tensors["state"]}
        for level in self.manifest.levels:
            out[f"p_{level.name}"] = np.eye(1, len(level.labels), dtype=np.float32)
        return out


def manifest_for(name: str, recordings: list[Recording]) -> Manifest:
    one = recipe(name)
    draft = datasets.unscaled(one, datasets.levels_of(one, recordings), recordings)
    manifest = datasets.standardised(draft, [datasets.examples(r, draft) for r in recordings])
    decoders = tuple(decoder(level.name, len(level.labels)) for level in manifest.levels)
    return msgspec.structs.replace(manifest, decoders=decoders)


def shown_live(recording: Recording, manifest: Manifest, tmp_path) -> list[Arrays]:
    """Send a recording's messages through the board's pipeline; return what the model saw."""
    devices = {
        id_: DeviceConfig(adapter=d.adapter, placement=d.placement)
        for id_, d in recording.devices.items()
    }
    station = Station(bundles=("here",), devices=devices)
    config = SiteConfig(version=1, site="s", node="n", stations={"pack-1": station})
    witness = Witness(manifest)
    pipeline = Pipeline(config, {"here": Model(Bundle(tmp_path, manifest), witness)}, {})
    for number, sent in enumerate(messages(recording, "s", "n", "pack-1", "boot")):
        pipeline.push(Message(sent.topic, sent.payload, sent.at_us))
        if number % 7 == 0:
            pipeline.advance(sent.at_us)
    assert pipeline.refused == 0
    return witness.seen


@pytest.mark.parametrize("name", ["virtual-iot", "virtual-imu", "virtual-camera"])
def test_on_the_virtual_station(name, tmp_path):
    compare(name, open_recording("virtual:seed=5,boxes=3"), tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["openpack-u0209-iot", "openpack-u0209-imu"])
def test_on_openpack(name, tmp_path, data):
    session = data / "openpack" / "v1.0.0" / "U0209" / "S0500:boxes=16-20"
    compare(name, open_recording(str(session)), tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["sphere-imu-camera-iot"])
def test_on_sphere(name, tmp_path, data):
    compare(name, open_recording(str(data / "sphere" / "train" / "00003")), tmp_path)


def compare(name: str, recording: Recording, tmp_path) -> None:
    manifest = manifest_for(name, [recording])
    trained = datasets.examples(recording, manifest)
    live = shown_live(recording, manifest, tmp_path)
    # the board begins with the first step that its own devices speak in, and ends with their last
    observed = [t for t in trained.tensors if t.endswith("_observed")]
    some = np.any([trained.tensors[t].reshape(len(trained), -1).any(1) for t in observed], axis=0)
    first, last = np.flatnonzero(some)[[0, -1]]
    assert last - first > 100
    for tensor in manifest.tensor_inputs[:-1]:
        seen = np.stack([step[tensor] for step in live])
        assert np.array_equal(
            seen[: last - first + 1], trained.tensors[tensor][first : last + 1]
        ), tensor
    if manifest.devices:
        assert trained.tensors["in_use"].any()
