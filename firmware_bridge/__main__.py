"""solosense-bridge: carry what boards say on serial ports to MQTT."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from firmware_bridge import config as configs
from firmware_bridge.serial_port import PortGone
from firmware_bridge.service import Service
from sensor_adapters.outbox import OutboxError
from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import err, fail, log_to_stderr, out, until_stopped

app = typer.Typer(
    help="Carry what boards say on serial ports to MQTT, with their times.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BridgeFile = Annotated[
    Path, typer.Argument(metavar="BRIDGE.TOML", help="The bridge's configuration.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def run(
    bridge: BridgeFile,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Run until SIGTERM or Ctrl-C; what waits for the broker then is kept on disk."""
    log_to_stderr(verbose=verbose)
    stop = until_stopped()
    try:
        service = Service(configs.load(bridge))
    except (ConfigError, OutboxError) as error:
        fail(str(error), 2)
    err.print(f"running {bridge}; stop with Ctrl-C", highlight=False)
    try:
        service.run(stop)
    except ConfigError as error:
        fail(f"{bridge}: {error}", 2)


@app.command()
def check(bridge: BridgeFile) -> None:
    """Check a configuration, and say which ports are there; change nothing."""
    try:
        config = configs.load(bridge)
        config.broker.password()
    except ConfigError as error:
        fail(str(error), 2)
    table = Table("port", "path", "there", "goes to")
    for name, port in config.ports.items():
        there = "://" in port.path or Path(port.path).exists()
        goes = [*port.streams.values(), *([port.lines.device] if port.lines else [])]
        table.add_row(
            name, port.path, "yes" if there else "no", f"{port.station}: {', '.join(goes)}"
        )
    out.print(table)
    out.print(f"{bridge} is fine")


@app.command()
def sniff(
    port: Annotated[str, typer.Argument(help="Path of a serial port, or socket://HOST:PORT.")],
    baud: Annotated[int, typer.Option(help="Rate of the line.")] = 921_600,
    seconds: Annotated[float, typer.Option(help="How long; 0 is until Ctrl-C.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Show what a board says, as it comes: frames, rates, losses, its clock."""
    from firmware_bridge.sniff import Sniffer

    stop = until_stopped()
    try:
        sniffer = Sniffer(port, baud)
        sniffer.run(stop, seconds, None if as_json else out)
    except PortGone as error:
        fail(f"{port}: {error}, expected a serial port that is ours to open", 1)
    if as_json:
        print(json.dumps(sniffer.summary()))


@app.command()
def simulate(
    link: Annotated[Path, typer.Argument(help="Where the board's port shall appear.")],
    device: Annotated[str, typer.Option(help="What the board calls itself.")] = "virtual-1",
    ppm: Annotated[float, typer.Option(help="How fast its clock runs, parts per million.")] = 50.0,
) -> None:
    """Be a board at a pseudo-terminal: inertial unit, scanner, drawer, a clock of its own."""
    from firmware_bridge.simulate import Pty, simulate as live
    from firmware_bridge.virtual_board import VirtualBoard

    stop = until_stopped()
    try:
        pty = Pty(link)
    except OSError as error:
        fail(f"{link}: {error.strerror}, expected a place for a link", 2)
    err.print(f"a board speaks at {link}; stop with Ctrl-C", highlight=False)
    try:
        live(VirtualBoard(device, rate=1 + ppm * 1e-6), pty, stop)
    finally:
        pty.close()


@app.command()
def bench(
    frames: Annotated[int, typer.Option(help="How many frames.")] = 200_000,
    as_json: Json = False,
) -> None:
    """Measure how fast frames are read, beside the rate of a serial line."""
    from firmware_bridge.bench import measure

    rows = measure(frames)
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    out.print(table)


if __name__ == "__main__":
    app()
