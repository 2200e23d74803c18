"""A start: every station goes on where the last run was cut off, or begins.

Where settings or models are others by now, it goes on as after a reload. A checkpoint with which
the program began again and again and never made a step is what it fails of, and is given up.
"""

import contextlib
import logging
from collections.abc import Mapping
from importlib.metadata import version

import msgspec

from edge import checkpoint
from edge.bundle import Manifest
from edge.checkpoint import Unfit
from edge.pipeline import Pipeline
from edge.records import CheckpointRecord, Record, RetractedRecord
from edge.sqlite_log import LogWaits, SqliteLog
from edge.station import Station

log = logging.getLogger(__name__)

MOST_STARTS = 3
"""That end before the first step; the next start begins anew."""
WELL_S = 60.0
"""After this a start was none of those, if there was no step to be made."""


class Trial:
    """Whether a start goes well: no checkpoint is what the program fails of, again and again."""

    def __init__(self, db: SqliteLog, stations: Mapping[str, Station], now_s: float) -> None:
        """Take the stations as they go on; ``now_s`` by a clock that nobody sets."""
        self._db = db
        self._unproven = {id_: station.steps_done for id_, station in stations.items()}
        self._over_s = now_s + WELL_S
        self._has_begun = False

    def begin(self) -> None:
        """Note, once, that the first readings are taken on: from here it may fail of them."""
        if self._has_begun:
            return
        self._has_begun = True
        with contextlib.suppress(LogWaits):  # then it is not counted
            for id_ in self._unproven:
                self._db.start_from(id_)

    def look(self, stations: Mapping[str, Station], now_s: float) -> None:
        """Note which stations made a step since the start, or had time enough to make one."""
        for id_, steps in [*self._unproven.items()]:
            station = stations.get(id_)
            if now_s > self._over_s or station is None or station.steps_done != steps:
                try:
                    self._db.started_well(id_)
                except LogWaits:
                    return
                del self._unproven[id_]


def go_on(
    pipeline: Pipeline, db: SqliteLog, made_of: Mapping[str, str], now_us: int
) -> list[Record]:
    """Put stations back to their checkpoints; return what other settings end, to be written.

    ``made_of``: what each station's checkpoints are made of by now.
    """
    records: list[Record] = []
    found = []
    for id_ in db.has_checkpoints():
        if id_ not in made_of:
            log.warning("station %s is not configured any more; what was open ends", id_)
            records.append(CheckpointRecord(id_, 0, now_us, None))
    for id_, whole in made_of.items():
        session, saved = db.next_session(id_), db.checkpoint(id_)
        if saved is not None:
            try:
                records += _resumed(pipeline, db, id_, saved, whole, now_us)
                db.took_up(id_)
                found.append(id_)
                continue
            except Unfit as error:
                log.warning("%s does not go on from its checkpoint: %s", id_, error)
                db.started_well(id_)
        pipeline.begin(id_, session)
        content = checkpoint.content(pipeline.stations[id_], whole)  # or its first rows have none
        records.append(CheckpointRecord(id_, session, now_us, content))
    if found:
        log.warning("%s: going on from where the last run was cut off", ", ".join(found))
    return records


def _resumed(
    pipeline: Pipeline, db: SqliteLog, id_: str, saved: bytes, whole: str, now_us: int
) -> list[Record]:
    """Put a station back to its checkpoint; return what other settings end.

    Raises:
        Unfit: it can not go on.
    """
    if db.start_from(id_) > MOST_STARTS:
        raise Unfit(
            f"the program began with it {MOST_STARTS} times and ended before the first step"
        )
    if checkpoint.is_made_of(saved, whole):
        checkpoint.resume(pipeline.stations[id_], saved, whole)
        return []
    made_of = checkpoint.made_otherwise(saved, version("solosense"))
    manifests = [_manifest(db, name, sha256) for name, sha256 in made_of.models]
    old = Station(id_, made_of.station, manifests, made_of.time, session=1)
    checkpoint.resume(old, saved, checkpoint.said(made_of))
    records: list[Record] = [
        RetractedRecord(id_, name, old.session, level, from_us)
        for name, one in old.voices.items()
        for level, from_us in one.unsaid_us.items()
    ]
    records += pipeline.hand_over(old, now_us)
    log.warning("%s goes on with other settings or models", id_)
    new = pipeline.stations[id_]
    content = checkpoint.content(new, whole)
    return [*records, CheckpointRecord(id_, new.session, now_us, content)]


def _manifest(db: SqliteLog, model: str, sha256: str) -> Manifest:
    text = db.manifest(model, sha256)
    if text is None:
        raise Unfit(f"the log does not know its model {model} {sha256[:12]}… any more")
    return msgspec.json.decode(text, type=Manifest)
