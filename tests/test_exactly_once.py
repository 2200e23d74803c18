"""Whatever is killed, doubled, shuffled or slow: the rows are those of an undisturbed board."""

import random

import pytest

from tests import golden

pytestmark = [pytest.mark.broker, pytest.mark.slow]
STATIONS = golden.work(boxes=4)
KILLED_S = 0.3, 1.8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[tuple]:
    folder = tmp_path_factory.mktemp("undisturbed")
    rows = golden.run(folder, STATIONS, "", random.Random(0)).segments()
    assert len(rows) > 300
    return rows


@pytest.mark.fault("F1", "F10", "F30", "F38")
@pytest.mark.parametrize(("way", "mqtt"), [*((way, "3.1.1") for way in golden.WAYS), ("both", "5")])
def test_the_rows_are_those_of_an_undisturbed_board(tmp_path, undisturbed, way, mqtt):
    one = golden.run(tmp_path, STATIONS, way, random.Random(5), KILLED_S, mqtt=mqtt)
    assert one.segments() == undisturbed
    if way in ("board", "both"):
        assert "going on from where the last run was cut off" in one.said
    lost = one.query("SELECT sum(lost), sum(late), sum(rejected), max(session) FROM device_states")
    assert lost == [(0, 0, 0, 1)]
    assert one.query("SELECT count(*) FROM checkpoints") == [(0,)]
    assert one.query("SELECT count(*) FROM outbox") == [(0,)]
