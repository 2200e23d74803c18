"""Blocks of colour that walk through a picture, and ONNX models that honestly find them.

A block is a person; blue, green and red ones are different people. The models are graphs of
thresholds, sums and extremes in the real runtime; nothing is learnt.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests import live

WIDTH, HEIGHT, RATE_HZ = 320, 240, 20.0
INPUT = 160
"""Width and height of the one-stage model's input, px."""
BLUE, GREEN, RED = range(3)
BLOCK_W, BLOCK_H = 40, 100
SHARES = np.stack([np.linspace(0.1, 0.9, 17), np.linspace(0.9, 0.2, 17)], axis=1).astype(np.float32)
"""(17, 2) where in a block its key points are."""
SHARES[11:13] = 0.5  # the hips are in its middle

Walk = Callable[[int], "tuple[float, float] | None"]


def picture(blocks: Mapping[int, tuple[float, float] | None]) -> np.ndarray:
    """Return (HEIGHT, WIDTH, 3) with blocks by colour at their upper left corners."""
    image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    for colour, corner in blocks.items():
        if corner is not None:
            x, y = map(round, corner)
            image[y : y + BLOCK_H, x : x + BLOCK_W, colour] = 230
    return image


def film(file: Path, frames: int, walks: Mapping[int, Walk], rate_hz: float = RATE_HZ) -> Path:
    """Write a video in which blocks walk; a walk says where its block is in a frame, or None."""
    import cv2

    codec = "mpg1" if file.suffix == ".ts" else "MJPG"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*codec), rate_hz, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for i in range(frames):
        writer.write(picture({colour: walk(i) for colour, walk in walks.items()}))
    writer.release()
    return file


def truth(corner: tuple[float, float]) -> np.ndarray:
    """Return (17, 2) px where a block's key points are."""
    return np.array(corner) + SHARES * (BLOCK_W, BLOCK_H)


class Graph:
    """An ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def const(self, value, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, op: str, *inputs: str, **attributes) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def save(self, file: Path, shape, outputs: dict[str, tuple[str, tuple]]) -> Path:
        nodes = [
            *self.nodes,
            *(helper.make_node("Identity", [node], [name]) for name, (node, _) in outputs.items()),
        ]
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
        taken = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
            for name, (_, dims) in outputs.items()
        ]
        graph = helper.make_graph(nodes, "scene", [given], taken, self.constants)
        opset = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, str(file))
        return file


def _boxes(g: Graph, size: int) -> tuple[str, str, str]:
    """Add what finds a box for each colour: dets (1, 3, 5), left-top and width-height (1, 3, 2)."""
    is_lit = g("Greater", "input", g.const(150))  # (1, 3, H, W)
    count = g("ReduceSum", g("Cast", is_lit, to=TensorProto.FLOAT), g.const([2, 3], np.int64),
              keepdims=0)  # fmt: skip
    x = g.const(np.arange(size).reshape(1, 1, 1, size))
    y = g.const(np.arange(size).reshape(1, 1, size, 1))
    axes, far, near = g.const([2, 3], np.int64), g.const(1e6), g.const(-1e6)
    sides = []
    for reduce, other, more in (("ReduceMin", far, 0), ("ReduceMax", near, 1)):
        for grid in (x, y):
            place = g(reduce, g("Where", is_lit, grid, other), axes, keepdims=0)
            sides.append(g("Add", place, g.const(more)))
    is_there = g("Greater", count, g.const(60))
    last = g.const([2], np.int64)
    parts = [g("Where", is_there, side, g.const(0)) for side in sides]
    parts = [g("Unsqueeze", part, last) for part in parts]
    score = g("Where", is_there, g.const(0.9), g.const(0.01))
    low, high = g("Concat", *parts[:2], axis=2), g("Concat", *parts[2:], axis=2)
    dets = g("Concat", low, high, g("Unsqueeze", score, last), axis=2)
    return dets, low, g("Sub", high, low)


def one_stage(
    file: Path, *, slow: int = 0, nan_when_green: bool = False, points: int = 17, name="keypoints"
) -> Path:
    """Write a model as RTMO: finds every block. ``slow`` is so many products of large matrices."""
    g = Graph()
    dets, low, size = _boxes(g, INPUT)
    shares = g.const(np.resize(SHARES, (1, 1, points, 2)))
    third = g.const([2], np.int64)
    places = g("Add", g("Unsqueeze", low, third), g("Mul", g("Unsqueeze", size, third), shares))
    scores = g("Add", g("Mul", g("Slice", places, *_first(g)), g.const(0)), g.const(0.95))
    found = g("Concat", places, scores, axis=3)
    if nan_when_green:  # 0 / 0 where there is a green block
        green = g("Slice", dets, *(g.const([v], np.int64) for v in (1, 2, 1)))
        green = g("Slice", green, *(g.const([v], np.int64) for v in (4, 5, 2)))
        zero = g("Cast", g("Less", green, g.const(0.5)), to=TensorProto.FLOAT)
        found = g("Mul", found, g("Div", g("Unsqueeze", zero, g.const([3], np.int64)),
                                  g("Unsqueeze", zero, g.const([3], np.int64))))  # fmt: skip
    if slow:
        big = g("Add", g.const(np.eye(900)), g("ReduceMean", "input"))
        big = g("Reshape", big, g.const([900, 900], np.int64))
        for _ in range(slow):
            big = g("Tanh", g("MatMul", big, big))
        nothing = g("Mul", g("ReduceMax", big), g.const(1e-30))
        dets = g("Add", dets, g("Reshape", nothing, g.const([1, 1, 1], np.int64)))
    outputs = {"dets": (dets, (1, None, 5)), name: (found, (1, None, points, 3))}
    return g.save(file, (1, 3, INPUT, INPUT), outputs)


def _first(g: Graph) -> tuple[str, ...]:
    """Return the arguments that slice the first of the last axis."""
    return tuple(g.const([value], np.int64) for value in (0, 1, 3))


def detector(file: Path) -> Path:
    """Write a model as YOLOX: boxes only."""
    g = Graph()
    dets, _, _ = _boxes(g, INPUT)
    return g.save(file, (1, 3, INPUT, INPUT), {"dets": (dets, (1, None, 5))})


def simcc(file: Path, batch=None, width: int = 48, height: int = 64) -> Path:
    """Write a model as RTMPose: all key points in the middle of what is red, after ImageNet."""
    g = Graph()
    red = g("Slice", "input", *(g.const([value], np.int64) for value in (0, 1, 1)))
    is_lit = g("Cast", g("Greater", red, g.const((150 - 123.675) / 58.395)), to=TensorProto.FLOAT)
    count = g("Max", g("ReduceSum", is_lit, g.const([1, 2, 3], np.int64)), g.const(1))
    outputs = {}
    for name, size, shape in (
        ("simcc_x", width, (1, 1, 1, width)),
        ("simcc_y", height, (1, 1, height, 1)),
    ):
        grid = g.const((np.arange(size) + 0.5).reshape(shape))
        middle = g("ReduceSum", g("Mul", is_lit, grid), g.const([1, 2, 3], np.int64))
        middle = g("Squeeze", g("Div", middle, count), g.const([3], np.int64))  # (N, 1, 1)
        bins = g.const((np.arange(2 * size) / 2).reshape(1, 1, -1))
        apart = g("Abs", g("Sub", bins, middle))
        likely = g("Sub", g.const(0.9), g("Mul", apart, g.const(0.01)))
        outputs[name] = (g("Expand", likely, g.const([1, 17, 1], np.int64)),
                         (batch, 17, 2 * size))  # fmt: skip
    return g.save(file, (batch, 3, height, width), outputs)


class Camera:
    """A ``solosense-adapters camera`` process."""

    def __init__(self, folder: Path, text: str, *options: str) -> None:
        self.file, self._said = folder / "camera.toml", folder / "camera.log"
        self.file.write_text(text)
        command = [sys.executable, "-m", "sensor_adapters", "camera", str(self.file), *options]
        with self._said.open("ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, cwd=live.ROOT)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_said(self, text: str) -> None:
        end_s = time.monotonic() + live.START_S
        while text not in self.said:
            assert time.monotonic() < end_s, f"{text!r} was not said: {self.said}"
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.terminate()
        return self.process.wait(30)


@contextlib.contextmanager
def camera(folder: Path, text: str, *options: str) -> Iterator[Camera]:
    """Run a camera's process."""
    one = Camera(folder, text, *options)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


def settings(
    port: int, source: str, model: str = 'pose = "one.onnx"', stations: str = "", more: str = ""
) -> str:
    """Return a camera's configuration."""
    stations = stations or "[stations.pack-1]\n"
    return (
        f'version = 1\nsite = "{live.SITE}"\nnode = "{live.NODE}"\ndevice = "cam"\n{more}\n'
        f"[broker]\nport = {port}\n[source]\n{source}\n[model]\nthreads = 1\n"
        f"{model}\n{stations}"
    )
