"""The page of supported devices, made from the adapters' own examples."""

from collections.abc import Sequence

from sensor_adapters.gateway.toml_block import value_text
from sensor_adapters.kit.conformance import scorecard
from sensor_adapters.kit.subject import Subject

HEAD = """# Supported devices

Made by `solosense-adapters list --markdown` from what each adapter says of itself; a device that is
not here may well work with one of them. The level is that of the rules which can be run
(`solosense-adapters check`); none of the devices was at hand, all messages are documented ones.
"""


def page(subjects: Sequence[Subject]) -> str:
    """Return the page in Markdown."""
    parts = [HEAD, "| adapter | for | gives | read by | level |", "|---|---|---|---|---|"]
    for one in subjects:
        level = scorecard(one).level or "none"
        parts.append(
            f"| [`{one.name}`](#{one.name.replace('_', '_')}) | {one.examples.about} | {one.kind} |"
            f" {one.runs_in} | {level} |"
        )
    for one in subjects:
        parts += ["", f"## {one.name}", "", f"{one.examples.title}: {one.examples.about}."]
        if one.examples.limits:
            parts += ["", f"Limits: {one.examples.limits}."]
        parts += ["", "| device | settings | source |", "|---|---|---|"]
        for device in one.examples.devices:
            settings = ", ".join(f"`{k} = {value_text(v)}`" for k, v in device.settings.items())
            parts.append(f"| {device.name} | {settings or 'none'} | {device.source} |")
        if one.examples.discovery:
            parts += ["", "Discovered: its devices appear in `solosense-adapters discover`."]
    return "\n".join(parts) + "\n"
