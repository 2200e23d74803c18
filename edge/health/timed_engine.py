"""An engine whose calls are timed."""

import time

from edge.bundle import Arrays
from edge.engine import Engine
from edge.health.spans import Spans


class TimedEngine:
    """Another engine, and how long it took."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.calls = Spans()

    def infer(self, tensors: Arrays) -> Arrays:
        """Return the other's outputs."""
        begun_s = time.perf_counter()
        outputs = self._engine.infer(tensors)
        self.calls.add(time.perf_counter() - begun_s)
        return outputs
