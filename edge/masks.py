"""Observed and in use: the two masks, from device samples, live and in training alike.

SigFormer builds its mask from device states: M[t, e] = 1 iff device e is in use at step t
(arXiv 2311.17428, equations 5 and 6 as far as public). Here "in use" is an interval
[on, off) that touches the step; "observed" says that the device was heard of lately, so that
a silent device is told from an idle one.
"""

import numpy as np

from sensor_adapters.samples import Bools, Floats, Int64s


def intervals(time_us: Int64s, value: Floats, kind: str, hold_us: int) -> Int64s:
    """Return (I, 2) stretches [on, off) in which a device is in use.

    An event lasts ``hold_us``; a level lasts until it is taken back, for ever if never. ``value``
    is (N,): 1 for on or happened, 0 for off or a heartbeat; ``time_us`` (N,) is sorted.

    >>> t = np.array([0, 10, 20]); on = np.array([0, 1, 0], np.float32)
    >>> intervals(t, on, "level", 0).tolist()
    [[10, 20]]
    >>> intervals(t, on, "event", 3).tolist()
    [[10, 13]]
    """
    on = value == 1
    if kind == "event":
        start = time_us[on]
        return np.stack([start, start + max(hold_us, 1)], axis=1)
    before = np.concatenate([[False], on[:-1]])
    start, end = time_us[on & ~before], time_us[~on & before]
    for_ever = np.full(len(start) - len(end), np.iinfo(np.int64).max)
    return np.stack([start, np.concatenate([end, for_ever])], axis=1)


def touched(stretches: Int64s, first_step: int, steps: int, step_us: int) -> Bools:
    """Return (T,): does any [on, off) stretch share time with step ``first_step + t``?"""
    mask = np.zeros(steps, np.bool_)
    first = stretches[:, 0] // step_us - first_step
    last = -(-stretches[:, 1] // step_us) - first_step  # exclusive, rounded up
    for lo, hi in zip(first.clip(0, steps), last.clip(0, steps), strict=True):
        mask[lo:hi] = True
    return mask


def heard(time_us: Int64s, first_step: int, steps: int, step_us: int, silence_us: int) -> Bools:
    """Return (T,): was the device heard of within ``silence_us`` before the step's end?"""
    end_us = (first_step + 1 + np.arange(steps)) * step_us  # (T,)
    newest = np.searchsorted(time_us, end_us) - 1  # (T,) index of the last one before the end
    padded = np.concatenate([time_us, [np.iinfo(np.int64).min // 2]])  # -1 picks "never"
    return np.asarray(end_us - padded[newest] <= silence_us)
