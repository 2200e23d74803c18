"""Complete steps through their models: those of all stations that wait, one call for each model."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge.bundle import Arrays, Bundle
from edge.complaints import Complaints
from edge.engine import Engine
from edge.lanes import Lane
from edge.records import Record
from edge.station import Station
from edge.station_records import of_lane
from edge.voices import Change


@dataclass(frozen=True)
class Model:
    """A bundle and the engine that accepted it."""

    bundle: Bundle
    engine: Engine


class Inference:
    """The models of one board."""

    def __init__(self, models: Iterable[Model], complaints: Complaints) -> None:
        """Take the models, and where to say what they can not use."""
        self.use(models)
        self._complaints = complaints
        self.steps = 0
        """Inferred, over all lanes."""

    def use(self, models: Iterable[Model]) -> None:
        """Ask these models from now on."""
        self._engines = {model.bundle.manifest.name: model.engine for model in models}

    def run(self, stations: Iterable[Station], now_us: int) -> list[Record]:
        """Run every complete step of these stations; return what the answers change."""
        records: list[Record] = []
        lanes = [(station, lane) for station in stations for lane in station.lanes]
        while lanes:
            ready: dict[str, list[tuple[Station, Lane]]] = {}
            for station, lane in lanes:
                records += of_lane(station, lane, _next(station, lane), now_us)
                if lane.step is not None:
                    ready.setdefault(lane.manifest.name, []).append((station, lane))
            for together in ready.values():
                records += self._infer(together, now_us)
            lanes = [pair for together in ready.values() for pair in together]
        return records

    def _infer(self, together: list[tuple[Station, Lane]], now_us: int) -> list[Record]:
        """Infer one step of several lanes of one model in one call."""
        steps = [lane.step for _, lane in together]
        first = together[0][1]
        tensors: Arrays = {
            name: np.stack([step.tensors[name] for step in steps if step is not None])
            for name in first.manifest.tensor_inputs[:-1]
        }
        tensors["state"] = np.stack([lane.state for _, lane in together])
        outputs = self._engines[first.manifest.name].infer(tensors)
        self.steps += len(together)
        outputs["state"][self._broken(outputs, together, now_us)] = 0
        records: list[Record] = []
        for row, (station, lane) in enumerate(together):
            changes = lane.accept({name: value[row] for name, value in outputs.items()})
            records += of_lane(station, lane, changes, now_us)
        return records

    def _broken(
        self, outputs: Arrays, together: list[tuple[Station, Lane]], now_us: int
    ) -> list[int]:
        """Return the rows in which a model says what is no number; each is counted."""
        sound = [np.isfinite(value).reshape(len(together), -1).all(1) for value in outputs.values()]
        rows = np.flatnonzero(~np.logical_and.reduce(sound)).tolist()
        for station, lane in (together[row] for row in rows):
            self._complaints.add(
                f"{station.id} {lane.manifest.name} numbers",
                f"{station.id}: {lane.manifest.name} answered with what is no number, expected"
                " finite ones; the step is left out and the model begins anew",
                now_us,
            )
        return rows


def _next(station: Station, lane: Lane) -> list[Change]:
    """Bring the lane's next step to its head; return what gaps before it change."""
    changes = lane.advance()
    if lane.step is None:
        lane.load(station.timeline)
        changes += lane.advance()
    return changes
