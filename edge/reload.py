"""A site's configuration and models, loaded again beside the loop; the loop goes on meanwhile."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edge.config import SiteConfig, load
from edge.inference import Model
from edge.site_models import load_models
from edge.site_schema import needs_restart
from sensor_adapters.settings import ConfigError
from sensor_adapters.toml_file import in_file

log = logging.getLogger(__name__)

MOST_ASKING = 100
"""Requests that one reload answers; more go without an answer."""
STOP_S = 5.0


@dataclass(frozen=True)
class Loaded:
    """What came of loading: either settings with their models, or an error."""

    asked_by: list[Any]
    """Transactions of the requests that it answers."""
    load_s: float
    config: SiteConfig | None = None
    models: Mapping[str, Model] = field(default_factory=dict)
    error: str = ""


class Reload:
    """Loads one at a time, in a thread of its own. Told and asked by the loop alone."""

    def __init__(self, site: Path | None) -> None:
        """Take the file that the board was started with; None: it was started without one."""
        self._site = site
        self._asked_by: list[Any] = []
        self._is_wanted = False
        self._done: list[Loaded] = []  # at most one
        self._thread: threading.Thread | None = None

    def ask(self, *transactions: Any) -> None:
        """Note that a reload is wanted; what is being loaded already may be older than that."""
        self._is_wanted = True
        self._asked_by = [*self._asked_by, *transactions][-MOST_ASKING:]

    def poll(self, config: SiteConfig, models: Mapping[str, Model]) -> Loaded | None:
        """Begin what was asked for; return what has come of it, once."""
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
            return self._done.pop()
        if self._is_wanted and self._thread is None:
            asked_by, self._asked_by, self._is_wanted = self._asked_by, [], False
            given = (asked_by, config, models)
            self._thread = threading.Thread(target=self._load, args=given, name="reload")
            self._thread.daemon = True
            self._thread.start()
        return None

    def stop(self) -> None:
        """Wait for what is being loaded: the program must not end beneath it."""
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _load(self, asked_by: list[Any], before: SiteConfig, models: Mapping[str, Model]) -> None:
        begun_s = time.monotonic()
        try:
            if self._site is None:
                raise ConfigError("the board was started without a file, expected one to read")
            config = load(self._site)
            if fixed := restart_needed(before, config):
                raise ConfigError(
                    f"{self._site.name}: {', '.join(fixed)} found changed, expected as at the"
                    " start: a change of these needs a restart; nothing was changed"
                )
            known = {model.bundle.sha256: model for model in models.values()}
            found = load_models(config, known)
        except ConfigError as error:
            said = str(error) if self._site is None else in_file(self._site, str(error))
            done = Loaded(asked_by, time.monotonic() - begun_s, error=said)
        except Exception as error:  # ours, but the board works, and shall go on
            log.exception("a reload failed")
            done = Loaded(asked_by, time.monotonic() - begun_s, error=f"a fault of ours: {error!r}")
        else:
            done = Loaded(asked_by, time.monotonic() - begun_s, config, found)
        self._done.append(done)


def restart_needed(before: SiteConfig, after: SiteConfig) -> list[str]:
    """Return the keys that differ and that only a restart can change."""
    return [key for key, *_ in changed(before, after) if needs_restart(key)]


def changed(before: SiteConfig, after: SiteConfig) -> list[tuple[str, Any, Any]]:
    """Return the settings that differ, stations aside: key, before, after."""
    flat = [_flat(msgspec.to_builtins(one)) for one in (before, after)]
    return [
        (key, flat[0].get(key), flat[1].get(key))
        for key in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(key) != flat[1].get(key)
    ]


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if above + name == "stations":
            continue
        found |= (
            _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
        )
    return found


def changes(
    before: SiteConfig, had: Mapping[str, Model], after: SiteConfig, have: Mapping[str, Model]
) -> dict[str, Any]:
    """Return what a reload changes, for people and programs."""

    def models_of(config: SiteConfig, id_: str, models: Mapping[str, Model]) -> list[str]:
        return [models[folder].bundle.sha256 for folder in config.stations[id_].bundles]

    both = [id_ for id_ in after.stations if id_ in before.stations]
    other_models = [
        id_ for id_ in both if models_of(before, id_, had) != models_of(after, id_, have)
    ]
    other = [id_ for id_ in both if before.stations[id_] != after.stations[id_]]
    settings = [
        {"key": key, "before": was, "after": now} for key, was, now in changed(before, after)
    ]
    return {
        "settings": settings,
        "stations": {
            "begun": [id_ for id_ in after.stations if id_ not in before.stations],
            "ended": [id_ for id_ in before.stations if id_ not in after.stations],
            "other_models": other_models,
            "other_settings": [id_ for id_ in other if id_ not in other_models],
            "untouched": [id_ for id_ in both if id_ not in {*other, *other_models}],
        },
    }
