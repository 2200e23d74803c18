"""What a setting is in words: its type with its range, its meaning, what was found instead.

Types, ranges (``msgspec.Meta``) and the sentences under the fields are the one source of checks,
error messages, JSON Schemas and tables of keys.
"""

import ast
import difflib
import inspect
import textwrap
import types
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

MOST_SHOWN = 200
"""Characters of a found value."""
_WORDS: dict[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false",
    tuple: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
    tuple[tuple[float, float], ...]: "a list of pairs of numbers",
}  # fmt: skip
_ASKED = (
    "ge", "gt", "le", "lt", "min_length", "pattern", "description", "examples",
    "extra_json_schema",
)  # fmt: skip


class ConfigError(Exception):
    """Settings are wrong; the text names file, key, found and expected, one line a fault."""


def bare(wanted: Any) -> tuple[Any, msgspec.Meta]:
    """Return a setting's type, without what may be left out, and what is asked of its value.

    >>> bare(int | None)
    (<class 'int'>, msgspec.Meta())
    """
    asked: dict[str, Any] = {}
    if typing.get_origin(wanted) is typing.Annotated:
        wanted, *more = typing.get_args(wanted)
        for one in more:
            if isinstance(one, msgspec.Meta):
                said = {name: getattr(one, name) for name in _ASKED}
                asked |= {name: value for name, value in said.items() if value is not None}
    if isinstance(wanted, types.UnionType):  # TOML has no null
        (wanted,) = (one for one in typing.get_args(wanted) if one is not types.NoneType)
    return wanted, msgspec.Meta(**asked)


def in_words(wanted: Any) -> str:
    """Return what a setting has to be.

    >>> in_words(typing.Annotated[float, msgspec.Meta(gt=0, le=600)])
    'a number, more than 0, at most 600'
    >>> in_words(tuple[str, ...])
    'a list of texts'
    >>> in_words(typing.Literal["device", "arrival"])
    "'device' or 'arrival'"
    """
    kind, asked = bare(wanted)
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    if asked.pattern and asked.description:
        return asked.description
    has_some = bool(asked.min_length)
    if is_struct(kind):
        return "a table"
    if typing.get_origin(kind) is dict:
        return "a table with one entry or more" if has_some else "a table"
    if typing.get_origin(kind) is tuple and bare(typing.get_args(kind)[0])[0] is str:
        none_empty = ", none empty" if bare(typing.get_args(kind)[0])[1].min_length else ""
        return f"a list of {'one text or more' if has_some else 'texts'}{none_empty}"
    what = _WORDS[kind] if kind in _WORDS else str(getattr(kind, "__name__", kind))
    if kind is str and has_some:
        return "text, not empty"
    limits = _range(asked)
    return f"{what}, {limits}" if limits else what


def _range(asked: msgspec.Meta) -> str:
    if asked.ge is not None and asked.le is not None:
        return f"{asked.ge} to {asked.le}"
    low = f"more than {asked.gt:g}" if asked.gt is not None else ""
    low = low or (f"{asked.ge:g} or more" if asked.ge is not None else "")
    high = f"at most {asked.le:g}" if asked.le is not None else ""
    high = high or (f"less than {asked.lt:g}" if asked.lt is not None else "")
    return ", ".join(part for part in (low, high) if part)


def shown(found: object) -> str:
    """Return a found value as the file has it, cut where it is long.

    >>> shown(True), shown({"a": 1}), shown("x" * 300)[-4:]
    ('true', 'a table', 'xxx…')
    """
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, dict) and found:
        return "a table"
    if isinstance(found, list) and any(isinstance(one, dict) for one in found):
        return "a list of tables"
    text = repr(found) if isinstance(found, (str, int, float, list, tuple, dict)) else str(found)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one most likely means.

    >>> nearest("latenes_s", ["lateness_s", "silence_s"])
    'lateness_s'
    """
    found = difflib.get_close_matches(name.lower().replace("-", "_"), [*known], 1, 0.7)
    return found[0] if found else None


def meant(name: str, known: Iterable[str]) -> str:
    """Return a question after what was meant, to be added to an error; empty if none is near.

    >>> meant("imuu", ["imu", "pose"])
    '; did you mean imu?'
    """
    near = nearest(name, [*known])
    return f"; did you mean {near}?" if near else ""


def is_struct(kind: Any) -> bool:
    """Return whether a type is a table of settings."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def keys(wanted: Any, before: str = "") -> dict[str, Any]:
    """Return every key below a table of settings, with its type as written.

    >>> class Log(msgspec.Struct):
    ...     path: str
    >>> keys(Log)
    {'path': <class 'str'>}
    """
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(wanted):
        key = f"{before}{field.name}"
        found[key] = field.type
        kind, _ = bare(field.type)
        if typing.get_origin(kind) is dict:
            kind, key = bare(typing.get_args(kind)[1])[0], f"{key}.<id>"
        if is_struct(kind):
            found |= keys(kind, f"{key}.")
    return found


def meanings(wanted: type) -> dict[str, str]:
    """Return the sentences under a class's fields, by field, those it inherits included."""
    if wanted is msgspec.Struct:
        return {}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(wanted))).body
    assert isinstance(tree, ast.ClassDef)
    found = meanings(wanted.__bases__[0])
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[field.target.id] = " ".join(below.value.value.split())
    return found
