"""One board on a port: its bytes in, readings with their times out, and what to say to it.

No port, no thread, no clock: bytes and times are arguments. A board says who it is (HELLO) and what
its streams hold (SCHEMA), and answers what time it is (SYNC). Readings that come before its clock
was compared wait a moment; if it never answers, they go on in the device's own clock.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from firmware_bridge import messages
from firmware_bridge.clock import DeviceTime, unwrapped
from firmware_bridge.frames import Deframer, Frame, Type, encode
from firmware_bridge.messages import Hello, MessageError, Schema
from sensor_adapters.samples import US_PER_S

ASK_EVERY_US = 2 * US_PER_S
"""For HELLO and SCHEMA, while one is missing."""
SYNC_SOON_US, SYNC_EVERY_US = US_PER_S // 2, 10 * US_PER_S
SOON = 6
"""Exchanges after a start that follow each other soon."""
PATIENCE_US = 3 * US_PER_S
"""How long the first readings after a start wait for the clock to be compared."""
ALIVE_US = 15 * US_PER_S
MOST_WAITING = 2000
MOST_KEPT = 100
"""Answers to commands, and lines for people."""
MOST_BACK = 100
"""Frames that come again or out of order; a serial line does neither."""


@dataclass(frozen=True)
class Host:
    """The host's clocks at one moment, in us."""

    now_us: int
    """Monotonic."""
    wall_us: int
    """UTC less monotonic."""


@dataclass(frozen=True)
class Placed:
    """A frame of readings, and when it was."""

    start: int
    """Of the board, counted from 0."""
    schema: Schema
    frame: Frame
    skipped: int
    """Frames of the stream that were lost just before it."""
    first_us: int
    """Of its first reading: UTC, or the device's own clock."""
    is_utc: bool
    received_us: int
    """UTC."""


@dataclass
class Stream:
    """What is known of a stream since the board's start."""

    schema: Schema | None = None
    seq: int | None = None
    """Of its newest frame, counted on where the wire's 16 bits begin again."""
    lost: int = 0


@dataclass(frozen=True)
class _Waiting:
    start: int
    """Of the board, counted from 0."""
    schema: Schema
    frame: Frame
    skipped: int
    device_us: int
    host: Host


@dataclass
class Board:
    """One board on a port, since the port was opened."""

    counts: Counter[str] = field(default_factory=Counter)
    """What was left out, by reason."""
    hello: Hello | None = None
    starts: int = 0
    """Of the board since the port was opened, beside the first."""
    streams: dict[int, Stream] = field(default_factory=dict)
    time: DeviceTime = field(default_factory=DeviceTime)
    acks: dict[int, int] = field(default_factory=dict)
    """How the newest commands went, by number; 0 is well."""
    logs: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    """What the board said to people, and what we could not read."""
    heard_us: int | None = None
    """When its newest whole frame came, by our monotonic clock."""

    def __post_init__(self) -> None:
        self._seeds: dict[int, int] = {}
        self.deframer = Deframer(self._seeds)
        self._waiting: deque[_Waiting] = deque()
        self._newest: tuple[int, int] | None = None  # the device's clock, counted on; our own
        self._since_us: int | None = None
        self._asked_us: int | None = None
        self._synced_us: int | None = None
        self._exchanges = self._questions = 0
        self._is_incomplete = True

    # --- to the board ---

    def due(self, host: Host) -> bytes:
        """Return what is to be said to the board by now."""
        said = b""
        if self._is_incomplete and _is_due(self._asked_us, ASK_EVERY_US, host.now_us):
            self._asked_us = host.now_us
            said += encode(Frame(Type.ASK, 0, 0, 0))
        every_us = SYNC_SOON_US if self._exchanges < SOON else SYNC_EVERY_US
        if _is_due(self._synced_us, every_us, host.now_us):
            self._synced_us = host.now_us
            self._questions += 1
            question = messages.pack_sync(host.now_us)
            said += encode(Frame(Type.SYNC, 0, self._questions % (1 << 16), 0, question))
        return said

    def command(self, number: int, text: str) -> bytes:
        """Return a command as the board hears it; ``acks`` will say how it went."""
        return encode(Frame(Type.COMMAND, 0, 0, 0, messages.pack_command(number, text)))

    def is_alive(self, host: Host) -> bool:
        """Was the board heard of late? It answers every ``SYNC_EVERY_US`` at least."""
        return self.heard_us is not None and host.now_us - self.heard_us < ALIVE_US

    def clock_health(self) -> dict[str, float]:
        """Return where its clock stands, for machines."""
        newest_us = self._newest[0] if self._newest else 0
        return {
            "error_ms": round(self.time.error_us(newest_us) / 1000, 3),
            "drift_ppm": round(-self.time.drift * 1e6, 1),
            "jumps": self.time.jumps,
        }

    # --- from the board ---

    def heard(self, data: bytes, host: Host) -> list[Placed]:
        """Take bytes from the port; return the readings whose time is known by now."""
        found: list[Placed] = []
        unknown = self.deframer.counts.unknown
        for frame in self.deframer.feed(data):
            self.heard_us = host.now_us
            try:
                self._take(frame, host)
            except MessageError as error:
                self.counts["unreadable"] += 1
                self.logs.append(str(error))
            found += self._ready(host)
        self._is_incomplete |= self.deframer.counts.unknown > unknown
        return found + list(self._ready(host))

    def _take(self, frame: Frame, host: Host) -> None:
        if frame.type == Type.HELLO:
            self._greeted(messages.read_hello(frame.payload), frame.time_us, host.now_us)
        elif frame.type == Type.SCHEMA:
            schema = messages.read_schema(frame.payload)
            self.streams.setdefault(frame.stream, Stream()).schema = schema
            self._seeds[frame.stream] = schema.seed
        elif frame.type in (Type.SAMPLES, Type.EVENT):
            self._queue(frame, host)
        elif frame.type == Type.SYNC:
            self._compared(frame, host)
        elif frame.type == Type.ACK:
            number, status = messages.read_ack(frame.payload)
            self.acks[number] = status
            while len(self.acks) > MOST_KEPT:
                del self.acks[next(iter(self.acks))]
        elif frame.type == Type.LOG:
            self.logs.append(frame.payload.decode(errors="replace"))
        else:
            self.counts["of an unknown type"] += 1

    def _greeted(self, hello: Hello, time_us: int, now_us: int) -> None:
        """Begin anew where the board did: it says so, or its clock ran back."""
        newest_us = self._newest[0] if self._newest else 0
        ran_back = self._device_us(time_us, now_us) < newest_us - US_PER_S
        if self.hello is not None and (ran_back or hello.boot != self.hello.boot):
            self.starts += 1
            for stream in self.streams.values():
                stream.seq = None
            self.time, self._newest, self._since_us = DeviceTime(), (time_us, now_us), None
            self._synced_us, self._exchanges = None, 0
        self.hello, self._is_incomplete = hello, False

    def _queue(self, frame: Frame, host: Host) -> None:
        """Number a frame of readings, and let it wait for its time to be known."""
        stream = self.streams.get(frame.stream)
        if stream is None or stream.schema is None:
            self.counts["before their schema"] += 1
            self._is_incomplete = True
            return
        skipped = 0
        if stream.seq is None:
            stream.seq = frame.seq
        else:
            seq = unwrapped(frame.seq, stream.seq + (1 << 15) - MOST_BACK, 16)
            if seq <= stream.seq:
                self.counts["repeated"] += 1
                return
            skipped, stream.seq = seq - stream.seq - 1, seq
            stream.lost += skipped
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.counts["waited too long"] += 1
        device_us = self._device_us(frame.time_us, host.now_us)
        waiting = _Waiting(self.starts, stream.schema, frame, skipped, device_us, host)
        self._waiting.append(waiting)

    def _device_us(self, time_us: int, now_us: int) -> int:
        """Return the device's clock, counted on where its 32 bits begin again."""
        if self._newest is None:
            self._newest = time_us, now_us
        newest_us, then_us = self._newest
        device_us = unwrapped(time_us, newest_us + now_us - then_us, 32)
        self._newest = max(self._newest, (device_us, now_us))
        return device_us

    def _compared(self, frame: Frame, host: Host) -> None:
        sent_us, heard_us = messages.read_sync_answer(frame.payload)
        if not 0 <= host.now_us - sent_us <= SYNC_EVERY_US:
            self.counts["answers too late"] += 1
            return
        answered_us = self._device_us(frame.time_us, host.now_us)
        heard_us = unwrapped(heard_us, answered_us, 32)
        self.time.compared(sent_us, heard_us, answered_us, host.now_us)
        self._exchanges += 1

    def _ready(self, host: Host) -> Iterator[Placed]:
        """Give what need not wait any more."""
        while self._waiting:
            one = self._waiting[0]
            is_ours = one.start == self.starts  # else of one that is over
            is_utc = is_ours and self.hello is not None and self.time.is_known
            self._since_us = one.host.now_us if self._since_us is None else self._since_us
            if is_ours and not is_utc and host.now_us - self._since_us < PATIENCE_US:
                return
            self._waiting.popleft()
            first_us = one.device_us
            if is_utc:
                first_us = self.time.host_us(one.device_us) + one.host.wall_us
            received_us = one.host.now_us + one.host.wall_us
            yield Placed(
                one.start, one.schema, one.frame, one.skipped, first_us, is_utc, received_us
            )


def _is_due(last_us: int | None, every_us: int, now_us: int) -> bool:
    return last_us is None or now_us - last_us >= every_us
