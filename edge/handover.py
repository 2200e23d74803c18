"""A station is given other settings or models while it works: what goes on, and what ends.

Session, devices and timeline go on, and so does every model that stays. What others have open ends
as ``interrupted`` with the last step that they answered for; their successors begin with the next,
on readings that are there still: no step is left out, none is seen twice.
"""

from dataclasses import dataclass

from edge.lanes import Lane
from edge.relay import Switch
from edge.station import Station
from edge.timeline import NEVER_US
from edge.voices import Change
from sensor_adapters.adapter import load_adapter

_OTHERWISE = ("devices", "timeline", "relay", "lanes", "_seen_us")
"""What lasts of a station and is not simply taken over; the new one is due at once."""


@dataclass(frozen=True)
class Left:
    """What a model, or several with one voice, said last."""

    bundle: str
    modality: str
    changes: list[Change | Switch]


def hand_over(old: Station, new: Station) -> list[Left]:
    """Let a new station go on where the old one is; return what its models say last.

    All complete steps of the old one have to be inferred. It is left with the devices that are no
    more, and is of no other use.
    """
    for id_, device in new.devices.items():
        if known := old.devices.pop(id_, None):
            known.adapter, known.placement = device.adapter, device.placement
            new.devices[id_] = known
    for name in Station.LASTING:
        if name not in _OTHERWISE:
            setattr(new, name, getattr(old, name))
    _hand_over_timeline(old, new)
    if old.relay is None and new.relay is None:
        return _hand_over_lanes(old, new)
    stays = old.relay is not None and new.relay is not None
    if stays and _manifests(old.lanes) == _manifests(new.lanes):
        new.relay, new.lanes = old.relay, old.lanes
        return []
    return _hand_over_voice(old, new)


def _manifests(lanes: list[Lane]) -> list[object]:
    return [lane.manifest for lane in lanes]


def _hand_over_timeline(old: Station, new: Station) -> None:
    """Keep the readings of all places at which the same kind of device sits."""
    old.settle()
    streams = {d.placement: load_adapter(d.adapter).stream for d in new.devices.values()}
    new.timeline.tracks = {
        placement: track
        for placement, track in old.timeline.tracks.items()
        if streams.get(placement) == track.stream
    }
    new.timeline.newest_us = old.timeline.newest_us
    new.timeline.watermark_us = old.timeline.watermark_us
    new.timeline.late = old.timeline.late


def _hand_over_lanes(old: Station, new: Station) -> list[Left]:
    """Let lanes of the same model go on; end the others, and begin those in their place."""
    staying = [lane for lane in old.lanes if lane.manifest in _manifests(new.lanes)]
    said, places = [], dict[str, tuple[int | None, bool]]()
    for lane in old.lanes:
        if lane not in staying:
            changes, start_us, in_gap = lane.leave()
            manifest = lane.manifest
            said.append(Left(manifest.name, "+".join(manifest.modality), [*changes]))
            places[manifest.name] = start_us, in_gap
    for i, lane in enumerate(new.lanes):
        same = [one for one in staying if one.manifest == lane.manifest]
        if same:
            new.lanes[i] = same[0]
            continue
        start_us, in_gap = places.get(lane.manifest.name, (None, False))
        _begin(old, lane, start_us, in_gap=in_gap)
    return said


def _hand_over_voice(old: Station, new: Station) -> list[Left]:
    """End all models, for the one voice of several begins or ends; begin the new ones."""
    said, start_us, in_gap = [], None, False
    if old.relay is not None:
        changes, start_us, in_gap = old.relay.leave()
        said.append(Left(old.relay.name, "", changes))
    else:
        for lane in old.lanes:
            left, first_us, _ = lane.leave()
            said.append(Left(lane.manifest.name, "+".join(lane.manifest.modality), [*left]))
            start_us = max((t for t in (start_us, first_us) if t is not None), default=None)
    for lane in new.lanes:
        _begin(old, lane, start_us)
    if old.relay is not None and new.relay is not None and start_us is not None:
        in_gap = in_gap and new.relay.name == old.relay.name
        said.append(Left(new.relay.name, "", new.relay.take_over(start_us, in_gap=in_gap)))
    return said


def _begin(old: Station, lane: Lane, start_us: int | None, *, in_gap: bool = False) -> None:
    if old.timeline.newest_us == NEVER_US:
        return  # it has heard nothing, and begins as every station does
    lane.take_over(old.complete_us if start_us is None else start_us, in_gap=in_gap)
