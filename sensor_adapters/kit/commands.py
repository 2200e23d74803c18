"""solosense-adapters list, check, try, new: the kit for those who add a device."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import replace
from rich.table import Table

from sensor_adapters.settings import ConfigError, located
from sensor_adapters.terminal import fail, out
from sensor_adapters.toml_file import toml

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def list_(
    as_json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page of supported devices.")
    ] = False,
) -> None:
    """List the installed adapters: what for, what they give, and where they run."""
    from sensor_adapters.kit import device_page
    from sensor_adapters.kit.subject import subjects
    from sensor_adapters.recordings import LAYOUTS

    found = _or_fail(subjects)
    if markdown:
        print(device_page.page(found), end="")
        return
    rows = [(one.name, one.runs_in, one.kind, one.examples.about) for one in found]
    rows += [(name, "recording", "all", about) for name, about in LAYOUTS.items()]
    head = ("adapter", "read by", "gives", "for")
    if as_json:
        print(json.dumps([dict(zip(head, row, strict=True)) for row in rows]))
        return
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|ADAPTERS.TOML|CAMERA.TOML]…", help="Adapters; none: all that are there."
        ),
    ] = None,
    payloads: Annotated[
        int, typer.Option(help="Mutated payloads for each rule that wants some.", min=100)
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Of the mutations.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Check adapters against the rules, or a gateway's or camera's configuration; change nothing.

    Prints a scorecard. The exit code is 1 where one does not reach silver. A camera's model is
    tried on the CPU; the camera itself is not opened.
    """
    from sensor_adapters.kit.conformance import scorecard
    from sensor_adapters.kit.subject import subject, subjects

    files = [name for name in names or () if name.endswith(".toml")]
    for name in files:
        _check_file(Path(name))
    wanted = [name for name in names or () if name not in files]
    if files and not wanted:
        return
    found = _or_fail(lambda: [subject(name) for name in wanted] if wanted else subjects())
    cards = [scorecard(one, payloads, seed) for one in found]
    if as_json:
        print(json.dumps([_card(card) for card in cards]))
    else:
        table = Table("adapter", "level", "rules kept", "what is broken")
        for card in cards:
            broken = [f"{v.rule.id} {v.rule.law}: {v.why}" for v in card.verdicts if v.why]
            kept = f"{len(card.verdicts) - len(broken)} of {len(card.verdicts)}"
            table.add_row(card.name, card.level or "none", kept, "\n".join(broken))
        out.print(table)
    if any(card.level not in ("silver", "gold") for card in cards):
        raise typer.Exit(1)


def _card(card: Any) -> dict[str, Any]:
    rules = {v.rule.id: v.why or "kept" for v in card.verdicts}
    return {"adapter": card.name, "level": card.level, "rules": rules}


def _check_file(file: Path) -> None:
    raw = _or_fail(lambda: toml(file, "adapters.toml or a camera's configuration"))
    is_gateway = "devices" in raw or "scanners" in raw
    if not is_gateway and raw.keys() & {"device", "source", "model", "stations"}:
        _check_camera(file)
    else:
        _check_gateway(file)


def _check_camera(file: Path) -> None:
    from sensor_adapters.cameras import config as camera_config
    from sensor_adapters.cameras.pose_estimator import Estimator, open_estimator
    from sensor_adapters.cameras.pose_model import ModelError, has_provider

    def look() -> Estimator:
        with located(file):
            config = camera_config.load(file)
            config.broker.password()
            config.source.address()
        try:
            if not has_provider(provider := config.model.provider):
                raise ConfigError(
                    f"{file.name}: model.provider is {provider!r}, expected one that this ONNX"
                    " Runtime has, or auto"
                )
            return open_estimator(replace(config.model, provider="cpu"))
        except ModelError as error:
            raise ConfigError(f"{file.name}: {error}") from error

    estimator = _or_fail(look)
    names = " and ".join(model.file for model in estimator.models)
    out.print(f"{file} is fine; {estimator.name} runs {names}", soft_wrap=True)


def _check_gateway(file: Path) -> None:
    from sensor_adapters.gateway import config as gateway_config
    from sensor_adapters.gateway.gateway import Gateway

    def look() -> Gateway:
        with located(file):
            config = gateway_config.load(file)
            config.broker.password()
            return Gateway(config, file.name, lambda *_: None)

    gateway = _or_fail(look)
    gateway.stop()
    for device, why in gateway.failed.items():
        fail(f"{file}: devices.{device}: its adapter fails: {why}", 2)
    out.print(f"{file} is fine; listens to {', '.join(gateway.topics)}", soft_wrap=True)


def try_(
    name: Annotated[str, typer.Argument(metavar="ADAPTER", help="An installed adapter.")],
    payload: Annotated[Path, typer.Option(metavar="FILE", help="A payload as it came.")],
    topic: Annotated[
        str, typer.Option(help="Topic on which it came; that of the example device if not told.")
    ] = "",
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of the device; those of its example if none."),
    ] = None,
) -> None:
    """Say what an adapter makes of a payload."""
    from sensor_adapters.kit.examples import ExampleDevice
    from sensor_adapters.kit.subject import subject
    from sensor_adapters.samples import DecodeError
    from sensor_adapters.topics import Message

    one = _or_fail(lambda: subject(name))
    if not one.examples.devices:
        fail(f"{name}: found no example device, expected one to take settings from", 2)
    shown = one.examples.devices[0]
    settings = dict(_pair(text) for text in setting) if setting else shown.settings
    device = ExampleDevice(
        name=shown.name, source=shown.source, settings=settings, messages=shown.messages
    )
    feed = _or_fail(lambda: one.make(device))
    topic = topic or (shown.messages[0].topic if not setting else one.topics(device)[0])
    try:
        body = payload.read_bytes()
    except OSError as error:
        fail(f"{payload}: {error.strerror}, expected a payload", 2)
    try:
        readings = feed(Message(topic, body, 0))
    except DecodeError as error:
        fail(f"refused: {error}", 1)
    out.print(f"{topic}: {', '.join(readings) or 'of no interest'}", markup=False, soft_wrap=True)


def _pair(text: str) -> tuple[str, Any]:
    """Return a setting; its value is TOML, or text where it is none."""
    import msgspec

    key, is_there, value = text.partition("=")
    if not is_there:
        fail(f"--setting is {text!r}, expected KEY=VALUE", 2)
    try:
        return key.strip(), msgspec.toml.decode(f"v = {value}")["v"]
    except (msgspec.DecodeError, ValueError):
        return key.strip(), value.strip()


def new(
    name: Annotated[str, typer.Argument(help="Of the adapter: a-z, 0-9 and _.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where the package goes; ./solosense-NAME if not told.")
    ] = None,
) -> None:
    """Write a package for a device of your own: module, examples, test, README, entry point."""
    from sensor_adapters.kit import new_package

    try:
        made = new_package.write(name, folder or Path(f"solosense-{name}"))
    except (ValueError, OSError) as error:
        fail(str(error), 2)
    out.print(
        f"{made} is written; `pip install -e {made}`, then `pytest {made}`, and"
        f" `solosense-adapters check {name}`", soft_wrap=True, markup=False, highlight=False,
    )  # fmt: skip


def _or_fail(ask: Callable[[], Any]) -> Any:
    """Return what is asked for, or stop with what is wrong."""
    try:
        return ask()
    except (ConfigError, ValueError) as error:
        fail(str(error), 2)
