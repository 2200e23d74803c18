"""Models in the real runtime: what they find is where it is; what is no such model is refused."""

import msgspec
import numpy as np
import pytest

from sensor_adapters.cameras.config import ModelConfig
from sensor_adapters.cameras.pose_estimator import open_estimator
from sensor_adapters.cameras.pose_model import ModelError
from sensor_adapters.cameras.pose_outputs import NotNumbers, chosen, one_stage

pytest.importorskip("cv2", reason="the extra camera is not installed")
pytest.importorskip("onnxruntime", reason="the extra camera is not installed")
pytest.importorskip("onnx", reason="the extra export is not installed")

from tests.sensor_adapters import camera_scene as scene


def config(pose, **changes) -> ModelConfig:
    return msgspec.structs.replace(ModelConfig(pose=str(pose), provider="cpu"), **changes)


def test_a_one_stage_model_finds_everybody_where_they_are(tmp_path):
    estimator = open_estimator(config(scene.one_stage(tmp_path / "one.onnx")))
    corners = {scene.RED: (30, 40), scene.BLUE: (200, 110)}
    found = estimator.people(scene.picture(corners))
    assert estimator.name == "onnx (CPU)"
    by_left = sorted(found, key=lambda one: one.box[0])
    for one, corner in zip(by_left, ((30, 40), (200, 110)), strict=True):
        box = (*corner, corner[0] + scene.BLOCK_W, corner[1] + scene.BLOCK_H)
        assert one.box == pytest.approx(box, abs=2)
        assert one.points[:, :2] == pytest.approx(scene.truth(corner), abs=2)
        assert one.points[:, 2] == pytest.approx(0.95)


@pytest.mark.parametrize("batch", [None, 1], ids=["any batch", "one by one"])
def test_a_model_of_one_persons_box_finds_key_points_in_each_box(tmp_path, batch):
    # only what is red counts for this one: colours are given to it in the order it was taught
    detector = scene.detector(tmp_path / "boxes.onnx")
    model = scene.simcc(tmp_path / "simcc.onnx", batch)
    estimator = open_estimator(config(model, detector=str(detector)))
    found = estimator.people(scene.picture({scene.RED: (250, 100), scene.GREEN: (30, 20)}))
    red = next(one for one in found if one.box[0] > 200)
    assert len(found) == 2
    assert red.points[:, :2] == pytest.approx(np.tile([270, 150], (17, 1)), abs=3)
    assert red.points[0, 2] == pytest.approx(0.9, abs=0.02)
    assert estimator.people(scene.picture({})) == []


def test_two_boxes_of_one_person_are_one_and_other_things_than_persons_are_none():
    box = [10, 10, 50, 100]
    dets = np.array([[[*box, 0.8], [12, 10, 52, 100, 0.9], [200, 10, 240, 90, 0.7]]], np.float32)
    boxes, places = chosen({"dets": dets, "labels": np.array([[0, 0, 56]])}, 0.5, 0.45, 10)
    assert places.tolist() == [1]
    assert boxes.tolist() == [[12, 10, 52, 100]]
    assert chosen({"dets": dets}, 0.5, 0.45, 10)[1].tolist() == [1, 2]
    assert chosen({"dets": dets}, 0.5, 0.45, 1)[1].tolist() == [1]
    assert chosen({"dets": dets[:, :0]}, 0.5, 0.45, 1)[1].tolist() == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -3e38])
def test_a_place_that_no_picture_has_is_no_place(wrong):
    dets = np.array([[[10, 10, 50, 100, 0.9], [0, 0, 9, 9, 0.1]]], np.float32)
    for place, is_refused in ((0, True), (1, False)):
        keypoints = np.ones((1, 2, 17, 3), np.float32)
        keypoints[0, place, 4, 0] = wrong
        answers = {"dets": dets, "keypoints": keypoints}
        if is_refused:
            with pytest.raises(NotNumbers):
                one_stage(answers, 1.0, 0.5, 0.45, 10)
        else:
            assert len(one_stage(answers, 1.0, 0.5, 0.45, 10)) == 1, "who is unlikely may be wrong"


def test_a_model_that_answers_nan_is_told_apart_from_one_that_sees_nobody(tmp_path):
    estimator = open_estimator(config(scene.one_stage(tmp_path / "m.onnx", nan_when_green=True)))
    assert len(estimator.people(scene.picture({scene.RED: (30, 40)}))) == 1
    with pytest.raises(NotNumbers):
        estimator.people(scene.picture({scene.RED: (30, 40), scene.GREEN: (200, 110)}))


def test_a_model_with_other_outputs_is_refused_by_what_it_has_and_what_it_should(tmp_path):
    other = scene.one_stage(tmp_path / "other.onnx", name="heatmaps")
    with pytest.raises(ModelError, match=r"other.onnx: found outputs dets .* and heatmaps .*,"):
        open_estimator(config(other))
    hands = scene.one_stage(tmp_path / "hands.onnx", points=21)
    with pytest.raises(ModelError, match=r"keypoints \(1, 3, 21, 3\), expected .* \?, 17, 3\)"):
        open_estimator(config(hands))


def test_a_model_of_one_persons_box_without_a_detector_is_refused(tmp_path):
    model = scene.simcc(tmp_path / "simcc.onnx")
    with pytest.raises(ModelError, match=r"expected model\.detector"):
        open_estimator(config(model))
    with pytest.raises(ModelError, match=r"simcc_x .*, expected dets \(\?, \?, 5\)"):
        open_estimator(config(model, detector=str(model)))


def test_a_detector_beside_a_model_that_needs_none_is_refused(tmp_path):
    model = scene.one_stage(tmp_path / "one.onnx")
    with pytest.raises(ModelError, match=r"expected no model\.detector"):
        open_estimator(config(model, detector=str(model)))


def test_what_is_no_model_is_refused_by_name(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"no\.onnx: .*, expected an ONNX model"):
        open_estimator(config(tmp_path / "no.onnx"))


def test_a_provider_that_is_not_here_is_refused_and_auto_takes_the_best_there_is(tmp_path):
    import onnxruntime

    model = scene.one_stage(tmp_path / "one.onnx")
    assert open_estimator(config(model, provider="auto")).name.startswith("onnx (")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA, expected one without for this test")
    with pytest.raises(ModelError, match=r"runs on CPU, expected CUDA; this ONNX Runtime has"):
        open_estimator(config(model, provider="cuda"))


def test_a_size_that_is_set_must_be_the_models(tmp_path):
    model = scene.one_stage(tmp_path / "one.onnx")
    with pytest.raises(ModelError, match=r"takes 160 x 160 px, expected what is set, 640 x 640"):
        open_estimator(config(model, pose_size_px=(640, 640)))
