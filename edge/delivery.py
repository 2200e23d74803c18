"""First durable, then told: what the board has to say goes to the log, then to the broker.

One batch at a time. One that the log can not take is held and tried again; nothing of it is told,
and no message that it came of is acknowledged, before it is written.
"""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from edge.announce import Announcer
from edge.inbox import Inbox
from edge.records import OutgoingRecord, Record, SegmentRecord
from edge.sqlite_log import LogWaits, SqliteLog
from edge.storage.writing import Writing
from sensor_adapters.topics import Message

NAP_S = 0.2
MOST_AT_ONCE = 5000
"""Of the outbox; the rest follows when these are gone."""


@dataclass
class Batch:
    """What follows when it is written."""

    outgoing: list[OutgoingRecord]
    passing: list[Message]
    requests: list[Message]
    """That are answered then."""
    is_checkpoint: bool
    """All that was taken may be acknowledged."""


class Delivery:
    """The way of records to the log, and of messages to the broker."""

    def __init__(self, db: SqliteLog, writing: Writing, inbox: Inbox, announce: Announcer) -> None:
        self._db, self._writing = db, writing
        self._inbox, self._announce = inbox, announce
        self.pending: list[Record] = []
        """What the next batch holds."""
        self._held: Batch | None = None
        self._out: dict[int, tuple[str, str]] = {}  # of the outbox, by number on its way

    @property
    def is_held(self) -> bool:
        """Does a batch wait for the log?"""
        return self._held is not None

    def flush(
        self,
        requests: list[Message],
        open_segments: Iterable[Record],
        now_us: int,
        *,
        is_checkpoint: bool,
    ) -> Batch | None:
        """Make what is pending durable, then tell it; return it, or None where it is held.

        Args:
            requests: what is to be answered then.
            open_segments: how far they reach, written with a checkpoint and not each time it is
                said.
            now_us: UTC.
            is_checkpoint: does it hold what all messages taken so far changed?
        """
        rows: list[Record] = []
        batch = Batch([], [], requests, is_checkpoint)
        for record in self.pending:
            if isinstance(record, SegmentRecord):
                kind, message = self._announce.segment(record)
                if kind == "update":
                    if self._inbox.is_connected:
                        batch.passing.append(message)
                    continue
                said = message.payload.decode()
                batch.outgoing.append(OutgoingRecord(record.id, kind, message.topic, said))
            rows.append(record)
        self.pending.clear()
        if is_checkpoint:
            rows += open_segments
        self._held = batch
        rows += batch.outgoing
        if not rows or self._writing.write(
            rows, self._sent(), now_us, time.monotonic(), is_lasting=is_checkpoint
        ):
            return self._told()
        return None

    def again(self, *, at_once: bool = False) -> Batch | None:
        """Try once more to write what is held; return it once that is done."""
        if self._writing.again(time.monotonic(), at_once=at_once):
            return self._told()
        return None

    def insist(self, most_s: float) -> Batch | None:
        """Wait until what is held is written; None where nothing was.

        Raises:
            LogError: it could not be for so long.
        """
        end_s = time.monotonic() + most_s
        while self.is_held:
            if batch := self.again(at_once=True):
                return batch
            if time.monotonic() > end_s:
                raise self._writing.why
            time.sleep(NAP_S)
        return None

    def _told(self) -> Batch:
        """Tell what is durable now."""
        batch, self._held = self._held, None
        assert batch is not None
        for one in batch.outgoing:
            self._send(one)
        for message in batch.passing:
            self.publish(message)
        return batch

    def _send(self, one: OutgoingRecord) -> None:
        """Publish what the log keeps until the broker has it."""
        number = self._inbox.publish(one.topic, one.payload.encode())
        if number is not None:
            self._out[number] = (one.id, one.type)

    def send_left(self) -> None:
        """Publish what the log keeps and is not on its way."""
        if not self._inbox.is_connected or self._writing.is_waiting:
            return
        on_their_way = set(self._out.values())
        try:
            left = self._db.unsent(MOST_AT_ONCE)
        except LogWaits:  # the next batch will tell
            return
        for one in left:
            if (one.id, one.type) not in on_their_way:
                self._send(one)

    def _sent(self) -> list[tuple[str, str]]:
        """Return what the broker has taken of the outbox."""
        return [self._out.pop(n) for n in self._inbox.published() if n in self._out]

    def publish(self, message: Message, *, retain: bool = False) -> None:
        """Say what is not kept for a broker that is away."""
        self._inbox.publish(message.topic, message.payload, retain=retain)

    def end(self) -> None:
        """Note what the broker has taken, if the log can; else the next start says it again."""
        with contextlib.suppress(LogWaits):
            self._db.write([], self._sent())
