"""Pictures of what was true and what was predicted: bars over time, and a confusion matrix.

Every function writes one file and returns its path: PNG, or SVG where the suffix asks for it. The
same values give the same bytes. Nothing here opens a window.
"""

# K labels

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sensor_adapters.samples import US_PER_S, Int64s
from trainer.frame_scores import confusion
from trainer.stretches import Stretch, is_null

Colour = tuple[float, float, float]
NULL_COLOUR: Colour = (0.85, 0.85, 0.85)
DPI = 120  # pixels an inch
US_PER_MINUTE = 60 * US_PER_S


def colours(labels: Iterable[str]) -> dict[str, Colour]:
    """Return a colour for each label: the same for the same set of labels, in whatever order.

    Give all labels of a level, not only those of one recording, and a label keeps its colour
    over pictures. Null has none: it is drawn grey.

    >>> colours(["b", "a", "a"]) == colours(["a", "b"])
    True
    """
    names = sorted({label for label in labels if not is_null(label)})
    return dict(zip(names, _palette(len(names)), strict=True))


def _palette(count: int) -> list[Colour]:
    """Return that many colours, all different; up to twenty those that matplotlib is known by."""
    if count <= 20:
        return list(colormaps["tab10" if count <= 10 else "tab20"].colors[:count])  # type: ignore[attr-defined]
    shades = ((0.85, 0.95), (0.45, 0.95), (0.85, 0.6))  # saturation and value, side by side
    return [colorsys.hsv_to_rgb(i / count, *shades[i % 3]) for i in range(count)]


def draw_timeline(
    path: Path,
    rows: Mapping[str, Sequence[Stretch]],
    palette: Mapping[str, Colour],
    title: str,
) -> Path:
    """Draw rows of stretches below each other, a colour a label, over minutes, with a legend.

    The rows from top to bottom, by their names: ``true`` first, then ``predicted`` or the
    modalities. Minute 0 is where the first stretch begins, Null is grey, and where nothing is said
    the row stays white.

    Raises:
        ValueError: there is no stretch, or the suffix is no format that can be written.
    """
    said = [s for row in rows.values() for s in row]
    if not said:
        raise ValueError(
            f"{path.name}: found no stretch in {len(rows)} rows, expected some to draw"
        )
    first_us = min(s.start_us for s in said)
    shown = {_name(s.label): None for s in said}  # in order of appearance
    minutes = (max(s.end_us for s in said) - first_us) / US_PER_MINUTE
    columns = 5 if len(shown) <= 20 else 4
    legend_inches = 0.25 * -(-len(shown) // columns)
    size = (float(np.clip(0.6 * minutes, 12, 40)), 1.1 + 0.55 * len(rows) + legend_inches)
    figure = Figure(size, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for height, row in enumerate(rows.values()):
        _bars(axes, row, height, palette, first_us)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, minutes)
    axes.set_xlabel("minutes")
    axes.set_title(title)
    patches = [Patch(color=palette.get(name, NULL_COLOUR), label=name) for name in shown]
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=8)
    return _written(figure, path)


def _bars(
    axes: Axes, row: Sequence[Stretch], height: int, palette: Mapping[str, Colour], first_us: int
) -> None:
    spans = [
        ((s.start_us - first_us) / US_PER_MINUTE, (s.end_us - s.start_us) / US_PER_MINUTE)
        for s in row
    ]
    facecolors = [palette.get(_name(s.label), NULL_COLOUR) for s in row]
    axes.broken_barh(spans, (height - 0.4, 0.8), facecolors=facecolors, linewidth=0)


def _name(label: str) -> str:
    return "Null" if is_null(label) else label


def draw_confusion(
    path: Path, true: Int64s, predicted: Int64s, labels: Sequence[str], title: str
) -> Path:
    """Draw how the seconds of each true label were labelled: shares by colour, seconds as numbers.

    ``true`` and ``predicted`` (N,) are indices into ``labels`` (K,); a second of -1 in ``true`` is
    not drawn, one of -1 in ``predicted`` stands in the last column. Only labels that are true or
    predicted have a row and a column.

    Raises:
        ValueError: there is no second with a true label.
    """
    counts = confusion(true, predicted, len(labels))  # (K, K + 1)
    if not counts.any():
        raise ValueError(f"{path.name}: found no second with a true label, expected some to draw")
    kept = np.flatnonzero(counts.sum(axis=1) + counts.sum(axis=0)[:-1]).tolist()
    counts = counts[kept][:, [*kept, len(labels)]]
    support = counts.sum(axis=1)
    share = counts / np.maximum(support, 1)[:, None]
    side = 3.5 + 0.42 * len(kept)  # inches: every cell has room for its number
    figure = Figure((side + 1, side), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true label's seconds")
    names = [labels[k] for k in kept]
    rows = [f"{name} ({n} s)" for name, n in zip(names, support, strict=True)]
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    columns = [*names, "none"]
    axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=90)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    for (i, k), count in np.ndenumerate(counts):
        if count:
            shade = "white" if share[i, k] > 0.5 else "black"
            axes.text(k, i, str(count), ha="center", va="center", fontsize=7, color=shade)
    return _written(figure, path)


def draw_delay(
    path: Path, curves: Mapping[str, Mapping[str, tuple[float, float]]], title: str
) -> Path:
    """Draw how good segments are against how late they are known.

    A colour a model; its Viterbi decoders are joined, lag by lag, and named; the others stand
    apart, each way with a mark of its own.

    Raises:
        ValueError: there is no curve.
    """
    if not curves:
        raise ValueError(f"{path.name}: found no curve, expected some to draw")
    figure = Figure((9, 6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    palette = colours(curves)
    marks = dict(zip(("arg-max", "hysteresis", "mode"), "x^s", strict=True))
    for model, ways in curves.items():
        lags = {way: point for way, point in ways.items() if way not in marks}
        if lags:
            delays, f1 = zip(*lags.values(), strict=True)
            axes.plot(delays, f1, "o-", color=palette[model], label=model)
        for way, point in lags.items():
            axes.annotate(way.removeprefix("viterbi "), point, fontsize=7)
        for way, mark in marks.items():
            if way in ways:
                axes.plot(*ways[way], mark, color=palette[model])
    for way, mark in marks.items():
        axes.plot([], [], mark, color="grey", label=way)
    axes.set_xlabel("from a segment's end to its being committed, median, s")
    axes.set_ylabel("segmental F1@50")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return _written(figure, path)


def _written(figure: Figure, path: Path) -> Path:
    """Save in the format of the suffix, without a date, so that equal pictures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    undated = {"Date": None} if path.suffix == ".svg" else None
    with rc_context({"svg.hashsalt": "solosense"}):
        figure.savefig(path, metadata=undated)
    return path
