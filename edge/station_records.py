"""What the log wants to know of a station: its segments, gaps and switches, and its devices."""

from collections.abc import Iterable

from edge.lanes import Lane
from edge.records import DeviceRecord, GapRecord, Record, SegmentRecord, SwitchRecord
from edge.relay import Relay, Switch
from edge.station import Station
from edge.voices import LOST, SILENT, Change, Gap


def of_lane(station: Station, lane: Lane, changes: Iterable[Change], now_us: int) -> list[Record]:
    """Return what changed by one model."""
    name, modality = lane.manifest.name, "+".join(lane.manifest.modality)
    return [of_change(station, name, modality, change, now_us) for change in changes]


def of_relay(
    station: Station, relay: Relay, changes: Iterable[Change | Switch], now_us: int
) -> list[Record]:
    """Return what changed by models that share one voice."""
    return [of_change(station, relay.name, "", change, now_us) for change in changes]


def of_open(station: Station, now_us: int) -> list[Record]:
    """Return the segments that go on, as far as committed."""
    records = [
        record for lane in station.lanes for record in of_lane(station, lane, lane.open, now_us)
    ]
    if station.relay is not None:
        records += of_relay(station, station.relay, station.relay.open, now_us)
    return records


def of_devices(station: Station) -> list[Record]:
    """Return what each device that spoke has said so far."""
    return [
        DeviceRecord(
            station.id, d.device, d.adapter, d.placement, station.session, d.status, d.boot,
            d.first_us, d.last_us, d.messages, d.samples, d.rejected, d.duplicated, d.lost, d.late,
        )
        for d in station.devices.values()
        if d.messages or d.rejected
    ]  # fmt: skip


def of_change(
    station: Station, name: str, modality: str, change: Change | Switch, now_us: int
) -> Record:  # fmt: skip
    """Return what the log wants to know of a change; a segment may bear its own modality."""
    if isinstance(change, Gap):
        span = change.start_us, change.end_us
        return GapRecord(station.id, name, station.session, *span, _reason(station, name, change))
    if isinstance(change, Switch):
        said = change.at_us, change.before, change.after
        return SwitchRecord(station.id, name, station.session, *said)
    modality = change.modality or modality
    return SegmentRecord(station.id, name, modality, station.session, change, now_us)


def _reason(station: Station, name: str, gap: Gap) -> str:
    """Return why nothing was seen: where the devices' numbers go on with a leap, it was lost."""
    if gap.reason != SILENT or gap.end_us is None:
        return gap.reason
    lanes = [lane for lane in station.lanes if lane.manifest.name == name] or station.lanes
    placements = frozenset[str]().union(*(lane.placements for lane in lanes))
    devices = [one for one in station.devices.values() if one.placement in placements]
    return LOST if any(one.has_lost(gap.start_us, gap.end_us) for one in devices) else SILENT
