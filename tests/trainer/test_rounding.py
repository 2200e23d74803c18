"""Eight bits in PyTorch: what they leave alone, what they cost, and that slopes pass."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")

from trainer.layer_costs import ALL, layer_costs  # noqa: E402
from trainer.rounding import (  # noqa: E402
    as_litert,
    as_onnx,
    layers,
    observed_ranges,
    rounded,
    rounded_rows,
    rounded_weight,
    rounded_within,
    strictest,
    whole,
)
from trainer.student import Student, StudentConfig  # noqa: E402

pytestmark = pytest.mark.torch

CONFIG = StudentConfig(
    inputs=(("imu", 12, 4),),
    levels=(("operation", 3),),
    devices=2,
    width=8,
    hidden=8,
    layers=2,
    guided=True,
)


@pytest.fixture
def student():
    torch.manual_seed(0)
    return Student(CONFIG).eval()


def steps(count=20, seed=0):
    """Return (T, …) steps of one station."""
    rng = np.random.default_rng(seed)
    shapes = {n: s for n, s in CONFIG.input_shapes.items() if n != "state"}
    return {
        name: np.asarray(
            rng.random((count, *shape)) < 0.8
            if "use" in name or "observed" in name
            else rng.standard_normal((count, *shape)),
            np.float32,
        )
        for name, shape in shapes.items()
    }


def recordings(seed=0):
    """Return two recordings' steps side by side, (B, T, …)."""
    both = steps(seed=seed), steps(seed=seed + 10)
    return {name: np.stack([one[name] for one in both]) for name in both[0]}


def said(student):
    with torch.no_grad():
        return whole(student, steps()).logits["operation"].numpy()


def test_a_rounded_weight_is_off_by_half_a_level_of_its_output_at_most():
    weight = torch.randn(5, 3, 4) * torch.tensor([1e-3, 1.0, 7.0, 100.0, 0.0])[:, None, None]
    level = weight.flatten(1).abs().amax(1) / 127
    off = (rounded_weight(weight) - weight).abs().flatten(1).amax(1)
    assert (off <= 0.5001 * level).all()


def test_a_row_is_rounded_by_its_own_range_whoever_stands_beside_it():
    small, large = torch.rand(1, 6), 100 * torch.rand(1, 6)
    both = rounded_rows(torch.cat([small, large]), 1)
    assert torch.equal(both[:1], rounded_rows(small, 1))
    assert (both[:1] - small).abs().max() < 0.003


def test_what_lies_beyond_a_fixed_range_is_cut_off():
    assert rounded_within(torch.tensor([3.0, -3.0]), -1.0, 1.0).abs().max() < 1.01


def test_a_plan_without_layers_changes_nothing_and_the_weights_stay_as_they_are(student):
    before, plain = {n: w.clone() for n, w in student.state_dict().items()}, said(student)
    with rounded(student, {}):
        assert np.array_equal(said(student), plain)
    with rounded(student, as_litert(student)):
        assert not np.array_equal(said(student), plain)
    assert np.array_equal(said(student), plain)
    assert all(torch.equal(w, before[n]) for n, w in student.state_dict().items())


def test_recurrent_layers_a_product_at_a_time_are_pytorchs(student):
    wide = {name: (-1e6, 1e6) for name in layers(student) if name.startswith("gru")}
    assert sorted(wide) == ["gru.hh_l0", "gru.hh_l1", "gru.ih_l0", "gru.ih_l1"]
    ranges = observed_ranges(student, recordings())  # runs them so, unrounded
    with torch.no_grad():
        x, state = torch.randn(2, 7, 8), torch.randn(2, 2, 8)
        from trainer.rounding import _recurrent

        mine = _recurrent(student.gru, "gru", lambda n, x, w, b: x @ w.T + b, x, state)
        theirs = student.gru(x, state)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mine, theirs, strict=True))
    assert ranges["gru.hh_l1"][0] >= -1
    assert ranges["gru.hh_l1"][1] <= 1


def test_onnx_reads_rows_in_float_and_litert_rounds_them_by_row(student):
    ranges = observed_ranges(student, recordings())
    near = "encoders.imu.near"
    assert near in as_litert(student)
    assert near not in as_onnx(student, ranges)
    assert strictest(student, ranges)[near] is None
    assert strictest(student, ranges)["fuse"] == ranges["fuse"]


def test_slopes_go_straight_through(student):
    student.train()
    with rounded(student, as_litert(student)):
        whole(student, steps()).logits["operation"].square().sum().backward()
    slopes = [w.grad for name, w in student.named_parameters() if "boundary" not in name]
    assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes)


def test_the_report_names_every_layer_and_finds_the_one_that_8_bits_harm(student):
    with torch.no_grad():  # an output of one large weight leaves no levels to the others
        student.fuse.weight[:, 0] = 60.0 * student.fuse.weight.abs().max()
        student.encoders["imu"].near.weight[:, 0] = 0
    rows = layer_costs(student, recordings(seed=1), steps(seed=2))
    assert [row["layer"] for row in rows] == [*layers(student), ALL]
    assert rows[-1]["weights"] == sum(w.numel() for w in layers(student).values())
    *each, together = rows
    worst = min(each, key=lambda row: row["sqnr_db"])
    assert worst["layer"] == "fuse"
    assert max(each, key=lambda row: row["litert"])["layer"] == "fuse"
    assert together["litert"] > 0
    assert {row["layer"] for row in rows if row["onnx"] is None} == {
        "encoders.imu.near",
        "encoders.imu.statistics",
    }
