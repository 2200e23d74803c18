"""Where in a TOML file a key stands: a small scan, for error messages. No parser."""

import re

_BARE = r'[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|\'[^\']*\''
_PATH = rf"(?:{_BARE})(?:\s*\.\s*(?:{_BARE}))*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_PATH})\s*\]")
_KEY = re.compile(rf"\s*({_PATH})\s*=")


def line_of(text: str, key: str) -> int | None:
    r"""Return the line, from 1, of a dotted key, or of what holds it; None where nothing does.

    >>> line_of('site = "a"\n[log]\npath = "x"', "log.path")
    3
    >>> line_of('site = "a"\n[log]\npath = "x"', "log.checkpoint_s")
    2
    """
    found, length = None, 0
    for number, where in _places(text):
        holds = key == where or key.startswith(f"{where}.")
        if holds and len(where) > length:
            found, length = number, len(where)
        within = where.startswith(f"{key}.")  # a table that is only ever named by its parts
        if within and found is None:
            found = number
    return found


def _places(text: str) -> list[tuple[int, str]]:
    """Return every line that begins a table or a key, with its dotted name."""
    found, table, counts, quotes = [], "", dict[str, int](), ""
    for number, line in enumerate(text.splitlines(), 1):
        if quotes:  # within a text of several lines
            quotes = "" if quotes in line else quotes
            continue
        if header := _HEADER.match(line):
            table = _dotted(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}.{counts[table]}"
            found.append((number, table))
        elif key := _KEY.match(line):
            name = _dotted(key[1])
            found.append((number, f"{table}.{name}" if table else name))
        for three in ('"""', "'''"):
            if line.count(three) % 2:
                quotes = three
    return found


def _dotted(path: str) -> str:
    """Return a path without quotes and blanks.

    >>> _dotted('stations . "pack 1"')
    'stations.pack 1'
    """
    return ".".join(part.strip("\"'") for part in re.findall(_BARE, path))
