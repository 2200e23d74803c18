"""Recordings cut once and kept as memory-mapped arrays; opened again, no source file is read.

A cache folder holds a folder for each recording cut for a model: a ``.npy`` a tensor and a target,
and ``entry.json``. Values are in the channels' own units, so that every split shares them. A name
ends in the hash of all that decides the content: what the model looks at, the recording's files by
size and time of change, and the program text that reads and cuts. Beside them lies what a training
part decides: labels, units, mean and deviation.
"""

import fcntl
import hashlib
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from edge.bundle import Arrays, Input, Level, Manifest
from sensor_adapters import openhab, openpack, own_folder, sphere
from sensor_adapters.recorder import mcap_recording
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.recordings import without_part
from trainer import datasets
from trainer.datasets import Examples
from trainer.own_labels import open_labelled
from trainer.recipe_parts import Recipe

FORMAT = 1
ENTRY = "entry.json"
KEEP_S = 30 * 24 * 3600
"""What nobody opened for so long is removed when something new is written."""
PROGRAM = Path(__file__).parents[1]
TEXTS = (
    "sensor_adapters/*.py", "edge/windows.py", "edge/masks.py", "edge/timeline.py",
    "trainer/datasets.py", "trainer/own_labels.py", "trainer/truth.py", "trainer/stretches.py",
)  # fmt: skip
"""The program text that decides what the arrays hold."""


class PrepareError(RecordingError):
    """Nothing can be kept in the cache folder; the text names it, found and expected."""


class Entry(msgspec.Struct, kw_only=True):
    """``entry.json``: one recording, as far as it is not arrays."""

    format: int
    name: str
    layout: str
    subject: str
    notes: tuple[str, ...]
    first: int
    """Step index on the UTC grid of row 0."""
    crc32: dict[str, int]
    """By file: ``tensors.<name>.npy``, ``target.<level>.npy``."""


class Known(msgspec.Struct, kw_only=True):
    """What a training part decides, for the recipes that look at it alike."""

    format: int
    levels: tuple[Level, ...]
    inputs: tuple[Input, ...]
    """With mean and deviation."""
    tensor_inputs: tuple[str, ...]


@dataclass(frozen=True)
class Parts:
    """What training may see; ``fit.Data(*parts.scaled())`` has it in memory, standardised."""

    manifest: Manifest
    """With mean and deviation of the training part."""
    train: list[Examples]
    """Mapped from files, in the channels' own units: ``loader.Crops`` standardises them."""
    validation: list[Examples]

    def scaled(self) -> tuple[Manifest, list[Examples], list[Examples]]:
        """Return manifest, training and validation part in memory, standardised."""
        train = [scaled(one, self.manifest) for one in self.train]
        return self.manifest, train, [scaled(one, self.manifest) for one in self.validation]


def cache_folder() -> Path:
    """Return where arrays are kept: SOLOSENSE_CACHE, else ~/.cache/solosense/prepared."""
    named = os.environ.get("SOLOSENSE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "solosense" / "prepared"


def told(cache: Path) -> str:
    """Return in one line where prepared recordings lie, how many, and how large they are."""
    sizes = [file.stat().st_size for file in cache.rglob("*") if file.is_file()]
    count = len(list(cache.glob(f"*/{ENTRY}")))
    return f"prepared recordings: {cache}, {count} of them, {sum(sizes) / 1e6:.1f} MB"


def prepare(recipe: Recipe, data: Path | None, cache: Path | None = None) -> Parts:
    """Return a recipe's training and validation recordings, cut now or before.

    Raises:
        RecordingError: one is missing or does not fit the recipe.
        PrepareError: the cache folder can not be written to.
    """
    cache = cache_folder() if cache is None else cache
    train = _paths(recipe, data, recipe.split.train)
    path = cache / f"known-{_known_key(recipe, train)}.json"
    known = _read_known(path)
    if known is None:
        with _alone(cache, "known"):
            known = _read_known(path) or _learn(recipe, train, cache, path)
    bare = datasets.unscaled(replace(recipe, inputs=()), known.levels, [])
    manifest = msgspec.structs.replace(bare, inputs=known.inputs, tensor_inputs=known.tensor_inputs)
    validation = _paths(recipe, data, recipe.split.validation)
    return Parts(
        manifest,
        [examples(name, manifest, cache) for name in train],
        [examples(name, manifest, cache) for name in validation],
    )


def _learn(recipe: Recipe, train: list[str], cache: Path, path: Path) -> Known:
    """Open and cut the training part, and keep what it decides at ``path``."""
    recordings = [open_labelled(name) for name in train]
    draft = datasets.unscaled(recipe, datasets.levels_of(recipe, recordings), recordings)
    pairs = zip(train, recordings, strict=True)
    parts = [examples(name, draft, cache, recording) for name, recording in pairs]
    manifest = datasets.standardised(draft, parts)
    known = Known(
        format=FORMAT, levels=manifest.levels, inputs=manifest.inputs,
        tensor_inputs=manifest.tensor_inputs,
    )  # fmt: skip
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(known))
    new.replace(path)
    return known


def examples(
    name: str, manifest: Manifest, cache: Path | None = None, recording: Recording | None = None
) -> Examples:
    """Return what ``datasets.examples`` returns in the channels' units, mapped from files.

    The arrays can not be written to. ``recording`` has name, subject and notes, and neither samples
    nor truth. Of two processes that want the same at once, one cuts and the other waits.

    Args:
        name: as ``open_labelled`` takes it.
        manifest: what to look at; its means and deviations do not matter.
        cache: the cache folder; ``cache_folder()`` where absent.
        recording: what ``name`` opens to, where it is open already.

    Raises:
        RecordingError: the recording is missing, damaged or does not fit.
        PrepareError: the cache folder can not be written to.
    """
    cache = cache_folder() if cache is None else cache
    manifest = _in_own_units(manifest)
    words = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-40:]
    folder = cache / f"{words}-{_key(name, manifest)}"
    found = _read(folder)
    if found is not None:
        return found
    with _alone(cache, folder.name[-1]):  # one of sixteen locks
        found = _read(folder)  # another process may have made it meanwhile
        if found is None:
            cut = datasets.examples(recording or open_labelled(name), manifest)
            _write(folder, cut)
            _sweep(cache)
            found = _read(folder)
    if found is None:
        raise PrepareError(f"{folder}: was written and can not be read, expected whole arrays")
    return found


def scaled(one: Examples, manifest: Manifest) -> Examples:
    """Return examples in memory, standardised as ``edge.windows.cut`` does it."""
    tensors = {name: np.array(array) for name, array in one.tensors.items()}
    standardise(tensors, manifest)
    target = {name: np.array(array) for name, array in one.target.items()}
    return replace(one, tensors=tensors, target=target)


def standardise(tensors: Arrays, manifest: Manifest) -> None:
    """Bring (..., C) inputs in the channels' units to mean 0 and deviation 1, in place."""
    for block in manifest.inputs:
        values = tensors[block.name]
        values -= np.asarray(block.mean, np.float32)
        values /= np.asarray(block.std, np.float32)
        values *= tensors[f"{block.name}_observed"]  # 0 where not observed


# --- what decides the content ---


def _paths(recipe: Recipe, data: Path | None, names: tuple[str, ...]) -> list[str]:
    """Return a part's recordings as ``open_labelled`` takes them."""
    if recipe.data == "virtual":
        return list(names)
    if data is None:
        raise RecordingError(
            f"{recipe.name}: found no --data, expected the folder that holds {names[0]}"
        )
    return [os.fspath(data.absolute() / name) for name in names]


def _in_own_units(manifest: Manifest) -> Manifest:
    """Return the manifest with mean 0 and deviation 1."""
    inputs = [
        msgspec.structs.replace(b, mean=(0.0,) * len(b.channels), std=(1.0,) * len(b.channels))
        for b in manifest.inputs
    ]
    return msgspec.structs.replace(manifest, inputs=tuple(inputs))


def _key(name: str, manifest: Manifest) -> str:
    looks = (manifest.inputs, manifest.devices, manifest.levels)
    steps = (manifest.step_us, manifest.delay_steps)
    return _hash(name, _sources(name), looks, steps, _program())


def _known_key(recipe: Recipe, train: list[str]) -> str:
    looks = (recipe.inputs, recipe.devices, recipe.levels, recipe.step_us, recipe.delay_steps)
    return _hash([(name, _sources(name)) for name in train], looks, _program())


def _hash(*what: object) -> str:
    return hashlib.sha256(msgspec.json.encode((FORMAT, np.__version__, what))).hexdigest()[:32]


def _program() -> str:
    """Return the hash of the program text that reads and cuts recordings."""
    digest = hashlib.sha256()
    for file in sorted(file for text in TEXTS for file in PROGRAM.glob(text)):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _sources(name: str) -> list[tuple[str, int, int]]:
    """Return path, bytes and time of change (ns) of all files a recording may be read from."""
    if name.startswith("virtual:"):
        return []
    path = Path(mcap_recording.without_station(without_part(name)[0])[0])
    files: list[Path] = []
    if openpack.recognises(path):
        files += _below(path if path.is_dir() else path.parent)  # the user's
    elif sphere.recognises(path):
        files += [*_below(path), path.parent.parent / "pir_locations.json"]
    elif openhab.recognises(path):
        files.append(path)
    elif mcap_recording.recognises(path):
        files += [path, *mcap_recording.beside(path)]
    elif own_folder.recognises(path):
        said = own_folder.describe(path)
        named = [device.file for device in said.devices.values()]
        named += [said.labels.file, said.labels.sqlite, f"{said.labels.sqlite}-wal"]
        files += [*_below(path), *(path / file for file in named)]  # which may lie elsewhere
    found = {os.fspath(file): file.stat() for file in files if file.is_file()}
    return sorted((file, stat.st_size, stat.st_mtime_ns) for file, stat in found.items())


def _below(folder: Path) -> list[Path]:
    return [Path(at) / file for at, _, files in os.walk(folder, followlinks=True) for file in files]


# --- files ---


def _read(folder: Path) -> Examples | None:
    """Return what a folder holds, or None where it is not there or not whole."""
    try:
        entry = msgspec.json.decode((folder / ENTRY).read_bytes(), type=Entry)
        if entry.format != FORMAT:
            return None
        stores: dict[str, Arrays] = {"tensors": {}, "target": {}}
        for file, expected in entry.crc32.items():
            if _crc32(folder / file) != expected:
                return None
            store, _, name = file.removesuffix(".npy").partition(".")
            stores[store][name] = np.load(folder / file, mmap_mode="r", allow_pickle=False)
        _touch(folder / ENTRY)
    except (OSError, ValueError, KeyError, msgspec.DecodeError):
        return None
    recording = Recording(entry.name, entry.layout, entry.subject, (), {}, notes=entry.notes)
    return Examples(recording, entry.first, stores["tensors"], stores["target"])


def _touch(path: Path) -> None:
    """Note that it is in use, and not to be swept."""
    with suppress(PermissionError):  # a cache that others keep
        os.utime(path)


def _crc32(path: Path) -> int:
    """Return the checksum of a whole file; ValueError where it is empty."""
    return zlib.crc32(np.memmap(path, np.uint8, "r").data)


def _write(folder: Path, one: Examples) -> None:
    """Write an entry: it appears whole or not at all."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
    try:
        new.mkdir()
        _fill(new, one)
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        new.rename(folder)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise _unwritable(folder.parent, error) from error


def _fill(folder: Path, one: Examples) -> None:
    crc32 = {}
    for store, arrays in (("tensors", one.tensors), ("target", one.target)):
        for name, array in arrays.items():
            file = f"{store}.{name}.npy"
            np.save(folder / file, np.ascontiguousarray(array, np.float32), allow_pickle=False)
            crc32[file] = _crc32(folder / file)
    of = one.recording
    entry = Entry(
        format=FORMAT, name=of.name, layout=of.layout, subject=of.subject, notes=of.notes,
        first=int(one.first), crc32=crc32,
    )  # fmt: skip
    (folder / ENTRY).write_bytes(msgspec.json.encode(entry))


def _read_known(path: Path) -> Known | None:
    try:
        known = msgspec.json.decode(path.read_bytes(), type=Known)
        _touch(path)
    except (OSError, msgspec.DecodeError):
        return None
    return known if known.format == FORMAT else None


@contextmanager
def _alone(cache: Path, what: str) -> Iterator[None]:
    """Hold a lock of the cache folder; a process that ends, however, lets go of it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / f"lock-{what}").open("a")
    except OSError as error:
        raise _unwritable(cache, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unwritable(cache: Path, error: OSError) -> PrepareError:
    return PrepareError(
        f"{cache}: {error.strerror}, expected a folder with room to write to; set SOLOSENSE_CACHE"
        " to another"
    )


def _sweep(cache: Path) -> None:
    """Remove what nobody opened for ``KEEP_S``; who has it mapped still keeps it."""
    old = time.time() - KEEP_S
    for file in [*cache.glob(f"*/{ENTRY}"), *cache.glob("known-*.json")]:
        try:
            if file.stat().st_mtime >= old:
                continue
        except FileNotFoundError:  # another process was quicker
            continue
        if file.name == ENTRY:
            shutil.rmtree(file.parent, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)
