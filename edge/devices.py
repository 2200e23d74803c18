"""What is known of each device: status, sequence numbers, counts."""

from dataclasses import dataclass, field

from edge.clock import DeviceClock
from edge.timeline import NEVER_US

MOST_MISSING = 1000  # sequence numbers that may still come; beyond, the oldest count as lost


@dataclass
class Sequence:
    """The sequence numbers of one boot: which came, which may still come."""

    newest: int
    missing: set[int] = field(default_factory=set)
    """At most ``MOST_MISSING``."""
    given_up: int = 0

    def accept(self, seq: int) -> bool:
        """Return whether ``seq`` is new."""
        if seq > self.newest:
            first = max(self.newest + 1, seq - MOST_MISSING)
            self.given_up += first - self.newest - 1
            self.missing.update(range(first, seq))
            self.newest = seq
            while len(self.missing) > MOST_MISSING:
                self.missing.remove(min(self.missing))
                self.given_up += 1
            return True
        if seq in self.missing:
            self.missing.remove(seq)
            return True
        return False

    @property
    def lost(self) -> int:
        """Numbers skipped and not seen so far."""
        return len(self.missing) + self.given_up


@dataclass
class DeviceState:
    """One device in one session of its station. Bounded: two boots, 1000 numbers each."""

    device: str
    adapter: str
    placement: str
    status: str = "unknown"
    boot: str = ""
    first_us: int = NEVER_US
    last_us: int = NEVER_US
    messages: int = 0
    samples: int = 0
    rejected: int = 0
    duplicated: int = 0
    late: int = 0
    clock: DeviceClock = field(default_factory=DeviceClock)
    _lost_before: int = 0
    _sequences: dict[str, Sequence] = field(default_factory=dict)

    def is_new(self, boot: str, seq: int | None) -> bool:
        """Return whether this payload has not come before; count it."""
        self.messages += 1
        self.boot = boot
        if seq is None:
            return True
        known = self._sequences.get(boot)
        if known is None:
            while len(self._sequences) >= 2:
                oldest = next(iter(self._sequences))
                self._lost_before += self._sequences.pop(oldest).lost
            self._sequences[boot] = Sequence(seq)
            return True
        if known.accept(seq):
            return True
        self.duplicated += 1
        return False

    def heard(self, first_us: int, last_us: int, samples: int) -> None:
        """Note readings in event time."""
        self.first_us = first_us if self.first_us == NEVER_US else min(self.first_us, first_us)
        self.last_us = max(self.last_us, last_us)
        self.samples += samples

    @property
    def lost(self) -> int:
        """Payloads that never came, over all boots."""
        return self._lost_before + sum(s.lost for s in self._sequences.values())
