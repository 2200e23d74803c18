"""Bundles side by side: every figure is the one that the other commands give."""

import json
import shutil

import msgspec
import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from edge import bundle as bundles  # noqa: E402
from edge.engine import open_engine  # noqa: E402
from tests import live  # noqa: E402
from trainer import bundle_table, offline  # noqa: E402
from trainer.metrics import evaluate_stretches  # noqa: E402
from trainer.own_labels import open_labelled  # noqa: E402
from trainer.stretches import Stretch  # noqa: E402

pytestmark = pytest.mark.torch

RUNTIMES = ("litert", "onnx")
IOT, RESULTS = live.BUNDLES / "iot", live.ROOT / "trainer" / "results"


def by_engine(rows):
    return {row["engine"]: row for row in rows}


def test_every_file_has_its_row_and_pytorch_one_for_the_shape():
    rows = bundle_table.rows([IOT], [], RESULTS, rounds=1)
    assert [row["engine"] for row in rows] == [
        "LiteRT int8-dynamic", "ONNX int8-static", "PyTorch eager",
    ]  # fmt: skip
    results = json.loads((RESULTS / "virtual-iot-seed0.json").read_text())
    assert {row["parameters"] for row in rows} == {results["parameters"]}
    assert rows[0]["kB"] == round((IOT / "model.tflite").stat().st_size / 1024)
    assert all(row["ms_a_step"] > 0 for row in rows)
    assert rows[2]["times_eager"] == 1.0


def test_test_figures_are_those_that_reproduce_left_of_this_file():
    results = json.loads((RESULTS / "virtual-iot-seed0.json").read_text())
    left = {row["model"]: row["macro_f1"] for row in results["rows"]}
    known = bundles.load(IOT).manifest.scores["validation"]
    rows = by_engine(bundle_table.rows([IOT], [], RESULTS, rounds=1))
    for engine, kind, model in (
        ("LiteRT int8-dynamic", "litert", "LiteRT int8"),
        ("ONNX int8-static", "onnx", "ONNX int8"),
    ):
        row = rows[engine]
        assert row["f1"]["test"] == left[model]
        off = (
            known[f"{kind}_argmax_macro_f1"] - known["argmax_macro_f1"],
            left[model] - left["LiteRT float32"],
        )
        assert row["against_float"] == round(sum(off) / 2, 4)


def test_a_model_of_another_size_than_the_judged_one_has_no_test_figure(tmp_path):
    results = json.loads((RESULTS / "virtual-iot-seed0.json").read_text())
    results["bytes"]["model.tflite"] += 1
    (tmp_path / "virtual-iot-seed0.json").write_text(json.dumps(results))
    rows = by_engine(bundle_table.rows([IOT], [], tmp_path, rounds=1))
    assert "test" not in rows["LiteRT int8-dynamic"]["f1"]
    assert "test" in rows["ONNX int8-static"]["f1"]


def test_a_recordings_figure_is_that_of_evaluate(tmp_path):
    recording = open_labelled("virtual:seed=300,boxes=3")
    rows = by_engine(bundle_table.rows([IOT], [recording], tmp_path, rounds=1))
    bundle = bundles.load(IOT)
    for kind, engine in (("litert", "LiteRT int8-dynamic"), ("onnx", "ONNX int8-static")):
        said = offline.segments(bundle.manifest, open_engine(bundle, prefer=kind), recording)
        mine = [Stretch(s.label, s.start_us, s.end_us) for s in said if s.level == "operation"]
        macro = evaluate_stretches(mine, recording, "operation").as_dict()["macro_f1"]
        assert rows[engine]["f1"][recording.name] == pytest.approx(macro, abs=5e-5)


def test_int8_is_measured_against_the_float_bundle_beside_it(tmp_path):
    """The same files, called float: the difference is none, and the float row has none to tell."""
    plain = tmp_path / "plain"
    shutil.copytree(IOT, plain)
    manifest = bundles.load(plain).manifest
    exact = {kind: bundles.Quantization(scheme="float32", tolerance=0.2) for kind in RUNTIMES}
    bundles.write(plain, msgspec.structs.replace(manifest, quantization=exact))
    recording = open_labelled("virtual:seed=300,boxes=3")
    rows = bundle_table.rows([IOT, plain], [recording], tmp_path, rounds=1)
    assert [row["against_float"] for row in rows] == [0.0, 0.0, None, None, None]
    assert [row["engine"] for row in rows].count("PyTorch eager") == 1


def test_a_bundle_that_does_not_say_its_size_has_no_parameters_and_no_pytorch(tmp_path):
    strange = tmp_path / "strange"
    shutil.copytree(IOT, strange)
    manifest = bundles.load(strange).manifest
    manifest.recipe.pop("width")
    bundles.write(strange, manifest)
    rows = bundle_table.rows([strange], [], RESULTS, rounds=1)
    assert [row["parameters"] for row in rows] == [None, None]
    assert [row["times_eager"] for row in rows] == [None, None]
