"""Commands for messages as they are: record them, and send them again."""

import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sensor_adapters.broker_option import HELP, broker_of
from sensor_adapters.recorder.mcap_recording import SUFFIX
from sensor_adapters.recorder.message_recorder import Tally, drain, record as record_messages
from sensor_adapters.recorder.placements import read_placements
from sensor_adapters.recorder.raw_replay import as_sent, boards
from sensor_adapters.recorder.topic_filter import check_filter, without_covered
from sensor_adapters.recording import RecordingError
from sensor_adapters.replay import Sent
from sensor_adapters.settings import Broker, ConfigError
from sensor_adapters.terminal import STOPPED, ctrl_c, fail, out, progress_bar, say

FIND_BOARD_S = 2.0
EXTRA = "expected the extra `mcap`: pip install 'solosense[mcap]'"

OnlyTopics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="FILTER", help="Of FILE.mcap: only these; + and # as in MQTT."),
]
Retained = Annotated[
    bool, typer.Option("--retained", help="Of FILE.mcap: retained again what was retained.")
]


def holds_messages(name: str) -> bool:
    """Return whether a name is that of recorded messages, to be sent as they came."""
    return name.lower().endswith(SUFFIX)


def record(
    file: Annotated[Path, typer.Argument(metavar="FILE.mcap", help="A new file.")],
    broker: Annotated[str, typer.Option(metavar="BROKER", help=HELP)] = "127.0.0.1:1883",
    topic: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="What to record; repeat for several. All if left out."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="End by itself after so many seconds.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="SITE.TOML", help="A board's, to keep where its devices sit."),
    ] = None,
    username: Annotated[
        str, typer.Option(help="At the broker; the password is in SOLOSENSE_MQTT_PASSWORD.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Record MQTT messages, byte for byte, until Ctrl-C.

    The file is whole after every second, whatever happens; what could not be kept is counted.
    """
    try:
        topics = without_covered(check_filter(one) for one in topic or ["#"])
        if seconds is not None and not 0 < seconds < math.inf:
            fail(f"--seconds is {seconds:g}, expected more than 0", 2)
        if not holds_messages(file.name):
            fail(f"{file}: found the name {file.name!r}, expected one that ends in {SUFFIX}", 2)
        placements = {} if config is None else read_placements(config)
        to_broker = broker_of(broker, username)
    except (ValueError, RecordingError, ConfigError) as error:
        fail(str(error), 2)
    _record(file, to_broker, topics, seconds, placements, as_json=as_json)


def _record(
    file: Path,
    broker: Broker,
    topics: list[str],
    seconds: float | None,
    placements: dict[str, str],
    *,
    as_json: bool,
) -> None:
    """Record once all settings are known to make sense."""
    try:
        from sensor_adapters.publisher import BrokerError
        from sensor_adapters.recorder.mcap_reader import McapReader
        from sensor_adapters.recorder.mcap_writer import McapWriter, NoRoom
        from sensor_adapters.recorder.subscriber import Subscriber
    except ModuleNotFoundError as error:
        fail(f"found no {error.name}, {EXTRA}", 2)
    tally, trouble = Tally(), ""
    try:
        subscriber = Subscriber(broker, topics, say)
    except ConfigError as error:
        fail(str(error), 2)
    about = {"broker": f"{broker.host}:{broker.port}", "topics": " ".join(topics)}
    try:
        if file.exists():  # before the broker is asked; the writer makes sure
            raise FileExistsError
        with ctrl_c() as is_over:
            with subscriber:
                writer = McapWriter(file, about, placements)
                say(f"recording {', '.join(topics)} to {file}; stop with Ctrl-C")
                try:
                    record_messages(subscriber, writer, tally, is_over, time.monotonic, seconds)
                except NoRoom as error:
                    trouble = str(error)
            try:
                if not trouble:
                    drain(subscriber, writer, tally)
                writer.close(subscriber.received - tally.messages.total())
            except NoRoom as error:
                trouble = trouble or str(error)
            if writer.is_cut:  # then only the file knows what it holds
                tally = Tally()
                for message in McapReader(file):
                    tally.note(message)
    except FileExistsError:
        fail(f"{file}: is there already, expected a new file", 2)
    except ConfigError as error:
        fail(str(error), 2)
    except BrokerError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{file}: {error.strerror}, expected a new file", 2)
    lost = subscriber.received - tally.messages.total()
    _print_tally(file, tally, lost, subscriber.times_away, as_json)
    if trouble:
        fail(trouble, 1)


def _print_tally(file: Path, tally: Tally, lost: int, times_away: int, as_json: bool) -> None:
    total, payload = tally.messages.total(), tally.payload_bytes.total()
    size = file.stat().st_size
    if as_json:
        body: dict[str, Any] = {
            "file": str(file), "file_bytes": size, "messages": total, "payload_bytes": payload,
            "lost": lost, "times_away": times_away,
            "topics": {
                name: {"messages": count, "payload_bytes": tally.payload_bytes[name]}
                for name, count in sorted(tally.messages.items())
            },
        }  # fmt: skip
        print(json.dumps(body))
        return
    table = Table("topic", "messages", "payload (bytes)")
    for name, count in sorted(tally.messages.items()):
        table.add_row(name, str(count), str(tally.payload_bytes[name]))
    out.print(table)
    away = f"; the broker was away {times_away} times, what was said then is not known"
    out.print(
        f"{total} messages of {payload} bytes in {file} ({size} bytes); {lost} lost"
        f"{away if times_away else ''}",
        soft_wrap=True, markup=False, highlight=False,
    )  # fmt: skip


def replay_messages(
    name: str,
    broker: Broker,
    speed: float,
    seconds: float | None,
    topics: list[str],
    *,
    retained: bool,
    as_json: bool,
) -> None:
    """Publish what was recorded, on its own topics, as far as the file goes."""
    try:
        from sensor_adapters.publisher import BrokerError, Publisher
        from sensor_adapters.recorder.mcap_reader import McapReader
    except ModuleNotFoundError as error:
        fail(f"found no {error.name}, {EXTRA}", 2)
    try:
        for one in topics:
            check_filter(one)
        reader = McapReader(Path(name))
    except (ValueError, RecordingError) as error:
        fail(str(error), 2)

    def chosen() -> Iterator[Sent]:
        return as_sent(reader, topics, seconds, retained=retained)

    counts = Counter(message.topic for message in chosen())
    total, damage = counts.total(), reader.damage
    found = boards(counts).most_common(1)
    site, node = found[0][0] if found else ("none", "none")
    try:
        with Publisher(broker, site, node) as to, ctrl_c() as is_over, progress_bar() as progress:
            to.board_answers = bool(found) and to.wait_for_board(
                FIND_BOARD_S, lambda: not is_over()
            )
            task = progress.add_task(Path(name).name, total=total)

            def done(_: Sent) -> None:
                progress.advance(task)

            published = to.publish(chosen(), speed, done, is_over)
            health = to.settle()
            was_stopped = is_over()
    except ConfigError as error:
        fail(str(error), 2)
    except BrokerError as error:
        fail(str(error), 1)
    if damage:
        say(f"{name}: {damage}; replayed as far as it goes")
    if as_json:
        print(json.dumps({"published": published, "damage": damage, "board": health}))
    else:
        how = " until it was stopped" if was_stopped else ""
        out.print(f"{published} of {total} messages published{how}", highlight=False)
    if was_stopped:
        raise typer.Exit(STOPPED)
