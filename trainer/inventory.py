"""What a recipe needs and what is there: every recording of its split, before anything trains.

Files are looked for and their headers read; nothing large is parsed. What one's own recordings
hold is read whole, as it is small, and their clocks and labels are compared.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sensor_adapters import openhab, openpack, sphere
from sensor_adapters.openpack_errors import errors_of, is_unfit
from sensor_adapters.openpack_truth import label_files
from sensor_adapters.own_description import describe
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.recordings import without_part
from trainer.own_labels import labels_database, open_labelled
from trainer.recipe_parts import Recipe, Split
from trainer.truth import labelled_levels

PARTS = ("train", "validation", "test")
MOST_NAMED = 8  # recordings in the last line; the list above it has them all
CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """One file of a recording."""

    what: str
    """Device id, or the label level."""
    path: str
    """Below the data folder."""
    is_needed: bool
    """By the recipe; the others are only told."""
    rows: int | None = None
    """Of a table, header aside; None where it is missing or no table."""
    bytes: int | None = None
    """None where it is missing."""
    problem: str = ""
    """What is wrong with it, in words."""


@dataclass(frozen=True)
class Entry:
    """One recording of one part of the split."""

    part: str
    name: str
    files: tuple[File, ...] = ()
    labels: tuple[str, ...] = ()
    """Levels that it has labels of."""
    known: tuple[str, ...] = ()
    """Errors known of it and what is done about each, and other notes."""
    problems: tuple[str, ...] = ()
    """Why it can not be used."""

    @property
    def can_be_used(self) -> bool:
        """Whether all that the recipe needs is there."""
        return not self.problems


@dataclass(frozen=True)
class Inventory:
    """The whole list."""

    recipe: str
    entries: tuple[Entry, ...]

    def of(self, parts: Iterable[str]) -> "Inventory":
        """Return only some parts of the split."""
        return replace(self, entries=tuple(e for e in self.entries if e.part in parts))

    @property
    def missing(self) -> tuple[Entry, ...]:
        """Recordings that can not be used."""
        return tuple(entry for entry in self.entries if not entry.can_be_used)

    def last_line(self) -> str:
        """Return the sum of it."""
        count, missing = len(self.entries), self.missing
        text = f"{count - len(missing)} of {count} recordings can be used"
        if not missing:
            return text
        named = ", ".join(entry.name for entry in missing[:MOST_NAMED])
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        return f"{text}; missing: {named}{more}"

    def lines(self) -> list[str]:
        """Return it all for people, the sum last."""
        said: list[str] = []
        part = ""
        for entry in self.entries:
            if entry.part != part:
                part = entry.part
                said.append(f"{part}:")
            said += _lines(entry)
        return [*said, self.last_line()]

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        entries = [{**asdict(e), "can_be_used": e.can_be_used} for e in self.entries]
        return {"recipe": self.recipe, "recordings": entries, "summary": self.last_line()}


def _lines(entry: Entry) -> list[str]:
    there = [f"{f.what} {_size(f)}" for f in entry.files if f.bytes is not None]
    there += [f"labels of {', '.join(entry.labels)}"] if entry.labels else []
    state = "ok" if entry.can_be_used else "can not be used"
    said = [f"  {entry.name}: {state}" + (f" ({', '.join(there)})" if there else "")]
    said += [f"    missing: {problem}" for problem in entry.problems]
    absent = [f.what for f in entry.files if f.problem and not f.is_needed]
    said += [f"    not there, not needed: {', '.join(absent)}"] if absent and there else []
    return said + [f"    known: {text}" for text in entry.known]


def _size(file: File) -> str:
    if file.rows is not None:
        return f"{file.rows} rows"
    return f"{(file.bytes or 0) / 1e6:.1f} MB"


def check(recipe: Recipe, folder: Path | None, parts: Sequence[str] = PARTS) -> Inventory:
    """Return what is there of a recipe's recordings.

    Raises:
        RecordingError: the recipe needs a data folder, and there is none.
    """
    look = _LAYOUTS[recipe.data]
    if recipe.data != "virtual":
        if folder is None:
            first = next(iter(recipe.split.train), "the recordings")
            raise RecordingError(
                f"{recipe.name}: found no --data, expected the folder that holds {first}"
            )
        if not folder.is_dir():
            raise RecordingError(f"--data {folder}: is no folder, expected one of recordings")
    seen: dict[str, Entry] = {}
    entries = []
    for part in parts:
        for name in getattr(recipe.split, part):
            text = name if recipe.data == "virtual" else without_part(name)[0]
            if text not in seen:
                seen[text] = look(recipe, folder or Path(), text)
            entries.append(replace(seen[text], part=part, name=name))
    return Inventory(recipe.name, tuple(entries))


def without_missing(recipe: Recipe, found: Inventory) -> Recipe:
    """Return the recipe without the recordings that can not be used.

    Raises:
        RecordingError: a part of the split would be left empty.
    """
    lost = {(entry.part, entry.name) for entry in found.missing}
    kept = {
        part: tuple(name for name in getattr(recipe.split, part) if (part, name) not in lost)
        for part in PARTS
    }
    for part in {entry.part for entry in found.entries}:
        if not kept[part]:
            raise RecordingError(
                f"{recipe.name}: found no recording that can be used for {part}, expected at"
                " least one"
            )
    return replace(recipe, split=Split(**kept))


def _places(recipe: Recipe) -> set[str]:
    """Return the placements that a recipe looks at."""
    sampled = {name.rpartition(".")[0] for block in recipe.inputs for name in block.channels}
    return sampled | {device.placement for device in recipe.devices}


def _virtual(recipe: Recipe, folder: Path, name: str) -> Entry:
    return Entry("", name, labels=recipe.levels, known=("simulated: nothing to look for",))


def _openpack(recipe: Recipe, folder: Path, name: str) -> Entry:
    user, session = folder / Path(name).parent, Path(name).name
    errors = errors_of(user.name, session)
    absent = {d for e in errors if e.kind == "not recorded" for d in e.devices}
    wanted = _places(recipe)
    files = []
    for device, path in openpack.files_of(user, session).items():
        needed = openpack.PLACEMENTS[device] in wanted and device not in absent
        if path is None:
            ending = "json" if device == "kinect" else "csv"
            place = f"{name.partition('/')[0]}/{openpack.folder_of(device)}/{session}.{ending}"
            files.append(File(device, place, needed, problem="is missing"))
        else:
            columns = openpack.COLUMNS.get(device[:3], ())
            files.append(_file(device, folder, path, needed, columns))
    labels = label_files(user, session)
    known = tuple(error.told() for error in errors)
    entry = _entry(recipe, name, files, [level for level, file in labels.items() if file], known)
    if all(file.bytes is None for file in files) and not any(labels.values()):
        entry = replace(entry, problems=(f"{name}: no file of this session is there",))
    if is_unfit(user.name, session):
        entry = replace(entry, problems=(*entry.problems, f"{name}: its stamps are wrong"))
    return entry


def _sphere(recipe: Recipe, folder: Path, name: str) -> Entry:
    wanted = _places(recipe)
    worn = any(place in ("right_wrist",) or place.startswith("ap_") for place in wanted)
    needed = {
        "acceleration.csv": (worn, ("t", "x", "y", "z")),
        "pir.csv": (any(p.startswith("pir_") for p in wanted), ("start", "end", "name")),
    }
    cameras = {f"video_{place}.csv": place in wanted for place in sphere.CAMERAS}
    needed |= {file: (is_needed, sphere.VIDEO_COLUMNS) for file, is_needed in cameras.items()}
    needed["targets.csv"] = (True, ("start", "end", *sphere.ACTIVITIES))
    files = []
    for file, (is_needed, columns) in needed.items():
        path = folder / name / file
        if path.is_file():
            files.append(_file(path.stem, folder, path, is_needed, columns))
        else:
            files.append(File(path.stem, f"{name}/{file}", is_needed, problem="is missing"))
    labels = [sphere.LEVEL] if files[-1].bytes else []
    return _entry(recipe, name, files, labels)


def _openhab(recipe: Recipe, folder: Path, name: str) -> Entry:
    path = folder / name
    try:
        openhab.sessions(path)
    except RecordingError as error:
        return Entry("", name, problems=(str(error),))
    needed = (*openhab.COLUMNS, *(openhab.LEVELS[level] for level in recipe.levels))
    return _entry(recipe, name, [_file("changes", folder, path, True, needed)], recipe.levels)


def _own(recipe: Recipe, folder: Path, name: str) -> Entry:
    path = folder / name
    try:
        said = describe(path)
        database = labels_database(path)
        files = [
            _file(id_, folder, path / device.file, True, ())
            if (path / device.file).is_file()
            else File(id_, f"{name}/{device.file}", True, problem="is missing")
            for id_, device in said.devices.items()
        ]
        recording = open_labelled(str(path))
    except RecordingError as error:
        return Entry("", name, problems=(str(error),))
    known = tuple(n for n in recording.notes if not (database and n.startswith("labels: in ")))
    entry = _entry(recipe, name, files, labelled_levels(recording), known)
    return replace(entry, problems=(*entry.problems, *_lacking(recipe, recording)))


def _lacking(recipe: Recipe, recording: Recording) -> list[str]:
    """Return which places of a recipe a recording has no readings of."""
    there = {recording.devices[s.device].placement for s in recording.samples if len(s)}
    return [f"no readings at {place}" for place in sorted(_places(recipe) - there)]


_LAYOUTS: dict[str, Callable[[Recipe, Path, str], Entry]] = {
    "virtual": _virtual,
    "openpack": _openpack,
    "sphere": _sphere,
    "openhab": _openhab,
    "own": _own,
}


def _entry(
    recipe: Recipe, name: str, files: Sequence[File], labels: Sequence[str],
    known: tuple[str, ...] = (),
) -> Entry:  # fmt: skip
    """Return the entry of a recording with these files and labels."""
    problems = [f"{f.path} {f.problem}" for f in files if f.problem and f.is_needed]
    problems += [f"no labels of {level}" for level in recipe.levels if level not in labels]
    return Entry("", name, tuple(files), tuple(labels), known, tuple(problems))


def _file(what: str, folder: Path, path: Path, needed: bool, columns: Sequence[str]) -> File:
    """Return what a file's first line and length tell."""
    place, size = str(path.relative_to(folder)), path.stat().st_size
    if path.suffix != ".csv":
        return File(what, place, needed, bytes=size, problem="" if size else "is empty")
    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig", "replace")
        rows = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b""))
    found = [name.strip().strip('"') for name in header.strip().split(",")]
    lacking = [name for name in columns if name not in found]
    problem = ""
    if not size:
        problem = "is empty"
    elif lacking:
        problem = f"has no column {', '.join(lacking)}"
    return File(what, place, needed, rows, size, problem)
