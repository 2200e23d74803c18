"""Bundles on a recording without a broker: the board's own lanes, engines and decoders."""

from collections.abc import Sequence

from edge.bundle import Manifest
from edge.engine import Engine
from edge.lanes import Lane
from edge.relay import Relay, Switch, Turn
from edge.segments import Segment
from edge.timeline import Timeline
from edge.voices import Change, Gap
from sensor_adapters.recording import Recording
from trainer.datasets import timeline_of


def segments(manifest: Manifest, engine: Engine, recording: Recording) -> list[Segment]:
    """Return the segments a board would log for a recording, ended ones only, by time."""
    timeline = timeline_of(recording, manifest.step_us, manifest.delay_steps)
    return _ended(_whole(Lane(manifest), engine, timeline))


def one_voice(
    models: Sequence[tuple[Manifest, Engine]], recording: Recording
) -> tuple[list[Segment], list[Switch], list[Gap]]:
    """Return what a board would log of models that share one voice: ended segments by time.

    Raises:
        RelayError: the models can not share one voice.
    """
    manifests = [manifest for manifest, _ in models]
    relay = Relay(manifests)
    step_us = manifests[0].step_us
    timeline = timeline_of(recording, step_us, max(m.delay_steps for m in manifests))
    for rank, (manifest, engine) in enumerate(models):
        _whole(Lane(manifest, Turn(relay, rank)), engine, timeline)
    changes = relay.decide(timeline.watermark_us // step_us) + relay.finish()
    switches = [c for c in changes if isinstance(c, Switch)]
    return _ended(changes), switches, [c for c in changes if isinstance(c, Gap)]


def _ended(changes: Sequence[Change | Switch]) -> list[Segment]:
    ended = [c for c in changes if isinstance(c, Segment) and c.state != "open"]
    return sorted(ended, key=lambda s: (s.level, s.start_us))


def _whole(lane: Lane, engine: Engine, timeline: Timeline) -> list[Change]:
    """Run a whole recording through a lane, to its end."""
    changes = _infer(lane, engine, timeline)
    lane.drain()
    return changes + _infer(lane, engine, timeline) + lane.finish()


def _infer(lane: Lane, engine: Engine, timeline: Timeline) -> list[Change]:
    """Run all that is complete through the model, a step at a time."""
    changes: list[Change] = []
    while True:
        changes += lane.advance()
        if lane.step is None:
            lane.load(timeline)
            changes += lane.advance()
        if lane.step is None:
            return changes
        given = {name: value[None] for name, value in lane.step.tensors.items()}
        outputs = engine.infer({**given, "state": lane.state[None]})
        changes += lane.accept({name: value[0] for name, value in outputs.items()})
