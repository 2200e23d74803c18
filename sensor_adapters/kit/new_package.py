"""A package for a device of somebody's own, that installs and passes as it is written."""

import re
from pathlib import Path
from string import Template

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")

PYPROJECT = Template("""[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "solosense-$dashed"
version = "0.1.0"
description = "A Solosense adapter: $words."
requires-python = ">=3.10"
license = "Apache-2.0"
dependencies = ["solosense"]

[project.entry-points."solosense.devices"]
$name = "$package:$cls"

[tool.hatch.build]
dev-mode-dirs = ["."]

[tool.hatch.build.targets.wheel]
include = ["$package.py", "$package.toml"]
""")

MODULE = Template('''"""$words: what it says, and what that means.

Where to read of it: (manual, page).
"""

from collections.abc import Iterable

from sensor_adapters.device import Alive, DeviceAdapter, DeviceSettings, Reading, State
from sensor_adapters.json_fields import object_of, shown, text_of
from sensor_adapters.samples import DecodeError
from sensor_adapters.topics import Message


class Settings(DeviceSettings, frozen=True, kw_only=True):
    """What a device's block of adapters.toml says besides station and adapter."""

    topic: str
    """Where it publishes; ``<topic>/available`` says whether it is there."""


class $cls(DeviceAdapter[Settings]):
    """One device."""

    settings_type = Settings
    kind = "state"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.topics = (settings.topic, f"{settings.topic}/available")

    def read(self, message: Message) -> Iterable[Reading]:
        """Return whether it is in use, or whether it is there."""
        if message.topic != self.settings.topic:
            return [Alive(text_of(message) == "yes")]
        on = object_of(message).get("on")
        if not isinstance(on, bool):
            raise DecodeError(f"{message.topic}: on is {shown(on)}, expected true or false")
        return [State(on)]
''')

EXAMPLES = Template("""title = "$words"
about = "what it is for, in one line"
limits = "what it can not do"

[[devices]]
name = "Maker and model"
source = "recorded by you on a day, or the page of a manual"
settings = { topic = "$dashed/1" }

[[devices.messages]]
topic = "$dashed/1"
payload = '{"on": true}'
readings = ["on"]

[[devices.messages]]
topic = "$dashed/1"
payload = '{"on": false}'
readings = ["off"]

[[devices.messages]]
topic = "$dashed/1/available"
payload = "no"
readings = ["gone"]
""")

TEST = Template('''"""The adapter keeps the rules, and reads its examples as they say."""

from sensor_adapters.kit.conformance import scorecard
from sensor_adapters.kit.subject import subject


def test_it_is_silver_at_least():
    card = scorecard(subject("$name"))
    assert card.level in ("silver", "gold"), [(v.rule.law, v.why) for v in card.verdicts if v.why]
''')

README = Template("""# solosense-$dashed

A Solosense adapter: $words.

```toml
[devices.my-device]
station = "pack-1"
adapter = "$name"
topic = "$dashed/1"
```

`pip install -e .`, `pytest`, `solosense-adapters check $name`; remove it with
`pip uninstall solosense-$dashed`.

- What it needs: …
- What it can not do: …
""")


def write(name: str, folder: Path) -> Path:
    """Write the package; return its folder.

    Raises:
        ValueError: the name can not be one, or the folder holds something.
        OSError: it can not be written.
    """
    if not NAME.match(name):
        raise ValueError(f"name is {name!r}, expected a letter, then a-z, 0-9 or _, 31 at most")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds something already, expected an empty folder or none")
    package = f"solosense_{name}"
    words = {
        "name": name, "package": package, "dashed": name.replace("_", "-"),
        "words": name.replace("_", " "), "cls": "".join(p.title() for p in name.split("_")),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (
        ("pyproject.toml", PYPROJECT), (f"{package}.py", MODULE), (f"{package}.toml", EXAMPLES),
        (f"test_{name}.py", TEST), ("README.md", README),
    ):  # fmt: skip
        (folder / file).write_text(text.substitute(words), encoding="utf-8")
    return folder
