"""What the board publishes: topics and payloads under ``act/v1/<site>/<node>``. No I/O.

``status`` (retained, will), ``health`` (retained), ``<station>/action`` (retained: the newest
provisional label of the station's first bundle), ``<station>/segment`` (new, update, end),
``response/<request>``.
"""

from typing import Any

import msgspec

from edge.records import SegmentRecord
from edge.voices import Now
from sensor_adapters.topics import Message, base


def _message(topic: str, body: dict[str, Any]) -> Message:
    return Message(topic, msgspec.json.encode({"v": 1, **body}), 0)


class Announcer:
    """Makes the board's messages; remembers the labels and open segments it said last."""

    def __init__(self, site: str, node: str, boot: str, version: str) -> None:
        self.base = base(site, node)
        self._boot, self._version = boot, version
        self._said: dict[str, tuple[str, ...]] = {}
        self._open: set[str] = set()  # ids said as new, not yet as ended
        self._seq = 0

    def status(self, state: str, now_us: int) -> Message:
        """Return the retained status: ``online``, ``stopped``, or ``offline`` as the will."""
        body = {"state": state, "boot": self._boot, "ts": now_us, "ver": self._version}
        return _message(f"{self.base}/status", body)

    def health(self, body: dict[str, Any]) -> Message:
        """Return the retained health."""
        return _message(f"{self.base}/health", body)

    def answer(
        self, request: str, transaction: Any, data: dict[str, Any], error: str = ""
    ) -> Message:
        """Return the answer to a request; that to a ping says that all before it is durable."""
        body = {"status": "error" if error else "ok", "data": data, "transaction": transaction}
        return _message(
            f"{self.base}/response/{request}", body | ({"error": error} if error else {})
        )

    def segment(self, record: SegmentRecord) -> tuple[str, Message]:
        """Return ``new`` for a segment that began, ``update`` while it grows, then ``end``."""
        s, id_ = record.segment, record.id
        kind = "end" if s.state != "open" else "update" if id_ in self._open else "new"
        (self._open.discard if kind == "end" else self._open.add)(id_)
        self._seq += 1
        body = {
            "type": kind,
            "id": id_,
            "seq": self._seq,
            "bundle": record.bundle,
            "modality": record.modality,
            "level": s.level,
            "label": s.label,
            "parent": s.parent,
            "start": s.start_us,
            "end": None if kind == "new" else s.end_us,
            "conf": round(s.confidence, 4),
            "observed": round(s.observed, 4),
            "state": s.state,
        }
        return kind, _message(f"{self.base}/{record.station}/segment", body)

    def knows(self, id_: str) -> None:
        """Take it that a segment was said as new by a run before this one."""
        self._open.add(id_)

    def nothing(self, station: str) -> Message:
        """Return what is left to be said of the labels of a station that is no more."""
        self._said.pop(station, None)
        return _message(f"{self.base}/{station}/action", {"label": None, "levels": {}})

    def action(self, station: str, bundle: str, now: list[Now]) -> Message | None:
        """Return the station's current labels if they are other ones than said last.

        The first time they always are: the broker may hold what a run before this one said.
        """
        labels = tuple(n.label for n in now)
        if self._said.get(station) == labels:
            return None
        self._said[station] = labels
        if not now:
            body: dict[str, Any] = {"bundle": bundle, "label": None, "levels": {}}
            return _message(f"{self.base}/{station}/action", body)
        levels = {n.level: {"label": n.label, "conf": round(n.confidence, 4)} for n in now}
        body = {
            "bundle": bundle,
            "label": now[0].label,
            "conf": round(now[0].confidence, 4),
            "since": now[0].step_end_us,
            "levels": levels,
        }
        return _message(f"{self.base}/{station}/action", body)
