"""solosense-edge health: what a running board says of itself, as tables."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edge import config as configs
from edge.access.operator import as_operator
from edge.health.asking import Asking
from edge.health.verdict import verdict
from sensor_adapters.broker_option import HELP, broker_of
from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import fail, out, say
from sensor_adapters.topics import base

MB = 1e6


def health(
    site: Annotated[Path, typer.Argument(metavar="SITE.TOML", help="The board's configuration.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    wait_s: Annotated[float, typer.Option(min=0.1, help="How long to wait for an answer.")] = 5.0,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="BROKER",
            help=f"{HELP} Left out: the operator's, if `access` made one, else the board's.",
        ),
    ] = None,
) -> None:
    """Ask the running board how it is: streams, queues, disk, models, and what is wrong.

    Ends with 0 if all is well, 1 if something is wrong or nobody answers, 2 if a setting is wrong.
    """
    try:
        config = configs.load(site)
        about = base(config.site, config.node)
        to = broker_of(broker) if broker else as_operator(config.broker)
        heard = Asking(to, about).ask(wait_s)
    except (ConfigError, ValueError) as error:
        text = str(error)
        fail(text if text.startswith((str(site), f"{site.name}:")) else f"{site}: {text}", 2)
    if heard.refused:
        fail(f"{site}: {heard.refused}", 2)
    wrong = verdict(heard, about, time.time_ns() // 1000)
    body = heard.answer or heard.kept
    if as_json:
        found = {"ok": not wrong, "problems": wrong, "answered": heard.answer is not None}
        print(json.dumps({**found, "status": heard.status, "health": body}))
    else:
        if heard.answer is None and body is not None:
            age_s = time.time() - body["ts"] / 1e6
            say(f"the board does not answer; this is what it said {age_s:.0f} s ago")
        if body is not None:
            _show(body)
        for problem in wrong:
            say(f"wrong: {problem}")
        if not wrong:
            out.print("all is well")
    raise typer.Exit(1 if wrong else 0)


def _show(body: dict[str, Any]) -> None:
    columns = ("state", "age_s", "rate_hz", "expected_hz", "lost", "late", "rejected")
    streams = Table("stream", *columns)
    for name, stream in body["devices"].items():
        streams.add_row(name, *("" if stream[c] is None else str(stream[c]) for c in columns))
    out.print(streams)
    models = Table("model", "engine", "calls", "p50_ms", "p99_ms", "budget_ms")
    for name, model in body["models"].items():
        models.add_row(name, *(str(value) for value in model.values()))
    out.print(models)
    rest = Table("what", "now")
    disk, daily = body["disk"], body["disk"]["written_bytes_per_day"]
    rest.add_row("messages, refused", f"{body['messages']}, {body['refused']}")
    rest.add_row(
        "queued, unacknowledged, outbox",
        f"{body['queued']}, {body['unacknowledged']}, {body['outbox']}",
    )
    rest.add_row("broker window", _or_unknown(body["broker_window"]))
    rest.add_row("arrival to log, ms", f"p50 {_p(body, 'p50')}, p99 {_p(body, 'p99')}")
    rest.add_row(
        "log, write-ahead log, free, MB",
        ", ".join(
            _or_unknown(disk[key] and round(disk[key] / MB, 1))
            for key in ("database_bytes", "wal_bytes", "free_bytes")
        ),
    )
    rest.add_row(
        "written today, a day, MB",
        f"{disk['written_today_bytes'] / MB:.1f}, {_or_unknown(daily and round(daily / MB))}",
    )
    rest.add_row("share of a core, memory MB", f"{body['cpu_share']}, {body['rss_mb']}")
    rest.add_row("temperatures, °C", _or_unknown(body["temperatures_c"]))
    rest.add_row("up, s", str(body["uptime_s"]))
    out.print(rest)


def _p(body: dict[str, Any], which: str) -> str:
    return str(body["durable_ms"][which])


def _or_unknown(value: object) -> str:
    return "unknown" if value is None else str(value)
