"""The whole road on one machine: simulated or recorded shift, broker, board, log, scores.

No torch, no hardware, no broker to install. ``./deploy.sh demo`` runs this.
"""

import contextlib
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sensor_adapters.publisher import BrokerError, Publisher
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import count, messages, site_toml
from trainer.score import ask, newest_segments, score_log
from trainer.truth import ScoreError

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ("imu", "camera", "iot")
SITE, NODE, STATION = "demo", "board-1", "pack-1"
START_S, STOP_S = 30.0, 20.0
DB, SITE_FILE, BROKER_LOG, EDGE_LOG = "solosense.db", "site.toml", "broker.log", "edge.log"
WRITTEN = (DB, f"{DB}-shm", f"{DB}-wal", SITE_FILE, BROKER_LOG, EDGE_LOG)
out = Console(width=None if sys.stdout.isatty() else 110)


class DemoError(Exception):
    """A process of the demo failed; the text says which and what it said."""


class FolderInUse(DemoError):
    """The folder for the demo holds what no demo wrote."""


def clear(folder: Path) -> None:
    """Make a folder for a run; of what is in it only an earlier run's files are removed.

    Raises:
        FolderInUse: something else is in it.
    """
    if folder.exists() and not folder.is_dir():
        raise FolderInUse(f"{folder}: found a file, expected a new folder or an earlier run's")
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    if strange := [path.name for path in found if path.name not in WRITTEN or path.is_dir()]:
        names = ", ".join(strange[:3]) + (", …" if strange[3:] else "")
        raise FolderInUse(f"{folder}: found {names}, expected a new folder or an earlier run's")
    for path in found:
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def process(name: str, arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of the demo; end it in order, and by force where that does not help."""
    with log.open("wb") as file:
        one = subprocess.Popen([sys.executable, "-m", *arguments], stdout=file, stderr=file)
        try:
            yield one
        finally:
            one.send_signal(signal.SIGTERM)
            try:
                code = one.wait(STOP_S)
            except subprocess.TimeoutExpired:
                one.kill()
                code = one.wait()
    if code not in (0, -signal.SIGTERM):
        raise DemoError(f"{name} ended with code {code}: {_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-2000:] or "it said nothing"


def wait_for_port(port: int, name: str, one: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens."""
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s and one.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise DemoError(f"{name} does not listen on port {port}: {_tail(log)}")


def stream(recording: Recording, publisher: Publisher) -> dict[str, Any]:
    """Publish the recording as fast as the board takes it; return the board's health."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} messages"),
        TimeElapsedColumn(),
    )
    sent = messages(recording, SITE, NODE, STATION, publisher.boot)
    with Progress(*columns, console=out) as progress:
        task = progress.add_task("streaming over MQTT", total=count(recording))
        publisher.publish(sent, speed=0, done=lambda _: progress.advance(task))
    health = publisher.settle()
    if health is None:
        raise DemoError("the board stopped answering")
    return health


def run(recording: Recording, bundles: list[Path], folder: Path) -> dict[str, Any]:
    """Play a recording through broker and board; return the board's last health."""
    port, site, db = free_port(), folder / SITE_FILE, folder / DB
    broker = f"127.0.0.1:{port}"
    names = [str(b.resolve()) for b in bundles]
    site.write_text(site_toml(recording, names, broker, db.name, SITE, NODE, STATION))
    broker_log, edge_log = folder / BROKER_LOG, folder / EDGE_LOG
    with process("the broker", ["edge.embedded_broker", str(port)], broker_log) as one:
        wait_for_port(port, "the broker", one, broker_log)
        with (
            process("the board", ["edge", "run", str(site)], edge_log) as board,
            Publisher(broker, SITE, NODE) as publisher,
        ):
            if not publisher.wait_for_board(START_S, lambda: board.poll() is None):
                what = "does not answer" if board.poll() is None else "did not start"
                raise DemoError(f"the board {what}: {_tail(edge_log)}")
            return stream(recording, publisher)


def report(recording: Recording, db: Path, health: dict[str, Any], wall_s: float) -> None:
    """Print what was logged, how well, and how to ask for more."""
    start_us, end_us = recording.span_us()
    span_s = (end_us - start_us) / 1e6
    out.print(
        f"\n{span_s / 60:.1f} minutes of {recording.name} in {wall_s:.1f} s"
        f" ({span_s / wall_s:.0f} times real speed)"
    )
    # From the log: the health message speaks of sessions that go on, and this one has ended.
    ((lost, late),) = ask(db, "SELECT total(lost), total(late) FROM device_states")
    out.print(
        f"messages in {health['messages']}, refused {health['refused']}, lost {lost:.0f}, late"
        f" readings {late:.0f}"
    )
    delay = health["durable_ms"]
    out.print(f"arrival to durable: median {delay['p50']} ms, 99 % within {delay['p99']} ms")
    out.print("what each bundle made of it, alone:")
    table = Table("bundle", "level", "macro-F1", "accuracy", "F1@50", "edit", "segments")
    for row in (scored.as_dict() for scored in score_log(db, recording)):
        figures = [f"{row[name]:.3f}" for name in ("macro_f1", "accuracy")]
        figures += [f"{row['f1_50']:.3f}", f"{row['edit']:.1f}"]
        table.add_row(str(row["bundle"]), str(row["level"]), *figures, str(row["segments"]))
    out.print(table)
    out.print("the last ten segments:")
    last = Table("start (UTC)", "bundle", "level", "label", "s", "confidence", "state")
    for segment in newest_segments(db, 10):
        last.add_row(*map(str, segment))
    out.print(last)
    out.print(f"\nthe log: {db}")
    ((bundles,),) = ask(db, "SELECT bundles FROM stations")
    query = (
        "SELECT label, count, median_s, max_s FROM operation_durations"
        f" WHERE bundle = '{bundles.split(',')[0]}' ORDER BY median_s DESC LIMIT 5"
    )
    out.print("what takes longest? ask it (edge/README.md has more to ask):", highlight=False)
    out.print(f'  sqlite3 -box {shlex.quote(str(db))} "{query}"', highlight=False, soft_wrap=True)
    answer = Table("label", "count", "median_s", "max_s")
    for found in ask(db, query):
        answer.add_row(*map(str, found))
    out.print(answer)


def main(
    recording: Annotated[
        str,
        typer.Option(
            metavar="RECORDING",
            help="virtual:seed=7,boxes=20, an OpenPack session (…/U0209/S0500) or a SPHERE folder.",
        ),
    ] = "virtual:seed=7",
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="Bundle folder; repeat for several. [default: the three in bundles/]"),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder for the log; an earlier run in it is replaced.")
    ] = Path("demo-run"),
) -> None:
    """Stream a shift through broker, board and log, and show what was logged."""
    try:
        out.print(f"opening {recording} …", highlight=False)
        one = open_recording(recording)
        clear(folder)
        start_s = time.monotonic()
        health = run(one, bundle or [ROOT / "bundles" / name for name in BUNDLES], folder)
        report(one, folder / DB, health, time.monotonic() - start_s)
    except (RecordingError, BrokerError, DemoError, ScoreError, OSError) as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        is_setting = isinstance(error, (RecordingError, FolderInUse))
        raise typer.Exit(2 if is_setting else 1) from error


if __name__ == "__main__":
    typer.run(main)
