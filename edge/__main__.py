"""solosense-edge: check a site's configuration, run the board, measure it."""

import json
import socket
import ssl
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edge import config as configs
from edge.access.command import access
from edge.bundle import BundleError
from edge.config import SiteConfig
from edge.health import commands as health_commands
from edge.inbox import BrokerRefused
from edge.service import Service
from edge.site_models import load_models
from edge.sqlite_log import LogError, refuse_unfit
from sensor_adapters.broker_access import context, trouble
from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import err, fail, log_to_stderr, out, until_stopped

app = typer.Typer(
    help="Run quantised models on a board's MQTT sensor streams, and log segments to SQLite.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(health_commands.health)

SiteFile = Annotated[Path, typer.Argument(metavar="SITE.TOML", help="The board's configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def _in_file(site: Path, error: Exception) -> str:
    """Return what is wrong, with the file that holds the setting."""
    text = str(error)
    return text if text.startswith((str(site), f"{site.name}:")) else f"{site}: {text}"


@app.command()
def run(
    site: SiteFile,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Run until SIGTERM or Ctrl-C; then end what is open and close the log."""
    log_to_stderr(verbose=verbose)
    stop = until_stopped()
    try:
        service = Service(configs.load(site))
    except (ConfigError, BundleError, LogError) as error:
        fail(_in_file(site, error), 2)
    err.print(f"running {site}; stop with Ctrl-C", highlight=False)
    try:
        service.run(stop)
    except BrokerRefused as error:
        fail(_in_file(site, error), 2)
    except LogError as error:  # a full disk, a lock: another start may go well
        fail(str(error), 1)


@app.command()
def check(site: SiteFile, as_json: Json = False) -> None:
    """Check a configuration, its bundles and its broker, and change nothing."""
    try:
        config = configs.load(site)
        models = load_models(config)
        config.broker.password()
        refuse_unfit(Path(config.log.path))
        broker = _broker(config)
    except (ConfigError, BundleError, LogError) as error:
        fail(_in_file(site, error), 2)
    rows = [
        {
            "bundle": model.bundle.manifest.name,
            "sensors": "+".join(model.bundle.manifest.modality),
            "engine": model.engine.name,
            "answers": "as its reference",
            "stations": ", ".join(i for i, s in config.stations.items() if folder in s.bundles),
        }
        for folder, model in models.items()
    ]
    if as_json:
        print(json.dumps({"site": config.site, "bundles": rows, "broker": broker}))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    out.print(table)
    out.print(f"broker {config.broker.host}:{config.broker.port}: {broker}")
    out.print(f"{site} is fine")


def _broker(config: SiteConfig) -> str:
    """Return whether something listens where the broker should, and is trusted.

    Raises:
        ConfigError: its certificate shows that a setting is wrong.
    """
    to, name = config.broker, config.broker.server_name or config.broker.host
    try:
        with socket.create_connection((to.host, to.port), 3) as plain:
            if not to.tls:
                return "listens"
            with context(to).wrap_socket(plain, server_hostname=name):
                return "listens, and its certificate is trusted"
    except OSError as error:
        if (found := trouble(to, error)).is_setting:
            raise ConfigError(found.text) from error
        why = found.text if isinstance(error, ssl.SSLError) else str(error)
        return f"not reached now ({why}); the service will keep trying"


@app.command()
def bench(
    stations: Annotated[list[int], typer.Option(help="How many stations; repeat.")] = [1, 10, 50],  # noqa: B006
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle to run.")] = Path(
        "bundles/imu"
    ),
    as_json: Json = False,
) -> None:
    """Measure cost a message, a step and a row, each beside its ceiling in the same run."""
    from edge.bench import measure

    try:
        rows: list[dict[str, Any]] = measure(bundle, stations, lambda text: err.print(text))
    except BundleError as error:
        fail(str(error), 2)
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    out.print(table)


@app.command()
def live(
    stations: Annotated[int, typer.Option(min=1, help="How many stations.")] = 20,
    minutes: Annotated[float, typer.Option(min=0.1, help="In real time.")] = 10.0,
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle to run.")] = Path(
        "bundles/imu"
    ),
    as_json: Json = False,
) -> None:
    """Measure how soon labels and segments are said, in real time through a broker of its own."""
    from edge.live_bench import measure

    try:
        rows = measure(bundle, stations, minutes, lambda text: err.print(text))
    except BundleError as error:
        fail(str(error), 2)
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("what", "value")
    for row in rows:
        table.add_row(row["what"], str(row["value"]))
    out.print(table)


app.command()(access)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
