"""One door for recorded sessions of every layout: name in, ``Recording`` out."""

import re
from pathlib import Path

from sensor_adapters import openpack, sphere, virtual_station
from sensor_adapters.recording import Recording, RecordingError

EXPECTED = (
    "an OpenPack session (<user folder>/S0500, with :boxes=1-12 for a part of it),"
    " a SPHERE recording (<folder>/00001) or virtual:seed=7,boxes=20"
)
_BOXES = re.compile(r"(\d{1,4})-(\d{1,4})\Z")


def open_recording(name: str) -> Recording:
    """Return the recording that a path, or ``virtual:...``, names; its layout is recognised.

    ``.../U0209/S0500`` is an OpenPack session spread over the user folder ``U0209`` (which
    alone is enough where it holds one session); ``.../U0209/S0500:boxes=16-20`` is its part
    from the first operation of box 16 to the last of box 20. ``.../train/00007`` is a SPHERE
    recording.

    Raises:
        RecordingError: nothing is there, the layout is unknown, or a file is damaged.
    """
    if name.startswith("virtual:"):
        return virtual_station.parse(name)
    text, mark, wanted = name.partition(":boxes=")
    part = _part(name, wanted) if mark else None
    path = Path(text)
    if openpack.recognises(path):
        recording = openpack.read(path)
        return openpack.boxes(recording, *part) if part else recording
    if sphere.recognises(path):
        if part:
            raise RecordingError(f"{name}: SPHERE has no boxes, expected the path alone")
        return sphere.read(path)
    raise RecordingError(f"{text}: {_found(path)}, expected {EXPECTED}")


def _part(name: str, wanted: str) -> tuple[int, int]:
    """Return the first and last box that are asked for behind a path."""
    match = _BOXES.match(wanted)
    if not match or int(match[1]) > int(match[2]):
        raise RecordingError(f"{name}: found boxes {wanted!r}, expected first-last such as 16-20")
    return int(match[1]), int(match[2])


def _found(path: Path) -> str:
    """Return in words what is at a path that no reader recognises."""
    if path.is_file():
        return "is a file"
    if path.is_dir():
        names = sorted(child.name for child in path.iterdir())
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        return f"holds {', '.join(names[:6]) + more if names else 'nothing'}"
    return "does not exist"
