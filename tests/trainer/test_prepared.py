"""Recordings cut once: the same arrays ever after, until something that decides them changes."""

import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from sensor_adapters.recording import RecordingError
from sensor_adapters.recordings import open_recording
from trainer import datasets, prepared
from trainer.home_recipes import ralt, sphere
from trainer.prepared import PrepareError
from trainer.recipe_parts import Block, Split
from trainer.recipes import virtual

RECIPE = replace(sphere("imu-iot"), split=Split(("00001", "00002"), ("00003",), ()))
LABELS = "a_walk,p_sit,p_stand"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def home(folder, number, seconds):
    """Write a recording of made-up readings, with holes."""
    rng = np.random.default_rng(number)
    path = folder / f"{number:05d}"
    readings = [
        f"{i / 20},{x:.3f},{y:.3f},{z:.3f},-90"
        for i, (x, y, z) in enumerate(rng.normal(size=(20 * seconds, 3)))
        if not 40 <= i < 60
    ]
    write(path / "acceleration.csv", "t,x,y,z,Kitchen_AP", *readings)
    write(path / "pir.csv", "start,end,name,index", "1,4,kitchen,4", "3,5,hall,3")
    shares = ["1,0,0", "0,0.5,0.5", ",,"]
    targets = [f"{s},{s + 1},{shares[s // 3 % 3]}" for s in range(seconds)]
    write(path / "targets.csv", f"start,end,{LABELS}", *targets)


@pytest.fixture
def data(tmp_path):
    for number, seconds in ((1, 30), (2, 17), (3, 20)):
        home(tmp_path / "train", number, seconds)
    return tmp_path / "train"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def draft(data):
    return draft_of(data)


def draft_of(data):
    """Return the manifest that cuts in the channels' own units."""
    train = datasets.load(RECIPE, data, RECIPE.split.train)
    return datasets.unscaled(RECIPE, datasets.levels_of(RECIPE, train), train)


@pytest.fixture
def cuts(monkeypatch):
    """Return the names of the recordings that are cut from now on."""
    made = []
    cut = datasets.examples

    def noted(recording, manifest):
        made.append(recording.name)
        return cut(recording, manifest)

    monkeypatch.setattr(datasets, "examples", noted)
    return made


def assert_same(found, expected):
    assert (found.first, len(found)) == (expected.first, len(expected))
    for store in ("tensors", "target"):
        ours, theirs = getattr(found, store), getattr(expected, store)
        assert list(ours) == list(theirs)
        for name, array in theirs.items():
            assert ours[name].dtype == array.dtype
            np.testing.assert_array_equal(ours[name], array)


def assert_parts_are_cut_afresh(parts, data):
    draft = draft_of(data)
    fresh = [datasets.examples(open_recording(str(data / n)), draft) for n in RECIPE.split.train]
    for one, expected in zip(parts.train, fresh, strict=True):
        assert_same(one, expected)
    assert parts.manifest == datasets.standardised(draft, fresh)


# --- the same arrays ---


def test_prepared_arrays_are_the_ones_cut_from_the_recording(data, cache, draft):
    name = str(data / "00001")
    expected = datasets.examples(open_recording(name), draft)
    for _ in range(2):
        found = prepared.examples(name, draft, cache)
        assert_same(found, expected)
        assert found.recording.name == expected.recording.name
        assert found.recording.subject == expected.recording.subject
        assert found.recording.notes == expected.recording.notes


def test_prepared_parts_brought_to_scale_are_the_ones_training_had(data, cache):
    train = datasets.load(RECIPE, data, RECIPE.split.train)
    draft = datasets.unscaled(RECIPE, datasets.levels_of(RECIPE, train), train)
    expected = datasets.standardised(draft, [datasets.examples(r, draft) for r in train])
    last = datasets.load(RECIPE, data, RECIPE.split.validation)
    for _ in range(2):
        manifest, ours, validation = prepared.prepare(RECIPE, data, cache).scaled()
        assert manifest == expected
        for one, recording in zip([*ours, *validation], [*train, *last], strict=True):
            assert_same(one, datasets.examples(recording, expected))


def test_a_simulated_recording_is_prepared_by_its_name(cache, cuts):
    names = tuple(f"virtual:seed={seed},boxes=1" for seed in (1, 2))
    short = replace(virtual("iot"), split=Split(names[:1], names[1:], ()))
    for _ in range(2):
        parts = prepared.prepare(short, None, cache)
        assert parts.train[0].recording.name == "virtual-seed1"
        assert parts.train[0].tensors["in_use"].any()
    assert cuts == ["virtual-seed1", "virtual-seed2"]


def test_prepared_arrays_can_not_be_written_to(data, cache):
    array = prepared.prepare(RECIPE, data, cache).train[0].tensors["imu"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


# --- no source file is read twice ---


def test_the_second_opening_reads_no_source_file(data, cache, monkeypatch):
    first = prepared.prepare(RECIPE, data, cache)

    def refuse(path, *_, **__):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(prepared, "open_labelled", refuse)
    monkeypatch.setattr(Path, "read_text", refuse)  # the way of every table
    again = prepared.prepare(RECIPE, data, cache)
    assert again.manifest == first.manifest
    for one, other in zip(
        [*again.train, *again.validation], [*first.train, *first.validation], strict=True
    ):
        assert_same(one, other)


def test_another_learning_rate_needs_no_new_arrays(data, cache, cuts):
    prepared.prepare(RECIPE, data, cache)
    cuts.clear()
    other = prepared.prepare(replace(RECIPE, name="other", hidden=7, learning_rate=1), data, cache)
    assert cuts == []
    assert (other.manifest.name, other.manifest.state_size) == ("other", 7)


def test_a_recording_in_two_splits_is_cut_once(data, cache, cuts):
    prepared.prepare(RECIPE, data, cache)
    turned = replace(RECIPE, split=Split(("00001", "00003"), ("00002",), ()))
    prepared.prepare(turned, data, cache)
    assert sorted(cuts) == ["sphere-00001", "sphere-00002", "sphere-00003"]


# --- what decides the content ---


def change_a_reading(data):
    path = data / "00001" / "acceleration.csv"
    write(path, *path.read_text().splitlines()[:-1], "29.99,9,9,9,-90")


def touch(data):
    path = data / "00001" / "pir.csv"
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def add_a_file(data):
    write(data / "00001" / "meta.json", '{"annotators": [], "end": 40, "start": 0}')


def take_a_file(data):
    (data / "00001" / "pir.csv").unlink()


def tell_the_rooms(data):
    write(data.parent / "pir_locations.json", '["kitchen", "hall", "attic"]')


@pytest.mark.parametrize(
    "change", [change_a_reading, touch, add_a_file, take_a_file, tell_the_rooms]
)
def test_a_changed_source_file_is_seen(data, cache, cuts, change):
    prepared.prepare(RECIPE, data, cache)
    cuts.clear()
    change(data)
    parts = prepared.prepare(RECIPE, data, cache)
    assert "sphere-00001" in cuts
    assert_parts_are_cut_afresh(parts, data)


def own_recording(folder):
    """Write a recording of one's own whose readings lie beside its folder."""
    write(
        folder / "monday" / "recording.toml",
        "version = 1",
        "[devices.wrist]",
        'file = "../elsewhere/wrist.csv"',
        'adapter = "imu"',
        'placement = "right_wrist"',
        "rate_hz = 2",
        'time = { column = "t", unit = "s" }',
        'columns.acc_x = { column = "ax", unit = "m/s^2" }',
    )
    readings = [f"{1_700_000_000 + i / 2},{i}" for i in range(40)]
    write(folder / "elsewhere" / "wrist.csv", "t,ax", *readings)
    labels = ["operation,walk,1700000000,1700000009", "operation,sit,1700000009,1700000020"]
    write(folder / "monday" / "labels.csv", "level,label,start,end", *labels)


def test_a_file_of_ones_own_recording_is_seen_to_change_wherever_it_lies(tmp_path, cache, cuts):
    own_recording(tmp_path)
    block = Block("imu", 5, ("right_wrist.acc_x",), 1_000_000)
    parts = ("monday:part=0-60",), ("monday:part=60-100",), ()
    one = replace(RECIPE, data="own", levels=("operation",), inputs=(block,), devices=(),
                  split=Split(*parts))  # fmt: skip
    for _ in range(2):
        first = prepared.prepare(one, tmp_path, cache)
    assert len(cuts) == 2
    path = tmp_path / "elsewhere" / "wrist.csv"
    write(path, *path.read_text().replace(",3\n", ",333\n").splitlines())
    again = prepared.prepare(one, tmp_path, cache)
    assert len(cuts) == 4
    assert 333 in again.train[0].tensors["imu"]
    assert 333 not in first.train[0].tensors["imu"]


def test_a_house_s_file_is_seen_to_change(tmp_path, cache, cuts):
    def changes(value):
        first = 1_700_000_000_000
        last = first + 700_000  # another session
        lines = [f"lamp,{first + 5000 * i},{'OFF' if i % 2 else 'ON'},tea" for i in range(9)]
        lines += [f"lamp,{last + 5000 * i},{value},rest" for i in range(3)]
        write(tmp_path / "events.csv", "item,unix_timestamp,value,activity_label", *lines)

    split = Split(("events.csv:session=1",), ("events.csv:session=2",), ())
    one = replace(ralt("session1"), split=split, devices=ralt("session1").devices[:1])
    one = replace(one, devices=(msgspec.structs.replace(one.devices[0], placement="lamp"),))
    changes("ON")
    for _ in range(2):
        first = prepared.prepare(one, tmp_path, cache)
    assert len(cuts) == 2
    changes("OFF")
    again = prepared.prepare(one, tmp_path, cache)
    assert len(cuts) == 4
    assert first.validation[0].tensors["in_use"].any()
    assert not again.validation[0].tensors["in_use"].any()


def test_a_changed_program_cuts_anew(data, cache, cuts, monkeypatch, tmp_path):
    write(tmp_path / "program" / "edge" / "windows.py", "one = 1")
    monkeypatch.setattr(prepared, "PROGRAM", tmp_path / "program")
    prepared.prepare(RECIPE, data, cache)
    cuts.clear()
    prepared.prepare(RECIPE, data, cache)
    assert cuts == []
    write(tmp_path / "program" / "edge" / "windows.py", "one = 2")
    prepared.prepare(RECIPE, data, cache)
    assert len(cuts) == 3


def test_all_program_text_that_decides_is_there():
    for text in prepared.TEXTS:
        assert list(prepared.PROGRAM.glob(text)), text


@pytest.mark.parametrize(
    "look",
    [
        replace(RECIPE, delay_steps=0),
        replace(RECIPE, devices=RECIPE.devices[:1]),
        replace(RECIPE, inputs=(replace(RECIPE.inputs[0], max_gap_us=5_000_000),)),
        replace(RECIPE, inputs=(replace(RECIPE.inputs[0], rate_hz=10),)),
    ],
)
def test_a_recipe_that_looks_otherwise_has_its_own_arrays(data, cache, cuts, look):
    prepared.prepare(RECIPE, data, cache)
    cuts.clear()
    parts = prepared.prepare(look, data, cache)
    assert len(cuts) == 3
    fresh = datasets.examples(
        open_recording(str(data / "00001")), prepared._in_own_units(parts.manifest)
    )
    assert_same(parts.train[0], fresh)


# --- accidents ---


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-5])


def flip_a_bit(file):
    raw = bytearray(file.read_bytes())
    raw[-2] ^= 1
    file.write_bytes(raw)


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("accident", [cut_short, flip_a_bit, empty, Path.unlink])
@pytest.mark.parametrize("file", ["tensors.imu.npy", "target.activity.npy", "entry.json"])
def test_a_damaged_entry_is_made_again(data, cache, cuts, accident, file):
    parts = prepared.prepare(RECIPE, data, cache)
    expected = prepared.scaled(parts.train[0], parts.manifest)
    cuts.clear()
    (damaged,) = cache.glob("*00001-*")
    accident(damaged / file)
    again = prepared.prepare(RECIPE, data, cache)
    if (accident, file) != (flip_a_bit, "entry.json"):
        assert cuts == ["sphere-00001"]
    assert_same(prepared.scaled(again.train[0], again.manifest), expected)


def test_a_damaged_note_of_what_training_decides_is_made_again(data, cache):
    first = prepared.prepare(RECIPE, data, cache)
    (known,) = cache.glob("known-*.json")
    cut_short(known)
    assert prepared.prepare(RECIPE, data, cache).manifest == first.manifest


def test_what_a_killed_process_left_behind_does_no_harm(data, cache):
    prepared.prepare(RECIPE, data, cache)
    (whole,) = cache.glob("*00001-*")
    whole.rename(whole.with_name(f"{whole.name}.new"))
    cut_short(whole.with_name(f"{whole.name}.new") / "tensors.imu.npy")
    assert_parts_are_cut_afresh(prepared.prepare(RECIPE, data, cache), data)
    assert not list(cache.glob("*.new"))


def test_a_cache_that_can_not_be_written_to_is_named(data, tmp_path):
    write(tmp_path / "file", "")
    with pytest.raises(PrepareError, match=r"file/cache: .* set SOLOSENSE_CACHE"):
        prepared.prepare(RECIPE, data, tmp_path / "file" / "cache")


def test_a_recording_that_is_not_there_is_refused_and_leaves_nothing(data, cache):
    missing = replace(RECIPE, split=Split(("00009",), (), ()))
    with pytest.raises(RecordingError, match="00009: does not exist"):
        prepared.prepare(missing, data, cache)
    with pytest.raises(RecordingError, match="found no --data"):
        prepared.prepare(missing, None, cache)
    assert not list(cache.glob("*/entry.json"))


AT_ONCE = """
import sys
from pathlib import Path
from trainer import datasets, prepared
from tests.trainer.test_prepared import RECIPE
cut = datasets.examples
def noted(recording, manifest):
    print(recording.name)
    return cut(recording, manifest)
datasets.examples = noted
print("ready", flush=True)
parts = prepared.prepare(RECIPE, Path(sys.argv[1]), Path(sys.argv[2]))
assert [len(one) for one in parts.train] == [31, 18], parts
"""


def test_of_two_processes_at_once_one_cuts_and_both_have_the_arrays(data, cache):
    cache.mkdir()
    with ExitStack() as held:
        for what in ("known", *"0123456789abcdef"):  # nobody begins before both are there
            lock = held.enter_context((cache / f"lock-{what}").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        both = [
            subprocess.Popen(
                [sys.executable, "-c", AT_ONCE, data, cache], cwd=prepared.PROGRAM,
                stdout=subprocess.PIPE, text=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        for one in both:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
    said = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted("".join(said).split()) == ["sphere-00001", "sphere-00002", "sphere-00003"]
    assert_parts_are_cut_afresh(prepared.prepare(RECIPE, data, cache), data)


# --- the folder ---


def test_the_cache_folder_is_the_one_named(monkeypatch):
    monkeypatch.setenv("SOLOSENSE_CACHE", "/somewhere/else")
    assert prepared.cache_folder() == Path("/somewhere/else")
    monkeypatch.delenv("SOLOSENSE_CACHE")
    monkeypatch.setenv("HOME", "/home/a")
    assert prepared.cache_folder() == Path("/home/a/.cache/solosense/prepared")


def test_a_line_tells_where_the_cache_is_and_how_large(data, cache):
    assert prepared.told(cache) == f"prepared recordings: {cache}, 0 of them, 0.0 MB"
    prepared.prepare(RECIPE, data, cache)
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    assert prepared.told(cache) == f"prepared recordings: {cache}, 3 of them, {size / 1e6:.1f} MB"


def test_what_nobody_opened_for_a_month_goes_when_something_new_comes(data, cache):
    prepared.prepare(RECIPE, data, cache)
    entries = {path.name for path in cache.glob("*/entry.json")}
    assert entries
    for file in [*cache.glob("*/entry.json"), *cache.glob("known-*")]:
        os.utime(file, (0, 0))
    one = prepared.prepare(replace(RECIPE, split=Split(("00001",), ("00001",), ())), data, cache)
    assert len(list(cache.glob("*/entry.json"))) == 3, "opening 00001 wrote nothing new of it"
    home(data, 4, 9)
    prepared.prepare(replace(RECIPE, split=Split(("00001",), ("00004",), ())), data, cache)
    left = sorted(path.parent.name.split("-")[-2] for path in cache.glob("*/entry.json"))
    assert left == ["00001", "00004"]
    assert one.train[0].tensors["imu"].shape == (31, 20, 3)
