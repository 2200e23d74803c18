"""One station: its devices' samples on one timeline, its models' lanes, its sessions.

A session runs from a station's first reading to its orderly end: all devices that spoke said
``stopped`` or ``offline``, or time began anew: after a silence (a replay, started again; a clock,
set right), or because the wall clock sides with a reading against the station's time.
"""

from collections.abc import Mapping
from dataclasses import replace

from edge.allowance import Allowance
from edge.bundle import Manifest
from edge.config import Limits, Station as StationConfig, Time
from edge.devices import DeviceState
from edge.lanes import Lane
from edge.relay import Relay, Turn
from edge.timeline import NEVER_US, Timeline, Track
from sensor_adapters.adapter import load_adapter
from sensor_adapters.samples import DecodeError, Samples

NO_LIMITS = Limits()
"""But those that hold where nothing is said."""


class Refused(Exception):
    """A payload can not be used; the text says why."""


class Station:
    """The state of one station; one session at a time."""

    LASTING = (
        "session", "devices", "timeline", "relay", "lanes", "silent_us", "has_leapt",
        "is_by_board", "_began_before", "_seen_us", "spared",
    )  # fmt: skip

    def __init__(
        self,
        id_: str,
        config: StationConfig,
        manifests: list[Manifest],
        time: Time,
        session: int,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """Take the models' manifests in the order of the configuration.

        Raises:
            RelayError: the models are to share one voice and can not.
        """
        self.id = id_
        self._config, self._manifests, self._time = config, manifests, time
        self._lateness_us, self._silence_us = time.lateness_us, time.silence_us
        self._max_jump_us = time.max_jump_us
        self._grid_us = max(m.step_us for m in manifests)
        self._step_us = min(m.step_us for m in manifests)
        self._delay_us = max(m.delay_steps * m.step_us for m in manifests)
        self.devices = {
            one: DeviceState(
                one, device.adapter, device.placement,
                allowance=Allowance(limits.messages_per_s, limits.burst_messages),
            )
            for one, device in config.devices.items()
        }  # fmt: skip
        self.spared = 0
        """How much is left out of what a faster board would do: a level, see ``spare``."""
        self._begin(session)

    def limit(self, limits: Limits) -> None:
        """Let other limits hold for what comes."""
        for device in self.devices.values():
            device.allowance.per_s = limits.messages_per_s
            device.allowance.burst = limits.burst_messages

    def _begin(self, session: int) -> None:
        """Start a session with nothing heard."""
        self.session = session
        self.timeline = Timeline(self._lateness_us)
        self.relay = Relay(self._manifests) if self._config.failover else None
        """The models' one voice, if they share one."""
        self.lanes = [
            Lane(manifest, Turn(self.relay, rank) if self.relay else None)
            for rank, manifest in enumerate(self._manifests)
        ]
        self.silent_us = 0
        """Wall time since the newest reading that came in time, as far as the board was awake."""
        self.has_leapt = False
        """Was the clock set by which its times are made? Then another session begins."""
        self.is_by_board = False
        """May its times be by the board's clock?"""
        self.has_stayed = False
        """Did the device that was heard last prove not to live by the board's clock?"""
        self._is_watching = True
        self._began_before = False  # before the board's clock was set
        self._seen_us = NEVER_US
        self.spare(self.spared)

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels of ``spare`` that make a difference here."""
        return (1, 2) if self._is_seen_without_camera else (2,)

    @property
    def _is_seen_without_camera(self) -> bool:
        with_camera = ["camera" in m.modality for m in self._manifests]
        return any(with_camera) and not all(with_camera)

    def spare(self, level: int) -> None:
        """Leave out work that the board has no time for.

        Level 1: models with a camera pause where there are others. Level 2: the others look at
        every second step as well. All complete steps must have been inferred.
        """
        self.spared = level
        watermark_us = self.timeline.watermark_us
        for lane in self.lanes:
            has_camera = "camera" in lane.manifest.modality
            is_paused = level >= 1 and has_camera and self._is_seen_without_camera
            lane.pause(watermark_us, is_paused=is_paused)
            lane.hop(watermark_us, is_hopping=level >= 2 and not is_paused)
        if self.relay is not None:
            self.relay.hop = 2 if level >= 2 else 1

    @property
    def voices(self) -> Mapping[str, Lane | Relay]:
        """Who speaks, by the names that the log knows."""
        if self.relay is not None:
            return {self.relay.name: self.relay}
        return {lane.manifest.name: lane for lane in self.lanes}

    @property
    def steps_done(self) -> int:
        """Steps that its models made in this session."""
        return sum(lane.steps_done for lane in self.lanes)

    @property
    def is_due(self) -> bool:
        """Has the watermark passed a step's end since last asked?"""
        reached = self.complete_steps
        due, self._seen_us = reached != self._seen_us, reached
        return due

    @property
    def complete_steps(self) -> int:
        """The first step, on the UTC grid, that is not complete."""
        return self.timeline.watermark_us // self._step_us

    @property
    def complete_us(self) -> int:
        """The start of that step."""
        return self.complete_steps * self._step_us

    @property
    def is_over(self) -> bool:
        """Have all devices that spoke ended?"""
        spoke = [d for d in self.devices.values() if d.last_us != NEVER_US]
        return bool(spoke) and all(d.status in ("stopped", "offline") for d in spoke)

    def decode(self, device: DeviceState, payload: bytes, received_us: int) -> Samples | None:
        """Return the payload in event time; None for one that came before.

        Raises:
            DecodeError: the adapter refuses it.
            Refused: the adapter failed, its time is too far ahead of the station's, or the device
            sends too much.
        """
        adapter = load_adapter(device.adapter)
        try:
            samples = adapter.decode(device.device, payload)
        except DecodeError:
            raise
        except Exception as error:  # adapters come from other packages, too
            raise Refused(f"adapter {device.adapter} failed: {error!r}") from error
        if samples.stream is not adapter.stream and samples.stream != adapter.stream:
            raise Refused(f"adapter {device.adapter} gave another stream than it says it has")
        count, max_jump_us = len(samples.time_us), self._max_jump_us
        device_us = int(samples.time_us[-1]) if count else None
        is_utc, is_silent = samples.clock == "utc", self.is_silent
        newest_us = NEVER_US if device_us is None or not is_utc else device_us
        if is_utc and not is_silent and self._ahead_us(newest_us) > max_jump_us:
            newest_us = NEVER_US  # no word on whether the device restarted
        if not device.is_new(samples.boot, samples.seq, newest_us):
            return None
        self.allow(device, samples.boot, device_us)
        if self._config.devices[device.device].clock == "arrival":
            samples = replace(samples, clock="device")
        first_us = received_us if samples.received_us is None else samples.received_us
        self._follow(device, samples, first_us, received_us)
        is_in_order = device.is_newest(samples.boot, samples.seq)
        time_us = device.clock.event_time_us(samples, first_us, is_in_order=is_in_order)
        if count and not is_silent:
            ahead_us = self._ahead_us(newest_us := int(time_us[-1]))
            is_far = ahead_us > max_jump_us and not self.has_leapt
            if is_far and not self._is_astray(newest_us, received_us):
                raise Refused(
                    f"time is {ahead_us / 1e6:.0f} s ahead of its station,"
                    f" expected at most {self._time.max_jump_s:g} s: is its clock right?"
                )
        return samples if time_us is samples.time_us else replace(samples, time_us=time_us)

    @staticmethod
    def allow(device: DeviceState, boot: str = "", time_us: int | None = None) -> None:
        """Take a message off what a device may send.

        Raises:
            Refused: it has nothing left.
        """
        if not device.allowance.take(boot, time_us):
            raise Refused(
                f"sends more than {device.allowance.per_s:g} messages in a second of its own time,"
                " expected fewer, or more in limits.messages_per_s"
            )

    def _follow(
        self, device: DeviceState, samples: Samples, first_us: int, received_us: int
    ) -> None:
        """See whether a device's times leapt where the board's clock did."""
        if not len(samples):
            return
        if samples.clock == "device" and samples.received_us is None:
            self.is_by_board = True
            return
        of_us = int(samples.time_us[-1]) if samples.clock == "utc" else first_us
        leap_us = device.lead.heard(of_us, received_us)
        self.has_stayed = leap_us == 0
        self.is_by_board |= abs(of_us - received_us) <= self._max_jump_us
        if leap_us:
            self.has_leapt |= self._began_before
            device.clock.leapt(leap_us)

    def leapt(self, by_us: int, now_us: int) -> None:
        """Take note that the board's clock was set: what it stamped goes on elsewhere."""
        self._began_before = self.timeline.newest_us != NEVER_US
        self._is_watching = True
        for device in self.devices.values():
            device.lead.leapt(by_us, now_us)
            if device.lead.lead_us is None and device.last_us != NEVER_US:
                device.clock.leapt(by_us)
                self.has_leapt = True

    @property
    def is_undecided(self) -> bool:
        """Is it not known yet whether its times follow a clock that was set?"""
        if self._is_watching:  # asked for each message
            self._is_watching = any(device.lead.is_open for device in self.devices.values())
        return self.has_leapt or self._is_watching

    @property
    def is_silent(self) -> bool:
        """Has nothing come in time for so long that the station's time is open to question?"""
        return self.timeline.newest_us == NEVER_US or self.silent_us > self._silence_us

    def _ahead_us(self, time_us: int) -> int:
        """Return how far a time is ahead of what it must be by now."""
        return time_us - (self.timeline.newest_us + self.silent_us)

    def _is_astray(self, time_us: int, received_us: int) -> bool:
        """Is a reading's time about now by the wall clock, and the station's far from both?

        So it is after a device without a battery, in 1970, or in 2099, was the first to speak.
        """
        most_us, ahead_us = self._max_jump_us, self._ahead_us(time_us)
        off_us = time_us - received_us
        return abs(off_us) <= most_us < min(abs(ahead_us), abs(ahead_us - off_us))

    def starts_anew(self, samples: Samples, received_us: int) -> bool:
        """Did time run back, or leap, behind a silence, or go astray: is this another session?"""
        if not len(samples) or self.timeline.newest_us == NEVER_US:
            return False
        time_us = int(samples.time_us[-1])
        if self.has_leapt or self._is_astray(time_us, received_us):
            return True
        if not self.is_silent:
            return False
        is_behind = time_us < self.timeline.newest_us - self._lateness_us
        return is_behind or self._ahead_us(time_us) > self._max_jump_us

    def add(self, device: DeviceState, samples: Samples) -> int:
        """Put readings on the timeline; return how many came too late."""
        if not len(samples):
            return 0
        device.heard(int(samples.time_us[0]), int(samples.time_us[-1]), len(samples))
        if device.status in ("unknown", "stopped", "offline"):
            device.status = "online"
        late = self.timeline.push(device.placement, samples)
        if late < len(samples):
            self.silent_us = 0
        device.late += late
        return late

    def pass_time(self, passed_us: int) -> None:
        """Move time on where nobody has spoken for long, so that gaps are closed and logged."""
        if self.timeline.newest_us == NEVER_US:
            return
        self.silent_us += passed_us
        if self.is_silent:
            behind_us = self._silence_us + self._lateness_us
            self.timeline.complete(self.timeline.newest_us + self.silent_us - behind_us)

    def complete(self) -> None:
        """Take all that was heard as complete, the newest step and the models' delay included."""
        if self.timeline.newest_us != NEVER_US:
            whole = (self.timeline.newest_us // self._grid_us + 1) * self._grid_us
            self.timeline.complete(whole + self._delay_us)

    def next_session(self) -> None:
        """Forget this session and wait for the next."""
        self.devices = {id_: device.next_session() for id_, device in self.devices.items()}
        self._begin(self.session + 1)

    def settle(self) -> None:
        """Sort in all that was pushed."""
        for track in self.timeline.tracks.values():
            track.settle()

    def prepare(self) -> None:
        """Make room for all that may be restored: a track for each device."""
        for device in self._config.devices.values():
            stream = load_adapter(device.adapter).stream
            self.timeline.tracks.setdefault(device.placement, Track(stream))

    def forget(self) -> None:
        """Drop readings that no lane which reads them needs any more."""
        watermark_us = self.timeline.watermark_us
        for placement, track in self.timeline.tracks.items():
            needs = [lane.needs_us for lane in self.lanes if placement in lane.placements]
            track.forget(min([watermark_us if n is None else n for n in needs] or [watermark_us]))
