"""What is left of a file of messages, whatever happened to it, is what came first."""

import json
from collections import deque

import pytest
from hypothesis import given, settings, strategies as st
from mcap.reader import make_reader

from sensor_adapters.recorder import mcap_writer
from sensor_adapters.recorder.mcap_reader import McapReader
from sensor_adapters.recorder.mcap_writer import McapWriter, NoRoom
from sensor_adapters.recorder.message_recorder import Tally, drain, record
from sensor_adapters.recorder.raw_replay import as_sent, boards
from sensor_adapters.recorder.topic_filter import check_filter, covers, matches, without_covered
from sensor_adapters.recording import RecordingError
from sensor_adapters.replay import Sent, paced
from sensor_adapters.topics import Message

NOW_US = 1_767_254_400_000_000
PAYLOADS = [b'{"contact":false}', b"ON", b"", b"\xff\x00\x01", b"21.5", b'{"v":1,"t0":5}']


def made(count: int) -> list[Message]:
    """Return messages of several topics, qualities and kinds."""
    topics = ["zigbee2mqtt/door", "act/v1/osaka/b/pack-1/in/state/tape", "fabrik/Öl °C", "$x/y"]
    return [
        Message(topics[i % 4], PAYLOADS[i % 6], NOW_US + 7 * i, i % 5 == 0, i % 3)
        for i in range(count)
    ]


def write(path, messages, lost=0, every=10):
    writer = McapWriter(path, {"topics": "#"}, {"pack-1/tape": "tape"})
    for number, message in enumerate(messages):
        assert writer.add(message, number)
        if number % every == every - 1:
            writer.flush()
    writer.close(lost)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("mcap") / "whole.mcap"
    write(path, made(60))
    return path


def test_messages_come_back_as_they_were(whole):
    reader = McapReader(whole)
    assert list(reader) == made(60)
    assert (reader.damage, reader.lost) == ("", 0)
    assert reader.metadata["solosense.placements"] == {"pack-1/tape": "tape"}


def test_any_reader_of_the_format_finds_index_times_and_encodings(whole):
    with whole.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        rows = list(reader.iter_messages())
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == 60
    assert summary.statistics.chunk_count == 6
    assert {index.compression for index in summary.chunk_indexes} == {"zstd"}
    for (_, channel, found), sent in zip(rows, made(60), strict=True):
        assert (channel.topic, found.data) == (sent.topic, sent.payload)
        assert found.log_time == sent.received_us * 1000
        is_json = sent.payload[:1] in (b"{", b"2")
        assert channel.message_encoding == ("json" if is_json else "x-raw")


def test_a_devices_own_time_is_the_publish_time_where_it_is_utc(tmp_path):
    topic = "act/v1/osaka/b/pack-1/in/state/tape"
    utc = Message(topic, b'{"t0":1700000000000000,"on":[true]}', NOW_US)
    own = Message(topic, b'{"t0":17,"clk":"device","on":[true]}', NOW_US)
    write(tmp_path / "x.mcap", [utc, own])
    with (tmp_path / "x.mcap").open("rb") as file:
        times = [m.publish_time for _, _, m in make_reader(file).iter_messages()]
    assert times == [1_700_000_000_000_000_000, NOW_US * 1000]


@settings(max_examples=300, deadline=None)
@given(share=st.floats(0, 1))
def test_a_file_cut_short_anywhere_gives_the_first_messages(whole, share):
    data = whole.read_bytes()
    cut = whole.with_name("cut.mcap")
    cut.write_bytes(data[: int(share * (len(data) - 1))])
    try:
        reader = McapReader(cut)
    except RecordingError:
        assert cut.stat().st_size < 8
        return
    found = list(reader)
    assert found == made(60)[: len(found)]
    assert len(found) % 10 == 0
    assert "cut short" in reader.damage


@settings(max_examples=300, deadline=None)
@given(share=st.floats(0, 0.999), byte=st.integers(0, 255), count=st.integers(1, 12))
def test_a_file_overwritten_anywhere_raises_nothing_else_than_it_says(whole, share, byte, count):
    data = bytearray(whole.read_bytes())
    at = int(share * len(data))
    data[at : at + count] = bytes([byte]) * len(data[at : at + count])
    bad = whole.with_name("bad.mcap")
    bad.write_bytes(data)
    try:
        for message in McapReader(bad):
            assert isinstance(message.payload, bytes)
    except RecordingError:
        assert at < 8


def test_what_is_no_such_file_is_said(tmp_path):
    (tmp_path / "x.mcap").write_text("topic,payload\n")
    with pytest.raises(RecordingError, match="begins with b'topic,pa', expected an MCAP file"):
        McapReader(tmp_path / "x.mcap")
    with pytest.raises(RecordingError, match="No such file"):
        McapReader(tmp_path / "y.mcap")


def test_what_the_recorder_lost_is_read_from_the_file_even_if_it_never_ended(tmp_path):
    writer = McapWriter(tmp_path / "x.mcap", {}, {})
    for number in (0, 1, 5, 6, 9):
        writer.add(made(1)[0], number)
    writer.flush()
    left = tmp_path / "left.mcap"
    left.write_bytes((tmp_path / "x.mcap").read_bytes())
    writer.close(5)
    reader = McapReader(left)
    assert len(list(reader)) == 5
    assert reader.lost == 5
    assert "cut short" in reader.damage


def test_a_file_that_is_there_is_never_overwritten(whole):
    before = whole.read_bytes()
    with pytest.raises(FileExistsError):
        McapWriter(whole, {}, {})
    assert whole.read_bytes() == before


def test_a_disk_that_is_nearly_full_ends_a_recording_in_order(tmp_path):
    free = deque([1 << 40, 1 << 40, 1 << 20])
    writer = McapWriter(tmp_path / "x.mcap", {}, {}, lambda _: free.popleft())
    source = Waiting(made(50), step=10)
    tally = Tally()
    with pytest.raises(NoRoom, match="has 1 MiB left, expected 64 at least"):
        record(source, writer, tally, lambda: False, source.seconds)
    writer.close(0)
    reader = McapReader(tmp_path / "x.mcap")
    assert list(reader) == made(30)
    assert tally.messages.total() == 30
    assert reader.damage == ""


def test_more_topics_than_a_file_can_have_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap_writer, "MOST_CHANNELS", 3)
    writer, tally = McapWriter(tmp_path / "x.mcap", {}, {}), Tally()
    messages = [Message(f"t/{i % 5}", b"1", NOW_US, qos=0) for i in range(10)]
    drain(Waiting(messages, step=4), writer, tally)
    writer.close(4)
    assert tally.messages.total() == 6
    reader = McapReader(tmp_path / "x.mcap")
    assert list(reader) == [m for m in messages if m.topic in ("t/0", "t/1", "t/2")]
    assert reader.metadata["solosense.end"] == {"lost": "4"}


class Waiting:
    """A source whose clock moves on a second with every take."""

    def __init__(self, messages, step):
        self._left, self._step, self._now_s = deque(enumerate(messages)), step, 0.0

    def take(self, wait_s, most):
        self._now_s += 1
        return [self._left.popleft() for _ in range(min(self._step, len(self._left)))]

    def seconds(self):
        return self._now_s


def test_a_recording_ends_after_its_seconds(tmp_path):
    source, tally = Waiting(made(50), step=10), Tally()
    writer = McapWriter(tmp_path / "x.mcap", {}, {})
    record(source, writer, tally, lambda: False, source.seconds, seconds=3)
    writer.close(0)
    assert tally.messages.total() == 30


# --- sending again ---------------------------------------------------------------------------


class Clock:
    """A clock that only sleeping moves on, a little late each time."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        assert 0 < seconds <= 0.5
        self.now_s += seconds + 0.001


@settings(deadline=None)
@given(
    gaps_us=st.lists(st.integers(-2_000_000, 5_000_000), min_size=1, max_size=30),
    speed=st.sampled_from([0.5, 1.0, 3.0, 20.0]),
)
def test_messages_are_sent_at_the_times_at_which_they_came(gaps_us, speed):
    messages, at_us = [], NOW_US
    for number, gap_us in enumerate(gaps_us):
        at_us += gap_us
        messages.append(Message(f"t/{number}", b"", at_us))
    clock, sent_s, sent = Clock(), [], []
    for one in paced(as_sent(messages), speed, clock, clock.sleep):
        sent_s.append(clock() - 100.0)
        sent.append(one)
    assert [one.topic for one in sent] == [one.topic for one in messages]
    newest_us = 0
    for when_s, message in zip(sent_s, messages, strict=True):
        newest_us = max(newest_us, message.received_us - messages[0].received_us)
        assert newest_us / 1e6 / speed - 1e-6 <= when_s <= newest_us / 1e6 / speed + 0.002


def test_at_speed_0_nothing_is_waited_for():
    clock = Clock()
    sent = [Sent(i * 3_600_000_000, "t", b"") for i in range(9)]
    assert list(paced(sent, 0, clock, clock.sleep)) == sent
    assert clock() == 100.0


def test_a_replay_that_is_over_does_not_wait_for_its_next_message():
    clock = Clock()
    sent = [Sent(0, "t", b""), Sent(3_600_000_000, "t", b"")]
    due = paced(sent, 1, clock, clock.sleep, lambda: clock() > 110)
    assert list(due) == sent[:1]
    assert clock() < 111


def test_only_the_topics_and_seconds_that_are_asked_for_are_sent_and_retained_on_demand():
    messages = made(12)
    doors = list(as_sent(messages, ["zigbee2mqtt/#", "fabrik/+"]))
    assert {one.topic for one in doors} == {"zigbee2mqtt/door", "fabrik/Öl °C"}
    assert not any(one.retained for one in doors)
    again = [one.retained for one in as_sent(messages, retained=True)]
    assert again == [one.retained for one in messages]
    assert len(list(as_sent(messages, seconds=0.000021))) == 3


def test_the_board_that_messages_are_for_is_the_one_with_most_of_them():
    counts = {"act/v1/a/b/s/in/imu/x": 3, "act/v1/a/c/s/in/imu/x": 2, "act/v1/a/c/t/in/pose/y": 2}
    assert boards({**counts, "zigbee2mqtt/door": 90}).most_common() == [
        (("a", "c"), 4),
        (("a", "b"), 3),
    ]


# --- filters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["", "a/#/b", "a+", "a/b#", "x" * 70_000])
def test_a_filter_that_no_broker_takes_is_refused(wrong):
    with pytest.raises(ValueError, match="topic"):
        check_filter(wrong)


LEVELS = st.sampled_from(["a", "b", "+", ""])
FILTERS = st.builds(
    lambda levels, rest: "/".join(levels + rest),
    st.lists(LEVELS, min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)
TOPICS = st.lists(st.sampled_from(["a", "b", "", "$"]), min_size=1, max_size=4).map("/".join)


@given(wide=FILTERS, narrow=FILTERS, topic=TOPICS)
def test_what_a_covered_filter_means_the_wider_one_means_too(wide, narrow, topic):
    if covers(wide, narrow) and matches(narrow, topic):
        assert matches(wide, topic)


@given(filters=st.lists(FILTERS, max_size=5), topic=TOPICS)
def test_leaving_covered_filters_out_loses_no_topic(filters, topic):
    kept = without_covered(filters)
    assert any(matches(one, topic) for one in kept) == any(matches(one, topic) for one in filters)
    assert json.dumps(kept) == json.dumps(without_covered(kept))
