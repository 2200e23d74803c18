"""One door for recorded sessions of every layout: name in, ``Recording`` out."""

import re
from dataclasses import replace
from pathlib import Path

from sensor_adapters import openhab, openpack, own_folder, sphere, virtual_station
from sensor_adapters.recorder import mcap_recording
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.samples import US_PER_S

EXPECTED = (
    "an OpenPack session (<user folder>/S0500, with :boxes=1-12 for a part of it),"
    " a SPHERE recording (<folder>/00001), openHAB's changes (<file>.csv:session=1), a folder with"
    " a recording.toml, recorded messages (<file>.mcap)"
    " or virtual:seed=7,boxes=20"
)
_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})\Z")
_ONE = re.compile(r"(\d{1,4})()\Z")
_PARTS = {"boxes": "16-20", "part": "0-80, in per cent", "session": "2"}
"""What may be asked for of a recording, and an example."""


LAYOUTS = {
    "openpack": "OpenPack", "sphere": "SPHERE", "openhab": "openHAB",
    "own": "a folder of one's own", "mcap": "an MCAP file",
}  # fmt: skip
"""What can be opened: the layout of a recording, and who writes such."""


def open_recording(name: str) -> Recording:
    """Return the recording that a path, or ``virtual:...``, names; its layout is recognised.

    ``.../U0209/S0500`` is an OpenPack session spread over the user folder ``U0209`` (which
    alone is enough where it holds one session); ``.../U0209/S0500:boxes=16-20`` is its part
    from the first operation of box 16 to the last of box 20. ``.../train/00007`` is a SPHERE
    recording, ``.../monday`` with a ``recording.toml`` in it a recording of the user's own,
    ``.../events.csv:session=2`` the second session of what openHAB wrote down,
    ``.../monday.mcap:station=pack-1`` one station of recorded messages.
    ``:part=0-80`` behind any path is the first 80 % of its time.

    Raises:
        RecordingError: nothing is there, the layout is unknown, or a file is damaged.
    """
    if name.startswith("virtual:"):
        return virtual_station.parse(name)
    text, wanted = without_part(name)
    text, station = mcap_recording.without_station(text)
    path = Path(text)
    what, first, last = wanted or ("", 0, 0)
    if openpack.recognises(path):
        recording = openpack.read(path)
    elif sphere.recognises(path):
        recording = sphere.read(path)
    elif openhab.recognises(path):
        recording = openhab.read(path, first if what == "session" else None)
    elif own_folder.recognises(path):
        recording = own_folder.read(path)
    elif mcap_recording.recognises(path):
        recording = mcap_recording.read(path, station)
    else:
        raise RecordingError(f"{text}: {_found(path)}, expected {EXPECTED}")
    if station and recording.layout != "mcap":
        raise RecordingError(f"{name}: {LAYOUTS[recording.layout]} has no stations")
    if {"boxes": "openpack", "session": "openhab"}.get(what, recording.layout) != recording.layout:
        raise RecordingError(
            f"{name}: {LAYOUTS[recording.layout]} has no {what}, expected the path alone or :part="
        )
    if what == "boxes":
        return openpack.boxes(recording, first, last)
    return share(recording, first, last) if what == "part" else recording


def share(recording: Recording, first: int, last: int) -> Recording:
    """Return the part between two shares of a recording's time, per cent, cut at whole seconds."""
    start_us, end_us = recording.span_us()
    seconds = end_us // US_PER_S + 1 - start_us // US_PER_S
    cuts = [(start_us // US_PER_S + seconds * p // 100) * US_PER_S for p in (first, last)]
    part = recording.between(*cuts)
    return replace(part, name=f"{recording.name}-part{first}-{last}")


def without_part(name: str) -> tuple[str, tuple[str, int, int] | None]:
    """Return the path of a name, and which part of it is asked for: what, first, last.

    >>> without_part("U0209/S0500:boxes=16-20"), without_part("monday")
    (('U0209/S0500', ('boxes', 16, 20)), ('monday', None))

    Raises:
        RecordingError: behind the mark stands no range.
    """
    for what, example in _PARTS.items():
        text, mark, wanted = name.partition(f":{what}=")
        if not mark:
            continue
        match = (_ONE if what == "session" else _RANGE).match(wanted)
        first, last = (int(n or match[1]) for n in match.groups()) if match else (1, 0)
        if first > last or (what == "part" and not first < last <= 100):
            kind = "a number" if what == "session" else "first-last"
            raise RecordingError(
                f"{name}: found {what} {wanted!r}, expected {kind} such as {example}"
            )
        return text, (what, first, last)
    return name, None


def _found(path: Path) -> str:
    """Return in words what is at a path that no reader recognises."""
    if path.is_file():
        return "is a file"
    if path.is_dir():
        names = sorted(child.name for child in path.iterdir())
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        return f"holds {', '.join(names[:6]) + more if names else 'nothing'}"
    return "does not exist"
