"""Configurations of older versions: what would change, and the file written anew.

A version is brought to the next by one function, content in, content out (`edge.config.OLDER`).
"""

import os
import re
from pathlib import Path
from typing import Any

from sensor_adapters.gateway.toml_block import value_text
from sensor_adapters.setting_words import shown
from sensor_adapters.settings import ConfigError, Older, upgraded
from sensor_adapters.toml_file import toml

Table = dict[str, Any]


def upgrade(path: Path, version: int, older: Older) -> tuple[Table, list[str]]:
    """Return a file's content as of this version, and in words what differs; it stays as it is.

    Raises:
        ConfigError: the file can not be read, or is of a newer version or of one nobody knows.
    """
    raw = toml(path, "a site configuration")
    found = raw.get("version")
    if type(found) is not int:
        raise ConfigError(f"{path.name}: version is {shown(found)}, expected a whole number")
    now = upgraded(path.name, raw, version, older)
    return now, differences(_flat(raw), _flat(now))


def differences(before: Table, after: Table) -> list[str]:
    """Return what differs between two contents by key, in words.

    >>> differences({"a": 1, "b": True}, {"b": False, "c.d": 2})
    ['a = 1 goes', 'b = true becomes false', 'c.d = 2 is new']
    """
    said = []
    for key in dict.fromkeys([*before, *after]):
        if key not in after:
            said.append(f"{key} = {shown(before[key])} goes")
        elif key not in before:
            said.append(f"{key} = {shown(after[key])} is new")
        elif before[key] != after[key]:
            said.append(f"{key} = {shown(before[key])} becomes {shown(after[key])}")
    return said


def write(path: Path, content: Table, before: int) -> Path:
    """Write a file anew and keep the old one as ``NAME.vN.toml``; return where.

    Raises:
        ConfigError: there is such a file already, or the folder can not be written in. Both files
            are then as they were.
    """
    kept = path.with_name(f"{path.stem}.v{before}{path.suffix}")
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text(content), encoding="utf-8")
        new.chmod(path.stat().st_mode & 0o777)
        os.link(path, kept)  # refuses where something is
        new.replace(path)
    except FileExistsError as error:
        raise ConfigError(
            f"{kept}: is there already, expected no such file, to keep the old one in; move it away"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}, expected to write beside it") from error
    finally:
        new.unlink(missing_ok=True)
    return kept


def text(content: Table, table: str = "") -> str:
    """Return a content as TOML, tables with headers, without comments.

    >>> print(text({"version": 1, "log": {"path": "x"}}), end="")
    version = 1
    <BLANKLINE>
    [log]
    path = "x"
    """
    lines = [f"{_key(k)} = {value_text(v)}" for k, v in content.items() if not _is_table(v)]
    head = [f"\n[{table}]"] if table and (lines or not content) else []
    own = "\n".join([*head, *lines]) + "\n" if head or lines else ""
    inner = [
        text(v, f"{table}.{_key(k)}" if table else _key(k))
        for k, v in content.items()
        if _is_table(v)
    ]
    return own + "".join(inner)


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else value_text(name)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _flat(content: Table, before: str = "") -> Table:
    """Return values by dotted key."""
    found: Table = {}
    for name, value in content.items():
        found |= _flat(value, f"{before}{name}.") if _is_table(value) else {before + name: value}
    return found
