"""What comes later changes nothing that was committed before: no window, model or decoder peeks."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the trainer's dependencies")

from edge import bundle as bundles
from edge.engine import open_engine
from edge.lanes import Lane
from edge.relay import Relay, Turn
from sensor_adapters.recordings import open_recording
from tests import live
from trainer.datasets import timeline_of

S = 1_000_000
NAMES = ("imu", "camera", "iot")


@pytest.fixture(scope="module")
def recording():
    return open_recording("virtual:seed=310,boxes=3")


def changed_after(recording, cut_us, seed):
    """Return the recording with other readings from a time on: noise, and states turned round."""
    rng = np.random.default_rng(seed)
    samples = []
    for one in recording.samples:
        later = one.time_us >= cut_us
        if one.stream.kind == "sampled":
            other = rng.normal(0, 5, one.values.shape).astype(one.values.dtype)
        else:
            other = 1 - one.values
        values = np.where(later.reshape(-1, *[1] * (one.values.ndim - 1)), other, one.values)
        samples.append(replace(one, values=values.astype(one.values.dtype)))
    return replace(recording, samples=tuple(samples))


def models():
    loaded = [bundles.load(live.BUNDLES / name) for name in NAMES]
    return [(one.manifest, open_engine(one)) for one in loaded]


def alone(recording):
    """Return by model and step what was committed at it, and what was shown."""
    found = {}
    for manifest, engine in models():
        timeline = timeline_of(recording, manifest.step_us, manifest.delay_steps)
        lane = Lane(manifest)
        for index, outputs, step in steps(lane, engine, timeline):
            found[manifest.name, index] = lane.accept(outputs), lane.now
            assert step.index == index
    return found


def together(recording):
    """Return by step what models that share one voice committed at it, and what was shown."""
    pairs = models()
    relay = Relay([manifest for manifest, _ in pairs])
    lanes = [Lane(manifest, Turn(relay, rank)) for rank, (manifest, _) in enumerate(pairs)]
    walks = []
    for lane, (manifest, engine) in zip(lanes, pairs, strict=True):
        timeline = timeline_of(recording, manifest.step_us, manifest.delay_steps)
        walks.append(accepted(lane, engine, timeline))
    found = {}
    for indices in zip(*walks, strict=False):
        assert len(set(indices)) == 1
        found["together", indices[0]] = relay.decide(indices[0] + 1), relay.now
    return found


def accepted(lane, engine, timeline):
    for index, outputs, _ in steps(lane, engine, timeline):
        lane.accept(outputs)
        yield index


def steps(lane, engine, timeline):
    """Give each step that a lane makes of a whole recording, and what the model answers."""
    while True:
        lane.advance()
        if lane.step is None:
            lane.load(timeline)
            lane.advance()
        if lane.step is None:
            return
        step = lane.step
        given = {name: value[None] for name, value in step.tensors.items()}
        outputs = engine.infer({**given, "state": lane.state[None]})
        yield step.index, {name: value[0] for name, value in outputs.items()}, step


@pytest.mark.parametrize("way", [alone, together])
def test_another_future_leaves_what_was_said_before_it_as_it_was(recording, way):
    start_us, end_us = recording.span_us()
    whole = way(recording)
    assert any(changes for changes, _ in whole.values())
    for seed, share in enumerate((0.2, 0.45, 0.8)):
        cut_us = start_us + round((end_us - start_us) * share)
        other = way(changed_after(recording, cut_us, seed))
        before = [key for key in whole if (key[1] + 1) * S <= cut_us]
        assert len(before) > 10
        assert [other[key] for key in before] == [whole[key] for key in before]
        after = [key for key in whole if key[1] * S >= cut_us and key in other]
        assert any(other[key] != whole[key] for key in after)
