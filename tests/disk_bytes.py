"""What a board writes to its disk: bytes that it hands to the system (``wchar`` of /proc/self/io).

``python -m tests.disk_bytes`` lets the inner rooms work through a recording of the virtual station
as the board does, with the messages' own times in place of a clock. It prints a station's bytes in
a day by settings, then bytes a row by rows in a batch. ``--as-before``: the settings of schema 4.
"""

import argparse
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge import bundle as bundles, checkpoint, sqlite_log
from edge.announce import Announcer
from edge.bench import NODE, SITE, site_of
from edge.engine import open_engine
from edge.inference import Model
from edge.pipeline import Pipeline
from edge.records import CheckpointRecord, OutgoingRecord, Record, SegmentRecord
from edge.site_models import start_records
from edge.sqlite_log import SqliteLog
from edge.station_records import of_devices
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from sensor_adapters.samples import US_PER_S
from sensor_adapters.topics import Message
from tests.edge.test_sqlite_log import many, model

BUNDLES = Path(__file__).parents[1] / "bundles"
DAY_S = 86_400
UPDATE_S, DEVICES_S = 5, 30


@dataclass(frozen=True)
class Settings:
    """Of a log."""

    page_bytes: int
    wal_mb: float
    secure_delete: str
    checkpoint_s: float
    is_reach_apart: bool
    """Is it written each 5 s how far open segments reach, and not with checkpoints?"""


NOW = Settings(1024, 4, "FAST", 20, False)
BEFORE = Settings(4096, 4, "ON", 5, True)  # ON: Debian's default


def written_bytes() -> int:
    """Return what this process handed to the system so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def opened(path: Path, settings: Settings) -> SqliteLog:
    """Return a new log with these settings."""
    before = sqlite_log.SETTINGS, sqlite_log.WAL_BYTES
    own = (
        f"PRAGMA page_size = {settings.page_bytes}",
        f"PRAGMA secure_delete = {settings.secure_delete}",
    )
    of_others = tuple(s for s in before[0] if "page_size" not in s and "secure_delete" not in s)
    sqlite_log.SETTINGS = (*own, *of_others)  # type: ignore[assignment]
    sqlite_log.WAL_BYTES = round(settings.wal_mb * 2**20)
    try:
        return SqliteLog(path)
    finally:
        sqlite_log.SETTINGS, sqlite_log.WAL_BYTES = before


def station_bytes(name: str, minutes: float, settings: Settings) -> float:
    """Return what a station with this bundle writes in a day."""
    bundle = bundles.load(BUNDLES / name)
    config = site_of(bundle, 1)
    models = {str(bundle.folder): Model(bundle, open_engine(bundle))}
    pipeline = Pipeline(config, models, {})
    announce = Announcer(SITE, NODE, "boot", "0")
    load = _load(minutes)
    with tempfile.TemporaryDirectory() as folder:
        log = opened(Path(folder) / "log.db", settings)
        log.write(start_records(config, models, 0))
        before = written_bytes()
        sent: list[tuple[str, str]] = []
        due = {"checkpoint": settings.checkpoint_s, "reach": UPDATE_S, "devices": DEVICES_S}
        next_s = dict.fromkeys(due, 0.0)
        for one in load:
            pipeline.push(Message(one.topic, one.payload, one.at_us))
            pending: list[Record] = pipeline.advance(one.at_us)
            now_s = (one.at_us - load[0].at_us) / US_PER_S
            is_due = {what: now_s >= next_s[what] for what in due}
            next_s = {w: now_s + due[w] if is_due[w] else next_s[w] for w in due}
            outgoing = []
            for record in pending:
                if isinstance(record, SegmentRecord):
                    kind, message = announce.segment(record)
                    text = message.payload.decode()
                    outgoing.append(OutgoingRecord(record.id, kind, message.topic, text))
            pending += outgoing
            if is_due["reach"] and settings.is_reach_apart:
                pending += pipeline.open_segments()
            if is_due["devices"]:
                for station in pipeline.stations.values():
                    pending += of_devices(station)
            if is_due["checkpoint"]:
                for station in pipeline.changed():
                    content = checkpoint.content(station, "0" * 32)
                    pending.append(CheckpointRecord(station.id, 1, one.at_us, content))
                if not settings.is_reach_apart:
                    pending += pipeline.open_segments()
            if pending:
                log.write(pending, sent, is_lasting=is_due["checkpoint"])
                sent = [(one.id, one.type) for one in outgoing]
        log.close()
        return (written_bytes() - before) * DAY_S / (minutes * 60)


def _load(minutes: float) -> list[Sent]:
    recording = open_recording(f"virtual:seed=700,boxes={max(round(minutes * 1.2), 1)}")
    start_us, _ = recording.span_us()
    recording = recording.between(start_us, start_us + round(minutes * 60 * US_PER_S))
    return list(messages(recording, SITE, NODE, "s0", "boot"))


def row_bytes(settings: Settings, batch: int) -> float:
    """Return what a segment's row costs, in batches of so many."""
    records = many(20_000)[: 20_000 if batch > 1 else 4_000]
    with tempfile.TemporaryDirectory() as folder:
        log = opened(Path(folder) / "log.db", settings)
        log.write([model("imu"), model("camera")])
        before = written_bytes()
        for at in range(0, len(records), batch):
            log.write(records[at : at + batch])
        log.close()
        return (written_bytes() - before) / len(records)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--bundle", default="imu")
    parser.add_argument("--as-before", action="store_true")
    options = parser.parse_args()
    if options.as_before:
        chosen = [BEFORE]
    else:
        chosen = [
            Settings(page_bytes, wal_mb, deleted, checkpoint_s, is_reach_apart=False)
            for page_bytes, (wal_mb, deleted), checkpoint_s in itertools.product(
                (1024, 2048, 4096), ((4, "FAST"), (16, "FAST"), (4, "ON")), (5, 20)
            )
        ]
    for settings in chosen:
        found = station_bytes(options.bundle, options.minutes, settings)
        print(f"{settings}: {found / 1e9:.2f} GB a station and day", flush=True)
    for settings in chosen:
        if options.as_before or settings.checkpoint_s == 20:
            found_ = {batch: round(row_bytes(settings, batch)) for batch in (1, 10, 100, 1000)}
            print(f"{settings}: bytes a row by rows in a batch: {found_}", flush=True)


if __name__ == "__main__":
    main()
