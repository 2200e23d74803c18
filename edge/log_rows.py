"""What of a record stands in which table: the statements that write rows, and their values."""

from collections.abc import Mapping

from edge.clock_repair import UNSYNCED
from edge.records import (
    CheckpointRecord,
    DeviceRecord,
    GapRecord,
    LogEventRecord,
    ModelRecord,
    OutgoingRecord,
    SegmentRecord,
    StationRecord,
    SwitchRecord,
    UnsyncedRecord,
    Written,
)
from edge.timeline import NEVER_US

Row = tuple[object, ...]

MODEL = """
INSERT INTO models (name, sha256, modality, engine, manifest, loaded_us)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name, sha256) DO UPDATE SET engine = excluded.engine, loaded_us = excluded.loaded_us
"""
STATION = """
INSERT INTO stations (station, site, node, bundles, started_us)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (station) DO UPDATE SET
    site = excluded.site, node = excluded.node, bundles = excluded.bundles,
    started_us = excluded.started_us
"""
# An end is not undone by its own beginning said again, and what is said again changes nothing.
SEGMENT = """
INSERT INTO segments (id, station, bundle, model_sha256, modality, session, level, label, parent,
                      start_us, end_us, confidence, observed, state, emitted_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (station, session, bundle, level, start_us) DO UPDATE SET
    label = excluded.label, parent = excluded.parent, end_us = excluded.end_us,
    confidence = excluded.confidence, observed = excluded.observed, state = excluded.state,
    modality = excluded.modality, emitted_us = excluded.emitted_us
WHERE (state = 'open' OR excluded.state <> 'open')
    AND (label, parent, end_us, confidence, observed, state, modality) IS NOT
        (excluded.label, excluded.parent, excluded.end_us, excluded.confidence,
         excluded.observed, excluded.state, excluded.modality)
"""
GAP = """
INSERT INTO gaps (station, bundle, session, start_us, end_us, reason)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (station, bundle, session, start_us) DO UPDATE SET
    end_us = coalesce(excluded.end_us, end_us), reason = excluded.reason
"""
SWITCH = """
INSERT INTO switches (station, bundle, session, at_us, before, after)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (station, bundle, session, at_us) DO UPDATE SET
    before = excluded.before, after = excluded.after
"""
DEVICE = """
INSERT INTO device_states (station, device, session, adapter, placement, status, boot, first_us,
                           last_us, messages, samples, rejected, duplicated, lost, late)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (station, device, session) DO UPDATE SET
    adapter = excluded.adapter, placement = excluded.placement, status = excluded.status,
    boot = excluded.boot, first_us = excluded.first_us, last_us = excluded.last_us,
    messages = excluded.messages, samples = excluded.samples, rejected = excluded.rejected,
    duplicated = excluded.duplicated, lost = excluded.lost, late = excluded.late
"""
CHECKPOINT = """
INSERT INTO checkpoints (station, session, saved_us, content) VALUES (?, ?, ?, ?)
ON CONFLICT (station) DO UPDATE SET
    session = excluded.session, saved_us = excluded.saved_us, content = excluded.content
"""
NO_CHECKPOINT = "DELETE FROM checkpoints WHERE station = ?"
OUTGOING = "INSERT OR REPLACE INTO outbox (id, type, topic, payload) VALUES (?, ?, ?, ?)"
SENT = "DELETE FROM outbox WHERE id = ? AND type = ?"
_THERE = "station = ? AND session = ? AND bundle = ?"
RETRACTED = {
    True: (
        f"DELETE FROM outbox WHERE id IN (SELECT id FROM segments WHERE {_THERE} AND level = ?"
        " AND start_us >= ?)",
        f"DELETE FROM segments WHERE {_THERE} AND level = ? AND start_us >= ?",
    ),
    False: (
        f"DELETE FROM gaps WHERE {_THERE} AND start_us >= ?",
        f"DELETE FROM switches WHERE {_THERE} AND at_us >= ?",
    ),
}
"""By whether a level is named; before all else of a batch."""
EVENT = "INSERT INTO log_events (event, at_us, until_us, detail) VALUES (?, ?, ?, ?)"
STATEMENTS = (  # models first: segments refer to them
    MODEL, STATION, SEGMENT, GAP, SWITCH, DEVICE, CHECKPOINT, NO_CHECKPOINT, OUTGOING, EVENT,
    UNSYNCED,
)  # fmt: skip


class UnknownModel(ValueError):
    """A segment is of a model that nobody named; the text says which are known."""


def row_of(record: Written, models: Mapping[str, str]) -> tuple[str, Row]:
    """Return the statement that writes a record, and its values.

    Args:
        record: what to write.
        models: the SHA-256 of each model that is known by now, by name.

    Raises:
        UnknownModel: a segment is of another.
    """
    r = record
    if isinstance(r, SegmentRecord):
        if r.bundle not in models:
            raise UnknownModel(
                f"found a segment of model {r.bundle!r}, expected one that a"
                f" ModelRecord named: {', '.join(sorted(models)) or 'there was none'}"
            )
        s = r.segment
        return SEGMENT, (
            r.id, r.station, r.bundle, models[r.bundle], r.modality, r.session, s.level,
            s.label, s.parent, s.start_us, s.end_us, s.confidence, s.observed, s.state,
            r.emitted_us,
        )  # fmt: skip
    if isinstance(r, GapRecord):
        return GAP, (r.station, r.bundle, r.session, r.start_us, r.end_us, r.reason)
    if isinstance(r, SwitchRecord):
        return SWITCH, (r.station, r.bundle, r.session, r.at_us, r.before, r.after)
    if isinstance(r, DeviceRecord):
        first_us, last_us = (None if t == NEVER_US else t for t in (r.first_us, r.last_us))
        return DEVICE, (
            r.station, r.device, r.session, r.adapter, r.placement, r.status, r.boot,
            first_us, last_us, r.messages, r.samples, r.rejected, r.duplicated, r.lost, r.late,
        )  # fmt: skip
    if isinstance(r, ModelRecord):
        return MODEL, (r.name, r.sha256, r.modality, r.engine, r.manifest, r.loaded_us)
    if isinstance(r, StationRecord):
        return STATION, (r.station, r.site, r.node, r.bundles, r.started_us)
    if isinstance(r, CheckpointRecord):
        if r.content is None:
            return NO_CHECKPOINT, (r.station,)
        return CHECKPOINT, (r.station, r.session, r.saved_us, r.content)
    if isinstance(r, OutgoingRecord):
        return OUTGOING, (r.id, r.type, r.topic, r.payload)
    if isinstance(r, LogEventRecord):
        return EVENT, (r.event, r.at_us, r.until_us, r.detail)
    if isinstance(r, UnsyncedRecord):
        return UNSYNCED, (r.station, r.session, r.boot_id, r.base_us)
    raise TypeError(f"found {type(r).__name__}, expected a record that is a row")
