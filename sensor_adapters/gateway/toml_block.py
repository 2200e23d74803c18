"""Settings as TOML, for people to paste."""

import json
from collections.abc import Mapping
from typing import Any


def block(table: str, settings: Mapping[str, Any]) -> str:
    """Return a table of settings.

    >>> print(block("devices.lid", {"in_use": {"on": 8.0, "off": 4.0}}), end="")
    [devices.lid]
    in_use = { on = 8.0, off = 4.0 }
    """
    lines = [f"{key} = {value_text(value)}" for key, value in settings.items()]
    return "\n".join([f"[{table}]", *lines]) + "\n"


def value_text(value: Any) -> str:
    """Return a value as TOML spells it: texts and numbers as JSON does, tables in braces."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {value_text(v)}" for key, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
