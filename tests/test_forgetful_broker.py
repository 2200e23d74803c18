"""A broker that loses what it was given: what is missing is bounded, counted, and in the log."""

import signal

import pytest

from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import Sent, messages
from tests import live
from tests.edge.models import S
from tests.throughput import Sender, packet

pytestmark = [pytest.mark.broker, pytest.mark.slow]
RECORDING = open_recording("virtual:seed=305,boxes=3")
SAID = list(messages(RECORDING, live.SITE, live.NODE, live.STATION, "b"))
BEGAN_US, ENDED_US = RECORDING.span_us()
FROM_US, TO_US = BEGAN_US + 40 * S, BEGAN_US + 100 * S
"""What is lost was said in this stretch."""
CONTEXT_S = 20
"""After a gap a model begins anew; then it says what it would have said."""
BUNDLES = [live.BUNDLES / "imu"]


def send(port: int, said: list[Sent]) -> None:
    """Send as a device would that does not look back."""
    sender = Sender(port)
    sender.send([packet(m.topic, m.payload, n % 65535 + 1) for n, m in enumerate(said)], 2000)
    sender.close()


def settled(port: int) -> dict:
    with Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher:
        assert publisher.wait_for_board(60, lambda: True)
        health = publisher.settle()
    assert health is not None
    return health


def part(from_us: int, to_us: int) -> list[Sent]:
    return [one for one in SAID if from_us <= one.at_us < to_us]


@pytest.fixture(scope="module")
def golden(tmp_path_factory) -> list[tuple]:
    folder = tmp_path_factory.mktemp("golden")
    with (
        live.mosquitto(folder, more="max_queued_messages 100000\n") as port,
        live.board(folder, port, RECORDING, BUNDLES) as one,
    ):
        send(port, SAID)
        settled(port)
        assert one.stop() == 0
        return one.segments()


def check(one: live.Board, health: dict, golden: list[tuple], lost: int) -> None:
    """See that all is as it would have been but for the stretch, and that this is said."""
    assert health["lost"] == lost > 0
    assert one.query("SELECT sum(lost) FROM device_states") == [(lost,)]
    gaps = one.query("SELECT start_us, end_us, reason FROM gaps")
    assert [reason for *_, reason in gaps] == ["lost"]
    assert FROM_US - 2 * S <= gaps[0][0] <= FROM_US + 8 * S  # some of it a broker may hold
    assert TO_US - 2 * S <= gaps[0][1] <= TO_US + 2 * S
    rows = one.segments()

    def before(some: list[tuple]) -> list[tuple]:
        return [row for row in some if row[7] < FROM_US - 2 * S]

    def after(some: list[tuple]) -> list[tuple]:
        return [(row[4], row[6] // S) for row in some if row[6] > TO_US + CONTEXT_S * S]

    assert before(rows) == before(golden)
    assert len(before(golden)) > 3
    assert len(after(golden)) > 10
    same = len(set(after(rows)) & set(after(golden)))
    assert same > 0.9 * len(after(golden))


@pytest.mark.fault("F1", "F6")
def test_a_broker_that_forgets_what_it_held_leaves_a_gap_that_says_so(tmp_path, golden):
    port = live.free_port()
    broker = live.start_mosquitto(tmp_path, port)
    try:
        with live.board(tmp_path, port, RECORDING, BUNDLES) as one:
            send(port, part(0, FROM_US))
            settled(port)
            broker.kill()
            broker.wait(10)
            broker = live.start_mosquitto(tmp_path, port)
            settled(port)
            send(port, part(TO_US, ENDED_US + S))
            health = settled(port)
            assert one.stop() == 0
            check(one, health, golden, len(part(FROM_US, TO_US)))
    finally:
        broker.kill()
        broker.wait(10)


@pytest.mark.fault("F7", "F8")
def test_a_broker_that_may_hold_too_little_leaves_a_gap_that_says_so(tmp_path, golden):
    window, held = 20, 5
    more = f"max_inflight_messages {window}\nmax_queued_messages {held}\n"
    lossy = part(FROM_US, TO_US)
    with (
        live.mosquitto(tmp_path, more=more) as port,
        live.board(tmp_path, port, RECORDING, BUNDLES) as one,
        Publisher(f"127.0.0.1:{port}", live.SITE, live.NODE) as publisher,
    ):

        def send_in_time(said: list[Sent]) -> dict:
            for at in range(0, len(said), window // 2):
                publisher.publish(said[at : at + window // 2], 0)
                health = publisher.settle()
            assert health is not None
            return health

        send_in_time(part(0, FROM_US))
        one.process.send_signal(signal.SIGSTOP)
        send(port, lossy)
        one.process.send_signal(signal.SIGCONT)
        assert publisher.wait_for_board(60, lambda: True)  # its first answer: there is room again
        health = send_in_time(part(TO_US, ENDED_US + S))
        assert one.stop() == 0
    assert len(lossy) - window - held <= health["lost"] < len(lossy)
    check(one, health, golden, health["lost"])
