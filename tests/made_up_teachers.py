"""Models, windows and recordings made up for the tests of teachers: small, and seeded."""

from dataclasses import replace

import numpy as np
import torch

from edge.bundle import Input, Level, Manifest, MaskDevice
from sensor_adapters.recording import Recording
from trainer.datasets import Examples
from trainer.prepared import Parts
from trainer.recipe_parts import Recipe, Split
from trainer.sigformer import DenseInput, SigFormer, SigFormerConfig
from trainer.teacher_recipes import TeacherRecipe

IMU = DenseInput("imu", "motion", rows=6, channels=3, width=16)
CAMERA = DenseInput("camera", "spatial", rows=4, channels=5, width=16)
RADIO = DenseInput("radio", "spatial", rows=1, channels=2, width=16)
CONFIG = SigFormerConfig(
    inputs=(IMU, CAMERA), devices=3, levels=(("operation", 4), ("action", 7)), window=16, width=24,
    device_width=8, heads=4, head_width=8, expansion=1, groups=4, feed_forward=32,
    encoder_layers=1, fusion_layers=2, branch_layers=(1, 1, 1, 1, 1), recurrent_layers=1,
    recurrent_hidden=12, position_std=0.02, boundary_width=8,
)  # fmt: skip


def model(seed=0, /, **options):
    """Return a small SigFormer in eval mode; ``options`` replace fields of ``CONFIG``."""
    torch.manual_seed(seed)
    return SigFormer(replace(CONFIG, **options)).eval()


def windows(config=CONFIG, batch=2, steps=16, seed=0):
    """Return the inputs of windows: gaps in every input, a device in use now and then."""
    rng = torch.Generator().manual_seed(seed)
    shapes = {one.name: (one.rows, one.channels) for one in config.inputs}
    inputs = {}
    for name, shape in shapes.items():
        seen = (torch.rand(batch, steps, *shape, generator=rng) < 0.8).float()
        seen[:, 3:5] = 0
        inputs[name] = torch.randn(batch, steps, *shape, generator=rng) * seen
        inputs[f"{name}_observed"] = seen
    if config.devices:
        seen = (torch.rand(batch, steps, config.devices, generator=rng) < 0.8).float()
        in_use = (torch.rand(batch, steps, config.devices, generator=rng) < 0.15).float()
        in_use[:, 7:8], seen[:, 7:8], in_use[:, :2] = 1, 1, 0  # in use for sure; for sure not
        inputs |= {"in_use": in_use * seen, "in_use_observed": seen}
    return inputs


def targets(config=CONFIG, batch=2, steps=16, seed=0):
    """Return one true label a step and level, kept for four steps; the last step is not scored."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for name, labels in config.levels:
        index = torch.randint(labels, (batch, -(-steps // 4)), generator=rng)
        found[name] = torch.eye(labels)[index.repeat_interleave(4, 1)[:, :steps]]
        found[name][:, -1] = 0
    return found


# --- recordings, to teach from ---

LABELS = ("idle", "pack", "scan", "carry")
MANIFEST = Manifest(
    format_version=1, name="made-up", modality=("imu", "camera", "iot"), step_us=1_000_000,
    inputs=(
        Input(
            name="imu", rate_hz=4, channels=tuple(f"wrist.acc_{axis}" for axis in "xyz"),
            units=("m/s^2",) * 3, mean=(0.1, 0.0, 0.2), std=(1.0, 2.0, 1.0), max_gap_us=1,
        ),
        Input(
            name="camera", rate_hz=2, channels=("bench.person", "bench.box_cx"),
            units=("1",) * 2, mean=(0.5, 0.5), std=(0.5, 0.25), max_gap_us=1,
        ),
    ),
    devices=tuple(
        MaskDevice(placement=name, kind="event", hold_us=1, max_silence_us=1)
        for name in ("scanner", "printer")
    ),
    levels=(
        Level(name="operation", labels=LABELS, parents=()),
        Level(name="action", labels=("still", "moving"), parents=("idle", "pack")),
    ),
    decoders=(), state_size=1, tensor_inputs=(), tensor_outputs=(), delay_steps=0,
    reset_after_us=1, quantization={}, scores={}, recipe={}, data_license="", git_revision="",
    sha256={}, seal="",
)  # fmt: skip


def recording(seed, steps=40):
    """Return a recording in which a label shows in the IMU's mean, and scanning at the scanner."""
    rng = np.random.default_rng(seed)
    label = np.repeat(rng.integers(0, len(LABELS), steps), rng.integers(4, 9, steps))[:steps]
    imu = rng.normal(0, 0.3, (steps, 4, 3)) + np.eye(4)[label][:, None, :3] * 2
    camera = rng.normal(0.5, 0.1, (steps, 2, 2))
    scanner = (label == 2) & (rng.random(steps) < 0.5)
    tensors = {
        "imu": imu,
        "imu_observed": np.ones_like(imu),
        "camera": camera,
        "camera_observed": (rng.random((steps, 2, 2)) < 0.9).astype(float),
        "in_use": np.stack([scanner, np.zeros(steps)], 1),
        "in_use_observed": np.ones((steps, 2)),
    }
    target = {"operation": np.eye(4)[label], "action": np.eye(2)[(label > 0).astype(int)]}
    return Examples(
        Recording(f"made-up {seed}", "virtual", "nobody", (), {}), 0,
        {name: array.astype(np.float32) for name, array in tensors.items()},
        {name: array.astype(np.float32) for name, array in target.items()},
    )  # fmt: skip


PARTS = Parts(MANIFEST, [recording(1), recording(2, steps=9)], [recording(3)])
SOURCE = Recipe(
    name="made-up", data="virtual", modality=("imu", "camera", "iot"),
    split=Split((), (), ()), levels=("operation", "action"), delay_steps=0,
)  # fmt: skip
RECIPE = TeacherRecipe(
    name="made-up-teacher",
    source=SOURCE,
    options={
        name: getattr(CONFIG, name)
        for name in (
            "width", "device_width", "heads", "head_width", "groups", "feed_forward",
            "branch_layers", "recurrent_hidden", "boundary_width",
        )
    },
    window=12,
    updates=12,
    check_every=4,
    batch=4,
    accumulate=2,
    modality_dropout=0.5,
)  # fmt: skip
NO_DROPOUT = dict.fromkeys(
    ("dropout", "attention_dropout", "recurrent_dropout", "boundary_dropout"), 0.0
)
