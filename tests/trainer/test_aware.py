"""A student that learns on under rounding: better there, and only where it is needed."""

import copy
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")
pytest.importorskip("litert_torch", reason="export needs litert-torch")

from edge import bundle as bundles  # noqa: E402
from edge.engine import open_engine  # noqa: E402
from trainer import aware, bundling, export, fit, served  # noqa: E402
from trainer.recipe_parts import Split  # noqa: E402
from trainer.recipes import recipe as recipe_of  # noqa: E402
from trainer.rounding import observed_ranges, rounded, strictest  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]

RECIPE = dataclasses.replace(
    recipe_of("virtual-iot"),
    split=Split(
        tuple(f"virtual:seed={seed},boxes=4" for seed in (100, 101, 102)),
        ("virtual:seed=200,boxes=4",),
        ("virtual:seed=300,boxes=4",),
    ),
    updates=80, check_every=40, crop_steps=48, width=16, hidden=24, batch=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return fit.prepare(RECIPE, None)


@pytest.fixture(scope="module")
def fitted(data):
    return fit.fit(RECIPE, data, seed=0)


def lopsided(fitted):
    """Return the same student in float, one feature 20 times as large: 8 bits blur the others."""
    student = copy.deepcopy(fitted.student)
    with torch.no_grad():
        feature = int(student.gru.weight_ih_l0.abs().sum(0).argmax())
        student.fuse.weight[feature] *= 20
        student.fuse.bias[feature] *= 20
        student.gru.weight_ih_l0[:, feature] /= 20
    return dataclasses.replace(fitted, student=student)


def off(student, exact, data):
    """Return the mean difference that rounding makes to a student's answers on validation."""
    plan = strictest(student, observed_ranges(student, bundling.calibration_of(data.train)))
    one = data.validation[0].tensors
    plain = fit.probabilities(exact.student, one)
    with rounded(student, plan):
        found = fit.probabilities(student, one)
    return np.mean([np.abs(found[name] - plain[name]).mean() for name in plain])


def test_it_learns_to_say_rounded_what_it_says_in_float(fitted, data):
    first = lopsided(fitted)
    before = {n: w.clone() for n, w in first.student.state_dict().items()}
    learnt = aware.taught(first, RECIPE, data, 0, bundling.calibration_of(data.train))
    assert all(torch.equal(w, before[n]) for n, w in first.student.state_dict().items())
    assert off(learnt.student, first, data) < 0.9 * off(first.student, first, data)
    assert not any(m._forward_hooks for m in learnt.student.modules())


def test_a_bundle_is_of_the_better_student_on_validation_and_says_so(fitted, data, tmp_path):
    """The float figure is claimed higher than it is, so that 8 bits seem to cost much."""
    claimed = dataclasses.replace(fitted, validation_f1=fitted.validation_f1 + 0.2)
    lines: list[str] = []
    bundle = bundling.make(claimed, RECIPE, data, 0, tmp_path / "a", "iot", say=lines.append)
    assert len(lines) == 1
    assert "int8 costs" in lines[0]
    kept = lines[0].endswith(", kept")
    assert ("aware_updates" in bundle.manifest.recipe) == kept
    plain = bundling._write(fitted, RECIPE, data, tmp_path / "b", "iot", "int8", {})
    assert bundling._worst(bundle) >= bundling._worst(plain)
    assert kept == (bundling._worst(bundle) > bundling._worst(plain))
    for kind in ("litert", "onnx"):
        engine = open_engine(bundles.load(bundle.folder), prefer=kind)
        f1 = served.macro_f1(engine, bundle.manifest, data.validation)
        said = bundle.manifest.scores["validation"][f"{kind}_argmax_macro_f1"]
        assert f1 == pytest.approx(said, abs=5e-5)


def refusing(monkeypatch, times):
    """Have export refuse so many bundles."""
    write, left = bundling._write, [times]

    def refused(*given):
        if left[0]:
            left[0] -= 1
            raise export.ExportError("made-up: share of same labels is 0.9, expected at least 0.97")
        return write(*given)

    monkeypatch.setattr(bundling, "_write", refused)


def test_a_student_that_8_bits_make_too_unlike_learns_under_rounding(
    fitted, data, tmp_path, monkeypatch
):
    refusing(monkeypatch, 1)
    lines: list[str] = []
    bundle = bundling.make(fitted, RECIPE, data, 0, tmp_path / "a", "iot", say=lines.append)
    assert bundle.manifest.recipe["aware_updates"] == aware.UPDATES
    assert lines[0].startswith("iot: int8 made-up: share of same labels is 0.9")
    assert lines[0].endswith(", kept")


def test_where_onnx_is_too_unlike_even_then_it_stays_in_float(fitted, data, tmp_path, monkeypatch):
    refusing(monkeypatch, 2)
    lines: list[str] = []
    bundle = bundling.make(fitted, RECIPE, data, 0, tmp_path / "a", "iot", say=lines.append)
    schemes = {kind: one.scheme for kind, one in bundle.manifest.quantization.items()}
    assert schemes == {"litert": "int8-dynamic", "onnx": "float32"}
    assert "aware_updates" not in bundle.manifest.recipe
    assert lines[-1].startswith("iot: ONNX stays in float, made-up: share of same labels is 0.9")


def test_a_student_that_is_too_unlike_even_then_is_refused(fitted, data, tmp_path, monkeypatch):
    refusing(monkeypatch, 3)
    with pytest.raises(export.ExportError, match=r"made-up: share of same labels is 0\.9"):
        bundling.make(fitted, RECIPE, data, 0, tmp_path / "a", "iot")
    before = bundling.make(fitted, RECIPE, data, 0, tmp_path / "b", "iot", "float32")
    refusing(monkeypatch, 1)
    with pytest.raises(export.ExportError, match="made-up"):
        bundling.make(fitted, RECIPE, data, 0, tmp_path / "b", "iot", "float32")
    assert bundles.load(tmp_path / "b").manifest == before.manifest, "an earlier bundle stays"


def test_where_8_bits_cost_nothing_nothing_is_learnt_and_nothing_said(fitted, data, tmp_path):
    modest = dataclasses.replace(fitted, validation_f1=0.0)
    lines: list[str] = []
    bundle = bundling.make(modest, RECIPE, data, 0, tmp_path / "a", "iot", say=lines.append)
    assert lines == []
    assert "aware_updates" not in bundle.manifest.recipe


def test_recordings_in_one_call_are_answered_as_each_alone(fitted, data, tmp_path):
    bundle = bundling._write(fitted, RECIPE, data, tmp_path / "a", "iot", "int8", {})
    engine = open_engine(bundle)
    short = dataclasses.replace(
        data.train[0],
        tensors={n: x[:50] for n, x in data.train[0].tensors.items()},
        target={n: x[:50] for n, x in data.train[0].target.items()},
    )
    parts = [short, data.validation[0]]
    together = served.answers(engine, bundle.manifest, parts)
    for one, both in zip(parts, together, strict=True):
        (alone,) = served.answers(engine, bundle.manifest, [one])
        assert len(both["operation"]) == len(one)
        assert np.array_equal(alone["operation"], both["operation"])
