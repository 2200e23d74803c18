"""MCAP as a recording: one station of what ``solosense-adapters record`` wrote.

Beside ``monday.mcap`` may lie ``monday.toml``, a board's configuration for the placements, if the
file does not hold them, and ``monday.labels.csv`` (``level``, ``label``, ``start``, ``end`` and, if
known, ``box``; times are dates with their offset from UTC, or microseconds).
"""

from collections import Counter
from pathlib import Path

from sensor_adapters.own_description import Description, OwnLabels
from sensor_adapters.own_truth import noted, read_labels, with_truth
from sensor_adapters.recorder.message_decoding import StationLog
from sensor_adapters.recorder.placements import read_placements
from sensor_adapters.recording import Device, Recording, RecordingError
from sensor_adapters.topics import InTopic, TopicError, base, parse_in

SUFFIX = ".mcap"
STATION = ":station="
ABOUT, DEVICES = "solosense", "solosense.placements"
"""The file's records that are ours: what was recorded, and where devices sit."""
_ANY_LABELS = Description(version=1, devices={}, labels=OwnLabels(unit="us"))


def recognises(path: Path) -> bool:
    """Return whether a path is a file of this layout, by its name."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def without_station(name: str) -> tuple[str, str]:
    """Return a name's path, and the station that is asked for.

    >>> without_station("monday.mcap:station=pack-1"), without_station("monday.mcap")
    (('monday.mcap', 'pack-1'), ('monday.mcap', ''))
    """
    path, _, station = name.partition(STATION)
    return path, station


def beside(path: Path) -> list[Path]:
    """Return the files beside it that say more, whether they are there or not."""
    return [path.with_suffix(".toml"), *sorted(path.parent.glob(f"{path.stem}*.labels.csv"))]


def read(path: Path, station: str = "") -> Recording:
    """Return what one station's devices said.

    Args:
        path: of the file; what is left of one will do.
        station: ``pack-1``, or ``site/node/pack-1`` where two boards have one of that name; may
            be left out where the file holds one.

    Raises:
        RecordingError: it is no such file, holds no readings, holds several stations and none is
            named, or has another one; or a file beside it is damaged.
    """
    try:
        from sensor_adapters.recorder.mcap_reader import McapReader
    except ModuleNotFoundError as error:
        raise RecordingError(
            f"{path}: needs the library {error.name}, expected `pip install 'solosense[mcap]'`"
        ) from error
    reader = McapReader(path)
    found: Counter[str] = Counter()
    topics: dict[str, InTopic | None] = {}
    for message in reader:
        if message.topic not in topics:
            topics[message.topic] = _parsed(message.topic)
        if topic := topics[message.topic]:
            found[_station(topic)] += 1
    chosen = _chosen(path, found, station)
    log, others = StationLog(), 0
    for message in reader:
        of = topics.get(message.topic)
        if of is None:
            others += 1
        elif _station(of) == chosen:
            log.add(of, message)
    samples, notes = log.samples()
    if not samples:
        raise RecordingError(
            f"{path}: {chosen} has no readings ({'; '.join(notes) or 'status only'}), expected some"
        )
    if reader.damage:
        notes.insert(0, f"the file is {reader.damage}; this is what lies before")
    if reader.lost:
        notes.append(f"the recorder lost {reader.lost} messages, of this station or others")
    if others:
        notes.append(f"{others} messages on topics that are not devices' were passed over")
    ids = [one.device for one in samples]
    placements = _placements(path, reader.metadata, chosen, ids, notes)
    name = path.stem if len(found) == 1 else f"{path.stem}-{chosen.rpartition('/')[2]}"
    recording = Recording(
        name=name,
        layout="mcap",
        subject=name,
        samples=tuple(samples),
        devices={id_: Device(log.kinds[id_], placements[id_]) for id_ in ids},
        notes=(f"recorded of {base(*chosen.split('/')[:2])}/{chosen.split('/')[2]}", *notes),
    )
    labels = path.with_name(f"{name}.labels.csv")
    if not labels.is_file():
        return noted(recording, f"no labels: {labels.name} is missing")
    return with_truth(recording, read_labels(labels, _ANY_LABELS), labels)


def _parsed(topic: str) -> InTopic | None:
    try:
        return parse_in(topic)
    except TopicError:
        return None


def _station(topic: InTopic) -> str:
    return f"{topic.site}/{topic.node}/{topic.station}"


def _chosen(path: Path, found: Counter[str], station: str) -> str:
    """Return the station that is asked for, as site/node/station."""
    if not found:
        raise RecordingError(
            f"{path}: holds no readings of devices, expected messages on"
            " act/v1/<site>/<node>/<station>/in/<kind>/<device>"
        )
    wanted = [one for one in found if not station or one == station or one.endswith(f"/{station}")]
    if len(wanted) == 1:
        return wanted[0]
    if not station:
        raise RecordingError(
            f"{path}: holds the stations {', '.join(sorted(found))},"
            f" expected {STATION}<one of them>"
        )
    which = f"found {len(wanted)} stations {station!r}" if wanted else f"has no station {station!r}"
    raise RecordingError(f"{path}: {which}, expected one of {', '.join(sorted(found))}")


def _placements(
    path: Path, metadata: dict[str, dict[str, str]], station: str, ids: list[str], notes: list[str]
) -> dict[str, str]:
    """Return each device's placement, its own id where nobody says it."""
    file = path.with_suffix(".toml")
    said = read_placements(file) if file.is_file() else metadata.get(DEVICES, {})
    if not said:
        notes.append(
            "placements are the devices' ids: found none in the file, and no board's configuration"
            f" beside it ({file.name})"
        )
    short = station.rpartition("/")[2]
    placements = {id_: said.get(f"{short}/{id_}", id_) for id_ in ids}
    if said and (unsaid := [id_ for id_ in ids if f"{short}/{id_}" not in said]):
        notes.append(f"placements of {', '.join(unsaid)} are not known, taken for their ids")
    if twice := [p for p, count in Counter(placements.values()).items() if count > 1]:
        raise RecordingError(f"{path}: two devices sit at {twice[0]!r}, expected one a placement")
    return placements
