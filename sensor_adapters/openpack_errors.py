"""OpenPack recordings known to be wrong, and what the reader does about each.

From the data set's documentation of v1.0.0 and from what its users found. An error is either
``applied`` (the reader mends it, and says so) or ``flagged`` (it is only told, because how to mend
it is not published; see ``KnownError.remedy``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sensor_adapters.recording import TrueSegment
from sensor_adapters.samples import Samples

Kind = Literal[
    "reversed", "swapped", "boxes lost", "wrong rows", "wrong stamps", "not recorded",
    "label missing", "unclear",
]  # fmt: skip

_REMEDIES: dict[Kind, tuple[bool, str]] = {
    "reversed": (
        False,
        "about which axis is not published, so nothing is turned: leave the device out, or turn"
        " it yourself",
    ),
    "swapped": (True, "swapped back"),
    "boxes lost": (True, "the devices' readings in those boxes, if any, count as not observed"),
    "wrong rows": (True, "dropped"),
    "wrong stamps": (True, "every split leaves the session out"),
    "not recorded": (False, "the device counts as not observed"),
    "label missing": (False, "that second is not scored"),
    "unclear": (False, "check before use"),
}
"""Kind to whether it is mended, and how."""


@dataclass(frozen=True)
class KnownError:
    """One thing known to be wrong with one session."""

    kind: Kind
    text: str
    """What is wrong, in words."""
    devices: tuple[str, ...] = ()
    """Ids as the reader gives them; none where it concerns the session or its labels."""
    boxes: tuple[int, int] | None = None
    """First and last box that it concerns; None for the whole session."""
    rows: int = 0
    """How many first rows of the devices' files are wrong."""

    @property
    def is_applied(self) -> bool:
        """Whether the reader, or every split, mends it; otherwise it is only told."""
        return _REMEDIES[self.kind][0]

    @property
    def remedy(self) -> str:
        """What is done about it, in words."""
        return _REMEDIES[self.kind][1]

    def told(self) -> str:
        """Return a line for people.

        >>> KNOWN_ERRORS["U0104", "S0200"][0].told()
        'atr03 and atr04 are swapped (applied: swapped back)'
        """
        return f"{self.text} ({'applied' if self.is_applied else 'flagged'}: {self.remedy})"


ATRS = ("atr01", "atr02", "atr03", "atr04")


def _reversed(*devices: str) -> tuple[KnownError, ...]:
    return tuple(KnownError("reversed", f"{d} is worn reversed", (d,)) for d in devices)


def _one(
    kind: Kind, text: str, devices: tuple[str, ...] = (), boxes: tuple[int, int] | None = None,
    rows: int = 0,
) -> tuple[KnownError, ...]:  # fmt: skip
    return (KnownError(kind, text, devices, boxes, rows),)


_SWAPPED = _one("swapped", "atr03 and atr04 are swapped", ("atr03", "atr04"))

KNOWN_ERRORS: dict[tuple[str, str], tuple[KnownError, ...]] = {
    ("U0101", "S0500"): _one(
        "wrong rows", "the first row of atr01 has a wrong stamp", ("atr01",), rows=1
    ),
    ("U0103", "S0100"): _one("boxes lost", "boxes 1 to 10 have no ATR readings", ATRS, (1, 10)),
    ("U0103", "S0300"): _reversed("atr03"),
    ("U0103", "S0400"): _reversed("atr03"),
    ("U0104", "S0200"): _SWAPPED,
    ("U0104", "S0400"): _SWAPPED,
    ("U0107", "S0300"): _one(
        "boxes lost", "boxes 10 to 20 have no key points", ("kinect",), (10, 20)
    ),
    ("U0107", "S0400"): _reversed("atr01", "atr03"),
    ("U0108", "S0400"): _one("wrong stamps", "the stamps are wrong"),
    ("U0109", "S0100"): _one(
        "boxes lost", "boxes 17 to 20 are missing",
        (*ATRS, "e401", "e402", "kinect", "scanner", "printer"), (17, 20),
    ),
    ("U0202", "S0300"): _one(
        "unclear", "predictions and labels were found to differ in length"
    ),
    ("U0203", "S0100"): _one("label missing", "the labels lack the second 1646788845000 ms"),
    ("U0203", "S0400"): _one("not recorded", "e401 was not recorded", ("e401",)),
    ("U0204", "S0100"): _reversed("atr02"),
    ("U0204", "S0500"): _reversed("atr02"),
    ("U0207", "S0100"): _reversed("atr02"),
    ("U0207", "S0200"): _reversed("atr03"),
    ("U0209", "S0400"): _reversed("atr03"),
    ("U0209", "S0500"): _reversed("atr03"),
}  # fmt: skip
"""(user, session) to all that its publishers or users found; nothing is known of the others."""


def errors_of(user: str, session: str) -> tuple[KnownError, ...]:
    """Return what is known to be wrong with a session, nothing for most.

    >>> [e.kind for e in errors_of("U0207", "S0200")], errors_of("U0102", "S0100")
    (['reversed'], ())
    """
    return KNOWN_ERRORS.get((user, session), ())


def is_unfit(user: str, session: str) -> bool:
    """Return whether a session may be in no split at all: its stamps are wrong.

    >>> is_unfit("U0108", "S0400"), is_unfit("U0108", "S0300")
    (True, False)
    """
    return any(e.kind == "wrong stamps" for e in errors_of(user, session))


def wrong_rows(errors: Iterable[KnownError], device: str) -> int:
    """Return how many first rows of a device's file are to be dropped."""
    return sum(e.rows for e in errors if e.kind == "wrong rows" and device in e.devices)


def swapped_back(errors: Iterable[KnownError], samples: Sequence[Samples]) -> list[Samples]:
    """Return the samples under the ids of the devices that really gave them, in order of id."""
    names = {s.device: s.device for s in samples}
    for error in errors:
        if error.kind == "swapped":
            one, other = error.devices
            names |= {one: other, other: one}
    order = [s.device for s in samples]
    renamed = [replace(s, device=names[s.device]) for s in samples]
    return sorted(renamed, key=lambda s: order.index(s.device) if s.device in order else len(order))


def without_lost_boxes(
    errors: Iterable[KnownError], samples: Sequence[Samples], truth: Iterable[TrueSegment]
) -> list[Samples]:
    """Return the samples without the readings of devices in boxes that they did not record.

    A box lasts from its first operation to its last. Lost boxes that are not annotated either
    leave nothing to do.
    """
    spans = [
        (t.box, t.start_us, t.end_us) for t in truth if t.level == "operation" and t.box is not None
    ]
    kept = list(samples)
    for error in errors:
        if error.kind != "boxes lost" or error.boxes is None:
            continue
        first, last = error.boxes
        lost = [(start, end) for box, start, end in spans if first <= box <= last]
        if lost:
            start_us, end_us = min(s for s, _ in lost), max(e for _, e in lost)
            kept = [_outside(s, start_us, end_us) if s.device in error.devices else s for s in kept]
    return kept


def _outside(samples: Samples, start_us: int, end_us: int) -> Samples:
    lo, hi = np.searchsorted(samples.time_us, [start_us, end_us])
    if lo == hi:
        return samples
    keep = np.ones(len(samples), np.bool_)
    keep[lo:hi] = False
    return replace(samples, time_us=samples.time_us[keep], values=samples.values[keep])
