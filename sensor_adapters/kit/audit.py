"""What the interpreter is asked to touch while somebody else's code runs."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

TOUCHES = ("open", "socket.", "subprocess.", "os.system", "os.remove", "os.rename", "os.mkdir")
_touched: list[list[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _touched and event.startswith(TOUCHES):
        _touched[-1].append(event)


_is_hooked = False


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Note what the interpreter is asked to touch meanwhile; hooks can never be taken away."""
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_note)
        _is_hooked = True
    _touched.append([])
    try:
        yield _touched[-1]
    finally:
        _touched.pop()
