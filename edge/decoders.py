"""Decoders of one level: probabilities by step in, one label a step out, some steps later."""

from collections.abc import Callable
from typing import Protocol

from edge.bundle import Decoder
from edge.filters import Hysteresis, Mode
from edge.viterbi import Viterbi
from sensor_adapters.samples import Floats


class Decoding(Protocol):
    """Commits one label a step, in order, some steps later."""

    @property
    def provisional(self) -> int:
        """The best label of the newest step, open to revision."""

    def listen(self, spec: Decoder) -> None:
        """Take the steps to come as another model's, of the same labels."""

    def update(self, probabilities: Floats | None, boundary: float | None = None) -> list[int]:
        """Take the next step; return the labels committed by it, in order."""

    def finish(self) -> list[int]:
        """Return the labels of all steps not yet committed; start anew."""


def decoding_of(spec: Decoder) -> Decoding:
    """Return the decoder that a bundle asks for."""
    kinds: dict[str, Callable[[Decoder], Decoding]] = {
        "viterbi": Viterbi, "mode": Mode, "hysteresis": Hysteresis,
    }  # fmt: skip
    return kinds[spec.kind](spec)
