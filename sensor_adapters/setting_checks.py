"""Values from a file made settings; every fault of theirs is found, and said with its key."""

import json
import math
import re
import typing
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from sensor_adapters.setting_words import (
    ConfigError,
    bare,
    in_words,
    is_struct,
    keys,
    meant,
    nearest,
    shown,
)


def converted(file: str, key: str, value: Any, wanted: Any) -> Any:
    """Return ``value`` as ``wanted``.

    Raises:
        ConfigError: it does not fit; the text names the file and the keys, one line a fault.
    """
    problems: list[str] = []
    made = _made(_Place(file, key, wanted, problems), value, wanted)
    if problems:
        raise ConfigError("\n".join(problems))
    return made


@dataclass(frozen=True)
class _Place:
    """A key on its way through a file."""

    file: str
    key: str
    root: Any
    problems: list[str]

    def at(self, name: object) -> "_Place":
        return replace(self, key=f"{self.key}.{name}" if self.key else str(name))

    def wrong(self, text: str) -> None:
        self.problems.append(f"{self.file}: {self.key or 'the file'} {text}")

    def expected(self, wanted: Any) -> str:
        """Return in words what stands here, with an example where there is one."""
        kind, asked = bare(wanted)
        if typing.get_origin(kind) is dict and bare(typing.get_args(kind)[0])[1].pattern:
            return f"tables such as [{self.key}.NAME]"
        name, such = self.key.rpartition(".")[2], (asked.examples or [None])[0]
        example = "" if such is None else f", as {name} = {json.dumps(such)}"
        return f"{in_words(wanted)}{example}"


def _made(place: _Place, value: Any, wanted: Any) -> Any:
    """Return a value as its type; what does not fit is noted."""
    kind, asked = bare(wanted)
    if is_struct(kind):
        return _table(place, value, kind)
    many = _of_many(kind)
    if many is not None and isinstance(value, list):
        made: Any = tuple(_made(place.at(i), one, many) for i, one in enumerate(value))
    elif typing.get_origin(kind) is dict:
        if not isinstance(value, dict):
            return place.wrong(f"is {shown(value)}, expected {place.expected(wanted)}")
        made = _by_name(place, value, *typing.get_args(kind))
    else:
        try:
            made = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            choice = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
            hint = meant(value, choice) if isinstance(value, str) else ""
            return place.wrong(f"is {shown(value)}, expected {place.expected(wanted)}{hint}")
    if not _is_within(made, asked):
        return place.wrong(f"is {shown(value)}, expected {place.expected(wanted)}")
    return made


def _is_within(made: Any, asked: msgspec.Meta) -> bool:
    if isinstance(made, float) and not math.isfinite(made):
        return False
    if asked.min_length and len(made) < asked.min_length:
        return False
    if asked.pattern and not re.search(asked.pattern, made):
        return False
    return not (
        (asked.ge is not None and made < asked.ge)
        or (asked.gt is not None and made <= asked.gt)
        or (asked.le is not None and made > asked.le)
        or (asked.lt is not None and made >= asked.lt)
    )


def _by_name(place: _Place, value: dict[str, Any], key_type: Any, inner: Any) -> dict[str, Any]:
    for name in value:
        if not _is_within(name, bare(key_type)[1]):
            place.at(name).wrong(f"is no id, expected {in_words(key_type)}")
    return {name: _made(place.at(name), one, inner) for name, one in value.items()}


def _table(place: _Place, value: Any, wanted: type[msgspec.Struct]) -> Any:
    if not isinstance(value, dict):
        return place.wrong(f"is {shown(value)}, expected a table")
    fields = {f.name: f for f in msgspec.structs.fields(wanted)}
    before, misspelt = len(place.problems), set[str | None]()
    needed = {name for name, field in fields.items() if field.required}
    for name in [name for name in value if name not in fields]:
        inner = value[name]
        if isinstance(inner, dict) and needed and needed <= inner.keys():  # [stations.pack.2]
            misspelt |= needed
            place.at(name).wrong(f"is not a setting; did you mean {place.key}-{name}?")
            continue
        misspelt.add(near := nearest(name, fields.keys() - value.keys()))
        place.at(name).wrong(f"is not a setting; {_hint(name, near, place.root, list(fields))}")
    for name, field in fields.items():
        if field.required and name not in value and name not in misspelt:
            here = place.at(name)
            here.wrong(f"is missing, expected {here.expected(field.type)}")
    made = {
        name: _made(place.at(name), value[name], field.type)
        for name, field in fields.items()
        if name in value
    }
    return wanted(**made) if len(place.problems) == before else None


def _hint(name: str, near: str | None, root: Any, fields: list[str]) -> str:
    """Return what may have been meant by an unknown key."""
    if near:
        return f"did you mean {near}?"
    elsewhere = [k for k in (keys(root) if is_struct(root) else ()) if k.split(".")[-1] == name]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    near = nearest(name, fields)
    return f"did you mean {near}?" if near else f"expected {', '.join(fields)}"


def _of_many(kind: Any) -> Any:
    """Return the struct of which a setting is a list; None where it is none."""
    inner = typing.get_args(kind)[:1] if typing.get_origin(kind) is tuple else ()
    return inner[0] if inner and is_struct(inner[0]) else None
