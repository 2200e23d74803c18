"""From a picture to the people in it, with the user's model: in one stage, or box by box."""

from pathlib import Path
from typing import Protocol

import numpy as np

from sensor_adapters.cameras import pose_outputs as outputs
from sensor_adapters.cameras.config import ModelConfig
from sensor_adapters.cameras.pose_model import Arrays, ModelError, PoseModel, Shape
from sensor_adapters.cameras.pose_outputs import Sighting
from sensor_adapters.cameras.video import Image, cut_out, letterboxed
from sensor_adapters.samples import Floats


class Estimator(Protocol):
    """Finds people."""

    name: str
    """What runs it, for people: ``onnx (CPU)``."""
    models: tuple[PoseModel, ...]

    def people(self, image: Image) -> list[Sighting]:
        """Return the people in a picture, best first.

        Raises:
            NotNumbers: the model answered with what is no number.
            ModelError: it failed, or answered in another shape than it said.
        """


class OneStage:
    """A model that finds people and their key points at once."""

    def __init__(self, model: PoseModel, config: ModelConfig) -> None:
        self._model, self._config = model, config
        self.name = model.name
        self.models: tuple[PoseModel, ...] = (model,)

    def people(self, image: Image) -> list[Sighting]:
        """Return the people in a picture."""
        picture, ratio = letterboxed(image, self._model.width_px, self._model.height_px)
        answers = checked(self._model, as_input(picture), outputs.ONE_STAGE)
        config = self._config
        return outputs.one_stage(
            answers, ratio, config.least_score, config.most_overlap, config.most_people
        )


class TopDown:
    """A model that finds people's boxes, and one that finds the key points in each."""

    def __init__(self, detector: PoseModel, model: PoseModel, config: ModelConfig) -> None:
        self._detector, self._model, self._config = detector, model, config
        self.name = model.name
        self.models: tuple[PoseModel, ...] = (detector, model)

    def people(self, image: Image) -> list[Sighting]:
        """Return the people in a picture."""
        detector, model, config = self._detector, self._model, self._config
        picture, ratio = letterboxed(image, detector.width_px, detector.height_px)
        found = checked(detector, as_input(picture), boxes_of(detector))
        boxes, _ = outputs.chosen(
            found, config.least_score, config.most_overlap, config.most_people
        )
        if not len(boxes):
            return []
        boxes = boxes / ratio
        centres, sizes = outputs.parts(boxes, model.width_px, model.height_px)
        seen = np.stack([
            outputs.normalised(cut_out(image, centre, size, model.width_px, model.height_px))
            for centre, size in zip(centres, sizes, strict=True)
        ])  # fmt: skip
        step = len(seen) if model.batch is None else 1
        points = [
            outputs.simcc(
                checked(model, seen[i : i + step], outputs.SIMCC),
                centres[i : i + step], sizes[i : i + step],
            )
            for i in range(0, len(seen), step)
        ]  # fmt: skip
        return outputs.sightings(boxes, np.concatenate(points))


def as_input(picture: Image) -> Floats:
    """Return a picture (H, W, 3) as a model takes it, (1, 3, H, W) of 0 to 255."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def boxes_of(detector: PoseModel) -> dict[str, Shape]:
    """Return what a detector of persons shall answer."""
    return outputs.LABELLED if "labels" in detector.outputs else outputs.BOXES


def checked(model: PoseModel, images: Floats, expected: dict[str, Shape]) -> Arrays:
    """Return what a model answers.

    Raises:
        ModelError: it answers in another shape.
    """
    answers = model.run(images)
    if not outputs.fits(found := outputs.shapes(answers), expected):
        raise ModelError(
            f"{model.file}: answers {outputs.in_words(found)}, expected"
            f" {outputs.in_words(expected)}"
        )
    return answers


def open_estimator(config: ModelConfig) -> Estimator:
    """Return the user's model, tried once.

    Raises:
        ModelError: it can not be loaded, has other outputs than those that ``pose_outputs``
            knows, or a detector lacks or is of no use.
    """
    model = PoseModel(Path(config.pose), config.provider, config.threads, config.pose_size_px)
    if outputs.fits(model.outputs, outputs.ONE_STAGE):
        if config.detector:
            raise ModelError(
                f"{model.file}: finds people itself, expected no model.detector beside it"
            )
        checked(model, model.blank(), outputs.ONE_STAGE)
        return OneStage(model, config)
    if not outputs.fits(model.outputs, outputs.SIMCC):
        raise ModelError(
            f"{model.file}: found outputs {outputs.in_words(model.outputs)}, expected"
            f" {outputs.in_words(outputs.ONE_STAGE)} (as RTMO), or"
            f" {outputs.in_words(outputs.SIMCC)} (as RTMPose)"
        )
    if not config.detector:
        raise ModelError(
            f"{model.file}: looks at one person's box, expected model.detector to find the boxes"
        )
    path = Path(config.detector)
    detector = PoseModel(path, config.provider, config.threads, config.detector_size_px)
    if not outputs.fits(detector.outputs, boxes_of(detector)):
        raise ModelError(
            f"{detector.file}: found outputs {outputs.in_words(detector.outputs)}, expected"
            f" {outputs.in_words(outputs.BOXES)}, and labels (?, ?) if it knows more than persons"
        )
    checked(detector, detector.blank(), boxes_of(detector))
    checked(model, model.blank(), outputs.SIMCC)
    return TopDown(detector, model, config)
