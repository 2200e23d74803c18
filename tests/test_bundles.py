"""The bundles we ship: small, sealed, simulated, and the same in every runtime."""

import sys
import types

import msgspec
import numpy as np
import pytest

from edge import bundle as bundles
from edge.bench import site_of
from edge.bundle import BundleError
from edge.engine import LiteRtEngine, open_engine
from edge.site_models import load_models
from tests import live

NAMES = ("imu", "camera", "iot")


@pytest.fixture(params=NAMES)
def bundle(request):
    return bundles.load(live.BUNDLES / request.param)


def test_it_is_under_a_megabyte_and_bears_its_folders_name(bundle):
    assert sum(path.stat().st_size for path in bundle.folder.iterdir()) < 1_000_000
    assert bundle.manifest.name == bundle.folder.name
    assert bundle.manifest.modality == (bundle.folder.name,)


def test_it_was_trained_on_the_simulation_alone_and_says_how(bundle):
    assert "simulated" in bundle.manifest.data_license
    recipe = bundle.manifest.recipe
    assert all(name.startswith("virtual:") for name in str(recipe["train"]).split())
    assert recipe["name"] == f"virtual-{bundle.folder.name}"


def test_it_names_both_label_levels_and_every_action_has_an_operation(bundle):
    operation, action = bundle.manifest.levels
    assert len(operation.labels) == 10
    assert set(action.parents) <= set(operation.labels)
    assert len(action.parents) == len(action.labels)


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_both_runtimes_answer_the_reference_that_pytorch_gave(bundle, kind):
    if kind == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    engine = open_engine(bundle, prefer=kind)  # refuses what is off by more than the tolerance
    assert engine.name.startswith(kind)


def test_an_engine_refuses_a_model_of_another_bundle(tmp_path):
    imu, iot = (bundles.load(live.BUNDLES / name) for name in ("imu", "iot"))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in imu.folder.iterdir():
        (mixed / path.name).write_bytes(path.read_bytes())
    (mixed / "model.tflite").write_bytes((iot.folder / "model.tflite").read_bytes())
    resealed = bundles.write(mixed, imu.manifest)
    with pytest.raises(BundleError, match="expected"):
        open_engine(resealed)


def test_an_engine_refuses_weights_that_answer_otherwise(tmp_path):
    imu = bundles.load(live.BUNDLES / "imu")
    other = tmp_path / "other"
    other.mkdir()
    for path in imu.folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    reference = imu.reference()
    reference["out.p_operation"] = np.roll(reference["out.p_operation"], 1, axis=1)
    np.savez(other / bundles.REFERENCE, allow_pickle=False, **reference)
    with pytest.raises(BundleError, match="answers its reference"):
        open_engine(bundles.write(other, imu.manifest))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"window_steps": -1}, "operation window_steps is -1, expected 1 to 1000"),
        ({"window_steps": 4}, "operation window_steps is 4, expected an odd one"),
        ({"lag_steps": 10**9}, "operation lag_steps is 1000000000, expected 0 to 1000"),
        ({"smoothing": 2.0}, "operation smoothing is 2.0, expected 0 to 0.999"),
        ({"evidence_weight": float("nan")}, "evidence_weight"),
        ({"shortest_steps": (21,) * 10}, "operation shortest_steps is 21, expected 1 to 20"),
        ({"shortest_steps": (2,) * 3}, "operation shortest_steps length is 3, expected 10"),
    ],
)
def test_a_decoder_that_a_board_could_not_live_with_is_refused(changes, told, tmp_path):
    imu = bundles.load(live.BUNDLES / "imu")
    for path in imu.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    first, *others = imu.manifest.decoders
    decoders = (msgspec.structs.replace(first, **changes), *others)
    with pytest.raises(BundleError, match=told):
        bundles.write(tmp_path, msgspec.structs.replace(imu.manifest, decoders=decoders))


@pytest.mark.parametrize("stations", [1, 2, 5])
def test_the_first_burst_of_all_stations_finds_its_model_loaded(stations, monkeypatch):
    imu = bundles.load(live.BUNDLES / "imu")
    (model,) = load_models(site_of(imu, stations)).values()
    monkeypatch.setattr("edge.engine._interpreter_class", lambda: pytest.fail("loads only now"))
    for together in range(1, stations + 1):
        steps = {n: imu.reference()[f"in.{n}"][:together] for n in imu.manifest.tensor_inputs}
        assert len(model.engine.infer(steps)["state"]) == together


def test_a_stations_answer_does_not_depend_on_the_size_of_the_call(bundle):
    engine = open_engine(bundle)
    reference = bundle.reference()
    steps = {name: reference[f"in.{name}"][:7] for name in bundle.manifest.tensor_inputs}
    together = engine.infer(steps)
    for row in range(7):
        alone = engine.infer({name: value[row : row + 1] for name, value in steps.items()})
        assert all(np.array_equal(alone[name][0], together[name][row]) for name in alone)


def test_tflite_runtime_serves_where_litert_is_not_installed(monkeypatch):
    from ai_edge_litert.interpreter import Interpreter

    older = types.ModuleType("tflite_runtime.interpreter")
    older.Interpreter = Interpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", types.ModuleType("tflite_runtime"))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", older)
    imu = bundles.load(live.BUNDLES / "imu")
    model = imu.model_file("litert")
    assert model is not None
    steps = {n: imu.reference()[f"in.{n}"][:1] for n in imu.manifest.tensor_inputs}
    assert LiteRtEngine(model, imu.manifest).infer(steps)["p_operation"].shape == (1, 10)
