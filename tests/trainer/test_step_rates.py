"""Models of quarter seconds: rows that fit, labels that change in between, a bundle that runs."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from edge.engine import open_engine  # noqa: E402
from sensor_adapters.recordings import open_recording  # noqa: E402
from trainer import bundling, decoding, fit, offline  # noqa: E402
from trainer.recipe_parts import Split  # noqa: E402
from trainer.recipes import recipe  # noqa: E402

pytestmark = pytest.mark.torch
QUARTER_US = 250_000
NAMES = ("virtual:seed=1,boxes=2", "virtual:seed=2,boxes=2")


@pytest.mark.parametrize("name", ["virtual-imu", "virtual-camera", "sphere-imu-camera-iot-radio"])
def test_every_step_has_whole_rows(name):
    found = recipe(f"{name}-4hz")
    assert found.step_us == QUARTER_US
    assert all(block.rate_hz % 4 == 0 for block in found.inputs)
    slower = recipe(name).inputs
    assert all(a.rate_hz >= b.rate_hz for a, b in zip(found.inputs, slower, strict=True))


def test_a_quarter_second_can_have_any_head():
    found = recipe("virtual-imu-4hz-tcn")
    assert (found.step_us, found.tcn_layers) == (QUARTER_US, 4)


@pytest.mark.slow
def test_actions_begin_between_seconds_and_lie_in_their_operations(monkeypatch, tmp_path):
    monkeypatch.setenv("SOLOSENSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decoding, "AGREEMENT_WORTH", 1.0)  # so little is learnt here
    small = replace(
        recipe("virtual-imu-4hz"), split=Split(NAMES, NAMES[1:], ()), width=8, hidden=24,
        updates=60, check_every=20, batch=6, crop_steps=200, learning_rate=1e-2, dropout=0.0,
    )  # fmt: skip
    data = fit.prepare(small, None)
    label = data.train[0].target["action"].argmax(1)
    changes = np.flatnonzero(np.diff(label)) + 1
    assert (changes % 4 != 0).mean() > 0.5
    fitted = fit.fit(small, data, 0)
    bundle = bundling.make(fitted, small, data, 0, tmp_path / "bundle", "quarter")
    assert bundle.manifest.decoders[1].parent_weight > 0
    assert bundle.manifest.decoders[1].lag_steps == 32  # eight seconds
    found = offline.segments(bundle.manifest, open_engine(bundle), open_recording(NAMES[0]))
    actions = [s for s in found if s.level == "action"]
    operations = [s for s in found if s.level == "operation"]
    assert any(s.start_us % 1_000_000 for s in actions)
    for action in actions:
        around = [
            o.label
            for o in operations
            if o.start_us <= action.start_us and action.end_us <= o.end_us
        ]
        assert around == [action.parent]
