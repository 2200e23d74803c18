"""What lasts from message to message, as plain values and back: the content of a checkpoint.

A class that lasts names what changes in it in ``LASTING``; all else its maker gives it again. What
is only a value (a segment, a step) is written field by field. Nothing is ever executed when it is
read: there is no pickle here.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec
import numpy as np

from edge.devices import Sequence
from edge.segments import Segment, StepSeen
from edge.together import Answer
from edge.voices import Gap, Now, Step

VALUES: dict[str, type] = {
    one.__name__: one for one in (Answer, Gap, Now, Segment, Sequence, Step, StepSeen)
}
_DTYPES = ("<f4", "<f8", "<i8", "|b1")
Tree = Any
"""None, bool, int, float, str, or a list whose first item says what it is."""


class MementoError(Exception):
    """A checkpoint does not fit what is to be restored; the text names found and expected."""


def taken(one: object) -> bytes:
    """Return what lasts of an object, as bytes."""
    return msgspec.msgpack.encode(_lasting(one))


def restore(one: object, content: bytes) -> None:
    """Put back what lasted; ``one`` is new, and made as the one that was taken from was.

    Raises:
        MementoError: the bytes are damaged, or of something made otherwise; ``one`` may be half
            restored then, and is of no use.
    """
    try:
        _restore(one, msgspec.msgpack.decode(content))
    except (msgspec.DecodeError, TypeError, ValueError, KeyError, IndexError) as error:
        raise MementoError(f"checkpoint of {type(one).__name__}: {error}") from error


def _names(one: object) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(type(one), "LASTING", ())
    return found


def _lasting(one: object) -> Tree:
    return [_tree(getattr(one, name)) for name in _names(one)]


def _restore(one: object, tree: Tree) -> None:
    names = _names(one)
    if not isinstance(tree, list) or len(tree) != len(names):
        raise MementoError(f"checkpoint of {type(one).__name__}: expected {', '.join(names)}")
    for name, inner in zip(names, tree, strict=True):
        setattr(one, name, _value(inner, getattr(one, name)))
    if follow_up := getattr(one, "restored", None):
        follow_up()


def _tree(value: object) -> Tree:
    """Return a value as a tree."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _tree(value.item())
    if isinstance(value, np.ndarray):
        return ["nd", value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
    if _names(value):
        return ["lasting", _lasting(value)]
    if type(value).__name__ in VALUES and is_dataclass(value):
        name = type(value).__name__
        return ["value", name, [_tree(getattr(value, f.name)) for f in fields(value)]]
    if isinstance(value, dict):
        return ["dict", [[_tree(key), _tree(inner)] for key, inner in value.items()]]
    if isinstance(value, (set, frozenset)):
        return [type(value).__name__, sorted((_tree(one) for one in value), key=repr)]
    if isinstance(value, (list, tuple, deque)):
        return [type(value).__name__, [_tree(one) for one in value]]
    raise TypeError(f"found {type(value).__name__}, expected what a checkpoint can hold")


def _value(tree: Tree, before: object) -> Any:
    """Return a tree's value; what lasts is restored into what is there already."""
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    if kind == "nd":
        dtype, shape, content = rest
        if dtype not in _DTYPES:
            raise MementoError(
                f"checkpoint: array of {dtype}, expected one of {', '.join(_DTYPES)}"
            )
        return np.frombuffer(content, dtype).reshape(shape).copy()
    if kind == "lasting":
        if not _names(before):
            raise MementoError(f"checkpoint: found state for {type(before).__name__}")
        _restore(before, rest[0])
        return before
    if kind == "value":
        made = VALUES[rest[0]]
        return made(*[_value(inner, None) for inner in rest[1]])
    if kind == "dict":
        known = before if isinstance(before, dict) else {}
        pairs = [(_value(key, None), inner) for key, inner in rest[0]]
        return {key: _value(inner, known.get(key)) for key, inner in pairs}
    made_of: dict[str, Callable[[list[Any]], Any]] = {
        "list": list, "tuple": tuple, "set": set, "frozenset": frozenset,
        "deque": lambda some: deque(some, before.maxlen if isinstance(before, deque) else None),
    }  # fmt: skip
    there = list(before) if isinstance(before, (list, tuple)) else []
    if there and any(_names(one) for one in there) and len(there) != len(rest[0]):
        raise MementoError(f"checkpoint: found {len(rest[0])} parts, expected {len(there)}")
    some = [_value(t, there[i] if i < len(there) else None) for i, t in enumerate(rest[0])]
    return made_of[kind](some)
