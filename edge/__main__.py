"""solosense-edge: check a site's configuration, run the board, measure it."""

import json
import socket
import ssl
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edge import config as configs, config_versions, site_schema
from edge.access.command import access
from edge.bundle import BundleError
from edge.config import SiteConfig
from edge.health import commands as health_commands
from edge.inbox import BrokerRefused
from edge.inference import Model
from edge.service import Service
from edge.site_models import load_models
from edge.sqlite_log import LogError, LogWaits, refuse_unfit
from edge.storage import commands as storage_commands
from sensor_adapters.broker_access import context, trouble
from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import err, fail, hang_ups, log_to_stderr, out, until_stopped
from sensor_adapters.toml_file import in_file, toml

app = typer.Typer(
    help="Run quantised models on a board's MQTT sensor streams, and log segments to SQLite.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(storage_commands.app, name="db")

app.command()(health_commands.health)

SiteFile = Annotated[Path, typer.Argument(metavar="SITE.TOML", help="The board's configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def run(
    site: SiteFile,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Run until SIGTERM or Ctrl-C; then end what is open and close the log."""
    log_to_stderr(verbose=verbose)
    stop, hung_up = until_stopped(), hang_ups()
    try:
        service = Service(configs.load(site), site.resolve())
    except ConfigError as error:
        fail(in_file(site, str(error)), 2)
    except LogWaits as error:
        fail(str(error), 1)
    except LogError as error:
        fail(in_file(site, f"log.path: {error}"), 2)
    err.print(f"running {site}; stop with Ctrl-C", highlight=False)
    try:
        service.run(stop, hung_up)
    except BrokerRefused as error:
        fail(in_file(site, str(error)), 2)
    except LogError as error:  # a full disk, a lock: another start may go well
        fail(str(error), 1)


@app.command()
def check(site: SiteFile, as_json: Json = False) -> None:
    """Check a configuration, its bundles and its broker, and change nothing."""
    try:
        config = configs.load(site)
        upgrade = config_versions.upgrade(site, configs.VERSION, configs.OLDER)[1]
    except ConfigError as error:
        fail(in_file(site, str(error)), 2)
    wrong, models = [], dict[str, Model]()
    try:
        models = load_models(config)
    except ConfigError as error:
        wrong.append(str(error))
    try:
        config.broker.password()
    except ConfigError as error:
        wrong.append(str(error))
    damage = ""
    try:
        damage = refuse_unfit(Path(config.log.path))
    except LogError as error:
        wrong.append(f"log.path: {error}")
    try:
        broker = _broker(config)
    except ConfigError as error:
        wrong.append(str(error))
    if wrong:
        fail(in_file(site, "\n".join(wrong)), 2)
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
        print(json.dumps({"site": config.site, "bundles": rows, "broker": broker, "log": damage}))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    out.print(table)
    out.print(f"broker {config.broker.host}:{config.broker.port}: {broker}")
    if upgrade:
        out.print(f"{site} is of an older version; `solosense-edge migrate-config {site}` writes:")
        out.print("\n".join(upgrade), markup=False, highlight=False)
    if damage:
        out.print(damage, markup=False)
    out.print(f"{site} is fine")


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="A table of keys instead.")] = False,
) -> None:
    """Print the JSON Schema of a site's configuration, for editors that complete and check."""
    if markdown:
        print(site_schema.table(), end="")
    else:
        print(json.dumps(site_schema.schema(), indent=2))


@app.command()
def migrate_config(site: SiteFile) -> None:
    """Write a configuration of an older version anew, and keep the old file beside it."""
    try:
        content, changes = config_versions.upgrade(site, configs.VERSION, configs.OLDER)
        if not changes:
            out.print(f"{site} is of version {configs.VERSION}, the newest; nothing was changed")
            return
        before = toml(site, "a site configuration")["version"]
        kept = config_versions.write(site, content, before)
    except ConfigError as error:
        fail(str(error), 2)
    out.print("\n".join(changes), markup=False, highlight=False)
    out.print(f"{site} is written anew, without its comments; {kept} is the old file, with them")


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
        texts = (f"{v:.4g}" if isinstance(v, float) else v for v in row.values())
        table.add_row(*("" if text is None else str(text) for text in texts))
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
