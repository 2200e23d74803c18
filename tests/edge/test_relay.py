"""Models that share one voice: who is heard, what is carried over, what is a gap."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from edge.bundle import Level, Manifest
from edge.relay import Relay, RelayError, Switch
from edge.segments import Segment
from edge.voices import Gap, Step
from tests.edge import models
from tests.edge.models import LABELS, S, decoder

BEST, SECOND = 0, 1
DELAY = 1


def manifest(name: str, labels: tuple[str, ...] = LABELS, **changes: object) -> Manifest:
    """Return a model of the kinds of sensor that its name lists, each an input."""
    kinds = tuple(name.split("+"))
    (block,) = models.manifest().inputs
    return models.manifest(
        name=name, modality=kinds, delay_steps=DELAY, devices=(),
        inputs=tuple(msgspec.structs.replace(block, name=kind) for kind in kinds),
        reset_after_us=10 * S,
        levels=(Level(name="operation", labels=labels),),
        decoders=(decoder("operation", len(labels)),), **changes,
    )  # fmt: skip


class Played:
    """A relay that hears, step by step, what its models say; seconds are steps."""

    def __init__(self, *manifests: Manifest) -> None:
        self.manifests = manifests or (manifest("imu"), manifest("camera"))
        self.relay = Relay(self.manifests)
        self.said: list[object] = []
        self._at = 0

    def says(self, rank: int, at: int, label: str, *alive: str, dead: bool = False) -> None:
        """Have a model say a label at a step in which these kinds live; all if none are named."""
        kinds = self.manifests[rank].kinds
        lives = frozenset() if dead else frozenset(alive or kinds)
        labels = self.manifests[rank].levels[0].labels
        p = np.full(len(labels), 0.02, np.float32)
        p[labels.index(label)] = 0.96
        step = Step(at, {}, len(lives) / len(kinds), lives)
        self.relay.answer(rank, step, {"p_operation": p, "boundary": np.zeros(1, "f4")})

    def steps(self, count: int, *labels: str | None) -> "Played":
        """Let so many steps pass in which the models say these labels; None is a dead sensor."""
        for _ in range(count):
            for rank, label in enumerate(labels):
                if label is None:
                    self.says(rank, self._at, LABELS[0], dead=True)
                else:
                    self.says(rank, self._at, label)
            self._at += 1
            self.said += self.relay.decide(self._at + DELAY)
        return self

    def end(self) -> "Played":
        self.said += self.relay.finish()
        return self

    @property
    def segments(self) -> list[tuple]:
        return [
            (s.label, s.start_us // S, s.end_us // S, s.state, s.modality)
            for s in self.said
            if isinstance(s, Segment) and s.state != "open"
        ]

    @property
    def switches(self) -> list[tuple]:
        return [(s.at_us // S, s.before, s.after) for s in self.said if isinstance(s, Switch)]

    @property
    def gaps(self) -> list[tuple]:
        return [
            (g.start_us // S, None if g.end_us is None else g.end_us // S)
            for g in self.said
            if isinstance(g, Gap)
        ]


def test_the_best_model_is_heard_while_its_sensors_live():
    played = Played().steps(10, "pick", "ship").end()
    assert played.segments == [("pick", 0, 10, "interrupted", "imu")]
    assert played.switches == [(0, "", "imu")]


def test_a_dead_sensor_is_replaced_at_once_and_its_open_segment_goes_on():
    played = Played().steps(5, "pick", "pick").steps(5, None, "pick").end()
    assert played.switches == [(0, "", "imu"), (5, "imu", "camera")]
    assert played.segments == [("pick", 0, 10, "interrupted", "imu,camera")]


def test_a_sensor_that_returns_has_its_turn_in_its_second_step():
    played = Played().steps(5, None, "pick").steps(5, "pick", "pick").end()
    assert played.switches == [(0, "", "camera"), (6, "camera", "imu")]


def test_a_sensor_that_comes_and_goes_does_not_have_its_turn():
    played = Played().steps(3, None, "pick")
    for _ in range(5):
        played.steps(1, "ship", "pick").steps(1, None, "pick")
    assert played.end().switches == [(0, "", "camera")]
    assert [s[0] for s in played.segments] == ["pick"]


def test_a_model_that_misses_one_of_its_sensors_gives_way_to_one_that_has_all():
    played = Played(manifest("imu+camera"), manifest("imu"))
    played.steps(4, "pick", "pick")
    for at in range(4, 8):
        played.says(0, at, "ship", "imu")
        played.says(1, at, "pick")
        played.said += played.relay.decide(at + 1 + DELAY)
    assert played.end().switches == [(0, "", "imu+camera"), (4, "imu+camera", "imu")]
    assert [s[0] for s in played.segments] == ["pick"]


def test_half_a_model_is_better_than_none():
    played = Played(manifest("imu+camera"), manifest("imu"))
    for at in range(4):
        played.says(0, at, "pick", "camera")
        played.says(1, at, "ship", dead=True)
    assert played.end().segments == [("pick", 0, 4, "interrupted", "camera")]


def figures(name: str, **worth: float) -> Manifest:
    """Return a model that says what it is worth by what lives; ``_`` stands for ``+``."""
    said = {kinds.replace("_", "+"): figure for kinds, figure in worth.items()}
    kinds = max(said, key=len)
    return msgspec.structs.replace(manifest(kinds, scores={"alive": said}), name=name)


def test_models_that_say_what_they_are_worth_are_heard_together():
    played = Played(figures("imu", imu=0.8), figures("camera", camera=0.6)).steps(2, "pick", "pick")
    for at in range(2, 4):
        played.says(0, at, "pick")
        played.says(1, at, "pick", dead=True)
        played.said += played.relay.decide(at + 1 + DELAY)
    assert played.end().switches == [(0, "", "imu+camera"), (2, "imu+camera", "imu")]
    assert played.segments == [("pick", 0, 4, "interrupted", "imu+camera,imu")]


@pytest.mark.parametrize(("strong", "weak"), [(0.8, 0.4), (0.4, 0.8)])
def test_who_is_worth_more_counts_more(strong, weak):
    played = Played(figures("imu", imu=strong), figures("camera", camera=weak))
    played.steps(4, "pick", "ship")
    assert [s[0] for s in played.end().segments] == ["pick" if strong > weak else "ship"]


def test_a_model_counts_by_what_lives_of_its_sensors():
    both = figures("all", imu_camera=0.9, imu=0.2, camera=0.2)
    played = Played(both, figures("imu", imu=0.6))
    for at in range(8):
        played.says(0, at, "pick", "imu", *(["camera"] if at < 4 else []))
        played.says(1, at, "ship")
        played.said += played.relay.decide(at + 1 + DELAY)
    assert [s[0] for s in played.end().segments] == ["pick", "ship"]
    assert played.switches == [(0, "", "all+imu")]


def test_what_is_said_together_is_the_mean_weighted_by_the_fourth_power_of_worth():
    played = Played(figures("imu", imu=0.6), figures("camera", camera=0.3)).steps(4, "pick", "ship")
    (found,) = [s for s in played.end().said if isinstance(s, Segment) and s.state != "open"]
    assert found.confidence == pytest.approx((16 * 0.96 + 0.02) / 17, abs=1e-4)


def test_models_worth_nothing_are_heard_alike():
    played = Played(figures("imu", imu=0), figures("camera", camera=0)).steps(4, "pick", "pick")
    assert [s[0] for s in played.end().segments] == ["pick"]


def test_of_a_model_of_one_sensor_its_validation_figure_says_it_all():
    older = manifest("camera", scores={"validation": {"argmax_macro_f1": 0.6}})
    played = Played(figures("imu", imu=0.2), older).steps(4, "pick", "ship").end()
    assert [s[0] for s in played.segments] == ["ship"]


def test_where_one_bundle_lacks_figures_the_order_says():
    for second in (manifest("camera"), figures("camera+radio", camera_radio=0.9, camera=0.8)):
        played = Played(figures("imu", imu=0.5), second).steps(4, "pick", "pick").end()
        assert played.switches == [(0, "", "imu")]


def test_the_action_may_change_while_another_model_is_heard():
    played = Played().steps(5, "pick", "pick").steps(3, None, "pick").steps(9, None, "pack")
    played.steps(9, "ship", "pack").end()
    assert [s[:3] for s in played.segments] == [("pick", 0, 8), ("pack", 8, 18), ("ship", 18, 26)]
    assert [s[4] for s in played.segments] == ["imu,camera", "camera", "imu"]


def test_where_all_are_dead_there_is_a_gap_and_a_short_one_is_bridged():
    played = Played().steps(5, "pick", "pick").steps(4, None, None).steps(5, "pick", None).end()
    assert played.gaps == [(5, None), (5, 9)]
    assert played.switches == [(0, "", "imu"), (5, "imu", ""), (9, "", "imu")]
    assert played.segments == [("pick", 0, 14, "interrupted", "imu")]


def test_in_a_gap_no_segment_begins_and_nothing_is_said_to_be_now():
    step_by_step = ((-0.05, -1.0, -60.0), (-60.0, -0.05, -1.0), (-60.0, -60.0, -0.05))
    models = [
        msgspec.structs.replace(
            manifest(name),
            decoders=(
                msgspec.structs.replace(decoder("operation", 3), log_transition=step_by_step),
            ),
        )
        for name in ("imu", "camera")
    ]
    first, _, last = LABELS
    played = Played(*models).steps(6, first, first).steps(6, None, None)
    assert played.relay.now == []
    played.steps(6, last, last).end()
    assert played.segments[0][:3] == (first, 0, 12)
    assert all(start == 0 or start >= 12 for _, start, *_ in played.segments)


def test_after_a_long_gap_the_decoder_is_that_of_the_model_heard():
    def moves(stay: float, leave: float) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(stay if i == j else leave for j in range(3)) for i in range(3))

    def with_moves(one: Manifest, rows: tuple[tuple[float, ...], ...]) -> Manifest:
        spec = msgspec.structs.replace(one.decoders[0], log_transition=rows)
        return msgspec.structs.replace(one, decoders=(spec,))

    loose = with_moves(figures("imu", imu=0.5), moves(-1.1, -1.1))
    steady = with_moves(figures("camera", camera=0.5), moves(-0.0001, -300.0))
    played = Played(loose, steady).steps(5, None, "pick").steps(30, None, None)
    for at in range(8):
        played.steps(1, None, LABELS[1 + at % 2])
    assert len(played.end().segments) == 2  # one before the gap, one behind it


def test_models_that_speak_at_different_delays_are_heard_from_the_first_step_on():
    quick = msgspec.structs.replace(figures("imu", imu=0.5), delay_steps=0)
    slow = msgspec.structs.replace(figures("camera", camera=0.5), delay_steps=2)
    played = Played(quick, slow)
    for complete in range(1, 12):
        if complete > 1:
            played.says(0, complete - 1, "pick")
        if complete > 2:
            played.says(1, complete - 3, "pick")
        played.said += played.relay.decide(complete)
    assert played.end().segments[0][1] == 0
    assert played.switches[0] == (0, "", "camera")


def test_a_worth_of_something_that_the_model_does_not_have_is_no_worth():
    odd = msgspec.structs.replace(manifest("imu"), scores={"alive": {"wrist": 0.9}})
    played = Played(odd, figures("camera", camera=0.5)).steps(4, "pick", "ship").end()
    assert played.switches == [(0, "", "imu")]


def test_what_begins_in_silence_begins_where_something_is_seen():
    played = Played().steps(1, None, None).steps(3, "pick", "pick").end()
    assert played.segments == [("pick", 1, 4, "interrupted", "imu")]


def test_one_dead_step_is_no_gap():
    played = Played().steps(5, "pick", "pick").steps(1, None, None).steps(5, "pick", "pick").end()
    assert played.gaps == []
    assert played.switches == [(0, "", "imu")]
    assert played.segments == [("pick", 0, 11, "interrupted", "imu")]


def test_a_long_gap_ends_what_was_open_where_observation_ended():
    played = Played().steps(5, "pick", "pick").steps(30, None, None).steps(5, "pick", "pick").end()
    assert played.gaps == [(5, None), (5, 35)]
    assert played.segments == [
        ("pick", 0, 5, "interrupted", "imu"), ("pick", 35, 40, "interrupted", "imu"),
    ]  # fmt: skip


def test_silence_at_the_end_is_not_claimed():
    played = Played().steps(5, "pick", "pick").steps(6, None, None).end()
    assert played.segments == [("pick", 0, 5, "interrupted", "imu")]


def test_no_two_segments_overlap_whatever_dies():
    rng = np.random.default_rng(3)
    played = Played()
    for _ in range(400):
        one, other = (LABELS[rng.integers(3)] if rng.random() < 0.6 else None for _ in range(2))
        played.steps(int(rng.integers(1, 6)), one, other)
    spans = [s[1:3] for s in played.end().segments]
    assert len(spans) > 50
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_whether_steps_are_decided_one_by_one_or_all_at_the_end_is_the_same():
    def told(at_once: bool) -> Played:
        rng, played = np.random.default_rng(5), Played()
        for at in range(600):
            for rank in (BEST, SECOND):
                if rng.random() < 0.6:
                    label, dead = LABELS[rng.integers(3)], bool(rng.random() < 0.3)
                    played.says(rank, at, label, dead=dead)
            if not at_once:
                played.said += played.relay.decide(at + 1 + DELAY)
        return played.end()

    now, later = told(False), told(True)
    assert now.segments == later.segments
    assert now.switches == later.switches
    assert len(now.switches) > 50


def test_labels_in_another_order_are_the_same_labels():
    played = Played(manifest("imu"), manifest("camera", ("ship", "pick", "pack")))
    played.steps(6, None, "ship").steps(6, None, "pack").end()
    assert [s[:3] for s in played.segments] == [("ship", 0, 6), ("pack", 6, 12)]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (manifest("b", ("pick", "pack", "wrap")), "differ in operation by ship, wrap"),
        (manifest("b", step_us=2 * S), "b has steps of 2000000 us, expected 1000000"),
    ],
)
def test_models_that_speak_of_other_things_can_not_take_turns(other, told):
    with pytest.raises(RelayError, match=told):
        Relay([manifest("a"), other])


def test_models_of_other_levels_can_not_take_turns():
    other = msgspec.structs.replace(manifest("b"), levels=(Level(name="action", labels=LABELS),))
    with pytest.raises(RelayError, match="b names action, expected operation as a"):
        Relay([manifest("a"), other])


def test_models_whose_actions_belong_to_other_operations_can_not_take_turns():
    def of(name: str, *parents: str) -> Manifest:
        levels = (
            Level(name="operation", labels=("pick", "pack")),
            Level(name="action", labels=("reach", "close", "rest"), parents=parents),
        )
        decoders = (decoder("operation", 2), decoder("action", 3))
        return msgspec.structs.replace(manifest(name), levels=levels, decoders=decoders)

    Relay([of("a", "pick", "pack", "pick"), of("b", "pick", "pack", "pick")])
    with pytest.raises(RelayError, match="b has action rest under pack, expected pick as a"):
        Relay([of("a", "pick", "pack", "pick"), of("b", "pick", "pack", "pack")])


def test_a_model_that_says_no_number_is_not_heard():
    played = Played().steps(5, "pick", "pick")
    nothing = {"p_operation": np.full(3, np.nan, "f4"), "boundary": np.zeros(1, "f4")}
    played.relay.answer(BEST, Step(5, {}, 1.0, frozenset({"imu"})), nothing)
    played.says(SECOND, 5, "pick")
    played._at += 1
    played.steps(3, "pick", "pick").end()
    assert played.segments == [("pick", 0, 9, "interrupted", "imu,camera")]


def test_the_log_names_the_models_together_best_first():
    assert Relay([manifest("imu"), manifest("camera")]).name == "imu>camera"
