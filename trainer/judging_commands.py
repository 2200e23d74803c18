"""``solosense-trainer evaluate`` and ``score``: models and boards' logs against what was true."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edge import bundle as bundles
from edge.bundle import BundleError
from sensor_adapters.recording import Recording
from trainer import score as scoring
from trainer.metrics import evaluate_stretches
from trainer.stretches import Drawing, Stretch
from trainer.terminal import err, fail, opened, seed_range, show
from trainer.truth import ScoreError

SCORES = (
    "bundle", "level", "macro_f1", "accuracy", "edit", "f1_10", "f1_25", "f1_50", "boundary_f1",
    "segments",
)  # fmt: skip

REHEARSED = (
    "dead", "seed", "all_alive", "failover", "best_single", "best_single_f1", "switches", "gaps",
    "overlaps",
)  # fmt: skip

RecordingName = Annotated[
    str,
    typer.Argument(
        metavar="RECORDING",
        help="virtual:seed=7,boxes=20, an OpenPack session (…/U0209/S0500), a SPHERE folder, or"
        " a folder with a recording.toml.",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE",
        help="Write all scores, those of each label too; - prints them instead of the table.",
    ),
]  # fmt: skip
PictureFolder = Annotated[
    Path | None,
    typer.Option(
        "--picture", metavar="FOLDER",
        help="Draw what was true and predicted over time, and confusion matrices.",
    ),
]  # fmt: skip


def evaluate(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle, or of a teacher.")
    ],
    recording: RecordingName,
    engine: Annotated[
        str | None, typer.Option(help="Of a bundle: litert or onnx; litert if it is there.")
    ] = None,
    to: JsonFile = None,
    picture: PictureFolder = None,
) -> None:
    """Run a bundle over a recording as a board would, and score its segments."""
    from edge.engine import open_engine
    from trainer import judged_teacher, saved_teacher
    from trainer.offline import segments

    one = opened(recording)
    try:
        if saved_teacher.is_teacher(bundle):
            if engine:
                fail(f"{bundle}: is a teacher, expected --engine with a bundle only", 2)
            report(*judged_teacher.judged(bundle, one), one, to, picture)
            return
        loaded = bundles.load(bundle)
        found = segments(loaded.manifest, open_engine(loaded, prefer=engine or "litert"), one)
        rows, drawings = [], []
        for level in loaded.manifest.levels:
            mine = [Stretch(s.label, s.start_us, s.end_us) for s in found if s.level == level.name]
            scores = evaluate_stretches(mine, one, level.name).as_dict()
            named = {"bundle": loaded.manifest.name, "recording": one.name, "segments": len(mine)}
            rows.append({**named, **scores})
            drawings.append((level.name, {loaded.manifest.name: mine}, level.labels))
    except (BundleError, ScoreError) as error:
        fail(str(error), 2)
    report(rows, drawings, one, to, picture)


def score(
    recording: RecordingName,
    db: Annotated[Path, typer.Option("--db", help="SQLite log of a board.")],
    station: Annotated[str | None, typer.Option(help="Where the log has several.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Only this model's rows.")] = None,
    session: Annotated[int | None, typer.Option(help="Instead of the newest.")] = None,
    to: JsonFile = None,
    picture: PictureFolder = None,
) -> None:
    """Score what stands in a board's log against a recording's truth."""
    one = opened(recording)
    try:
        rows = scoring.score_log(db, one, station=station, bundle=bundle, session=session)
    except ScoreError as error:
        fail(str(error), 2)
    levels = dict.fromkeys(row.level for row in rows)
    drawings = [
        (level, {row.bundle: row.stretches for row in rows if row.level == level}, ())
        for level in levels
    ]
    report([{"recording": one.name, **row.as_dict()} for row in rows], drawings, one, to, picture)


def rehearse(
    recording: RecordingName,
    bundle: Annotated[list[Path], typer.Option(help="Folder of a bundle; repeat.")],
    dead: Annotated[
        str, typer.Option(help="Shares of the time, joined by commas.")
    ] = "0.1,0.3,0.5",
    seeds: Annotated[str, typer.Option(help="First and last, as 0-2.")] = "0-2",
    to: JsonFile = None,
) -> None:
    """Let sensors die at random and tell what models that share one voice make of it."""
    from edge.engine import open_engine
    from edge.relay import RelayError
    from trainer import rehearsal

    if len(bundle) < 2:
        fail("--bundle: found one, expected several to share one voice", 2)
    if len({folder.resolve() for folder in bundle}) < len(bundle):
        fail("--bundle: found one of them twice, expected each once", 2)
    try:
        shares = [float(one) for one in dead.split(",")]
    except ValueError:
        fail(f"--dead is {dead!r}, expected shares as 0.1,0.3", 2)
    if not all(0 <= share <= 0.9 for share in shares):
        fail(f"--dead is {dead!r}, expected shares from 0 to 0.9", 2)
    one, wanted = opened(recording), seed_range(seeds)
    try:
        loaded = [bundles.load(folder) for folder in bundle]
        models = [(b.manifest, open_engine(b)) for b in loaded]
        found = rehearsal.rehearse(models, one, shares, wanted)
        rows = [each.as_dict() for each in found]
    except (BundleError, RelayError, ScoreError) as error:
        fail(str(error), 2)
    show(rows, REHEARSED, to == Path("-"))
    try:
        if to and to != Path("-"):
            to.write_text(json.dumps(rows, indent=1) + "\n")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}, expected a file that can be written", 2)


def report(
    rows: list[dict[str, Any]],
    drawings: Sequence[Drawing],
    recording: Recording,
    to: Path | None,
    picture: Path | None,
) -> None:
    """Print scores, and write what was asked for beside them: JSON, pictures by level."""
    show(rows, SCORES, to == Path("-"))
    try:
        if to and to != Path("-"):
            to.write_text(json.dumps(rows, indent=1) + "\n")
        if picture:
            from trainer import report as reports

            for drawing in drawings:
                for path in reports.draw(picture, recording, *drawing):
                    err.print(str(path), markup=False, highlight=False, soft_wrap=True)
    except OSError as error:
        fail(str(error), 2)
    except ModuleNotFoundError as error:
        fail(f"--picture: found no {error.name}, expected the trainer's: solosense[trainer]", 2)
