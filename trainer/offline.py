"""A bundle on a recording without a broker: the board's own lane, engine and decoder."""

import numpy as np

from edge.bundle import Manifest
from edge.engine import Engine
from edge.lanes import Lane
from edge.segments import Segment
from sensor_adapters.recording import Recording
from trainer.datasets import timeline_of


def segments(manifest: Manifest, engine: Engine, recording: Recording) -> list[Segment]:
    """Return the segments a board would log for a recording, ended ones only, by time."""
    timeline = timeline_of(recording, manifest.step_us)
    lane = Lane(manifest)
    found: list[Segment] = []

    def keep(changes: list[object]) -> None:
        found.extend(c for c in changes if isinstance(c, Segment) and c.state != "open")

    while True:
        lane.load(timeline)
        keep(list(lane.advance()))
        step = lane.step
        if step is None:
            break
        while step is not None:
            given = {name: value[None] for name, value in step.tensors.items()}
            outputs = engine.infer({**given, "state": np.asarray(lane.state)[None]})
            keep(list(lane.accept({name: value[0] for name, value in outputs.items()})))
            keep(list(lane.advance()))
            step = lane.step
    keep(list(lane.finish()))
    return sorted(found, key=lambda s: (s.level, s.start_us))
