"""solosense-edge db: check, copy, tidy, bring up to date and rescue a board's log."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from edge import config as configs
from edge.sqlite_log import SqliteLog
from edge.storage.beside import beside, size_bytes
from edge.storage.copies import copy, salvage, vacuum
from edge.storage.errors import LogDamaged, LogError
from edge.storage.lock import Lock
from edge.storage.look import examined, look, newest_version
from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import err, fail, out

app = typer.Typer(help="Look after a board's log.", no_args_is_help=True)

SiteFile = Annotated[Path, typer.Argument(metavar="SITE.TOML", help="The board's configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def _path(site: Path) -> Path:
    """Return where a site's log lies."""
    try:
        path = Path(configs.load(site).log.path)
    except ConfigError as error:
        fail(str(error), 2)
    if not size_bytes(path):
        fail(f"{path}: found no log there, expected one", 2)
    return path


def _refused(error: LogError) -> int:
    """Return the exit code: 1 for what befell the file, 2 for the wrong file."""
    return 1 if isinstance(error, LogDamaged) else 2


@app.command()
def check(site: SiteFile, as_json: Json = False) -> None:
    """Read the whole log for damage, count its rows, and change nothing; the board may run."""
    path = _path(site)
    try:
        version = look(path, whole=False)
        damage, counts = examined(path)
    except LogError as error:
        fail(str(error), _refused(error))
    rows = {"schema": version, "newest_schema": newest_version(), "damage": damage, "rows": counts}
    if as_json:
        print(json.dumps({"path": str(path), "mb": size_bytes(path) / 1e6, **rows}))
    else:
        table = Table("table", "rows")
        for name, count in counts.items():
            table.add_row(name, str(count))
        out.print(table)
        out.print(f"{path}: {size_bytes(path) / 1e6:.1f} MB, schema {version}", highlight=False)
    if damage:
        fail(f"{path}: found damage: {'; '.join(damage)}", 1)


@app.command()
def backup(
    site: SiteFile,
    to: Annotated[Path, typer.Argument(metavar="TO", help="The copy; it must not exist yet.")],
) -> None:
    """Copy the log while the board runs: whole and checked, or there is no copy."""
    path = _path(site)
    if to.exists():
        fail(f"{to}: found a file there, expected a new name for the copy", 2)
    with Progress(console=err, disable=not err.is_terminal) as shown:
        bar = shown.add_task(to.name)
        try:
            look(path, whole=False)
            copy(path, to, lambda done, of: shown.update(bar, completed=done, total=of))
        except LogError as error:
            fail(str(error), 1)
    out.print(f"{to}: {size_bytes(to) / 1e6:.1f} MB, intact", highlight=False)


@app.command(name="vacuum")
def vacuum_(site: SiteFile) -> None:
    """Give back what deleted rows have left free; not while the board runs."""
    path = _path(site)
    before = size_bytes(path)
    try:
        look(path, whole=False)
        lock = Lock(path, patience_s=0)
        try:
            vacuum(path)
        finally:
            lock.release()
    except LogError as error:
        fail(str(error), 1)
    out.print(f"{path}: {before / 1e6:.1f} MB, now {size_bytes(path) / 1e6:.1f}", highlight=False)


@app.command()
def migrate(site: SiteFile) -> None:
    """Bring an older log up to date, a copy kept beside it; the board does so when it starts."""
    path = _path(site)
    try:
        version = look(path, whole=True)
        if version == newest_version():
            out.print(f"{path}: schema {version} is the newest", highlight=False)
            return
        SqliteLog(path).close()
    except LogError as error:
        fail(str(error), _refused(error))
    kept = beside(path, f".before-{newest_version()}")
    out.print(f"{path}: schema {version}, now {newest_version()}; before: {kept}", highlight=False)


@app.command()
def recover(
    damaged: Annotated[Path, typer.Argument(metavar="DAMAGED", help="A log that was set aside.")],
    to: Annotated[Path, typer.Argument(metavar="TO", help="A new log; it must not exist yet.")],
) -> None:
    """Write what can still be read of a damaged log into a new one; the damaged one stays."""
    if to.exists() or not size_bytes(damaged):
        fail(f"expected a damaged log and a new name, found {damaged} and {to}", 2)
    try:
        SqliteLog(to).close()
        found = salvage(damaged, to)
    except LogError as error:
        to.unlink(missing_ok=True)
        fail(f"{error}; `sqlite3 {damaged} .recover` may find more", 1)
    table = Table("table", "rows found", "could all be read")
    for name, (count, is_whole) in found.items():
        table.add_row(name, str(count), "yes" if is_whole else "no")
    out.print(table)
