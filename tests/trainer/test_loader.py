"""Batch n is a function of the seed and n, however it is asked for."""

import threading
from itertools import islice, pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from edge.bundle import Input, Manifest  # noqa: E402
from sensor_adapters.recording import Recording  # noqa: E402
from trainer import prepared  # noqa: E402
from trainer.datasets import Examples  # noqa: E402
from trainer.loader import Crops, ahead, pinned  # noqa: E402

pytestmark = pytest.mark.torch
STEPS, BATCH = 12, 6
IMU = Input(
    name="imu", rate_hz=2, channels=("wrist.acc_x", "wrist.acc_y"), units=("m/s^2",) * 2,
    mean=(0.5, -3.0), std=(2.0, 0.7), max_gap_us=1,
)  # fmt: skip


def example(name, steps):
    rng = np.random.default_rng(steps)
    seen = (rng.random((steps, 2, 2)) < 0.8).astype(np.float32)
    tensors = {
        "imu": rng.normal(size=(steps, 2, 2)).astype(np.float32) * seen,
        "imu_observed": seen,
        "in_use": rng.integers(0, 2, (steps, 3)).astype(np.float32),
        "in_use_observed": np.ones((steps, 3), np.float32),
    }
    target = {"activity": np.eye(4, dtype=np.float32)[rng.integers(0, 4, steps)]}
    for array in (*tensors.values(), *target.values()):
        array.setflags(write=False)  # as mapped files are
    return Examples(Recording(name, "virtual", name, (), {}), 0, tensors, target)


PARTS = [example("long", 70), example("short", 5), example("just", STEPS)]


@pytest.fixture
def manifest():
    return Manifest(
        format_version=1, name="m", modality=("imu",), step_us=1_000_000, inputs=(IMU,), devices=(),
        levels=(), decoders=(), state_size=1, tensor_inputs=(), tensor_outputs=(), delay_steps=0,
        reset_after_us=1, quantization={}, scores={}, recipe={}, data_license="", git_revision="",
        sha256={}, seal="",
    )  # fmt: skip


@pytest.fixture
def crops(manifest):
    def made(**changes):
        said = {"crop_steps": STEPS, "batch": BATCH, "seed": 3, **changes}
        return Crops(PARTS, manifest, **said)

    return made


def assert_same(batch, other):
    for ours, theirs in zip(batch, other, strict=True):
        assert list(ours) == list(theirs)
        for name in ours:
            assert torch.equal(ours[name], theirs[name])


def test_a_batch_is_the_same_whatever_was_asked_before(crops):
    first = crops()
    expected = first.batch(7)
    for number in (0, 7, 8):
        first.batch(number)
    assert_same(first.batch(7), expected)
    assert_same(crops().batch(7), expected)


def test_batches_and_seeds_differ(crops):
    drawn = [crops(seed=seed).draw(number) for seed in (3, 4) for number in range(5)]
    assert all(one != other for one, other in pairwise(drawn))
    assert len({tuple(rows) for rows in drawn}) == 10


def test_a_row_is_a_stretch_of_a_recording_brought_to_scale(crops, manifest):
    known = [prepared.scaled(one, manifest) for one in PARTS]
    for number in range(20):
        inputs, targets = crops().batch(number)
        for row, (pick, start) in enumerate(crops().draw(number)):
            length = min(STEPS, len(known[pick]) - start)
            for store, batch in ((known[pick].tensors, inputs), (known[pick].target, targets)):
                for name, array in store.items():
                    assert np.array_equal(batch[name][row, :length], array[start:][:length])
                    assert not batch[name][row, length:].any(), "unobserved and unscored"


def test_every_stretch_of_a_recording_comes_up_and_long_ones_more_often(crops):
    rows = [row for number in range(300) for row in crops().draw(number)]
    assert {start for pick, start in rows if pick == 0} == set(range(70 - STEPS + 1))
    assert {start for pick, start in rows if pick == 1} == {0}
    share = sum(pick == 0 for pick, _ in rows) / len(rows)
    assert share == pytest.approx(70 / 87, abs=0.05)


def test_scale_does_not_reach_the_recording(crops):
    before = PARTS[0].tensors["imu"].copy()
    crops().batch(0)
    assert np.array_equal(PARTS[0].tensors["imu"], before)


# --- in the background ---


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_made_ahead_come_in_order_from_wherever_they_begin(crops, workers):
    found = list(ahead(crops().batch, 5, 25, workers=workers, depth=4))
    assert len(found) == 20
    for number, batch in enumerate(found, start=5):
        assert_same(batch, crops().batch(number))


def test_no_more_is_made_than_was_asked_to_be_ahead():
    begun = []

    def make(number):
        begun.append(number)
        return number

    made = ahead(make, 0, 1000, workers=1, depth=3)
    assert list(islice(made, 2)) == [0, 1]
    made.close()  # waits for what had begun
    assert max(begun) <= 1 + 3


def test_who_stops_early_leaves_nothing_running():
    made = ahead(lambda n: n, 0, 1000)
    next(made)
    made.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_an_error_comes_where_its_batch_would_have():
    def make(number):
        if number == 3:
            raise ValueError("the disk is gone")
        return number

    made = ahead(make, 0, 10, depth=6)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the disk is gone"):
        next(made)


def test_nothing_asked_for_is_nothing_given(crops):
    assert list(ahead(crops().batch, 4, 4)) == []


def test_no_recordings_are_refused(manifest):
    with pytest.raises(ValueError, match="found no recordings"):
        Crops([], manifest, crop_steps=1, batch=1, seed=0)


@pytest.mark.gpu
def test_a_gpu_gets_pinned_memory(crops):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    inputs, targets = pinned(crops().batch(0))
    assert all(x.is_pinned() for x in (*inputs.values(), *targets.values()))
