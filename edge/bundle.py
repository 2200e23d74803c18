"""A model bundle: what the trainer hands to the board, as a folder of plain files.

``manifest.json``, ``model.tflite`` and/or ``model.onnx``, ``reference.npz`` (a few steps of
inputs and the outputs they must give). Every file's SHA-256 stands in the manifest; nothing is
executable, nothing is a pickle.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
REFERENCE = "reference.npz"
MODEL_FILES = {"litert": "model.tflite", "onnx": "model.onnx"}

Arrays = dict[str, npt.NDArray[np.float32]]


class BundleError(Exception):
    """A bundle can not be used; the text names folder, found and expected."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown keys are errors: a bundle of a newer format must not be half understood."""


class Input(_Strict, frozen=True, kw_only=True):
    """One block of sampled channels, all at one rate."""

    name: str
    """The model's tensor; ``<name>_observed`` goes with it."""
    rate_hz: int
    """Rows a second; a step has ``rate_hz * step_us / 1e6`` rows."""
    channels: tuple[str, ...]
    """(C,) ``placement.channel``, as ``right_wrist.acc_x``."""
    units: tuple[str, ...]
    """(C,) the unit each channel must come in."""
    mean: tuple[float, ...]
    """(C,) over the observed training rows, in the channels' units."""
    std: tuple[float, ...]
    """(C,) likewise, above 0."""
    max_gap_us: int
    """A reading stands for itself at most this long; then the channel is not observed."""


class MaskDevice(_Strict, frozen=True, kw_only=True):
    """One device whose use the model is told."""

    placement: str
    """``scanner``, ``pir_kitchen``."""
    kind: str
    """``level`` or ``event``, as the device's stream."""
    hold_us: int
    """How long an event counts as use; for levels 0."""
    max_silence_us: int
    """Unheard of for longer, it is not observed."""


class Level(_Strict, frozen=True, kw_only=True):
    """One level of labels; the first is the coarsest."""

    name: str
    """``operation``, ``action``, ``activity``."""
    labels: tuple[str, ...]
    """(K,) in the order of the model's outputs."""
    parents: tuple[str, ...] = ()
    """(K,) label of the level above each belongs to; empty for the first level."""


MOST_LAG = 1000
"""Steps that a decoder may wait."""
MOST_STATES = 2000
WEIGHTS = {
    "smoothing": 0.999, "begin": 1.0, "keep": 1.0, "parent_weight": 10.0, "prior_weight": 10.0,
    "evidence_weight": 100.0, "boundary_weight": 10.0,
}  # fmt: skip
"""The most that a decoder's settings may be; the least is 0."""
MOST_SHORTEST = 20
"""Steps a label can be made to last at least; each is a state of the decoder."""


class Decoder(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of the decoder of one level (``edge.viterbi``, ``edge.filters``)."""

    level: str
    log_transition: tuple[tuple[float, ...], ...]
    """(K, K) log probability of label j at a step after label i."""
    log_prior: tuple[float, ...]
    """(K,) log share of each label in training; taken from the model's log probabilities."""
    prior_weight: float
    """0 leaves the model's probabilities, 1 divides by the prior."""
    evidence_weight: float
    """How much one step's evidence counts beside a transition; below 1 smooths."""
    lag_steps: int
    """A step's label is committed at most this many steps later."""
    kind: Literal["viterbi", "mode", "hysteresis"] = "viterbi"
    shortest_steps: tuple[int, ...] = ()
    """(K,) steps that a label lasts at least; empty: 1."""
    boundary_weight: float = 0.0
    """How much the model's boundary counts where a label changes."""
    parent_weight: float = 0.0
    """How much the level above counts beside this one; above 0 that level's label is the parent of
    this one's, and its own decoder is not used."""
    window_steps: int = 1
    """Of the mode, an odd number; half of them come after the step."""
    smoothing: float = 0.0
    """Of hysteresis: share of what was that stays at each step."""
    begin: float = 0.5
    """Of hysteresis: probability from which a new label may begin."""
    keep: float = 0.5
    """Of hysteresis: probability below which the old one ends."""


class Quantization(_Strict, frozen=True, kw_only=True):
    """How the weights were made small, and what it cost."""

    scheme: str
    """``float32``, ``float16``, ``int8-dynamic``, ``int8-static``."""
    tolerance: float
    """Largest difference from ``reference.npz`` that the engine accepts."""


ALIVE = "alive"
"""Name of the scores by what lives: ``imu+camera``, macro-F1 of the first level on validation."""
ARGMAX = "argmax_macro_f1"
"""Name of the validation score that is this figure with everything alive."""


class Manifest(_Strict, frozen=True, kw_only=True):
    """Everything the board must know of a model."""

    format_version: int
    name: str
    """``imu``; unique on a board."""
    modality: tuple[str, ...]
    """Of ``imu``, ``camera``, ``iot``: what must be alive for this model."""
    step_us: int
    inputs: tuple[Input, ...]
    devices: tuple[MaskDevice, ...]
    levels: tuple[Level, ...]
    decoders: tuple[Decoder, ...]
    """One a level, same order."""
    state_size: int
    """S of the (B, S) state that goes in and comes out; zeros at the start."""
    tensor_inputs: tuple[str, ...]
    """The model's inputs, in order, ``state`` last."""
    tensor_outputs: tuple[str, ...]
    """The model's outputs, in order, ``state`` last."""
    delay_steps: int
    """The model's answer at a step speaks of the step this many earlier: it waits, to see more."""
    reset_after_us: int
    """Nothing observed for this long: the state starts anew and open segments end."""
    quantization: dict[str, Quantization]
    """By engine: ``litert``, ``onnx``."""
    scores: dict[str, dict[str, float]]
    """Measured on: metric: figure."""
    recipe: dict[str, str | int | float | bool]
    """How it was trained."""
    data_license: str
    git_revision: str
    sha256: dict[str, str]
    """Of every other file of the folder."""
    seal: str
    """SHA-256 of this manifest with an empty seal."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What may live or die by itself: the inputs by name, and ``iot``, the devices."""
        return (*(block.name for block in self.inputs), *(("iot",) if self.devices else ()))

    @property
    def worth(self) -> dict[frozenset[str], float]:
        """Validation figure by which ``kinds`` live; empty where it was not measured."""
        said = self.scores.get(ALIVE, {})
        if not said and len(self.kinds) == 1 and ARGMAX in self.scores.get("validation", {}):
            return {frozenset(self.kinds): self.scores["validation"][ARGMAX]}
        return {frozenset(names.split("+")): figure for names, figure in said.items()}


@dataclass(frozen=True)
class Bundle:
    """A folder whose every byte was checked against its manifest."""

    folder: Path
    manifest: Manifest
    text: bytes = b""
    """The manifest as it was read; the file may be another's by now."""

    @property
    def sha256(self) -> str:
        """Of the manifest, which holds the hashes of all other files."""
        return hashlib.sha256(self.text).hexdigest()

    def model_file(self, engine: str) -> Path | None:
        """Return the model for an engine, or None where the bundle has none."""
        name = MODEL_FILES[engine]
        return self.folder / name if name in self.manifest.sha256 else None

    def reference(self) -> Arrays:
        """Return ``in.<tensor>`` and ``out.<tensor>`` arrays, first axis the step.

        Raises:
            BundleError: it is no such file, or lacks a tensor.
        """
        path = self.folder / REFERENCE
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: {error}, expected arrays of numbers") from error
        wanted = [f"in.{name}" for name in self.manifest.tensor_inputs]
        wanted += [f"out.{name}" for name in self.manifest.tensor_outputs]
        if missing := sorted(set(wanted) - set(found)):
            raise BundleError(f"{path}: found no {missing[0]}, expected it for every tensor")
        return found


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sealed(manifest: Manifest) -> str:
    """Return the seal that belongs on a manifest."""
    return hashlib.sha256(
        msgspec.json.encode(msgspec.structs.replace(manifest, seal=""))
    ).hexdigest()


def load(folder: Path) -> Bundle:
    """Return the bundle in ``folder``, every file's hash checked.

    Files that the manifest does not list are left alone.

    Raises:
        BundleError: no folder, no or an unreadable manifest, another format version, a file
            missing or changed, or shapes that contradict each other.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: found no {MANIFEST}, expected a model bundle's folder")
    try:
        text = path.read_bytes()
        manifest = msgspec.json.decode(text, type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{path}: {error}, expected a manifest as export writes it") from error
    if manifest.format_version != FORMAT_VERSION:
        raise BundleError(
            f"{path}: format_version is {manifest.format_version}, expected {FORMAT_VERSION}"
        )
    if (found := sealed(manifest)) != manifest.seal:
        raise BundleError(
            f"{path}: seal is {manifest.seal[:12]}…, expected {found[:12]}…: the manifest was"
            " changed after export; copy the bundle again"
        )
    for name, expected in manifest.sha256.items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise BundleError(f"{folder}: {name} is missing, expected as the manifest lists it")
        if (found := sha256(file)) != expected:
            raise BundleError(
                f"{file}: SHA-256 is {found[:12]}…, expected {expected[:12]}…: the file was"
                " changed after export; copy the bundle again"
            )
    _check_shapes(path, manifest)
    return Bundle(folder, manifest, text)


def _check_shapes(path: Path, manifest: Manifest) -> None:
    """Refuse a manifest whose parts contradict each other."""

    def need(what: str, found: object, expected: object) -> None:
        if found != expected:
            raise BundleError(f"{path}: {what} is {found}, expected {expected}")

    need("presence of reference.npz", REFERENCE in manifest.sha256, True)
    models = [engine for engine, name in MODEL_FILES.items() if name in manifest.sha256]
    need("presence of a model", bool(models), True)
    need("quantization", sorted(manifest.quantization), sorted(models))
    for block in manifest.inputs:
        count = len(block.channels)
        for field in ("units", "mean", "std"):
            need(f"inputs.{block.name}.{field} length", len(getattr(block, field)), count)
        need(f"inputs.{block.name} rows a step", block.rate_hz * manifest.step_us % 1_000_000, 0)
        need(f"inputs.{block.name}.std above 0", all(s > 0 for s in block.std), True)
    need("decoders", [d.level for d in manifest.decoders], [v.name for v in manifest.levels])
    for level, decoder in zip(manifest.levels, manifest.decoders, strict=True):
        k = len(level.labels)
        need(f"{level.name} log_prior length", len(decoder.log_prior), k)
        rows = [len(row) for row in decoder.log_transition]
        need(f"{level.name} log_transition shape", rows, [k] * k)
        need(f"{level.name} shortest_steps length", len(decoder.shortest_steps) or k, k)
        _check_bounds(path, decoder)
    for upper, level, decoder in zip(
        manifest.levels, manifest.levels[1:], manifest.decoders[1:], strict=False
    ):
        if decoder.parent_weight:
            need(f"parents of {level.name}", sorted(set(level.parents)), sorted(upper.labels))
            need(f"{level.name} parents length", len(level.parents), len(level.labels))
    expected = [n for block in manifest.inputs for n in (block.name, f"{block.name}_observed")]
    expected += ["in_use", "in_use_observed"] if manifest.devices else []
    need("tensor_inputs", list(manifest.tensor_inputs), [*expected, "state"])
    outputs = [f"p_{level.name}" for level in manifest.levels]
    need("tensor_outputs", list(manifest.tensor_outputs), [*outputs, "boundary", "state"])


def _check_bounds(path: Path, decoder: Decoder) -> None:
    """Refuse settings of a decoder that a board could not live with."""
    shortest = decoder.shortest_steps or (1,)
    found = [
        ("shortest_steps", min(shortest), 1, MOST_SHORTEST),
        ("shortest_steps", max(shortest), 1, MOST_SHORTEST),
        ("shortest_steps in all", sum(shortest), 1, MOST_STATES),
        ("window_steps", decoder.window_steps, 1, MOST_LAG),
        ("lag_steps", decoder.lag_steps, 0, MOST_LAG),
        *((name, getattr(decoder, name), 0, most) for name, most in WEIGHTS.items()),
    ]
    for name, value, least, most in found:
        if not least <= value <= most:
            raise BundleError(
                f"{path}: {decoder.level} {name} is {value}, expected {least} to {most:g}"
            )
    if decoder.window_steps % 2 == 0:
        raise BundleError(
            f"{path}: {decoder.level} window_steps is {decoder.window_steps}, expected an odd one"
        )


def write(folder: Path, manifest: Manifest) -> Bundle:
    """Write the manifest over the files already in ``folder``, their hashes filled in.

    A signature of the manifest that was there before is none of this one.
    """
    files = sorted(p for p in folder.iterdir() if not p.name.startswith(MANIFEST))
    manifest = msgspec.structs.replace(manifest, sha256={p.name: sha256(p) for p in files})
    manifest = msgspec.structs.replace(manifest, seal=sealed(manifest))
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    (folder / MANIFEST).write_bytes(text + b"\n")
    return load(folder)
