"""From the people in a camera's frames to the payloads of its stations. No I/O.

Each station is sent one person a frame, or that nobody is there; that a frame was not looked at is
never sent as nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from sensor_adapters import pose
from sensor_adapters.cameras.pose_outputs import Sighting
from sensor_adapters.cameras.tracks import MEMORY_US, Tracks, followed
from sensor_adapters.cameras.zones import Place, Spot, Zone, holders, placed
from sensor_adapters.payloads import VERSION, DeviceStatus
from sensor_adapters.samples import Floats, Samples

MOST_ROWS = 1000
LEAST_HIP_SCORE = 0.3
DIGITS, SCORE_DIGITS = 5, 3
"""Decimals of shares of the image (0.02 px of 1920) and of scores."""
_HIPS = [pose.KEY_POINTS.index(name) for name in ("left_hip", "right_hip")]
_LAST_POINT = 5 + 3 * len(pose.KEY_POINTS)


@dataclass(frozen=True)
class Outgoing:
    """A payload for MQTT."""

    station: str
    kind: str
    """The adapter, as the topic has it, or ``status``."""
    payload: bytes


@dataclass
class _Station:
    """What a station is sent."""

    seq: int = 0
    rows: list[Floats] = field(default_factory=list)
    person: bool = False
    put: int = 0


class Watcher:
    """Follows people over the frames of one camera."""

    def __init__(
        self, device: str, boot: str, zones: Mapping[str, Zone], batch_us: int,
        *, spot: str = "hips", margin: float = 0.03, memory_us: int = MEMORY_US,
    ) -> None:  # fmt: skip
        """Begin with nobody.

        Args:
            device: the camera's id.
            boot: names this start of ours.
            zones: by station.
            batch_us: how much time a payload holds.
            spot: ``hips`` or ``foot``: what of a person has to be in a zone.
            margin: see ``zones.placed``.
            memory_us: see ``tracks.followed``.
        """
        self._device, self._boot, self._batch_us = device, boot, batch_us
        self._zones, self._spot, self._margin, self._memory_us = zones, spot, margin, memory_us
        self._tracks, self._places = Tracks(), dict[int, Place]()
        self._stations = {name: _Station() for name in zones}
        self._times_us: list[int] = []
        self._last_us: int | None = None
        self.people = 0
        """In the newest frame."""

    def seen(
        self, time_us: int, width_px: int, height_px: int, sightings: list[Sighting]
    ) -> list[Outgoing]:
        """Take in a frame; return the payloads that are complete with it.

        Args:
            time_us: when it was taken.
            width_px: of the frame.
            height_px: of the frame.
            sightings: who is in it.
        """
        out = []
        gap_us = 0 if self._last_us is None else time_us - self._last_us
        if self._last_us is None:
            out += self._status("online", time_us)
        elif not 0 <= gap_us <= self._batch_us:
            out += self.flush()
        if gap_us < 0:  # the clock was set back
            self._tracks, self._places = Tracks(next_id=self._tracks.next_id), {}
        self._last_us, self.people = time_us, len(sightings)
        size_px = (width_px, height_px)
        boxes = [one.box for one in sightings]
        self._tracks, ids = followed(self._tracks, time_us, boxes, self._memory_us)
        seen = dict(zip(ids, sightings, strict=True))
        spots = {id_: spot_of(one, self._spot, size_px) for id_, one in seen.items()}
        remembered = [track.id for track in self._tracks.live]
        self._places = placed(self._places, self._zones, self._margin, time_us, spots, remembered)
        holder = holders(self._places)
        for name, station in self._stations.items():
            person = seen.get(holder[name]) if name in holder else None
            station.rows.append(row_of(person, size_px))
            station.person = person is not None
        self._times_us.append(time_us)
        held_us = time_us - self._times_us[0] + gap_us  # a frame lasts until the next
        if held_us + gap_us // 2 >= self._batch_us or len(self._times_us) >= MOST_ROWS:
            out += self.flush()
        return out

    def flush(self) -> list[Outgoing]:
        """Return what was seen and not sent yet."""
        if not self._times_us:
            return []
        out = []
        time_us = np.array(self._times_us, np.int64)
        for name, station in self._stations.items():
            samples = Samples(self._device, pose.stream, time_us, np.stack(station.rows))
            payload = pose.encode(samples, self._boot, station.seq)
            out.append(Outgoing(name, "pose", payload))
            station.seq, station.put = station.seq + 1, station.put + 1
            station.rows = []
        self._times_us = []
        return out

    def end(self) -> list[Outgoing]:
        """Return what is left, and that nothing more will come."""
        if self._last_us is None:
            return []
        return [*self.flush(), *self._status("stopped", self._last_us)]

    def _status(self, state: str, time_us: int) -> list[Outgoing]:
        out = []
        for name, station in self._stations.items():
            body = {"v": VERSION, "dev": self._device, "boot": self._boot, "seq": station.seq}
            status = msgspec.convert(body | {"t0": time_us, "state": state}, DeviceStatus)
            out.append(Outgoing(name, "status", msgspec.json.encode(status)))
            station.seq += 1
        return out

    def health(self) -> dict[str, dict[str, object]]:
        """Return what each station was sent, for machines."""
        return {
            name: {"person": one.person, "put": one.put} for name, one in self._stations.items()
        }


def spot_of(one: Sighting, what: str, size_px: tuple[int, int]) -> Spot:
    """Return where somebody stands, in shares of an image of this width and height."""
    left, top, right, bottom = one.box
    x, y = (left + right) / 2, bottom if what == "foot" else (top + bottom) / 2
    hips = one.points[_HIPS]
    if what == "hips" and (hips[:, 2] >= LEAST_HIP_SCORE).all():
        x, y = hips[:, :2].mean(axis=0).tolist()
    return x / size_px[0], y / size_px[1]


def row_of(person: Sighting | None, size_px: tuple[int, int]) -> Floats:
    """Return (62,) somebody, or nobody, as the pose stream has it: shares of the image."""
    row = np.full(len(pose.stream.channels), np.nan, np.float32)
    row[0] = person is not None
    if person is not None:
        left, top, right, bottom = person.box
        box = np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
        row[1:5] = (box / (size_px * 2)).round(DIGITS)
        points = np.empty_like(person.points)
        points[:, :2] = (person.points[:, :2] / size_px).round(DIGITS)
        points[:, 2] = person.points[:, 2].round(SCORE_DIGITS)
        row[5:_LAST_POINT] = points.ravel()
    return row
