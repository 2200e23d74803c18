"""solosense-adapters: look at recordings, and replay them as live sensors."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sensor_adapters.broker_option import HELP, broker_of
from sensor_adapters.cameras import commands as camera_commands
from sensor_adapters.gateway import calibrate_commands, commands as gateway_commands
from sensor_adapters.kit import commands as kit_commands
from sensor_adapters.outages import drawn, without
from sensor_adapters.publisher import BrokerError, Publisher
from sensor_adapters.recorder import commands as record_commands
from sensor_adapters.recording import Recording, RecordingError
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, count, messages, site_toml, until
from sensor_adapters.settings import ConfigError
from sensor_adapters.terminal import STOPPED, ctrl_c, err, fail, out, progress_bar
from sensor_adapters.topics import check_id

app = typer.Typer(
    help="Carry what devices say to a board; look at recordings, and replay them as live sensors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecordingName = Annotated[
    str,
    typer.Argument(
        metavar="RECORDING",
        help="virtual:seed=7,boxes=20, an OpenPack session (…/U0209/S0500), a SPHERE folder, or"
        " recorded messages (….mcap).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Site = Annotated[str, typer.Option(help="Site id in the topics.")]
Node = Annotated[str, typer.Option(help="Node (board) id in the topics.")]
StationId = Annotated[str, typer.Option("--station", help="Station id in the topics.")]
Broker = Annotated[str, typer.Option(metavar="HOST:PORT", help="MQTT broker.")]


def opened(name: str) -> Recording:
    """Return the recording, or stop with what is wrong with it."""
    try:
        return open_recording(name)
    except RecordingError as error:
        fail(str(error), 2)


def check_names(**ids: str) -> None:
    """Stop if one of these ids can not be one."""
    try:
        for what, value in ids.items():
            check_id(what, value)
    except ValueError as error:
        fail(str(error), 2)


@app.command()
def show(recording: RecordingName, as_json: Json = False) -> None:
    """Show what a recording holds: devices, rates, labels, and what is wrong with it."""
    one = opened(recording)
    start_us, end_us = one.span_us()
    devices = [_device_row(one, i) for i in range(len(one.samples))]
    levels = {
        level: len([t for t in one.truth if t.level == level])
        for level in dict.fromkeys(t.level for t in one.truth)
    }
    body = {
        "name": one.name, "layout": one.layout, "subject": one.subject, "start_us": start_us,
        "end_us": end_us, "devices": devices, "true_segments": levels, "notes": list(one.notes),
    }  # fmt: skip
    if as_json:
        print(json.dumps(body))
        return
    out.print(f"{one.name}: {one.layout}, {one.subject}, {(end_us - start_us) / 60e6:.1f} min")
    table = Table("device", "adapter", "placement", "samples", "rate (Hz)", "longest hole (s)")
    for row in devices:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    out.print(table)
    for level, number in levels.items():
        out.print(f"{number} true segments of level {level}")
    for note in one.notes:
        out.print(f"note: {note}", markup=False)


def _device_row(one: Recording, index: int) -> dict[str, Any]:
    """Return what ``show`` says of one stream."""
    samples = one.samples[index]
    device, time_us = one.devices[samples.device], samples.time_us
    holes = time_us[1:] - time_us[:-1]
    sampled = samples.stream.kind == "sampled" and len(holes) > 0
    span_s = (int(time_us[-1]) - int(time_us[0])) / 1e6 if len(time_us) else 0.0
    return {
        "device": samples.device,
        "adapter": device.adapter,
        "placement": device.placement,
        "samples": len(samples),
        "rate_hz": round(len(samples) / span_s, 2) if sampled and span_s else None,
        "longest_hole_s": round(int(holes.max()) / 1e6, 2) if len(holes) else None,
    }


@app.command()
def site(
    recording: RecordingName,
    bundle: Annotated[list[str], typer.Option(help="Bundle folder; repeat for several.")],
    broker: Broker = "127.0.0.1:1883",
    log: Annotated[str, typer.Option(help="SQLite file of the board.")] = "solosense.db",
    site: Site = "demo",
    node: Node = "board-1",
    station: StationId = "pack-1",
    failover: Annotated[
        bool, typer.Option(help="The bundles share one voice; else side by side.")
    ] = False,
) -> None:
    """Print a site configuration under which a board can be sent this recording."""
    check_names(site=site, node=node, station=station)
    folders = [str(Path(b).resolve()) for b in bundle]
    if failover and len(folders) < 2:
        fail("--failover: found one --bundle, expected several to share one voice", 2)
    one = opened(recording)
    try:
        text = site_toml(one, folders, broker, log, site, node, station, failover=failover)
    except ValueError as error:
        fail(str(error), 2)
    print(text, end="")


@app.command()
def replay(
    recording: RecordingName,
    broker: Annotated[str, typer.Option(metavar="BROKER", help=HELP)] = "127.0.0.1:1883",
    speed: Annotated[
        float, typer.Option(help="Times real speed; 0 is as fast as the board takes it.")
    ] = 1.0,
    seconds: Annotated[
        float | None, typer.Option(help="Replay only the first so many seconds of it.")
    ] = None,
    site: Site = "demo",
    node: Node = "board-1",
    station: StationId = "pack-1",
    outages: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Of the time that each kind of sensor is dead, 0 to 0.9."
        ),
    ] = 0.0,
    outage_seed: Annotated[int, typer.Option(help="Of the outages' random places.", min=0)] = 0,
    topic: record_commands.OnlyTopics = None,
    retained: record_commands.Retained = False,
    as_json: Json = False,
) -> None:
    """Publish a recording over MQTT, in the payloads of live devices.

    Messages that were recorded (FILE.mcap) go out as they came, on their own topics; with
    :station=… behind it such a file is a recording like the others.

    Ctrl-C ends it in order: the devices say `stopped`, so that the board ends the session.
    """
    if not 0 <= outages <= 0.9:
        fail(f"--outages is {outages:g}, expected 0 to 0.9", 2)
    if not 0 <= speed < math.inf:
        fail(f"--speed is {speed:g}, expected 0 (as fast as it goes) or more", 2)
    if seconds is not None and not 0 < seconds < math.inf:
        fail(f"--seconds is {seconds:g}, expected more than 0", 2)
    check_names(site=site, node=node, station=station)
    try:
        to_broker = broker_of(broker)
    except (ValueError, ConfigError) as error:
        fail(str(error), 2)
    if record_commands.holds_messages(recording):
        if outages:
            fail(f"--outages: found {recording}, expected {recording}:station=…", 2)
        record_commands.replay_messages(
            recording, to_broker, speed, seconds, topic or [], retained=retained, as_json=as_json
        )
        return
    if topic or retained:
        fail(f"--topic, --retained: found {recording}, expected recorded messages (….mcap)", 2)
    one = opened(recording)
    if seconds is not None:
        start_us, _ = one.span_us()
        one = one.between(start_us, start_us + round(seconds * 1e6))
    dead = drawn(one, outages, outage_seed)
    one = without(one, dead)
    for name, stretches in dead.items():
        for start_us, end_us in stretches:
            err.print(f"{name} is dead from {start_us} to {end_us} us", highlight=False)
    try:
        with (
            Publisher(to_broker, site, node) as publisher,
            ctrl_c() as is_over,
            progress_bar() as progress,
        ):
            task = progress.add_task(one.name, total=count(one))

            def done(_: Sent) -> None:
                progress.advance(task)

            sent = messages(one, site, node, station, publisher.boot)
            published = publisher.publish(until(is_over, sent), speed, done)
            health = publisher.settle()
            was_stopped = is_over()
    except ConfigError as error:
        fail(str(error), 2)
    except BrokerError as error:
        fail(str(error), 1)
    if as_json:
        print(json.dumps({"published": published, "board": health}))
    else:
        how = " until it was stopped" if was_stopped else ""
        said = _board_said(health, site, node)
        out.print(f"{published} messages published{how}; {said}", soft_wrap=True)
    if was_stopped:
        raise typer.Exit(STOPPED)


def _board_said(health: dict[str, Any] | None, site: str, node: str) -> str:
    """Return in words what became of what was published."""
    if health is None:
        return f"no board answered under act/v1/{site}/{node}"
    text = "the board has dealt with all that reached it"
    if refused := health.get("refused"):
        text += f"; it has refused {refused} since its start, what it prints says why"
    return text


app.command()(gateway_commands.run)
app.command()(gateway_commands.discover)
app.command()(calibrate_commands.calibrate)
app.command()(camera_commands.camera)
app.command()(record_commands.record)
app.command("list")(kit_commands.list_)
app.command()(kit_commands.check)
app.command("try")(kit_commands.try_)
app.command()(kit_commands.new)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
