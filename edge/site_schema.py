"""The site's configuration for people and editors: JSON Schema, table of keys."""

import typing
from typing import Any

import msgspec

from edge.config import RESTART, SiteConfig
from sensor_adapters.setting_words import bare, in_words, is_struct, keys, meanings

_HEAD = "| key | what | default | a reload | meaning |\n|---|---|---|---|---|\n"
_APPLIES = "x-applies"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a site's configuration."""
    whole = msgspec.json.schema(SiteConfig)
    for name, struct in _structs(SiteConfig).items():
        table = whole["$defs"][name]
        table["additionalProperties"] = False
        said = meanings(struct)
        for field, body in table["properties"].items():
            body["description"] = said[field].replace("``", "`")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


def table() -> str:
    """Return a Markdown table of every key: type, default, live or restart, meaning."""
    rows = []
    for key, wanted in keys(SiteConfig).items():
        kind, _ = bare(wanted)
        if is_struct(kind) or typing.get_origin(kind) is dict:
            continue  # its keys have rows of their own
        struct, field = where(key)
        default = next(f.default for f in msgspec.structs.fields(struct) if f.name == field)
        said = "*needed*" if default is msgspec.NODEFAULT else _as_toml(default)
        applies = "needs a restart" if needs_restart(key) else "live"
        meaning = meanings(struct)[field].replace("``", "`")
        rows.append(f"| `{key}` | {in_words(wanted)} | {said} | {applies} | {meaning} |")
    return _HEAD + "\n".join(rows) + "\n"


def needs_restart(key: str) -> bool:
    """Return whether a change of this key waits for a restart.

    >>> needs_restart("broker.port"), needs_restart("time.lateness_s")
    (True, False)
    """
    kinds, parts = keys(SiteConfig), key.split(".")
    above = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return any(
        (bare(kinds[one])[1].extra_json_schema or {}).get(_APPLIES) == _RESTART
        for one in above
        if one in kinds
    )


_RESTART = (RESTART.extra_json_schema or {})[_APPLIES]


def where(key: str) -> tuple[type[msgspec.Struct], str]:
    """Return the struct that holds a key, and its field."""
    table, _, field = key.rpartition(".")
    if not table:
        return SiteConfig, field
    kind, _ = bare(keys(SiteConfig)[table.removesuffix(".<id>")])
    if typing.get_origin(kind) is dict:
        kind, _ = bare(typing.get_args(kind)[1])
    return kind, field


def _structs(wanted: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """Return all tables of settings by the names of their types."""
    inner = {where(key)[0] for key in keys(wanted)}
    return {one.__name__: one for one in inner}


def _as_toml(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"
