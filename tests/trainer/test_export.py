"""Exports answer as PyTorch does, for any number of stations in one call, each for itself."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")
pytest.importorskip("litert_torch", reason="export needs litert-torch")
pytest.importorskip("onnx", reason="export needs onnx")
interpreters = pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")

from trainer.export import (  # noqa: E402
    TOLERANCES,
    ExportError,
    Tolerance,
    check,
    check_side_by_side,
    compare,
    reference,
    to_onnx,
    to_tflite,
)
from trainer.quantize import AT_CONVERSION, free_batch, quiet  # noqa: E402
from trainer.student import Student, StudentConfig, StudentStep  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]

ROWS, CHANNELS, STATIONS = 30, 6, 16
CONFIG = StudentConfig(
    inputs=(("imu", ROWS, CHANNELS),),
    levels=(("operation", 3), ("action", 6)),
    devices=2,
    hidden=48,
    width=32,
    layers=2,
)
CONFIGS = {"plain": CONFIG, "guided": replace(CONFIG, guided=True)}
FORMATS = {
    "tflite": "int8-dynamic",
    "tflite-static": "int8-static",
    "tflite-half": "float16",
    "tflite-float": "float32",
    "onnx": "int8-static",
    "onnx-half": "float16",
    "onnx-float": "float32",
}


def days(batch, steps, seed):
    """Return (inputs, action) of stations whose six actions differ in rhythm, channel and device.

    Actions last five to fifteen steps; a tenth of the readings is missing.
    """
    rng = np.random.default_rng(seed)
    action = np.stack(
        [
            np.repeat(rng.integers(0, 6, steps), rng.integers(5, 16, steps))[:steps]
            for _ in range(batch)
        ]
    )  # (B, T)
    second = np.arange(steps)[:, None] + np.arange(ROWS) / ROWS  # (T, R)
    hertz = 1 + 2 * (action % 3)
    wave = np.sin(2 * np.pi * hertz[..., None] * second)  # (B, T, R)
    imu = 0.4 * rng.standard_normal((batch, steps, ROWS, CHANNELS))
    imu += 1.5 * wave[..., None] * (np.arange(CHANNELS) == (action % 4)[..., None])[:, :, None]
    seen = rng.random(imu.shape) < 0.9
    use = np.stack([action == 2, action == 5], -1)
    inputs = {"imu": imu * seen, "imu_observed": seen, "in_use": use}
    inputs["in_use_observed"] = np.ones_like(use)
    return {name: x.astype(np.float32) for name, x in inputs.items()}, action


@pytest.fixture(scope="module", params=CONFIGS)
def student(request):
    """Return a student that has learnt its six actions."""
    torch.manual_seed(0)
    model = Student(CONFIGS[request.param]).train()
    inputs, action = days(batch=12, steps=60, seed=0)
    given = {name: torch.from_numpy(x) for name, x in inputs.items()}
    truth = torch.from_numpy(action)
    descent = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(60):
        said = model(given)
        loss = torch.nn.functional.cross_entropy(
            said.logits["action"].flatten(0, 1), truth.flatten()
        )
        loss = loss + torch.nn.functional.cross_entropy(
            said.logits["operation"].flatten(0, 1), truth.flatten() // 2
        )
        descent.zero_grad()
        loss.backward()
        descent.step()
    return model.eval()


@pytest.fixture(scope="module")
def files(student, tmp_path_factory):
    """Return path and scheme of the student in every format."""
    folder = tmp_path_factory.mktemp("student")
    calibration, _ = days(batch=8, steps=40, seed=1)
    files = {}
    for name, scheme in FORMATS.items():
        path = folder / f"{name}.{name.split('-')[0]}"
        (to_onnx if "onnx" in name else to_tflite)(student, path, scheme, calibration)
        files[name] = (path, scheme)
    return files


def engine(path, batch, config=CONFIG):
    """Return a function from tensors (batch, ...) to answers, both by manifest name."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda given: dict(zip(config.output_names, session.run(None, given), strict=True))
    interpreter = interpreters.Interpreter(model_path=str(path), num_threads=1)
    inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
    for detail in inputs.values():
        interpreter.resize_tensor_input(detail["index"], [batch, *detail["shape"][1:]])
    interpreter.allocate_tensors()
    outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def infer(given):
        for name, detail in inputs.items():
            interpreter.set_tensor(detail["index"], given[name])
        interpreter.invoke()
        answers = [interpreter.get_tensor(index) for index in outputs]
        return dict(zip(config.output_names, answers, strict=True))

    return infer


def station_steps(seed=2, steps=32):
    """Return (T, ...) inputs of one station the student has never seen."""
    inputs, _ = days(batch=1, steps=steps, seed=seed)
    return {name: x[0] for name, x in inputs.items()}


def one_step_of_every_station(config):
    inputs, _ = days(batch=STATIONS, steps=1, seed=3)
    state = 0.5 * np.random.default_rng(3).standard_normal((STATIONS, config.state_size))
    return {
        **{name: x[:, 0] for name, x in inputs.items()},
        "state": np.tanh(state).astype(np.float32),
    }


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_answers_as_the_student_does(files, student, name):
    path, scheme = files[name]
    expected = reference(student, station_steps(steps=100))
    found = check(engine(path, 1), expected, TOLERANCES[scheme], name)
    assert found.largest > 0 or "float" in name


# ONNX Runtime's float products add up in another order for another number of rows
ROUNDING = {"onnx-float": 1e-6, "onnx-half": 1e-3}


@pytest.mark.parametrize("name", FORMATS)
def test_a_stations_answer_does_not_depend_on_who_shares_its_call(files, student, name):
    path, _ = files[name]
    given = one_step_of_every_station(student.config)
    single = engine(path, 1)
    alone = [single({n: x[row : row + 1] for n, x in given.items()}) for row in range(STATIONS)]
    for batch in (2, 7, STATIONS):
        together = engine(path, batch)({n: x[:batch] for n, x in given.items()})
        for output, answer in together.items():
            for row in range(batch):
                off = np.abs(answer[row] - alone[row][output][0]).max()
                assert off <= ROUNDING.get(name, 0.0), (batch, output, row)


@pytest.mark.parametrize("name", [name for name in FORMATS if "tflite" in name])
def test_tflite_tensors_bear_the_manifests_names_in_its_order(files, name):
    path, _ = files[name]
    interpreter = interpreters.Interpreter(model_path=str(path))
    outputs = (*CONFIG.output_names[:-1], "state_out")
    assert tuple(d["name"] for d in interpreter.get_input_details()) == CONFIG.input_names
    assert tuple(d["name"] for d in interpreter.get_output_details()) == outputs
    (signature,) = interpreter.get_signature_list().values()
    assert set(signature["inputs"]) == set(CONFIG.input_names)
    assert set(signature["outputs"]) == set(outputs)


@pytest.mark.parametrize("name", [name for name in FORMATS if "onnx" in name])
def test_onnx_tensors_bear_the_manifests_names_in_its_order(files, name):
    session = onnxruntime.InferenceSession(str(files[name][0]))
    assert tuple(x.name for x in session.get_inputs()) == CONFIG.input_names
    assert tuple(x.name for x in session.get_outputs()) == (*CONFIG.output_names[:-1], "state_out")
    assert all(x.shape[0] == "batch" for x in session.get_inputs())
    ports = (*session.get_inputs(), *session.get_outputs())
    assert {x.type for x in ports} == {"tensor(float)"}


def test_int8_is_much_smaller_than_float(files):
    for kind, share in (("tflite", 0.5), ("tflite-static", 0.5), ("onnx", 0.6)):
        large = files[f"{kind.split('-')[0]}-float"][0].stat().st_size
        assert files[kind][0].stat().st_size < share * large


def test_half_floats_take_little_more_than_half_the_room(files):
    for kind in ("tflite", "onnx"):
        half, whole = (files[f"{kind}-{p}"][0].stat().st_size for p in ("half", "float"))
        assert half < 0.65 * whole


def test_readings_of_the_calibration_lie_within_the_ranges_however_rare(student, tmp_path):
    calibration, _ = days(batch=1, steps=200, seed=1)
    path = tmp_path / "model.tflite"
    to_tflite(student, path, "int8-static", calibration)
    said = reference(student, {name: x[0] for name, x in calibration.items()})
    assert compare(engine(path, 1), said).largest < 0.05  # .15 with a moving average


def test_a_reference_carries_the_state_from_step_to_step(student):
    steps = reference(student, station_steps())
    assert steps["in.imu"].shape == (32, ROWS, CHANNELS)
    assert steps["out.p_action"].shape == (32, 6)
    assert steps["out.boundary"].shape == (32, 1)
    assert not steps["in.state"][0].any()
    assert np.array_equal(steps["in.state"][1:], steps["out.state"][:-1])
    assert all(x.dtype == np.float32 for x in steps.values())


def test_an_engine_that_forgets_its_state_is_refused(files, student):
    infer = engine(files["tflite-float"][0], 1)

    def forgetful(given):
        return infer({**given, "state": np.zeros_like(given["state"])})

    with pytest.raises(ExportError, match=r"largest difference is .*, expected at most 0\.1"):
        check(forgetful, reference(student, station_steps()), TOLERANCES["int8-dynamic"], "imu")


def test_an_engine_that_answers_nan_is_refused(student):
    def broken(given):
        return {name: np.full_like(expected[f"out.{name}"][:1], np.nan) for name in names}

    expected = reference(student, station_steps())
    names = CONFIG.output_names
    with pytest.raises(ExportError, match="largest difference is nan"):
        check(broken, expected, Tolerance(1.0, 1.0, 0.0), "imu")


def test_a_failed_conversion_says_what_the_converter_said(capfd):
    @quiet("model.tflite")
    def convert():
        print("it sits at line 7")
        raise RuntimeError("no such op")

    with pytest.raises(ExportError, match=r"(?s)model\.tflite.*no such op.*it sits at line 7"):
        convert()
    assert "line 7" not in capfd.readouterr().out


def test_converters_are_silent(student, tmp_path, capfd):
    to_tflite(student, tmp_path / "model.tflite")
    assert capfd.readouterr() == ("", "")


def test_a_model_that_fixes_its_batch_is_refused(tmp_path):
    from torch import nn

    class Halves(nn.Module):
        def forward(self, x):
            return x[:, ::2] + 1

    import litert_torch

    with quiet("halves"):
        litert_torch.convert(Halves().eval(), (torch.zeros(1, 6),)).export(str(tmp_path / "h"))
    with pytest.raises(ExportError, match="found STRIDED_SLICE, expected none"):
        free_batch((tmp_path / "h").read_bytes(), ["x"], ["y"])


def test_an_engine_that_mixes_stations_is_refused(student):
    inputs, _ = days(batch=1, steps=40, seed=2)
    expected = reference(student, {name: x[0] for name, x in inputs.items()})
    outputs = {n.removeprefix("out."): x for n, x in expected.items() if n.startswith("out.")}

    def known(given):
        """Return the answers that the reference has for these states."""
        apart = np.abs(expected["in.state"][None] - given["state"][:, None]).sum(-1)
        return {name: x[apart.argmin(1)] for name, x in outputs.items()}

    check_side_by_side(known, expected, "apart")

    def one_state(given):
        """Return the right answers, and to all stations the state of their mean."""
        found = known(given)
        return {**found, "state": np.broadcast_to(found["state"].mean(0), found["state"].shape)}

    with pytest.raises(ExportError, match="shared: 3 stations at once differ"):
        check_side_by_side(one_state, expected, "shared")
    with pytest.raises(ExportError, match="mixed: 3 stations at once differ from one by one"):
        check_side_by_side(
            lambda given: {name: x[::-1] for name, x in known(given).items()}, expected, "mixed"
        )


def test_a_slice_that_cuts_the_batch_is_refused(tmp_path):
    from torch import nn

    class First(nn.Module):
        def forward(self, x):
            return x.unflatten(1, (2, 3)).flatten(0, 1)[:AT_CONVERSION] + 1

    import litert_torch

    given = (torch.zeros(AT_CONVERSION, 6),)
    with quiet("first"):
        litert_torch.convert(First().eval(), given).export(str(tmp_path / "f"))
    with pytest.raises(ExportError, match="expected the whole batch"):
        free_batch((tmp_path / "f").read_bytes(), ["x"], ["y"])


@pytest.mark.parametrize("devices", [1, 9])
def test_a_memory_of_any_number_of_devices_serves_several_stations_at_once(tmp_path, devices):
    config = StudentConfig(
        (("imu", 10, 3),), (("a", 3),), devices=devices, hidden=16, width=8, guided=True
    )
    torch.manual_seed(0)
    model = Student(config).eval()
    to_tflite(model, tmp_path / "model.tflite", "float32")
    to_onnx(model, tmp_path / "model.onnx", "float32")
    given = [torch.rand(5, *shape).round() for shape in config.input_shapes.values()]
    with torch.no_grad():
        expected = StudentStep(model)(*given)
    named = {n: x.numpy() for n, x in zip(config.input_names, given, strict=True)}
    for file in ("model.tflite", "model.onnx"):
        found = engine(tmp_path / file, 5, config)(named)
        for name, answer in zip(config.output_names, expected, strict=True):
            assert np.abs(found[name] - answer.numpy()).max() < 1e-5
