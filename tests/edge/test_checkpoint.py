"""A station that goes on from a checkpoint says what it would have said without one."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from edge import bundle as bundles, checkpoint, config as configs
from edge.bundle import Manifest
from edge.checkpoint import Unfit
from edge.engine import open_engine
from edge.inference import Model
from edge.pipeline import Pipeline
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages, site_toml
from sensor_adapters.topics import Message
from tests import live

WHOLE = "made of this"
BOX = open_recording("virtual:seed=7,boxes=1")
RECORDING = BOX.between(BOX.span_us()[0], BOX.span_us()[0] + 60_000_000)
SAID = [
    Message(sent.topic, sent.payload, sent.at_us)
    for sent in messages(RECORDING, live.SITE, live.NODE, live.STATION, "b")
]
BOARDS = {
    "one model": (("imu",), "viterbi"),
    "side by side": (("imu", "iot"), "viterbi"),
    "one voice": (("imu", "camera", "iot"), "viterbi"),
    "one voice by thresholds": (("imu", "camera", "iot"), "hysteresis"),
    "the mode": (("imu",), "mode"),
    "thresholds": (("imu",), "hysteresis"),
}


def decoded(manifest: Manifest, kind: str) -> Manifest:
    """Return a manifest whose levels are decoded in another way."""
    if kind == "viterbi":
        return manifest
    specs = tuple(
        msgspec.structs.replace(spec, kind=kind, parent_weight=0.0, window_steps=5, lag_steps=3)
        for spec in manifest.decoders
    )
    return msgspec.structs.replace(manifest, decoders=specs)


@pytest.fixture(scope="module", params=BOARDS, ids=str)
def make(request, tmp_path_factory):
    """Return what makes a pipeline."""
    names, kind = BOARDS[request.param]
    site = tmp_path_factory.mktemp("site") / "site.toml"
    folders = [str(live.BUNDLES / name) for name in names]
    is_one = request.param.startswith("one voice")
    site.write_text(
        site_toml(
            RECORDING, folders, "127.0.0.1:1", "x.db", live.SITE, live.NODE, live.STATION,
            failover=is_one,
        )
    )  # fmt: skip
    config, models = configs.load(site), {}
    for folder in folders:
        loaded = bundles.load(live.BUNDLES / folder)
        engine = open_engine(loaded)
        manifest = decoded(loaded.manifest, kind)
        models[folder] = Model(replace(loaded, manifest=manifest), engine)
    return lambda: Pipeline(config, models, {})


def rows(make, cuts: set[int], *, killed: bool) -> list[str]:
    """Return all records of a run that is killed behind these messages, or not."""
    pipeline, found = make(), []
    for index, message in enumerate(SAID):
        pipeline.push(message)
        if index % 3 == 0 or index in cuts:
            found += pipeline.advance(message.received_us)
        if killed and index in cuts:
            station = pipeline.stations[live.STATION]
            saved = checkpoint.content(station, WHOLE)
            pipeline, now_us = make(), message.received_us
            checkpoint.resume(pipeline.stations[live.STATION], saved, WHOLE)
            again = checkpoint.content(pipeline.stations[live.STATION], WHOLE)
            assert again == saved
            pipeline.advance(now_us)
    found += pipeline.finish(SAID[-1].received_us)
    return [repr(record) for record in found]


@settings(
    max_examples=5, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(cuts=st.sets(st.integers(0, len(SAID) - 1), min_size=1, max_size=12))
def test_whenever_it_is_killed_its_rows_are_the_same(make, cuts):
    assert rows(make, cuts, killed=True) == rows(make, cuts, killed=False)


def test_a_checkpoint_of_others_or_a_damaged_one_is_refused(make):
    pipeline = make()
    for message in SAID[:400]:
        pipeline.push(message)
    pipeline.advance(SAID[399].received_us)
    saved = checkpoint.content(pipeline.stations[live.STATION], WHOLE)
    with pytest.raises(Unfit, match="others than when it was written"):
        checkpoint.resume(make().stations[live.STATION], saved, "made of that")
    for place in range(0, len(saved), 97):
        for damaged in (saved[:place], saved[:place] + b"\xff" + saved[place + 1 :]):
            if damaged == saved:
                continue
            try:
                checkpoint.resume(make().stations[live.STATION], damaged, WHOLE)
            except Unfit:
                continue
            raise AssertionError(f"went on from what was damaged at {place}")
