"""What is known of each device: status, sequence numbers, counts."""

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from edge.allowance import Allowance
from edge.clock import DeviceClock
from edge.leaps import Lead
from edge.timeline import NEVER_US

MOST_HOLES = 8  # stretches in which numbers were skipped, the newest
MOST_MISSING = 1000  # sequence numbers that may still come; beyond, the oldest count as lost


@dataclass
class Sequence:
    """The sequence numbers of one boot: which came, which may still come."""

    newest: int
    first: int = -1
    """The one heard first; some before it may have been overtaken by it."""
    missing: set[int] = field(default_factory=set)
    """At most ``MOST_MISSING``."""
    overtaken: set[int] = field(default_factory=set)
    """Those before ``first`` that came; at most ``MOST_MISSING``."""
    given_up: int = 0

    def has_heard(self, seq: int) -> bool:
        """Return whether ``seq`` came before, or is so old that it must have."""
        if seq > self.newest or seq in self.missing:
            return False
        return seq >= self.first or seq < self.first - MOST_MISSING or seq in self.overtaken

    def note(self, seq: int) -> None:
        """Take in a number that was not heard before."""
        if seq > self.newest:
            first = max(self.newest + 1, seq - MOST_MISSING)
            self.given_up += first - self.newest - 1
            self.missing.update(range(first, seq))
            self.newest = seq
            if len(self.missing) > MOST_MISSING:
                beyond = sorted(self.missing)[:-MOST_MISSING]
                self.missing.difference_update(beyond)
                self.given_up += len(beyond)
        elif seq < self.first:
            self.overtaken.add(seq)
        else:
            self.missing.discard(seq)

    @property
    def lost(self) -> int:
        """Numbers skipped and not seen so far."""
        return len(self.missing) + self.given_up


@dataclass
class DeviceState:
    """One device in one session of its station. Bounded: two boots, 1000 numbers each."""

    LASTING: ClassVar = (
        "status", "boot", "first_us", "last_us", "newest_us", "messages", "samples", "rejected",
        "duplicated", "late", "restarts", "clock", "lead", "allowance", "holes", "_skipped",
        "_lost_before", "_sequences",
    )  # fmt: skip

    device: str
    adapter: str
    placement: str
    status: str = "unknown"
    boot: str = ""
    first_us: int = NEVER_US
    last_us: int = NEVER_US
    newest_us: int = NEVER_US
    """Event time of its newest reading in this session or any before."""
    messages: int = 0
    samples: int = 0
    rejected: int = 0
    duplicated: int = 0
    late: int = 0
    restarts: int = 0
    """How often its numbers began again under the same boot."""
    clock: DeviceClock = field(default_factory=DeviceClock)
    lead: Lead = field(default_factory=Lead)
    allowance: Allowance = field(default_factory=Allowance)
    holes: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MOST_HOLES))
    """From the newest reading before numbers were skipped to the first one behind."""
    _skipped: int = 0
    _lost_before: int = 0
    _sequences: dict[str, Sequence] = field(default_factory=dict)

    def is_new(self, boot: str, seq: int | None, newest_us: int = NEVER_US) -> bool:
        """Return whether this payload has not come before; count it.

        ``newest_us`` is the time of its newest reading where the device speaks UTC. A number that
        came before with a time that did not is no repetition: the device restarted, and kept its
        boot.
        """
        self.messages += 1
        known = self._sequences.get(boot)
        if seq is not None and known is not None and known.has_heard(seq):
            if newest_us <= self.newest_us:
                self.duplicated += 1
                return False
            self.restarts += 1
            self._lost_before += self._sequences.pop(boot).lost
            known = None
        self.boot = boot
        if seq is None:
            return True
        if known is not None:
            self._skipped = max(seq - known.newest - 1, 0)
            known.note(seq)
            return True
        while len(self._sequences) >= 2:
            oldest = next(iter(self._sequences))
            self._lost_before += self._sequences.pop(oldest).lost
        self._sequences[boot] = Sequence(seq, seq)
        return True

    def next_session(self) -> "DeviceState":
        """Return the device as the next session begins: counts at 0, numbers remembered."""
        sequences = {
            boot: Sequence(s.newest, s.first, overtaken=s.overtaken)
            for boot, s in self._sequences.items()
        }
        return DeviceState(
            self.device, self.adapter, self.placement, self.status, self.boot,
            newest_us=self.newest_us, lead=self.lead, allowance=self.allowance,
            _sequences=sequences,
        )  # fmt: skip

    def is_newest(self, boot: str, seq: int | None) -> bool:
        """Is this the newest number of its start?"""
        known = self._sequences.get(boot)
        return known is not None and known.newest == seq

    def heard(self, first_us: int, last_us: int, samples: int) -> None:
        """Note readings in event time."""
        if self._skipped and self.last_us != NEVER_US:
            self.holes.append((self.last_us, first_us))
        self._skipped = 0
        self.newest_us = max(self.newest_us, last_us)
        self.first_us = first_us if self.first_us == NEVER_US else min(self.first_us, first_us)
        self.last_us = max(self.last_us, last_us)
        self.samples += samples

    def has_lost(self, start_us: int, end_us: int) -> bool:
        """Were numbers skipped within a stretch?"""
        return any(first < end_us and start_us < last for first, last in self.holes)

    @property
    def lost(self) -> int:
        """Payloads that never came, over all boots."""
        return self._lost_before + sum(s.lost for s in self._sequences.values())
