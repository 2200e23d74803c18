"""Weights from elsewhere into a student: what fits is taken, and what was not is said."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from trainer.student import Student

PARTS = ("encoders", "fuse", "gru")
"""What of a student may start from elsewhere, in the order in which a step passes it. What is said
of labels may not: it belongs to one data set."""


class StartError(Exception):
    """A file holds nothing that a student can start from; the text names it."""


@dataclass(frozen=True)
class Taken:
    """What became of the parts of a file."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    """Each with its reason."""


@dataclass(frozen=True)
class Start:
    """Weights to begin with."""

    source: str
    sha256: str
    data_license: str
    """Of what they were learnt from."""
    weights: dict[str, Tensor]

    def into(self, student: Student) -> Taken:
        """Copy into a student the parts that fit it whole, and return which.

        An encoder is taken by its input's name; the recurrent layers only with ``fuse``, whose
        features they read.

        Raises:
            StartError: nothing fits.
        """
        mine = student.state_dict()
        taken: list[str] = []
        left: list[str] = []
        for part in _parts(self.weights):
            theirs = {n: w for n, w in self.weights.items() if n.startswith(f"{part}.")}
            if reason := _misfit(theirs, mine, part):
                left.append(f"{part} ({reason})")
            elif part == "gru" and "fuse" not in taken:
                left.append("gru (reads what fuse makes)")
            else:
                taken.append(part)
                for name, weight in theirs.items():
                    mine[name].copy_(weight)
        if not taken:
            what = "; ".join(left) or "no encoder, fuse or gru"
            raise StartError(f"{self.source}: found {what}, expected a part that fits the student")
        return Taken(tuple(taken), tuple(left))


def read(file: Path) -> Start:
    """Return the weights in a file that ``pretrain`` or ``fit`` wrote.

    Raises:
        StartError: it is not there, or holds no weights, or such that are no numbers.
    """
    try:
        data = file.read_bytes()
        weights = dict(sorted(load(data).items()))  # it returns them in any order
    except (OSError, SafetensorError) as error:
        raise StartError(f"{file}: {error}, expected weights that `pretrain` wrote") from error
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise StartError(f"{file}: found {name} with values that are no numbers")
    return Start(str(file), hashlib.sha256(data).hexdigest(), _license(file), weights)


def _license(file: Path) -> str:
    """Return what stands beside the file of ``pretrain``, or of ``fit``, about its data."""
    for beside in (file.with_suffix(".json"), file.with_name("draft.json")):
        try:
            said = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and said.get("data_license"):
            return str(said["data_license"])
    return "data not stated"


def _parts(weights: dict[str, Tensor]) -> list[str]:
    """Return the parts of a file, ``encoders.imu`` and the like, in the order of ``PARTS``."""
    found = []
    for kind in PARTS:
        for name in weights:
            words = name.split(".")
            part = ".".join(words[:2]) if kind == "encoders" else kind
            if words[0] == kind and part not in found:
                found.append(part)
    return found


def _misfit(theirs: dict[str, Tensor], mine: dict[str, Tensor], part: str) -> str:
    """Return why a part does not fit; nothing where it does."""
    own = {name: weight for name, weight in mine.items() if name.startswith(f"{part}.")}
    if not own:
        return "the student has none"
    for name, weight in theirs.items():
        if name not in own:
            return f"{name} is none of the student's"
        if weight.shape != own[name].shape:
            sizes = ("×".join(map(str, w.shape)) for w in (weight, own[name]))
            return "{} is {}, the student's {}".format(name, *sizes)
    return f"{sorted(own.keys() - theirs.keys())[0]} is missing" if len(own) > len(theirs) else ""
