"""solosense-adapters run, discover: devices that speak in their own way, to a board."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from sensor_adapters.broker_option import HELP, broker_of
from sensor_adapters.settings import Broker, ConfigError, located
from sensor_adapters.terminal import err, fail, log_to_stderr, out, say, until_stopped

AdaptersFile = Annotated[
    Path, typer.Argument(metavar="ADAPTERS.TOML", help="The gateway's configuration.")
]


def run(
    adapters: AdaptersFile,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Carry what devices say in their own way to the board, until SIGTERM or Ctrl-C."""
    from sensor_adapters.gateway import config as gateway_config
    from sensor_adapters.gateway.service import GatewayService
    from sensor_adapters.outbox import OutboxError

    log_to_stderr(verbose=verbose)
    stop = until_stopped()
    try:
        with located(adapters):
            service = GatewayService(gateway_config.load(adapters), adapters.name)
    except (ConfigError, OutboxError) as error:
        fail(str(error), 2)
    err.print(f"running {adapters}; stop with Ctrl-C", highlight=False)
    try:
        service.run(stop)
    except ConfigError as error:
        fail(f"{adapters}: {error}", 2)


def discover(
    broker: Annotated[
        str | None,
        typer.Option(metavar="BROKER", help=f"{HELP} If left out, that of --mapped, or this one."),
    ] = None,
    mapped: Annotated[
        Path | None, typer.Option(help="adapters.toml, whose devices are left out.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to listen.", min=0.1)] = 5.0,
    station: Annotated[str, typer.Option(help="Station of the printed blocks.")] = "pack-1",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List devices that make themselves known, with blocks for adapters.toml."""
    from sensor_adapters.gateway import config as gateway_config, discovery
    from sensor_adapters.publisher import BrokerError

    try:
        config = gateway_config.load(mapped) if mapped else None
        where = broker_of(broker) if broker else config.broker if config else Broker()
    except (ValueError, ConfigError) as error:
        fail(str(error), 2)
    try:
        known = discovery.listen(where, time.monotonic() + seconds, say)
    except ConfigError as error:
        fail(str(error), 2)
    except BrokerError as error:
        fail(str(error), 1)
    for name, why in known.failed.items():
        err.print(f"adapter {name}: {why}", markup=False, highlight=False)
    fresh = discovery.unmapped(known.devices, config.devices if config else {})
    if as_json:
        print(json.dumps([{"adapter": a, "name": f.name, "about": f.about} for a, f in fresh]))
        return
    if not fresh:
        out.print(f"found nothing that is not mapped; {known.messages} messages heard")
        return
    table = Table("adapter", "device", "what")
    for adapter, found in fresh:
        table.add_row(adapter, found.name, found.about)
    out.print(table)
    out.print("\nFor adapters.toml:\n")
    taken = set(config.devices) if config else set()
    for adapter, found in fresh:
        print(discovery.block(adapter, found, station, taken))
