"""A folder of one's own recordings as a recipe: who trains, what the model sees, what it names.

The folder holds one folder a recording (``sensor_adapters.own_folder``) and, if the parts matter,
a ``split.toml``::

    train = ["monday", "tuesday"]
    validation = ["wednesday"]
    test = ["thursday"]          # a part of one: "friday:part=0-50", per cent of its time
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edge.bundle import MaskDevice
from sensor_adapters.own_description import (
    DESCRIPTION,
    Description,
    OwnDevice,
    channels_of,
    describe,
    recognises,
    stream_of,
)
from sensor_adapters.own_truth import LABELS, read_labels
from sensor_adapters.recording import RecordingError
from sensor_adapters.recordings import without_part
from sensor_adapters.samples import US_PER_S
from trainer import own_labels
from trainer.recipe_parts import IMU_CHANNELS, Block, Recipe, Split
from trainer.stretches import is_null

SPLIT = "split.toml"
STREAMS = {"imu": "imu", "camera": "pose"}
"""Sensors in a recipe's name to the stream that their adapters give."""
LEAST_RATE_HZ = 5  # rows of a second; the student's convolutions want a few
LONGEST_GAP_US = {"imu": 250_000, "camera": 300_000}
HOLD_US, SILENCE_US = US_PER_S, 30 * US_PER_S
HELD_BACK = 0.2  # share of the recordings for validation, and as many for test


class _SplitFile(msgspec.Struct, forbid_unknown_fields=True):
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completed:
    """A recipe filled in from a folder, and what was decided in doing so."""

    recipe: Recipe
    notes: tuple[str, ...]


def completed(recipe: Recipe, folder: Path | None) -> Completed:
    """Return ``own-<sensors>`` with split, inputs, devices and levels of a folder's recordings.

    What all recordings have is what the model sees. A recording whose description is damaged is
    passed over here: the inventory names it.

    Raises:
        RecordingError: no folder, no recording, a split that makes no sense, or nothing that all
            recordings have.
    """
    if folder is None:
        raise RecordingError(f"{recipe.name}: found no --data, expected the recordings' folder")
    names = recordings_in(folder)
    notes: list[str] = []
    split = _split(folder, names, notes)
    used = [without_part(name)[0] for name in (*split.train, *split.validation, *split.test)]
    described = _described(folder, dict.fromkeys(used))
    if not described:
        describe(folder / names[0])  # says what is wrong with it
    _tell_of_shared_subjects(split, described, notes)
    said = list(described.values())
    blocks = [_block(sensor, said, notes) for sensor in STREAMS if sensor in recipe.modality]
    inputs = tuple(block for block in blocks if block is not None)
    devices = _devices(said, notes) if "iot" in recipe.modality else ()
    found = {"iot"} if devices else set()
    found |= {block.name for block in inputs}
    if missing := [sensor for sensor in recipe.modality if sensor not in found]:
        raise RecordingError(
            f"{folder}: found no {missing[0]} that all {len(described)} recordings have, expected"
            f" some; they have {_whole(said)}"
        )
    has_turns = all(
        {name.rpartition(".")[2] for name in block.channels if name.rpartition(".")[0] == place}
        in (set(IMU_CHANNELS), set(IMU_CHANNELS[:3]))
        for block in inputs
        if block.name == "imu"
        for place in {name.rpartition(".")[0] for name in block.channels}
    )
    levels = _levels(folder, described, notes)
    _tell_of_unknown_labels(folder, split, described, levels, notes)
    made = replace(
        recipe,
        split=split,
        inputs=inputs,
        devices=devices,
        levels=levels,
        rotate_rad=recipe.rotate_rad if has_turns else 0.0,
    )
    return Completed(made, tuple(notes))


def recordings_in(folder: Path) -> list[str]:
    """Return the names of a folder's recordings, in order.

    Raises:
        RecordingError: there is no folder, or none in it.
    """
    if not folder.is_dir():
        raise RecordingError(f"{folder}: is no folder, expected one that holds recordings")
    names = sorted(child.name for child in folder.iterdir() if recognises(child))
    if not names:
        raise RecordingError(
            f"{folder}: found no recording in it, expected folders that hold a {DESCRIPTION}"
        )
    return names


def _split(folder: Path, names: list[str], notes: list[str]) -> Split:
    """Return who trains, from ``split.toml``, else by the order of the names."""
    file = folder / SPLIT
    if not file.is_file():
        split = by_order(names)
        notes.append(
            f"no {SPLIT}: by order of name, training on {', '.join(split.train)}; validation"
            f" {', '.join(split.validation)}; test {', '.join(split.test)}"
        )
        return split
    try:
        said = msgspec.toml.decode(file.read_bytes(), type=_SplitFile)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise RecordingError(f"{file}: {error}, expected lists train, validation, test") from error
    for part, listed in (("train", said.train), ("validation", said.validation)):
        if not listed:
            raise RecordingError(f"{file}: {part} is empty, expected at least one recording")
    given = (*said.train, *said.validation, *said.test)
    for name in given:
        if without_part(name)[0] not in names:
            raise RecordingError(
                f"{file}: found {name!r}, expected recordings of {', '.join(names)}"
            )
    if twice := [name for name, count in Counter(given).items() if count > 1]:
        raise RecordingError(f"{file}: found {twice[0]!r} twice, expected it in one part")
    if both := _overlapping(given):
        raise RecordingError(
            f"{file}: {both[0]!r} and {both[1]!r} share time, expected each in one part"
        )
    if left := [n for n in names if n not in {without_part(g)[0] for g in given}]:
        notes.append(f"{SPLIT} does not use {', '.join(left)}")
    return Split(said.train, said.validation, said.test)


def _overlapping(names: Sequence[str]) -> tuple[str, str] | None:
    """Return two names of the same time of one recording, if there are any.

    >>> _overlapping(["a:part=0-50", "b", "a:part=40-60"])
    ('a:part=0-50', 'a:part=40-60')
    """
    spans: list[tuple[str, int, int]] = []
    for name in names:
        path, wanted = without_part(name)
        _, first, last = wanted or ("", 0, 100)
        for other, (whose, begin, end) in zip(names, spans, strict=False):
            if whose == path and first < end and begin < last:
                return other, name
        spans.append((path, first, last))
    return None


def by_order(names: Sequence[str]) -> Split:
    """Return a split of recordings by order: the last fifth tests, the fifth before validates.

    Of fewer than three the last is cut by time.

    >>> by_order(["a", "b", "c", "d", "e"]) == Split(("a", "b", "c"), ("d",), ("e",))
    True
    >>> by_order(["a"]).validation
    ('a:part=60-80',)
    """
    if len(names) == 1:
        return Split(*((f"{names[0]}:part={p}",) for p in ("0-60", "60-80", "80-100")))
    if len(names) == 2:
        first, last = names
        return Split((first,), (f"{last}:part=0-50",), (f"{last}:part=50-100",))
    held = max(1, round(HELD_BACK * len(names)))
    return Split(tuple(names[: -2 * held]), tuple(names[-2 * held : -held]), tuple(names[-held:]))


def _described(folder: Path, names: Iterable[str]) -> dict[str, Description]:
    """Return what the recordings say of themselves, those left out that can not be understood."""
    found = {}
    for name in names:
        try:
            found[name] = describe(folder / name)
        except RecordingError:
            continue
    return found


def _tell_of_shared_subjects(
    split: Split, described: dict[str, Description], notes: list[str]
) -> None:
    def who(names: Iterable[str]) -> set[str]:
        plain = [without_part(name)[0] for name in names]
        return {described[name].subject or name for name in plain if name in described}

    if both := sorted(who(split.train) & who(split.test)):
        notes.append(
            f"{', '.join(both)}: in training and in test; scores then say little of others"
        )


def _tell_of_unknown_labels(
    folder: Path, split: Split, described: dict[str, Description], levels: tuple[str, ...],
    notes: list[str],
) -> None:  # fmt: skip
    """Tell what validation and test name and training does not, which no model can learn.

    Raises:
        RecordingError: validation has no label that training has.
    """

    def labels(names: Iterable[str], level: str) -> set[str]:
        found: set[str] = set()
        for name in {without_part(name)[0] for name in names} & described.keys():
            try:
                truth = _truth(folder / name, described[name])
            except RecordingError:
                continue  # the inventory says what is wrong with it
            found |= {t.label for t in truth if t.level == level and not is_null(t.label)}
        return found

    for level in levels:
        known = labels(split.train, level)
        if not known:
            continue  # the inventory says so
        for part, names in (("validation", split.validation), ("test", split.test)):
            unknown = labels(names, level) - known
            if unknown and part == "validation" and unknown == labels(names, level):
                raise RecordingError(
                    f"{folder}: found {', '.join(sorted(unknown))} as {level} in validation,"
                    f" expected labels of training: {', '.join(sorted(known))}"
                )
            if unknown:
                notes.append(
                    f"{part} has {level} labels that training lacks, so no model learns them:"
                    f" {', '.join(sorted(unknown))}"
                )


def _of_stream(said: Description, stream: str) -> dict[str, OwnDevice]:
    """Return a recording's devices of one stream by placement."""
    return {d.placement: d for d in said.devices.values() if stream_of(d).name == stream}


def _block(sensor: str, said: Sequence[Description], notes: list[str]) -> Block | None:
    """Return the input of one kind of sensor: the channels that all recordings have."""
    by_recording = [_of_stream(one, STREAMS[sensor]) for one in said]
    given = [
        [f"{place}.{name}" for place, device in devices.items() for name in channels_of(device)]
        for devices in by_recording
    ]
    common = [name for name in given[0] if all(name in other for other in given)]
    lacking = dict.fromkeys(n for names in given for n in names if n not in common)
    if lacking:
        notes.append(f"not used, as some recordings lack it: {', '.join(lacking)}")
    if not common:
        return None
    places = dict.fromkeys(name.rpartition(".")[0] for name in common)
    rates = {
        device.rate_hz
        for devices in by_recording
        for place, device in devices.items()
        if place in places and device.rate_hz
    }
    rate_hz = max(LEAST_RATE_HZ, round(min(rates)))
    if len(rates) > 1:
        told = ", ".join(f"{rate:g}" for rate in sorted(rates))
        notes.append(f"{sensor}: devices at {told} Hz are read at {rate_hz} rows a second")
    gap_us = max(LONGEST_GAP_US[sensor], 3 * US_PER_S // rate_hz)
    return Block(sensor, rate_hz, tuple(common), gap_us)


def _devices(said: Sequence[Description], notes: list[str]) -> tuple[MaskDevice, ...]:
    """Return the sparse devices that all recordings have."""
    by_recording = [
        {
            d.placement: kind
            for d in one.devices.values()
            if (kind := stream_of(d).kind) != "sampled"
        }
        for one in said
    ]
    common = [
        (place, kind)
        for place, kind in by_recording[0].items()
        if all(other.get(place) == kind for other in by_recording)
    ]
    known = {place for place, _ in common}
    if lacking := dict.fromkeys(p for one in by_recording for p in one if p not in known):
        notes.append(f"not used, as some recordings lack it: {', '.join(lacking)}")
    return tuple(
        MaskDevice(
            placement=place,
            kind=kind,
            hold_us=HOLD_US if kind == "event" else 0,
            max_silence_us=SILENCE_US,
        )
        for place, kind in common
    )


def _whole(said: Sequence[Description]) -> str:
    """Return in words what recordings have."""
    found = dict.fromkeys(
        f"{device.placement} ({device.adapter})" for one in said for device in one.devices.values()
    )
    return ", ".join(found)


def _levels(folder: Path, described: dict[str, Description], notes: list[str]) -> tuple[str, ...]:
    """Return the label levels that all recordings have, coarsest first."""
    counts: dict[str, Counter[str]] = {}
    for name, said in described.items():
        try:
            counts[name] = Counter(t.level for t in _truth(folder / name, said))
        except RecordingError:
            continue  # the inventory says what is wrong with it
    if not counts:
        raise RecordingError(f"{folder}: found no labels in any recording, expected some to learn")
    common = [
        level for level in next(iter(counts.values())) if all(level in c for c in counts.values())
    ]
    if not common:
        told = "; ".join(f"{name}: {', '.join(c)}" for name, c in counts.items())
        raise RecordingError(f"{folder}: found no label level in all recordings ({told})")
    if lacking := dict.fromkeys(
        level for c in counts.values() for level in c if level not in common
    ):
        notes.append(f"not learnt, as some recordings lack it: level {', '.join(lacking)}")
    named = next((d.labels.levels for d in described.values() if d.labels.levels), ())
    if wrong := [level for level in named if level not in common]:
        raise RecordingError(
            f"{folder}: labels.levels names {wrong[0]!r}, expected some of {', '.join(common)}"
        )
    if named:
        return named
    total = sum(counts.values(), Counter())
    ordered = tuple(sorted(common, key=lambda level: total[level]))
    if len(ordered) > 1:
        notes.append(f"levels, from the one with the fewest segments: {', '.join(ordered)}")
    return ordered


def _truth(path: Path, said: Description) -> list:
    """Return a recording's labelled stretches, without reading its samples."""
    if said.labels.sqlite:
        return own_labels.read_labels(path / said.labels.sqlite)
    return read_labels(path / (said.labels.file or LABELS), said)
