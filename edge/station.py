"""One station: its devices' samples on one timeline, its models' lanes, its sessions.

A session runs from a station's first reading to its orderly end: all devices that spoke said
``stopped`` or ``offline``, or time began anew after a silence (a replay, started again).
"""

from dataclasses import replace

from edge.bundle import Manifest
from edge.config import Station as StationConfig, Time
from edge.devices import DeviceState
from edge.lanes import Lane
from edge.timeline import NEVER_US, Timeline
from sensor_adapters.adapter import load_adapter
from sensor_adapters.samples import Samples


class Refused(Exception):
    """A payload can not be used; the text says why."""


class Station:
    """The state of one station; one session at a time."""

    def __init__(
        self, id_: str, config: StationConfig, manifests: list[Manifest], time: Time, session: int
    ) -> None:
        self.id = id_
        self._config, self._manifests, self._time = config, manifests, time
        self._grid_us = max(m.step_us for m in manifests)
        self._delay_us = max(m.delay_steps * m.step_us for m in manifests)
        self._begin(session)

    def _begin(self, session: int) -> None:
        """Start a session with nothing heard."""
        self.session = session
        self.timeline = Timeline(self._time.lateness_us)
        self.lanes = [Lane(manifest) for manifest in self._manifests]
        self.devices = {
            id_: DeviceState(id_, device.adapter, device.placement)
            for id_, device in self._config.devices.items()
        }
        self.received_us = NEVER_US
        """When the newest message came."""
        self._seen_us = NEVER_US

    @property
    def is_due(self) -> bool:
        """Has the watermark passed a step's end since last asked?"""
        reached = self.timeline.watermark_us // min(m.step_us for m in self._manifests)
        due, self._seen_us = reached != self._seen_us, reached
        return due

    @property
    def is_over(self) -> bool:
        """Have all devices that spoke ended?"""
        spoke = [d for d in self.devices.values() if d.last_us != NEVER_US]
        return bool(spoke) and all(d.status in ("stopped", "offline") for d in spoke)

    def decode(self, device: DeviceState, payload: bytes, received_us: int) -> Samples | None:
        """Return the payload in event time; None for one that came before.

        Raises:
            DecodeError: the adapter refuses it.
            Refused: its time is too far ahead of the station's.
        """
        samples = load_adapter(device.adapter).decode(device.device, payload)
        if not device.is_new(samples.boot, samples.seq):
            return None
        time_us = device.clock.event_time_us(samples, received_us)
        samples = replace(samples, time_us=time_us)
        if len(samples) and self.timeline.newest_us != NEVER_US:
            ahead_us = int(time_us[-1]) - self.now_us(received_us)
            if ahead_us > self._time.max_jump_us:
                raise Refused(
                    f"time is {ahead_us / 1e6:.0f} s ahead of its station,"
                    f" expected at most {self._time.max_jump_s:g} s: is its clock right?"
                )
        return samples

    def now_us(self, wall_us: int) -> int:
        """Return the event time it must be by now: the newest reading's, and what passed since."""
        return self.timeline.newest_us + max(wall_us - self.received_us, 0)

    def starts_anew(self, samples: Samples, received_us: int) -> bool:
        """Did time run back behind a silence: is this another session?"""
        return (
            len(samples) > 0
            and self.timeline.newest_us != NEVER_US
            and int(samples.time_us[-1]) < self.timeline.newest_us - self._time.lateness_us
            and received_us - self.received_us > self._time.silence_us
        )

    def add(self, device: DeviceState, samples: Samples, received_us: int) -> int:
        """Put readings on the timeline; return how many came too late."""
        self.received_us = max(self.received_us, received_us)
        if not len(samples):
            return 0
        device.heard(int(samples.time_us[0]), int(samples.time_us[-1]), len(samples))
        if device.status in ("unknown", "stopped", "offline"):
            device.status = "online"
        late = self.timeline.push(device.placement, samples)
        device.late += late
        return late

    def pass_silence(self, wall_us: int) -> None:
        """Move time on where nobody has spoken for long, so that gaps are closed and logged."""
        silent_us = wall_us - self.received_us
        if self.received_us != NEVER_US and silent_us > self._time.silence_us:
            behind_us = self._time.silence_us + self._time.lateness_us
            self.timeline.complete(self.now_us(wall_us) - behind_us)

    def complete(self) -> None:
        """Take all that was heard as complete, the newest step and the models' delay included."""
        if self.timeline.newest_us != NEVER_US:
            whole = (self.timeline.newest_us // self._grid_us + 1) * self._grid_us
            self.timeline.complete(whole + self._delay_us)

    def next_session(self) -> None:
        """Forget this session and wait for the next."""
        status = {id_: d.status for id_, d in self.devices.items()}
        self._begin(self.session + 1)
        for id_, device in self.devices.items():
            device.status = status[id_]

    def forget(self) -> None:
        """Drop readings that no lane needs any more."""
        needs = [lane.needs_us for lane in self.lanes]
        self.timeline.forget(min(self.timeline.watermark_us if n is None else n for n in needs))
