"""What stands in a write-ahead log, as far as SQLite would leave out what is broken in silence.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from dataclasses import dataclass
from pathlib import Path

HEADER, FRAME_HEADER = 32, 24
MAGIC = (0x377F0682, 0x377F0683)  # of sums over little and big words


@dataclass(frozen=True)
class Survey:
    """What a write-ahead log holds; all zero for one that is empty."""

    is_header_sound: bool = True
    """Else SQLite takes the whole file for empty."""
    frames: int = 0
    """Pages since it was last begun anew, by their headers, up to the first foreign one."""
    commits: tuple[int, ...] = ()
    """After how many frames each of its transactions ends."""


def survey(path: Path) -> Survey:
    """Return what the write-ahead log at ``path`` says it holds; its sums are not computed."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return Survey()
    with file:
        header = file.read(HEADER)
        if not header:
            return Survey()
        if not _is_sound(header):
            return Survey(is_header_sound=False)
        page_bytes = struct.unpack(">I", header[8:12])[0]
        frames, commits = 0, []
        while len(frame := file.read(FRAME_HEADER)) == FRAME_HEADER:
            number, size, salts = struct.unpack(">II8s", frame[:16])
            if salts != header[16:24] or not number:
                break
            frames += 1
            if size:
                commits.append(frames)
            file.seek(page_bytes, 1)
    return Survey(True, frames, tuple(commits))


def _is_sound(header: bytes) -> bool:
    """Is it the header of a write-ahead log, with its sum right?"""
    if len(header) < HEADER:
        return False
    magic, version = struct.unpack(">II", header[:8])
    if magic not in MAGIC or version != 3007000:
        return False
    words = struct.unpack(">6I" if magic & 1 else "<6I", header[:24])
    first = second = 0
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return (first, second) == struct.unpack(">II", header[24:])
