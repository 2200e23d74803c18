"""Ways to make segments of the same probabilities, each at its best on validation.

Arg-max as it comes, thresholds, the mode of some steps, and Viterbi at several lags.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import msgspec

from edge.bundle import Decoder, Level
from trainer import decoding
from trainer.datasets import Examples
from trainer.decoding import Quality, Said

LAGS_S = (0, 1, 2, 5, 10)
WINDOWS_S = (3, 5, 9, 15, 21)
"""Of the mode."""
SMOOTHING = (0.0, 0.5, 0.75, 0.9)
THRESHOLDS = ((0.5, 0.5), (0.4, 0.4), (0.3, 0.5), (0.6, 0.3))
"""Of hysteresis: to begin, to keep."""
BACK_S = 5
"""How far hysteresis may date a change back."""
GOOD_ENOUGH = 0.005
"""Quality that a shorter delay is worth."""


def ways(
    level: Level, step_us: int, train: Sequence[Examples], validation: Sequence[Examples],
    said: Sequence[Said],
) -> Mapping[str, tuple[Decoder, Quality]]:  # fmt: skip
    """Return the best decoder of each way, and how good its segments are on validation."""
    base = decoding.counted(level, train, 0)

    def steps(seconds: float) -> int:
        return decoding.lag_of(step_us, seconds)

    def judge(spec: Decoder) -> Quality:
        found = [decoding.decoded(spec, one) for one in said]
        return decoding.quality(level, validation, found)

    def best(specs: Sequence[Decoder]) -> tuple[Decoder, Quality]:
        return decoding.best_of(specs, judge)

    mode = msgspec.structs.replace(base, kind="mode", lag_steps=0)
    hysteresis = msgspec.structs.replace(base, kind="hysteresis", lag_steps=steps(BACK_S))
    found = {
        "arg-max": best([mode]),
        "hysteresis": best(
            [
                msgspec.structs.replace(hysteresis, smoothing=share, begin=begin, keep=keep)
                for share, (begin, keep) in product(SMOOTHING, THRESHOLDS)
            ]
        ),
        "mode": best(
            [
                msgspec.structs.replace(mode, window_steps=window, lag_steps=window // 2)
                for window in (steps(s) // 2 * 2 + 1 for s in WINDOWS_S)
            ]
        ),
    }
    for lag in LAGS_S:
        found[f"viterbi {lag} s"] = decoding.chosen(level, train, validation, said, steps(lag))
    return found


def winner(found: Mapping[str, tuple[Decoder, Quality]]) -> str:
    """Return the way to choose: of those within ``GOOD_ENOUGH`` of the best the soonest."""
    most = max(quality.mean for _, quality in found.values())
    near = [name for name, (_, q) in found.items() if q.mean >= most - GOOD_ENOUGH]
    return min(near, key=lambda name: (found[name][0].lag_steps, -found[name][1].mean))
