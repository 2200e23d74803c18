"""Who is who, who is where, and what a station is told of it: pure, so tried with anything."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from sensor_adapters import pose
from sensor_adapters.cameras.pose_outputs import Sighting
from sensor_adapters.cameras.tracks import MOST_TRACKS, Tracks, followed, overlap
from sensor_adapters.cameras.watcher import LEAST_HIP_SCORE, Watcher
from sensor_adapters.cameras.zones import Place, area, contains, distance, holders, placed

S = 1_000_000
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
RIGHT = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
ZONES = {"left": LEFT, "right": RIGHT}
numbers = st.floats(0, 1000, allow_nan=False, width=32)
boxes = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    numbers, numbers, st.floats(1, 300, width=32), st.floats(1, 300, width=32),
)  # fmt: skip
times_us = st.integers(0, 10**7) | st.integers(0, 10**13)
frames = st.lists(st.lists(boxes, max_size=6, unique=True), min_size=1, max_size=8)


def somebody(x: float, y: float = 120.0, *, w: float = 40.0, hips: float = 0.9) -> Sighting:
    """Return a person whose middle is at x, y px, the hips there, too."""
    points = np.tile(np.array([x, y, 0.9], np.float32), (17, 1))
    points[11:13, 2] = hips
    return Sighting((x - w / 2, y - 50.0, x + w / 2, y + 50.0), points)


def ran(given_frames):
    """Return the ids of each frame's boxes, a tenth of a second apart."""
    tracks, found = Tracks(), []
    for i, some in enumerate(given_frames):
        tracks, ids = followed(tracks, i * S // 10, some)
        found.append(ids)
    return found


@given(frames)
def test_no_two_people_in_a_frame_are_the_same(given_frames):
    for ids in ran(given_frames):
        assert len(set(ids)) == len(ids)


@given(frames, st.randoms(use_true_random=False))
def test_the_order_in_which_a_model_names_people_says_nothing(given_frames, random):
    shuffled = [random.sample(some, len(some)) for some in given_frames]
    for plain, mixed, ids, others in zip(
        given_frames, shuffled, ran(given_frames), ran(shuffled), strict=True
    ):
        assert dict(zip(plain, ids, strict=True)) == dict(zip(mixed, others, strict=True))


@given(boxes, st.lists(st.tuples(st.floats(-0.15, 0.15), st.floats(-0.15, 0.15)), max_size=20))
def test_who_moves_less_than_a_sixth_of_their_size_a_frame_stays_who_they_are(first, steps):
    walk = [first]
    for dx, dy in steps:
        left, top, right, bottom = walk[-1]
        x, y = dx * (right - left), dy * (bottom - top)
        walk.append((left + x, top + y, right + x, bottom + y))
    assert ran([[one] for one in walk]) == [[0]] * len(walk)


@given(frames)
def test_what_is_remembered_is_bounded_and_no_id_is_used_twice(given_frames):
    tracks = Tracks()
    used: set[int] = set()
    for i, some in enumerate(given_frames * 3):
        tracks, ids = followed(tracks, i * S // 30, some)
        ended = used - {one.id for one in tracks.live}
        assert not ended & set(ids)
        used |= set(ids)
        assert len(tracks.live) <= MOST_TRACKS


def test_who_is_hidden_for_less_than_the_memory_is_known_again_and_for_longer_is_not():
    here = (100.0, 100.0, 140.0, 200.0)
    tracks, (first,) = followed(Tracks(), 0, [here])
    hidden, _ = followed(tracks, S // 2, [])
    assert followed(hidden, S, [here])[1] == [first]
    assert followed(hidden, S + 1, [here])[1] != [first]


def test_of_two_who_could_be_the_same_the_nearer_is():
    tracks, (first,) = followed(Tracks(), 0, [(100.0, 100.0, 140.0, 200.0)])
    near, far = (104.0, 100.0, 144.0, 200.0), (120.0, 100.0, 160.0, 200.0)
    assert followed(tracks, S // 10, [far, near])[1] == [first + 1, first]


def test_a_slow_models_walker_whose_boxes_no_longer_overlap_is_followed():
    steps = [[(x, 100.0, x + 40, 220.0)] for x in (0.0, 50.0, 100.0)]
    assert overlap(steps[0][0], steps[1][0]) == 0
    assert ran(steps) == [[0], [0], [0]]


@given(boxes, boxes)
def test_overlap_is_a_share_and_the_same_both_ways(one, other):
    assert 0 <= overlap(one, other) <= 1
    assert overlap(one, other) == overlap(other, one)
    assert overlap(one, one) == pytest.approx(1)


@given(st.floats(-1, 2), st.floats(-1, 2))
def test_a_spot_is_in_a_zone_or_at_a_distance_from_it(x, y):
    for zone in ZONES.values():
        assert (distance(zone, (x, y)) == 0) >= contains(zone, (x, y))
        (x0, y0), (x1, y1) = zone[0], zone[2]
        apart = np.hypot(max(x0 - x, 0, x - x1), max(y0 - y, 0, y - y1))
        assert distance(zone, (x, y)) == pytest.approx(apart, abs=1e-12)


@given(st.lists(st.floats(-0.029, 0.029), min_size=1))
def test_who_stands_on_the_border_does_not_flicker(offsets):
    places: dict[int, Place] = {}
    stations = set()
    for i, offset in enumerate(offsets):
        places = placed(places, ZONES, 0.03, i, {7: (0.5 + offset, 0.5)})
        stations.add(places[7].station)
    assert len(stations) == 1


@given(st.lists(st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))), st.floats(0, 0.3))
def test_nobody_is_at_a_station_from_further_than_the_margin(spots, margin):
    places: dict[int, Place] = {}
    for i, spot in enumerate(spots):
        places = placed(places, ZONES, margin, i, {1: spot})
        for place in places.values():
            assert distance(ZONES[place.station], spot) <= margin


def test_who_walks_over_the_border_is_at_the_other_station_then():
    places: dict[int, Place] = {}
    found = []
    for i, x in enumerate((0.45, 0.51, 0.54, 0.48)):
        places = placed(places, ZONES, 0.03, i, {1: (x, 0.5)})
        found.append(places[1].station)
    assert found == ["left", "left", "right", "right"]


def test_who_was_there_first_holds_the_station_while_remembered():
    places = placed({}, ZONES, 0.03, 0, {5: (0.2, 0.5)})
    places = placed(places, ZONES, 0.03, 1, {3: (0.3, 0.5)}, remembered=[5, 3])
    assert holders(places) == {"left": 5}
    places = placed(places, ZONES, 0.03, 2, {3: (0.3, 0.5)}, remembered=[3])
    assert holders(places) == {"left": 3}


def test_a_zones_area_is_nothing_where_its_corners_lie_in_a_row():
    assert area(LEFT) == pytest.approx(0.5)
    assert area(((0, 0), (0.5, 0.5), (1, 1))) == 0
    assert area(((0, 0), (1, 1))) == 0


# --- payloads ---


def told(watcher, *frames_):
    """Return each station's rows, decoded, and its states; a frame is its time and its people."""
    rows: dict[str, list] = {}
    states: dict[str, list] = {}
    seqs: dict[str, list] = {}
    out = []
    for time_us, people in frames_:
        out += watcher.seen(time_us, 320, 240, people)
    for one in [*out, *watcher.end()]:
        if one.kind == "status":
            body = one.payload.decode()
            states.setdefault(one.station, []).append("stopped" if "stopped" in body else "online")
            seqs.setdefault(one.station, []).append(int(body.split('"seq":')[1].split(",")[0]))
            continue
        samples = pose.decode("cam", one.payload)
        seqs.setdefault(one.station, []).append(samples.seq)
        rows.setdefault(one.station, []).extend(
            zip(samples.time_us.tolist(), samples.values, strict=True)
        )
    for numbers_ in seqs.values():
        assert numbers_ == list(range(len(numbers_)))
    return rows, states


def test_each_station_is_sent_its_person_or_that_nobody_is_there():
    watcher = Watcher("cam", "b", ZONES, S // 5)
    walk = [(i * S // 10, [somebody(80), *([somebody(240)] if i < 5 else [])]) for i in range(10)]
    rows, states = told(watcher, *walk)
    assert [time_us for time_us, _ in rows["left"]] == [i * S // 10 for i in range(10)]
    assert [values[0] for _, values in rows["left"]] == [1] * 10
    assert [values[0] for _, values in rows["right"]] == [1] * 5 + [0] * 5
    nose_x = pose.stream.column("nose_x")
    assert rows["left"][0][1][nose_x] == pytest.approx(80 / 320, abs=1e-4)
    assert rows["right"][0][1][nose_x] == pytest.approx(240 / 320, abs=1e-4)
    assert states == {"left": ["online", "stopped"], "right": ["online", "stopped"]}


@pytest.mark.parametrize(("gap_us", "count"), [(S // 15, 3), (S // 10, 2), (S // 2, 1)])
def test_a_payload_holds_as_much_time_as_is_set_and_a_slow_models_frame_does_not_wait(
    gap_us, count
):
    watcher, held = Watcher("cam", "b", {"here": ()}, S // 5), []
    for i in range(20):
        out = watcher.seen(i * gap_us, 320, 240, [])
        held += [len(pose.decode("cam", one.payload)) for one in out if one.kind == "pose"]
    assert set(held[1:]) == {count}


@given(
    st.lists(
        st.tuples(times_us, st.lists(st.tuples(numbers, numbers), max_size=4), st.booleans()),
        max_size=30,
    )
)
def test_whatever_is_seen_and_however_the_clock_is_set_every_payload_is_read(frames_):
    watcher = Watcher("cam", "b", ZONES, S // 5)
    rows, _ = told(
        watcher,
        *(
            (time_us, [somebody(x, y, hips=0.9 if sure else 0.1) for x, y in people])
            for time_us, people, sure in frames_
        ),
    )
    for some in rows.values():
        assert [time_us for time_us, _ in some] == [time_us for time_us, _, _ in frames_]


def test_a_passer_by_does_not_take_the_place_of_who_is_hidden_for_a_moment():
    watcher = Watcher("cam", "b", {"here": ()}, S)
    worker, passer_by = somebody(80), somebody(250)
    rows, _ = told(
        watcher, (0, [worker]), (S // 10, [worker, passer_by]), (S // 5, [passer_by]),
        (3 * S // 10, [worker, passer_by]),
    )  # fmt: skip
    nose_x = pose.stream.column("nose_x")
    found = [values[nose_x] for _, values in rows["here"]]
    assert found == pytest.approx([0.25, 0.25, np.nan, 0.25], nan_ok=True, abs=1e-4)


def test_hips_that_are_not_seen_leave_the_middle_of_the_box_and_the_foot_is_its_lower_edge():
    low, high = ((0, 0.6), (1, 0.6), (1, 1), (0, 1)), ((0, 0), (1, 0), (1, 0.6), (0, 0.6))
    zones = {"low": low, "high": high}
    unsure = somebody(160, hips=LEAST_HIP_SCORE / 2)
    for spot, station in (("hips", "high"), ("foot", "low")):
        rows, _ = told(Watcher("cam", "b", zones, S, spot=spot), (0, [unsure]))
        assert [name for name, some in rows.items() if some[0][1][0] == 1] == [station]
