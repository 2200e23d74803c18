"""What the board says over MQTT."""

from typing import Literal

import msgspec

from edge.announce import Announcer
from edge.records import SegmentRecord
from edge.segments import Segment
from edge.voices import Now


def said(message) -> dict:
    return msgspec.json.decode(message.payload)


def record(state: Literal["open", "closed", "interrupted"], end_us: int = 2) -> SegmentRecord:
    segment = Segment("operation", "Picking", "", 1, end_us, 0.91234567, 1.0, state)
    return SegmentRecord("pack-1", "imu", "imu", 1, segment, 9)


def test_a_segment_is_new_then_updated_then_ended_under_one_id():
    announcer = Announcer("osaka", "jetson-01", "b", "1")
    told = (record("open", 2), record("open", 5), record("closed", 7))
    messages = [announcer.segment(one)[1] for one in told]
    assert {m.topic for m in messages} == {"act/v1/osaka/jetson-01/pack-1/segment"}
    bodies = [said(m) for m in messages]
    assert [(b["type"], b["end"]) for b in bodies] == [("new", None), ("update", 5), ("end", 7)]
    assert len({b["id"] for b in bodies}) == 1
    assert [b["seq"] for b in bodies] == [1, 2, 3]
    assert all(b["v"] == 1 for b in bodies)


def test_the_current_action_is_said_once_until_it_changes_and_nothing_when_all_is_silent():
    announcer = Announcer("osaka", "jetson-01", "b", "1")
    picking = [Now("operation", "Picking", 0.9, 3)]
    first = announcer.action("pack-1", "imu", picking)
    assert first is not None
    assert said(first)["label"] == "Picking"
    assert announcer.action("pack-1", "imu", picking) is None
    silent = announcer.action("pack-1", "imu", [])
    assert silent is not None
    assert said(silent)["label"] is None
    assert announcer.action("pack-1", "imu", []) is None


def test_a_board_that_starts_says_that_it_knows_no_action_yet():
    announcer = Announcer("osaka", "jetson-01", "b", "1")
    first = announcer.action("pack-1", "imu", [])
    assert first is not None
    assert said(first)["label"] is None
    assert announcer.action("pack-1", "imu", []) is None
