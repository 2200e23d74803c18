"""TOML files as people leave them: read, and what is wrong with them said by file and line."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sensor_adapters.setting_words import ConfigError, shown
from sensor_adapters.toml_places import line_of


def toml(path: Path, what: str) -> dict[str, Any]:
    """Return a TOML file's content; ``what`` it should be is said if it is none.

    Raises:
        ConfigError: it can not be read, is no UTF-8 or no TOML.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: {why}, expected {what}") from error
    try:
        text = content.decode("utf-8-sig")  # some editors begin with a mark, which says nothing
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = "UTF-16" if is_utf_16 else f"byte 0x{content[error.start]:02X}"
        raise ConfigError(
            f"{path.name}:{line}: not TOML: found {found}, expected text saved as UTF-8"
        ) from error
    try:
        made: dict[str, Any] = msgspec.toml.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path.name}{_no_toml(text, str(error))}") from error
    return made


_HINTS = {
    r"[“”„‘’]": "texts stand in straight quotes",
    r"\0": "text without zero bytes",
    r"=\s*(True|False|[Yy]es|[Nn]o|[Oo]n|[Oo]ff)\s*(#|$)": "true or false, in small letters",
    r"^[\w-]+\s*:": "= between a key and its value",
    r"=\s*\d+,\d": "a point in a number, no comma",
    r"=\s*0\d": "a number without zeros before it",
    r"\"[^\"]*\\[^\"]*\"": "each backslash twice, or the text in single quotes",
    r"=\s*[A-Za-z][\w-]*\s*(#|$)": "texts in quotes",
}
"""By what a line looks like, what was meant to stand there."""


def _no_toml(text: str, said: str) -> str:
    """Return where and why a text is no TOML."""
    why, _, place = said.partition(" (at ")
    lines, at = text.splitlines(), re.match(r"line (\d+), column (\d+)", place)
    if at is None or not 0 < int(at[1]) <= len(lines):
        return f": not TOML: found its end too soon, expected TOML ({why})"
    number = int(at[1])
    found = _without_secrets(lines[number - 1].strip())
    hint = next((hint for look, hint in _HINTS.items() if re.search(look, found)), "")
    expected = hint or f"TOML ({why})"
    return f":{number}: not TOML: found {shown(found)}, expected {expected}"


def _without_secrets(line: str) -> str:
    """Return a line as it may be said aloud.

    >>> _without_secrets('password = "a'), _without_secrets('url = "rtsp://me:a@cam/')
    ('password = …', 'url = "rtsp://…@cam/')
    """
    if re.match(r"[\w-]*(password|secret|token|key)\b", line, re.IGNORECASE):
        line = f"{line.partition('=')[0].strip()} = …"
    return re.sub(r"://[^/\s]*@", "://…@", line)


@contextlib.contextmanager
def located(path: Path) -> Iterator[None]:
    """Add to errors that name a key of this file the line in which it stands.

    Raises:
        ConfigError: that one, with the line.
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError(in_file(path, str(error))) from error


def in_file(path: Path, text: str) -> str:
    """Return what is wrong, one line a fault, each with the file and the line of its key."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        content = ""
    return "\n".join(_in_file(path, content, line) for line in text.splitlines())


def _in_file(path: Path, content: str, line: str) -> str:
    if line.startswith((str(path), f"{path.name}:")):
        file, sep, said = line.partition(": ")
        if file != path.name or not sep:
            return line
    else:
        said = line
    number = line_of(content, re.split(": | is | found |, ", said, maxsplit=1)[0])
    return f"{path.name}:{number}: {said}" if number else f"{path.name}: {said}"
