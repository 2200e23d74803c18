"""A bundle on a recording without a broker: the board's own lane, engine and decoder."""

from edge.bundle import Manifest
from edge.engine import Engine
from edge.lanes import Change, Lane
from edge.segments import Segment
from edge.timeline import Timeline
from sensor_adapters.recording import Recording
from trainer.datasets import timeline_of


def segments(manifest: Manifest, engine: Engine, recording: Recording) -> list[Segment]:
    """Return the segments a board would log for a recording, ended ones only, by time."""
    timeline = timeline_of(recording, manifest.step_us, manifest.delay_steps)
    lane = Lane(manifest)
    changes = _infer(lane, engine, timeline)
    lane.drain()
    changes += _infer(lane, engine, timeline)
    changes += lane.finish()
    ended = [c for c in changes if isinstance(c, Segment) and c.state != "open"]
    return sorted(ended, key=lambda s: (s.level, s.start_us))


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
