"""Networks of clips: what they see, what they learn from another sensor, what stays as it is."""

import json
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from tests.made_up_clips import PEOPLE, clips  # noqa: E402
from trainer import clip_export, clip_inputs, clip_tables  # noqa: E402
from trainer.clip_fit import Told, as_they_are, fit_clips, said_of, seen  # noqa: E402
from trainer.clip_inputs import PLAIN, ClipAugmentation  # noqa: E402
from trainer.clip_net import ClipNet, ClipNetConfig, answers, frozen  # noqa: E402
from trainer.clip_recipes import METHODS, clip_recipe, settings  # noqa: E402
from trainer.clip_sources import Sources  # noqa: E402
from trainer.dcat import products  # noqa: E402

pytestmark = pytest.mark.torch
CLIPS = clips()
SMALL: dict[str, Any] = {"epochs": 6, "width": 16, "rows": 64, "batch": 16, "learning_rate": 0.01}


def recipe(method, sensor="imu", **changes):
    return replace(clip_recipe("utd_mhad", sensor, method), **{**SMALL, **changes})


def flat(net):
    return torch.cat([x.detach().flatten().double() for x in net.state_dict().values()])


@pytest.fixture(autouse=True)
def small_sources(monkeypatch):
    made = clip_recipe
    monkeypatch.setattr(
        "trainer.clip_sources.clip_recipe", lambda *names: replace(made(*names), **SMALL)
    )


# --- what a network sees ---


def test_a_clip_as_it_is_is_read_from_end_to_end():
    at = clip_inputs.moments(2, 5, PLAIN, torch.Generator())
    assert at.tolist() == [[0, 0.25, 0.5, 0.75, 1]] * 2
    clip = torch.arange(9.0).view(1, 9, 1).expand(2, -1, -1)
    assert clip_inputs.read_at(clip, at)[0, :, 0].tolist() == [0, 2, 4, 6, 8]


def test_a_crop_is_a_part_and_a_warp_keeps_its_ends():
    rng = torch.Generator().manual_seed(0)
    cropped = clip_inputs.moments(200, 16, ClipAugmentation(crop=0.8), rng)
    assert (cropped[:, -1] - cropped[:, 0]).min() >= 0.8 - 1e-6
    assert cropped.min() >= 0
    assert cropped.max() <= 1
    warped = clip_inputs.moments(200, 16, replace(PLAIN, warp=0.05), rng)
    torch.testing.assert_close(warped[:, [0, -1]], torch.tensor([[0.0, 1.0]]).expand(200, -1))
    assert (warped.diff(dim=1) > 0).all()
    assert warped.std(0)[8] > 0.02


def test_a_turned_unit_feels_as_much():
    clip = torch.randn(3, 20, 6, generator=torch.Generator().manual_seed(1))
    found = clip_inputs.turned(clip, 30, torch.Generator().manual_seed(2))
    for part, other in zip(clip.split(3, -1), found.split(3, -1), strict=True):
        torch.testing.assert_close(part.norm(dim=-1), other.norm(dim=-1))
    assert (clip - found).abs().max() > 0.1


def test_motion_tells_how_far_a_unit_has_turned():
    steady = torch.zeros(1, 128, 6)
    steady[..., 5] = clip_inputs.RATE  # 100 degrees a second about z
    found = clip_inputs.motion(steady)
    assert found.shape == (1, 128, 17)
    assert found[0, :, 5] == pytest.approx(1)
    assert found[0, :, 7] == pytest.approx(1)  # length of the rate
    assert found[0, -1, 13] == pytest.approx(0.034 * 128, rel=1e-4)
    resting = torch.zeros(1, 128, 6)
    resting[..., 2] = 9.80665
    assert clip_inputs.motion(resting)[0, :, [6, 8, 9, 10]].abs().max() < 1e-6


def test_joints_are_seen_from_the_hips_in_lengths_of_the_trunk():
    one = torch.from_numpy(CLIPS.stretched("skeleton", 64))
    moved = one.unflatten(-1, (-1, 3)) * 1.3 + torch.tensor([1.0, 0.2, 3.0])
    torch.testing.assert_close(
        clip_inputs.posed(moved.flatten(2)), clip_inputs.posed(one), rtol=1e-3, atol=1e-3
    )


def test_nothing_is_varied_when_a_network_is_asked():
    one = recipe("alone")
    assert torch.equal(as_they_are(one, CLIPS), as_they_are(one, CLIPS))
    rng = torch.Generator().manual_seed(0)
    whole = torch.from_numpy(CLIPS.stretched("imu", 160))
    assert not torch.equal(seen(one, whole, one.augmentation, rng), as_they_are(one, CLIPS))


# --- networks ---


def test_a_network_answers_one_clip_as_it_answers_many():
    net = frozen(ClipNet(ClipNetConfig(6, 3, 16)))
    many = as_they_are(recipe("alone"), CLIPS)
    torch.testing.assert_close(answers(net, many, 7).logits, answers(net, many).logits)
    torch.testing.assert_close(answers(net, many[4:5]).logits, answers(net, many).logits[4:5])


def test_every_option_of_the_network_answers_in_the_same_shapes_and_learns():
    options: dict[str, Any] = dict.fromkeys(("residual", "recurrent", "peaks"), True)
    for name in options:
        net = ClipNet(ClipNetConfig(6, 3, 16, **{name: options[name]}))
        said = net(torch.randn(4, 64, 6))
        assert said.logits.shape == (4, 3)
        assert said.feature.shape == (4, 16)
        assert said.said.keys.shape == said.tokens.shape
        said.logits.sum().backward()
        assert all(weight.grad is not None for weight in net.parameters())


def test_a_recurrent_network_knows_the_order_of_what_it_sees():
    torch.manual_seed(0)
    net = ClipNet(ClipNetConfig(6, 3, 16, kernels=(1,), strides=(1,), recurrent=True, first=16))
    clip = torch.randn(1, 64, 6)
    there, back = (answers(net, one).feature for one in (clip, clip.flip(1)))
    assert not torch.allclose(there, back, atol=1e-3)
    net.past_and_future = None
    there, back = (answers(net, one).feature for one in (clip, clip.flip(1)))
    assert torch.allclose(there, back, atol=1e-5)


def test_the_same_seed_teaches_the_same_network():
    first, second, other = (fit_clips(recipe("alone"), CLIPS, seed) for seed in (3, 3, 4))
    assert torch.equal(flat(first), flat(second))
    assert not torch.equal(flat(first), flat(other))


@pytest.mark.parametrize("sensor", ["imu", "skeleton"])
def test_three_paces_are_learnt_by_either_sensor(sensor):
    train, test = CLIPS.of(PEOPLE[:3]), CLIPS.of(PEOPLE[3:])
    one = recipe("augmented", sensor, epochs=25)
    best = said_of(fit_clips(one, train, 0), one, test).logits.argmax(-1).numpy()
    assert (best == test.label).mean() > 0.8


# --- what it takes from another sensor ---


@pytest.mark.parametrize(
    "method", [m for m in METHODS if ("soft" in m or "dcat" in m) and "guarded" not in m]
)
def test_what_a_source_says_changes_what_is_learnt_and_not_the_source(method):
    one = recipe(method)
    sources = Sources(CLIPS, 0)
    told = sources.told(one)
    before = {key: flat(net) for key, net in sources._nets.items()}
    student = fit_clips(one, CLIPS, 0, told)
    alone = fit_clips(one, CLIPS, 0)
    assert not torch.equal(flat(student), flat(alone))
    assert before
    for key, net in sources._nets.items():
        assert torch.equal(flat(net), before[key]), "not a bit of it"
        assert all(weight.grad is None for weight in net.parameters())
    del sources, told
    one_alone = said_of(student, one, CLIPS).logits
    assert torch.equal(said_of(student, one, CLIPS).logits, one_alone), "the source is not needed"
    assert set(dict(student.named_parameters())) == set(dict(alone.named_parameters()))


def test_out_of_fold_nobody_is_judged_by_a_network_that_knows_them():
    one, sources = recipe("soft-out-of-fold"), Sources(CLIPS, 0)
    told = sources.told(one)
    assert told.soft is not None
    assert len(sources._nets) == 2 * len(PEOPLE)  # of both sensors, one without each
    for teacher, subjects, _ in sources._nets:
        (left,) = set(PEOPLE) - set(subjects)
        mine = [i for i, clip in enumerate(CLIPS.clips) if clip.subject == left]
        said = [
            said_of(net, own, CLIPS.of([left])).logits.log_softmax(-1)
            for (own, people, _), net in sources._nets.items()
            if left not in people
        ]
        assert teacher.sensor in ("imu", "skeleton")
        torch.testing.assert_close(told.soft[mine], sum(said))


def test_in_sample_teachers_saw_everybody():
    sources = Sources(CLIPS, 0)
    sources.told(recipe("soft"))
    ((teacher, subjects, _),) = sources._nets
    assert (teacher.sensor, set(subjects)) == ("skeleton", set(PEOPLE))


def test_networks_are_taught_once_for_all_methods():
    sources = Sources(CLIPS, 0)
    for method in ("dcat-same-class", "dcat-random", "dcat-mean", "soft"):
        sources.told(recipe(method))
    assert len(sources._nets) == 1


def test_a_source_of_other_places_never_saw_a_clip_of_the_place_it_speaks_of():
    sources, one = Sources(CLIPS, 0), recipe("dcat-other-place")
    matrices = sources.told(one).products
    assert matrices is not None
    assert {places for _, _, places in sources._nets} == {("right_wrist",), ("right_thigh",)}
    (source,) = {recipe for recipe, _, _ in sources._nets}
    for place, other in (("right_wrist", "right_thigh"), ("right_thigh", "right_wrist")):
        net = sources.net(source, sorted(PEOPLE), [other])
        said = products(said_of(net, source, CLIPS.at([place])).said, one.dcat)
        mine = [i for i, clip in enumerate(CLIPS.clips) if clip.place == place]
        torch.testing.assert_close(matrices[mine], said)
    with pytest.raises(ValueError, match="found clips of right_wrist alone"):
        Sources(CLIPS.at(["right_wrist"]), 0).told(one)


def test_the_controls_are_one_matrix_of_the_same_size_for_all():
    sources = Sources(CLIPS, 0)
    found = [sources.told(recipe(f"dcat-{name}")).products for name in ("random", "mean", "noise")]
    real, mean, noise = (one for one in found if one is not None)
    assert len(real) == len(CLIPS.clips)
    torch.testing.assert_close(mean, real.mean(0, keepdim=True))
    assert noise.norm() == pytest.approx(float(real.flatten(1).norm(dim=1).mean()), rel=1e-4)


def test_soft_labels_of_the_truth_teach_the_truth():
    one = recipe("soft", soft=replace(recipe("soft").soft, weight=50.0, temperature=1.0), epochs=25)
    wrong = torch.from_numpy((CLIPS.label + 1) % 3)
    told = Told(30 * torch.nn.functional.one_hot(wrong, 3).float())
    best = said_of(fit_clips(one, CLIPS, 0, told), one, CLIPS).logits.argmax(-1)
    assert (best == wrong).float().mean() > 0.8


# --- tables ---


def test_a_guarded_run_says_what_its_guard_found():
    one = recipe("soft-guarded", epochs=2)
    found = clip_tables.run(one, Sources(CLIPS, 0), CLIPS, CLIPS, 0)
    assert "transfer is" in found["guard"][0]
    assert "guard" not in clip_tables.run(recipe("alone"), Sources(CLIPS, 0), CLIPS, CLIPS, 0)


@pytest.mark.slow
@pytest.mark.parametrize("sensor", ["imu", "skeleton"])
def test_in_8_bits_both_runtimes_name_a_clip_as_the_network_does(sensor, tmp_path):
    one = recipe("alone", sensor, epochs=20)
    net = fit_clips(one, CLIPS, 0)
    clips = as_they_are(one, CLIPS)
    p = answers(net, clips).logits.softmax(-1).numpy()
    clip_export.to_tflite(net, tmp_path / "a.tflite", clips[:1])
    clip_export.to_onnx(net, tmp_path / "a.onnx", clips[::4])
    for said in (
        clip_export.litert(tmp_path / "a.tflite", clips),
        clip_export.run(tmp_path / "a.onnx", clips),
    ):
        assert said.shape == p.shape
        assert abs(said - p).max() < 0.1
        assert (said.argmax(1) == p.argmax(1)).mean() > 0.95
        assert abs(said - p).max() > 0, "it is in 8 bits"


def test_a_run_that_was_not_exported_is_missing_where_8_bits_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_tables, "_clips", lambda *_: CLIPS)
    monkeypatch.setattr(clip_tables, "clip_recipe", lambda *names: recipe(names[-1]))
    judged = {name: {"macro_f1": 0.5} for name in clip_tables.RUNTIMES}
    monkeypatch.setattr(clip_export, "rounded", lambda *_: judged)
    fold = clip_tables.Fold("odd-to-even", PEOPLE[:1])

    def job(rounded: bool) -> list[str]:
        names = (("imu", "alone"),)
        return clip_tables._job("utd_mhad", tmp_path, names, fold, 0, tmp_path, rounded)

    assert [len(job(rounded)) for rounded in (False, False, True, True)] == [1, 0, 1, 0]
    (row,) = clip_tables.summary("utd_mhad", [("imu", "alone")], [0], tmp_path)
    said = clip_tables.result(recipe("alone"), "odd-to-even", 0, tmp_path)
    assert said is not None
    assert row["LiteRT int8_loss"] == f"{100 * (said['macro_f1'] - 0.5):+.2f}"


def test_runs_that_are_there_are_not_run_again_and_other_settings_are(tmp_path, monkeypatch):
    ran = []

    def run(one, sources, train, test, seed, rounded):
        ran.append((one.name, seed))
        assert not {c.subject for c in train.clips} & {c.subject for c in test.clips}
        return {"macro_f1": 0.5 + 0.1 * seed, "settings": settings(one)}

    monkeypatch.setattr(clip_tables, "run", run)
    monkeypatch.setattr(clip_tables, "_clips", lambda data, folder: CLIPS)
    fold = clip_tables.Fold("one", ("1",))
    names = (("imu", "alone"), ("imu", "plain"))
    job = "utd_mhad", tmp_path, names, fold
    for seed in (0, 1, 1):
        clip_tables._job(*job, seed, tmp_path)
    assert len(ran) == 4
    path = clip_tables.result_file(clip_recipe("utd_mhad", "imu", "alone"), "one", 0, tmp_path)
    path.write_text(path.read_text().replace('"epochs": 150', '"epochs": 151'))
    clip_tables._job(*job, 0, tmp_path)
    assert ran[4:] == [("utd_mhad-imu-alone", 0)]


def test_a_line_tells_its_spread_and_how_often_it_is_above_the_control(tmp_path):
    for method, figures in (("alone", (0.8, 0.9)), ("plain", (0.83, 0.89))):
        one = clip_recipe("utd_mhad", "imu", method)
        for seed, f1 in enumerate(figures):
            path = clip_tables.result_file(one, "odd-to-even", seed, tmp_path)
            path.write_text(json.dumps({"macro_f1": f1, "settings": settings(one)}))
    names = [("imu", "alone"), ("imu", "plain"), ("imu", "motion")]
    first, second = clip_tables.summary("utd_mhad", names, [0, 1], tmp_path)
    assert (first["macro_f1"], first["against_alone"]) == ("85.0 ± 7.1", "")
    assert (second["macro_f1"], second["against_alone"]) == ("86.0 ± 4.2", "+1.0 ± 2.0 (1 of 2)")


def test_everybody_is_tested_once():
    for data in ("utd_mhad", "phone_watch"):
        people = [p for fold in clip_tables.folds(data, CLIPS) for p in fold.test]
        assert len(people) == len(set(people))
        if data == "phone_watch":
            assert set(people) == set(PEOPLE)


def test_an_unknown_method_is_told_with_those_there_are():
    with pytest.raises(KeyError, match=r"expected of .*dcat-same-class"):
        clip_recipe("utd_mhad", "imu", "magic")
