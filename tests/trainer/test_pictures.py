"""Pictures show what they are given: bars where stretches are, numbers where seconds are."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pictures need the trainer's dependencies")

from matplotlib.image import imread

from tests.made_up import said, session
from trainer import pictures, report
from trainer.stretches import Stretch

PNG = b"\x89PNG\r\n\x1a\n"
MINUTE = 60_000_000  # us


def shares(picture, colour):
    """Return by row of pixels which share of it has a colour."""
    pixels = imread(picture)[..., :3]
    return (np.abs(pixels - colour).max(axis=2) < 0.01).mean(axis=1)


def test_every_label_has_a_colour_of_its_own_up_to_the_largest_level():
    for count in (1, 10, 11, 20, 21, 38):
        found = pictures.colours(f"label {i}" for i in range(count))
        assert len(set(found.values())) == len(found) == count
        values = list(found.values())
        pairs = [(a, b) for i, a in enumerate(values) for b in values[:i]]
        assert all(np.abs(np.subtract(a, b)).max() > 0.05 for a, b in pairs)


def test_a_label_keeps_its_colour_whatever_is_seen_first():
    labels = [f"label {i}" for i in range(33)]
    assert pictures.colours(labels) == pictures.colours([*labels[::-1], "Null", "label 3"])


def test_a_bar_is_as_long_as_its_stretch(tmp_path):
    rows = {
        "true": [Stretch("a", 0, 3 * MINUTE), Stretch("b", 3 * MINUTE, 4 * MINUTE)],
        "imu": [Stretch("a", 0, 1 * MINUTE), Stretch("b", 1 * MINUTE, 4 * MINUTE)],
    }
    palette = pictures.colours("ab")
    file = pictures.draw_timeline(tmp_path / "new" / "t.png", rows, palette, "made up")
    assert file.read_bytes()[:8] == PNG
    a, b = shares(file, palette["a"]), shares(file, palette["b"])
    bars = a + b > 0.5
    upper = bars & (a > b)
    lower = bars & (b > a)
    assert np.flatnonzero(upper).max() < np.flatnonzero(lower).min()
    assert np.median(a[upper] / b[upper]) == pytest.approx(3, rel=0.02)
    assert np.median(b[lower] / a[lower]) == pytest.approx(3, rel=0.02)


def test_null_is_grey_and_silence_is_white(tmp_path):
    rows = {"true": [Stretch("a", 0, MINUTE)], "imu": [Stretch("Null", 0, MINUTE // 2)]}
    file = pictures.draw_timeline(tmp_path / "t.png", rows, pictures.colours("a"), "made up")
    assert shares(file, pictures.NULL_COLOUR).max() == pytest.approx(0.48, abs=0.03)


def test_a_longer_recording_and_more_rows_make_a_larger_picture(tmp_path):
    def size(name, minutes, count):
        rows = {str(i): [Stretch("a", 0, minutes * MINUTE)] for i in range(count)}
        path = tmp_path / f"{name}.png"
        return imread(pictures.draw_timeline(path, rows, {"a": (1.0, 0, 0)}, name)).shape[:2]

    short, long, many = size("short", 3, 1), size("long", 50, 1), size("many", 3, 5)
    assert long[1] > 2 * short[1]
    assert many[0] > short[0] + 200


def test_a_suffix_of_svg_makes_an_svg_with_names_and_the_same_one_twice(tmp_path):
    rows = {"camera": said("aab-b")}
    first, again = (
        pictures.draw_timeline(tmp_path / name, rows, pictures.colours("ab"), "made up").read_text()
        for name in ("one.svg", "two.svg")
    )
    assert "<svg" in first
    assert "<!-- camera -->" in first
    assert first == again


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"t.png: found no stretch in 1 rows"):
        pictures.draw_timeline(tmp_path / "t.png", {"true": []}, {}, "")
    none = np.array([-1])
    with pytest.raises(ValueError, match=r"c.png: found no second with a true label"):
        pictures.draw_confusion(tmp_path / "c.png", none, np.array([0]), "a", "")
    assert list(tmp_path.iterdir()) == []


def test_a_confusion_says_seconds_and_shares(tmp_path):
    true, predicted = np.array([0] * 40 + [1] * 7 + [-1]), np.array([0] * 33 + [1] * 14 + [2])
    labels = ("Picking", "Scan Label", "never")
    file = pictures.draw_confusion(tmp_path / "c.svg", true, predicted, labels, "made up")
    drawn = file.read_text()
    for told in ("Picking (40 s)", "Scan Label (7 s)", "33", "7", "none"):
        assert f"<!-- {told} -->" in drawn
    assert "never" not in drawn
    png = pictures.draw_confusion(tmp_path / "c.png", true, predicted, labels, "made up")
    assert png.read_bytes()[:8] == PNG


@pytest.mark.parametrize("count", [10, 38])
def test_a_confusion_grows_with_its_labels_so_that_numbers_fit(tmp_path, count):
    true = np.repeat(np.arange(count), 100)
    labels = [f"Scan Order Sheet ({i})" for i in range(count)]
    file = pictures.draw_confusion(tmp_path / "c.png", true, true, labels, "made up")
    certain = imread(file)[..., :3]
    blue = np.abs(certain - np.array([8, 48, 107]) / 255).max(axis=2) < 0.02
    columns = np.flatnonzero(blue[: certain.shape[0] // 2].any(axis=0))
    cell = len(columns) / (count / 2)  # pixels; three digits of seven points take about 22
    assert cell > 25


def test_a_report_has_a_timeline_of_all_models_and_a_confusion_of_each(tmp_path):
    recording = session(("a", 0, 2), ("b", 2, 4))
    predicted = {"imu": said("aabb"), "camera 2/left": said("abbb")}
    drawn = report.draw(tmp_path, recording, "operation", predicted)
    assert [path.name for path in drawn] == [
        "made-up-operation-imu-camera-2-left-timeline.png",
        "made-up-operation-imu-confusion.png",
        "made-up-operation-camera-2-left-confusion.png",
    ]
    assert all(path.read_bytes()[:8] == PNG for path in drawn)


def test_drawing_opens_no_window_and_leaves_pyplot_alone():
    code = "import sys, trainer.report; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_delay_is_drawn_with_a_curve_a_model_and_marks_for_the_other_ways(tmp_path):
    curves = {
        "gru": {"arg-max": (2.0, 0.2), "viterbi 0 s": (3.0, 0.3), "viterbi 5 s": (7.0, 0.4)},
        "malt": {"mode": (4.0, 0.25), "viterbi 0 s": (3.0, 0.2)},
    }
    drawn = pictures.draw_delay(tmp_path / "a.svg", curves, "segments against delay")
    text = drawn.read_text()
    assert "segments against delay" in text
    again = pictures.draw_delay(tmp_path / "b.svg", curves, "segments against delay")
    assert again.read_bytes() == drawn.read_bytes()
    with pytest.raises(ValueError, match="found no curve"):
        pictures.draw_delay(tmp_path / "c.svg", {}, "nothing")
